"""Images annotated in parts, without cells, or by outlines, through the commands."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import roifile
import tifffile
from skimage import measure

from cellflax import evaluate, predict, quantify, train, validate
from cellflax.evaluate import EvaluateConfig
from cellflax.io.images import write_probability
from tests.commands import TINY, metrics_of, run_command
from tests.data.squares import square_labels, write_tiff
from tests.io.drawn_outlines import feature, write_geojson, write_zip

# As `+debug=quick` with `TINY`, but for the data.
SMALL = (
    *(option for option in TINY if not option.startswith(("data.", "+debug", "sampler."))),
    "refine=watershed",
    "sampler.size=16",
    "sampler.batch=2",
    "optimizer=adamw",
    "logger.wandb=disabled",
    "plan=false",
)
CELL = square_labels()


def image(labels: np.ndarray, seed: int) -> np.ndarray:
    """Bright cells on a dark background."""
    noise = np.random.default_rng(seed).normal(0, 20, labels.shape)
    return (200 + 400 * (labels > 0) + noise).astype(np.float32)


def in_parts() -> tuple[np.ndarray, np.ndarray]:
    """Label image with 200 for background and 0 for what nobody looked at, and the mask for the same."""
    some = np.where(np.isin(CELL, (1, 5)), CELL, 0)
    some[40:, :20] = 200
    return some, some == 0


def folder(root: Path, labels: dict[str, np.ndarray], truth: dict[str, np.ndarray]) -> Path:
    for i, (name, array) in enumerate(labels.items()):
        write_tiff(root / f"{name}.tif", image(truth[name], i))
        write_tiff(root / f"{name}_labels.tif", array)
    return root


def train_on(root: Path, run: Path, *options: str):
    result = run_command(
        train.main, *SMALL, "data=folder", f"data.root={root}", "seed_channel=null", f"run={run}", *options
    )
    assert result.status == 0, result.err
    for line in metrics_of(run):
        assert all(math.isfinite(value) for key, value in line.items() if "accuracy" not in key), line
    return result


@pytest.mark.parametrize("loss", ["cross_entropy", "weighted_softmax", "composite_rmsd"])
def test_sparse_annotation_trains_under_every_cost(tmp_path, loss):
    some, _ = in_parts()
    empty = CELL * 0
    labels = {"a": some, "b": some, "c": empty + 200}
    root = folder(tmp_path / "in", labels, {"a": CELL, "b": CELL, "c": empty})
    how = ("data.ignore_label=0", "data.background_label=200", f"loss={loss}", "sampler.balance=1")
    result = train_on(root, tmp_path / "run", *how)
    assert "annotated in parts: the network learns from " in result.err
    assert "2 cells in 1 held-out regions" in result.err
    scored = run_command(validate.main, f"checkpoint={tmp_path / 'run'}")
    assert scored.status == 0, scored.err
    assert " f1 " in scored.out


def test_what_is_under_a_mask_changes_nothing(tmp_path):
    """Images whose labels differ only where nothing is annotated give the same network, bit for bit."""
    some, mask = in_parts()
    rng = np.random.default_rng(0)
    outcomes = []
    for name, hidden in (("one", CELL), ("other", rng.integers(10, 99, CELL.shape))):
        labels = np.where(mask, hidden, np.where(some == 200, 0, some)).astype(np.uint16)
        root = folder(tmp_path / name, dict.fromkeys("ab", labels), dict.fromkeys("ab", CELL))
        for image_name in "ab":
            write_tiff(root / f"{image_name}_ignore.tif", mask.astype(np.uint8) * 255)
        train_on(root, tmp_path / f"run_{name}")
        outcomes.append([line for line in metrics_of(tmp_path / f"run_{name}") if "train_loss" in line])
    assert outcomes[0] == outcomes[1]


def test_images_without_cells_are_trained_on(tmp_path):
    """They are trained on, and never the only ones held out; without any cell there is nothing to learn."""
    labels = {name: CELL if name in "ab" else CELL * 0 for name in "abcd"}
    root = folder(tmp_path / "in", labels, labels)
    result = train_on(root, tmp_path / "run", "data.split_seed=1", "sampler.batch=2")
    assert "9 cells in 1 held-out regions" in result.err
    root = folder(tmp_path / "no", dict.fromkeys("ab", CELL * 0), labels)
    result = run_command(train.main, *SMALL, "data=folder", f"data.root={root}", f"run={tmp_path / 'no_run'}")
    assert "no label image has a cell (2 read" in result.error


def scores(tmp_path: Path, **options) -> dict:
    paths = {"predicted": str(tmp_path / "p"), "reference": str(tmp_path / "r"), "output": str(tmp_path / "out")}
    given = {**paths, "overwrite": True}
    return evaluate.evaluate(EvaluateConfig(**{**given, **options}))


def test_an_image_without_cells_counts_what_was_found_there(tmp_path):
    for name, labels in (("a", CELL), ("b", CELL * 0)):
        write_tiff(tmp_path / "r" / f"{name}.tif", labels)
        write_tiff(tmp_path / "p" / f"{name}.tif", CELL)
    metrics = scores(tmp_path)
    b = metrics["images"]["b"]
    assert (b["n_reference"], b["n_predicted"], b["spurious"], b["precision"], b["f1"]) == (0, 9, 9, 0.0, 0.0)
    assert b["jaccard_index"] is None
    assert metrics["pooled"]["precision"] == 0.5
    assert metrics["pooled"]["jaccard_index"] == 1.0
    assert len(pd.read_csv(tmp_path / "out" / "per_cell.csv")) == 9


def test_evaluate_compares_what_is_annotated(tmp_path):
    some, mask = in_parts()
    predicted = CELL.copy()
    predicted[50:56, 2:8] = 77  # a false cell on annotated background
    write_tiff(tmp_path / "p" / "a.tif", predicted)
    write_tiff(tmp_path / "r" / "a_labels.tif", some)
    whole = scores(tmp_path)
    assert whole["pooled"]["n_reference"] == 3  # 200 as a cell
    metrics = scores(tmp_path, ignore_label=0, background_label=200)
    pooled = metrics["pooled"]
    # Cells 1 and 5 are there; 7, which lies on annotated background, and 77 are false; the others count for nothing.
    assert (pooled["n_reference"], pooled["n_predicted"], pooled["jaccard_index"]) == (2, 4, 1.0)
    assert any("ignore_label=0" in note for note in metrics["notes"])
    assert metrics["settings"]["background_label"] == 200
    # The same by a mask beside the reference, or one that is given.
    write_tiff(tmp_path / "r" / "a_labels.tif", np.where(some == 200, 0, some))
    write_tiff(tmp_path / "r" / "a_ignore.tif", mask.astype(np.uint8))
    assert scores(tmp_path)["pooled"] == pooled
    assert scores(tmp_path)["notes"] == ["1 references have a mask of what is not annotated, such as a_ignore.tif"]
    (tmp_path / "r" / "a_ignore.tif").rename(tmp_path / "mask.tif")
    assert scores(tmp_path, ignore=str(tmp_path / "mask.tif"))["pooled"] == pooled
    assert scores(tmp_path)["pooled"]["n_predicted"] == 10


def test_pixels_that_are_not_annotated_are_in_no_roc(tmp_path):
    some, mask = in_parts()
    write_tiff(tmp_path / "p" / "a_labels.tif", CELL)
    write_tiff(tmp_path / "r" / "a.tif", some)
    probability = np.where(mask, 1.0, np.where(CELL > 0, 0.9, 0.1)).astype(np.float32)
    maps = tmp_path / "p" / "a_probability.tif"
    write_probability(maps, np.stack([probability, 1 - probability], axis=-1), ("cell", "background"))
    metrics = scores(tmp_path, ignore_label=0, background_label=200, probability=str(maps))
    pixels = metrics["pixels"]["pooled"]["cells"]
    assert pixels["n_pixels"] == (some > 0).sum()
    assert pixels["n_foreground"] == np.isin(some, (1, 5)).sum()


def outlines_of(labels: np.ndarray) -> list[np.ndarray]:
    """Corners of square cells as x, y."""
    boxes = [props.bbox for props in measure.regionprops(labels)]
    return [np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]) for y0, x0, y1, x1 in boxes]


def write_outlines(path: Path, labels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    corners = outlines_of(labels)
    if path.suffix == ".geojson":
        write_geojson(path, *(feature(ring.tolist()) for ring in corners))
    elif path.suffix == ".zip":
        write_zip(path, {f"{i:03}.roi": roifile.ImagejRoi.frompoints(ring).tobytes() for i, ring in enumerate(corners)})


@pytest.mark.parametrize("name", ["{}.zip", "{}_rois.zip", "{}.geojson", "labels/{}.zip", "labels/{}_RoiSet.zip"])
def test_training_folders_with_outlines(tmp_path, name):
    from cellflax.data.datasets import load_dataset
    from cellflax.data.folder import FolderData

    for i, stem in enumerate("ab"):
        below = "images" if "/" in name else "."
        write_tiff(tmp_path / below / f"{stem}.tif", image(CELL, i))
        write_outlines(tmp_path / name.format(stem), CELL)
    with open(tmp_path / "archive.zip", "wb") as file:
        file.write(b"no rois")
    data = load_dataset(FolderData(root=str(tmp_path)))
    for example in [*data.train, *(region.example for region in data.validation)]:
        np.testing.assert_array_equal(example.cells, CELL)


def test_evaluate_takes_outlines_on_either_side(tmp_path):
    write_outlines(tmp_path / "r" / "a.zip", CELL)
    write_tiff(tmp_path / "p" / "a_labels.tif", CELL)
    assert scores(tmp_path)["pooled"]["jaccard_index"] == 1.0
    write_outlines(tmp_path / "q" / "a.geojson", CELL)
    both = {"predicted": str(tmp_path / "q")}
    result = run_command(
        evaluate.main, f"predicted={tmp_path / 'q'}", f"reference={tmp_path / 'r'}", f"output={tmp_path}/o"
    )
    assert "outlines do not say the size of their image; add image=..." in result.error
    write_tiff(tmp_path / "a.tif", image(CELL, 0))
    assert scores(tmp_path, **both, image=str(tmp_path / "a.tif"))["pooled"]["jaccard_index"] == 1.0


def test_quantify_takes_outlines(tmp_path):
    write_tiff(tmp_path / "i" / "a.tif", image(CELL, 0))
    tables = []
    for name in ("labels.tif", "geojson"):
        if name == "geojson":
            write_outlines(tmp_path / name / "a.geojson", CELL)
        else:
            write_tiff(tmp_path / name / "a.tif", CELL)
        result = run_command(
            quantify.main, "method=cells", f"predicted={tmp_path / name}", f"image={tmp_path / 'i'}",
            f"output={tmp_path / 'out'}", "pixel_size_um=1", f"output={tmp_path / f'out_{name}'}",
        )  # fmt: skip
        assert result.status == 0, result.err
        (table,) = (tmp_path / f"out_{name}").glob("*.csv")
        tables.append(pd.read_csv(table))
    pd.testing.assert_frame_equal(*tables)
    assert len(tables[0]) == 9
    result = run_command(quantify.main, "method=cells", f"predicted={tmp_path / 'geojson'}", f"output={tmp_path / 'o'}")
    assert "outlines do not say the size of their image" in result.error


def test_predict_takes_nuclei_as_outlines(tmp_path, fields, trained):
    nuclei = tmp_path / "nuclei"
    for file in (fields / "nuclei").glob("*.tif"):
        rois = [
            np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
            for y0, x0, y1, x1 in (props.bbox for props in measure.regionprops(tifffile.imread(file)))
        ]
        nuclei.mkdir(exist_ok=True)
        write_geojson(nuclei / f"{file.stem}.geojson", *(feature(ring.tolist()) for ring in rois))
    result = run_command(
        predict.main, f"checkpoint={trained.path}", f"input={fields / 'images'}", "channels=[phase,nuclear]",
        f"nuclei={nuclei}", f"output={tmp_path / 'out'}",
    )  # fmt: skip
    assert result.status == 0, result.err
    seeds = {file.name for file in (tmp_path / "out").glob("*_labels.tif")}
    assert len(seeds) == 2
    assert json.loads((tmp_path / "out" / "provenance.json").read_text())
