"""Intensities of your own images, through the commands: their default, and masks that camera settings do not change."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cellflax import predict, train
from cellflax.config import from_json, to_json
from cellflax.data import normalize as normalization
from cellflax.data.folder import FolderData
from cellflax.data.normalize import Intensity, NormalizeConfig, normalize
from cellflax.data.simulated import SimulatedData
from cellflax.prediction.trained import load_model
from cellflax.training.config import TrainConfig
from tests.commands import TINY, Result, run_command
from tests.data.squares import write_tiff
from tests.test_configs import composed
from tests.test_old_runs import OLD

# As `+debug=quick` with `TINY`, but for the data.
NETWORK = (
    *(option for option in TINY if not option.startswith(("data.", "+debug", "sampler.", "trainer.steps"))),
    *("trainer.steps=40", "trainer.validate_every=40", "optimizer.learning_rate=0.03", "refine=threshold"),
    *("sampler.size=32", "sampler.batch=4", "logger.wandb=disabled", "seed_channel=null"),
    "plan=false",
)
SHAPE = (330, 280)


def field(seed: int, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Discs of different brightness on zeros, uint16, and their labels."""
    rng = np.random.default_rng(seed)
    image, labels = np.zeros((rows, columns)), np.zeros((rows, columns), np.uint16)
    y, x = np.indices((rows, columns))
    for i, (top, left) in enumerate(np.ndindex(rows // 32, columns // 32), start=1):
        disc = np.hypot(y - 32 * top - rng.integers(14, 19), x - 32 * left - rng.integers(14, 19)) < rng.integers(6, 9)
        image[disc] = rng.integers(600, 1200) + rng.normal(0, 30, disc.sum())
        labels[disc] = i
    return np.maximum(image, 0).astype(np.uint16), labels


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A training on images whose median is zero, and the image that is segmented, beside it."""
    root = tmp_path_factory.mktemp("intensities")
    for seed in range(3):
        image, labels = field(seed, 128, 128)
        assert np.median(image) == 0
        write_tiff(root / "data" / f"{seed}.tif", image)
        write_tiff(root / "data" / f"{seed}_masks.tif", labels)
    result = run_command(train.main, *NETWORK, "data=folder", f"data.root={root / 'data'}", f"run={root / 'run'}")
    assert result.status == 0, result.err
    assert "intensities: normalize.intensity=percentile\n" in result.err
    return root / "run"


def segmented(run: Path, source: Path, output: Path, *options: str) -> Result:
    given = (f"checkpoint={run}", f"input={source}", f"output={output}", "save_probability=true", *options)
    result = run_command(predict.main, *given)
    assert result.status == 0, result.err
    return result


def test_the_record_names_the_method(run):
    for config in (json.loads((run / "config.json").read_text()), to_json(load_model(run).config)):
        assert config["normalize"] | {"intensity": "percentile"} == config["normalize"]
    assert load_model(run).config.normalize == NormalizeConfig(Intensity.percentile)


def test_the_same_command_resumes_and_another_method_does_not(run):
    given = (*NETWORK, "data=folder", f"data.root={run.parent / 'data'}", f"run={run}")
    result = run_command(train.main, *given, "normalize.intensity=median")
    assert "holds a run with normalize.intensity=percentile, not median; give the same value" in result.error
    result = run_command(train.main, *given)
    assert result.status == 0, result.err
    assert "resuming at step 40 of 40" in result.err


def test_camera_settings_do_not_change_the_masks(run, tmp_path):
    image = field(9, *SHAPE)[0]
    variants = {
        "original": image,
        "darker": (0.1 * image).astype(np.float32),
        "brighter": 10 * image,
        "offset": image + np.uint16(300),
        "subtracted": image.astype(np.int16) - np.int16(200),
        "floats": image.astype(np.float32) / 65535,
        "bytes": np.round(image * (255 / image.max())).astype(np.uint8),
        "dark": np.round(0.1 * image).astype(np.uint16),
    }
    for name, pixels in variants.items():
        write_tiff(tmp_path / "images" / f"{name}.tif", pixels)
    segmented(run, tmp_path / "images", tmp_path / "out")
    labels = {name: tifffile.imread(tmp_path / "out" / f"{name}_labels.tif") for name in variants}
    assert labels["original"].max() > 40
    assert 0.05 < np.mean(labels["original"] > 0) < 0.5
    for name in ("darker", "brighter", "offset", "subtracted", "floats"):
        np.testing.assert_array_equal(labels[name], labels["original"], err_msg=name)
    for name in ("bytes", "dark"):  # which are rounded to some 100 levels
        assert labels[name].max() == labels["original"].max()
        assert np.mean((labels[name] > 0) != (labels["original"] > 0)) < 0.005


@pytest.mark.parametrize("sorted_pixels", [2**22, 10_000])
def test_blocks_and_tiles_have_the_scale_of_the_whole_image(run, sorted_pixels, tmp_path, monkeypatch):
    """Also where the percentiles are those of a grid."""
    monkeypatch.setattr(normalization, "MOST_SORTED", sorted_pixels)
    image = field(9, *SHAPE)[0]
    image[:160] //= 3  # parts have other percentiles than the whole
    write_tiff(tmp_path / "a.tif", image)
    segmented(run, tmp_path / "a.tif", tmp_path / "whole")
    segmented(run, tmp_path / "a.tif", tmp_path / "parts", "block=256", "largest_cell_px=40", "tile=64")
    maps = [tifffile.imread(tmp_path / out / "a_probability.tif") for out in ("whole", "parts")]
    np.testing.assert_allclose(*maps, rtol=0, atol=1e-5)
    assert np.ptp(maps[0]) > 0.3
    found = [tifffile.imread(tmp_path / out / "a_labels.tif") > 0 for out in ("whole", "parts")]
    assert np.mean(found[0] != found[1]) < 1e-4


def test_each_frame_of_a_movie_has_its_own_scale(run, tmp_path):
    image = field(9, 96, 128)[0]
    movie = np.stack([image, 5 * image, image + np.uint16(90)])
    tifffile.imwrite(tmp_path / "a.tif", movie, photometric="minisblack", metadata={"axes": "TYX"})
    segmented(run, tmp_path / "a.tif", tmp_path / "out")
    labels = tifffile.imread(tmp_path / "out" / "a_labels.tif")
    assert labels[0].max() > 5
    np.testing.assert_array_equal(labels[1], labels[0])
    np.testing.assert_array_equal(labels[2], labels[0])


def test_the_default_is_by_the_data():
    def intensity(*arguments: str) -> Intensity | None:
        return composed("train", *arguments).normalize.intensity

    assert intensity("data=folder") is Intensity.percentile
    assert intensity("data=folder", "normalize.intensity=median") is Intensity.median
    assert intensity("data=folder", "normalize.intensity=none") is Intensity.none
    assert intensity("+experiment=ecoli", "data=folder") is Intensity.median
    assert intensity("data=hela", "normalize.intensity=percentile") is Intensity.percentile
    for data in ("hela", "ecoli", "coculture", "simulated"):
        assert intensity(f"data={data}") is Intensity.median


@pytest.mark.parametrize(
    ("experiment", "expected"),
    [
        *((name, "median") for name in ("coculture", "ecoli", "hela_cyto", "hela_cyto_best", "hela_cyto_paper")),
        *((name, "median") for name in ("hela_cyto_patch_net", "mcf10a_cyto", "nih3t3_cyto", "nuclei", "quickstart")),
        *((name, "range") for name in ("brightfield_auto", "cellpainting_nuclei", "whole_cell")),
    ],
)
def test_experiments_keep_their_method(experiment, expected):
    assert composed("train", f"+experiment={experiment}").normalize.intensity.name == expected


def test_a_record_from_before_keeps_its_meaning():
    """Bit by bit: also on own images, and where the record does not name a method."""
    image = np.random.default_rng(0).integers(100, 900, (70, 50, 2)).astype(np.uint16)
    median = np.median(image, axis=(0, 1))
    expected = (image / median).astype(np.float32)
    old = json.loads((OLD / "finished" / "config.json").read_text())
    assert "low_percentile" not in old["normalize"]
    for data in (FolderData(root="x"), SimulatedData()):
        record = to_json(TrainConfig(data=data))
        for stored in (old["normalize"], {}):
            record["normalize"] = stored
            settings = from_json(TrainConfig, record).normalize
            assert settings == NormalizeConfig()
            settings.subtract_local_mean = False
            np.testing.assert_array_equal(normalize(image, settings, 61), expected)
