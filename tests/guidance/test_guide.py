"""Guidance of a real training: `train` writes it for your own images, `validate guide=true` for any checkpoint."""

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from cellflax import train, validate
from cellflax.guidance import hints
from cellflax.guidance.hints import Evidence
from cellflax.refine.watershed import WatershedConfig
from tests.commands import TINY, Result, run_command
from tests.data.squares import write_tiff

NETWORK = (
    *(option for option in TINY if not option.startswith(("data.", "+debug", "sampler.", "trainer."))),
    *("trainer.devices=1", "trainer.steps=120", "trainer.validate_every=60", "trainer.log_every=30"),
    *("optimizer.learning_rate=0.03", "refine=threshold", "sampler.size=32", "sampler.batch=8"),
    *("logger.wandb=disabled", "seed_channel=null", "data=folder"),
)
FAULTY = 7  # held out by split_seed=1


def field(seed: int, blur: float = 0.7, background: float = 100.0) -> tuple[np.ndarray, np.ndarray]:
    """Bright discs on a dark background, uint16, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((128, 128), np.uint16)
    y, x = np.indices(labels.shape)
    for i, (top, left) in enumerate(np.ndindex(4, 4), start=1):
        disc = np.hypot(y - 32 * top - rng.integers(14, 19), x - 32 * left - rng.integers(14, 19)) < rng.integers(7, 10)
        labels[disc] = i
    bright = ndimage.gaussian_filter(np.where(labels > 0, 800.0, 0), blur)
    return (background + bright + rng.normal(0, 10, labels.shape)).clip(0).astype(np.uint16), labels


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Nine fields, two of them odd. In the one that will be held out, a label was forgotten and one is shifted."""
    root = tmp_path_factory.mktemp("guide")
    for seed in range(9):
        image, labels = field(seed, blur=3.0 if seed == 4 else 0.7, background=900 if seed == 2 else 100)
        if seed == FAULTY:
            labels[labels == 6] = 0
            shifted = np.roll(labels == 11, 8, axis=1)
            labels = np.where(shifted, 11, np.where(labels == 11, 0, labels)).astype(np.uint16)
        write_tiff(root / "data" / f"field_{seed}.tif", image)
        write_tiff(root / "data" / f"field_{seed}_masks.tif", labels)
    return root


@pytest.fixture(scope="module")
def run(root) -> tuple[Path, Result]:
    return root / "run", training(root)


def training(root: Path, *options: str) -> Result:
    given = ("learning_curve=2", "data.split_seed=1", f"data.root={root / 'data'}", f"run={root / 'run'}")
    return run_command(train.main, *NETWORK, *given, *options)


def test_the_faults_of_the_annotation_come_first(run):
    path, result = run
    assert result.status == 0, result.err
    table = pd.read_csv(path / "suspects.csv")
    first = table.iloc[:2]
    assert set(first["image"]) == {f"field_{FAULTY}"}
    assert set(first["part"]) == {"held-out"}
    assert set(first["kind"]) == {"not_annotated", "outline"}
    assert set(first["label"]) == {0, 11}
    _, labels = field(FAULTY)
    y, x = np.nonzero(labels == 6)
    forgotten = first[first["kind"] == "not_annotated"].iloc[0]
    assert (forgotten["y_px"], forgotten["x_px"]) == (pytest.approx(y.mean(), abs=2), pytest.approx(x.mean(), abs=2))
    assert (first["confidence"] > 0.7).all()
    assert (path / "suspects.png").stat().st_size > 10_000
    assert "2 held-out" in result.err


def test_odd_images_are_named_with_what_is_odd(run):
    path, result = run
    guidance = json.loads((path / "guidance.json").read_text())
    odd = {image["image"]: "; ".join(image["differs"]) for image in guidance["odd_images"]}
    assert "blurred (sharpness of channel_0" in odd["field_4"]
    assert "brighter (median of channel_0" in odd["field_2"]
    assert set(odd) <= {"field_4", "field_2", f"field_{FAULTY}"}
    assert "field_4 (" in result.err
    images = pd.read_csv(path / "images.csv", keep_default_na=False)
    assert len(images) == 9
    assert images.set_index("image").loc["field_2", "unlike_the_rest"].startswith("brighter")


def test_the_page_says_how_sure_the_score_is_and_what_to_do(run):
    path, result = run
    guidance = json.loads((path / "guidance.json").read_text())
    held_out = guidance["held_out"]
    assert (held_out["cells"], held_out["regions"], held_out["images"]) == (15, 1, 1)
    assert held_out["f1"]["low"] < held_out["f1"]["value"] <= held_out["f1"]["high"]
    assert guidance["training"] == {"images": 8, "looked_at": 8, "f1": guidance["training"]["f1"]}
    page = (path / "guidance.md").read_text()
    for words in (
        "The held-out score rests on 15 cells", "All held-out cells are from one image", "It has learned from",
        "| field_7 | held-out |", "## Enough images?",
    ):  # fmt: skip
        assert " ".join(words.split()) in " ".join(page.split())
    assert not list(path.glob(".*"))  # nothing half-written
    assert f"guidance: in full: {path / 'guidance.md'}" in result.err


def test_the_learning_curve(run):
    path, result = run
    table = pd.read_csv(path / "learning_curve.csv")
    assert table["images"].tolist() == [4, 8]
    assert table["f1"].between(0.5, 1).all()
    whole, part = (json.loads((folder / "summary.json").read_text()) for folder in (path, path / PART))
    assert set(part["data"]["train"]) < set(whole["data"]["train"])
    assert len(part["data"]["train"]) == 4
    assert part["data"]["validation"] == whole["data"]["validation"]
    assert part["training"]["validated_step"] == whole["training"]["validated_step"]
    assert not (path / PART / "guidance.json").exists()
    assert "learning curve: with 8 images in place of 4, F1 went from " in result.err
    assert (path / "learning_curve.png").stat().st_size > 5_000


PART = Path("learning_curve/images_4")


def test_the_same_command_again_trains_nothing_again(run, root):
    path, _ = run
    before = [(path / place / "metrics.jsonl").read_bytes() for place in (".", PART)]
    (path / "guidance.json").unlink()
    again = training(root)
    assert again.status == 0, again.err
    assert again.err.count("resuming at step 120 of 120") == 2
    assert [(path / place / "metrics.jsonl").read_bytes() for place in (".", PART)] == before
    assert (path / "guidance.json").exists()


def test_validate_writes_it_for_any_checkpoint(run, tmp_path):
    path, _ = run
    copy = tmp_path / "copy"
    shutil.copytree(path / "checkpoints", copy / "checkpoints")
    result = run_command(validate.main, f"checkpoint={copy}", "guide=true", "refine=threshold", "refine.interior=0.5")
    assert result.status == 0, result.err
    guidance = json.loads((copy / "guidance.json").read_text())
    assert guidance["settings"]["refine"]["interior"] == 0.5
    assert len(result.out.splitlines()) == 1
    refused = run_command(validate.main, f"checkpoint={copy}", "guide=true", "part=test")
    assert "guide=true looks at no test image" in refused.error


def test_the_remedies_work_as_printed(run):
    """A command of a hint, typed again."""
    path, _ = run
    how = WatershedConfig(interior=0.3, fill_holes=False)
    words = hints._try(Evidence(path, how, [], None, 1, None, False, {}, 1), seed_depth=[0.1, 0.2])
    program, command, *arguments = shlex.split(words.removeprefix("Try: "))
    assert (program, command) == ("cellflax", "validate")
    result = run_command(validate.main, *arguments, "hydra.sweep.dir=" + str(path.parent / "sweep"))
    assert result.status == 0, result.err
    assert len(result.out.splitlines()) == 2
    assert "refine.interior=0.3" in result.out


def test_no_guidance_unless_wanted(root, tmp_path):
    given = (f"data.root={root / 'data'}", f"run={tmp_path / 'run'}", "guide=false", "trainer.steps=2")
    result = run_command(train.main, *NETWORK, *given, "trainer.validate_every=2")
    assert result.status == 0, result.err
    assert not (tmp_path / "run" / "guidance.json").exists()
    refused = run_command(train.main, *NETWORK, *given, "learning_curve=1")
    assert "learning_curve=1 has nothing to compare" in refused.error
