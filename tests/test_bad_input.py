"""Users' mistakes, from the command line to the exit: each ends with status 1 in one line that names its cause.

The tables beside each part (`test_config`, `data/test_datasets`, `data/test_images`, `test_evaluate`, ...) go
into every branch; this one holds that what they raise arrives.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cellflax import evaluate, predict, train
from cellflax.io.readers import format_names
from tests.commands import checkpoint_steps, finish_command, record_of, run_command, set_record, start_command


def write(path: Path, array: np.ndarray, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, array, **{"photometric": "minisblack", **options})
    return path


@pytest.fixture(scope="module")
def files(trained, fields, tmp_path_factory) -> Path:
    """A directory with everything that can be wrong."""
    root = tmp_path_factory.mktemp("bad")
    rng = np.random.default_rng(0)
    image = rng.integers(100, 200, (2, 64, 64)).astype(np.uint16)
    cells = np.kron(np.arange(1, 5).reshape(2, 2), np.ones((20, 20))).astype(np.uint16)
    cells = np.pad(cells, 12)
    axes = {"metadata": {"axes": "CYX"}}

    write(root / "good.tif", image, **axes)
    write(root / "gray.tif", image[0])
    write(root / "constant.tif", np.stack([image[0], np.full((64, 64), 7, np.uint16)]), **axes)
    write(root / "nan.tif", np.where(image > 198, np.nan, image).astype(np.float32), **axes)
    write(root / "movie.tif", np.stack([image[0]] * 9), metadata={"axes": "TYX"})
    damaged = write(root / "damaged.tif", image, **axes)
    damaged.write_bytes(damaged.read_bytes()[:-3000])
    (root / "text.tif").write_text("not an image")
    (root / "empty.tif").touch()
    (root / "none").mkdir()
    (root / "a_file").write_text("")
    write(root / "channels" / "a_phase.tif", image[0])
    write(root / "channels" / "a_nuclear.tif", image[1])
    write(root / "channels" / "b_phase.tif", image[0])
    write(root / "nuclei_small.tif", cells[:40])
    write(root / "cells.tif", cells)

    def folder(name: str, images: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> None:
        for stem, array in images.items():
            write(root / name / "images" / f"{stem}.tif", array)
        for stem, array in labels.items():
            write(root / name / "labels" / f"{stem}.tif", array)

    two = {"a": image[0], "b": image[1]}
    folder("no_label", two, {"a": cells})
    folder("no_image", {"a": image[0]}, {"a": cells, "b": cells})
    folder("other_shape", two, {"a": cells, "b": cells[:60]})
    folder("no_cell", two, {"a": cells, "b": cells * 0})
    folder("fractions", two, {"a": cells, "b": cells * 0.3})
    folder("one", {"a": image[0]}, {"a": cells})
    folder("subtracted", {name: np.maximum(array, 160) - 160 for name, array in two.items()}, {"a": cells, "b": cells})

    shutil.copytree(trained.path, root / "run")
    for name in ("truncated", "broken_config", "other_network"):
        shutil.copytree(trained.path, root / name)
    for path in (root / "truncated" / "checkpoints").rglob("*"):
        if path.is_file() and path.stat().st_size > 100_000:
            path.write_bytes(path.read_bytes()[:1000])
    (root / "broken_config" / "config.json").write_text('{"seed": 0,')
    for step in checkpoint_steps(root / "other_network"):
        config = record_of(root / "other_network", step)["config"]
        config["model"]["dense"] = [16]
        set_record(root / "other_network" / "checkpoints" / str(step), config=config)
    return root


QUICK = "+debug=quick"
FOLDER = ("data=folder", "seed_channel=null", "logger.wandb=disabled", "run={}/out")
CHECKPOINT = "checkpoint={}/run"

CONFIGURATION = [
    ([QUICK, "model.dens=[3]"], "unknown key model.dens: did you mean model.dense?"),
    ([QUICK, "+trainer.resume=true"], "unknown key trainer.resume: allowed in trainer: accumulate, "),
    (["model=resnet"], "unknown model resnet: did you mean unet? available: patch_net_21, "),
    (["+experiment=hela"], "unknown experiment hela: did you mean hela_cyto?"),
    ([QUICK, "optimizer.learning_rate=fast"], "optimizer.learning_rate must be a number; got 'fast'"),
    ([QUICK, "optimizer.learning_rate=-1"], "optimizer.learning_rate must be above 0, got -1"),
    ([QUICK, "optimizer.schedule=step"], "optimizer.schedule must be one of exponential, cosine, constant; got 'step'"),
    ([QUICK, "trainer.steps=0"], "trainer.steps must be 1 or more, or null, got 0"),
    ([QUICK, "trainer.steps=1e3"], "trainer.steps must be a whole number or null; got 1000.0"),
    ([QUICK, "seed=-1"], "seed must be in [0, 2147483647], got -1"),
    ([QUICK, "name=a/b", "run={}/out"], "name must be a word without slashes, got 'a/b'"),
    ([QUICK, "model.dense=[8 (1)]"], "needs quotes inside the shell's"),
    ([QUICK, "seed=0,1"], "To sweep over it, add --multirun"),
    ([QUICK, "normalize.window_px=20"], "normalize.window_px must be odd and 3 or more, or null, got 20"),
    ([QUICK, "model.dense=[0]"], "every value of model.dense must be 1 or more, got [0]"),
    ([QUICK, "model.stages=[{{kernels:[3,3],filters:[8]}}]"], "model.stages[0] needs as many kernels as filters"),
    ([QUICK, "model.stages=[{{kernels:[4],filters:[8]}}]"], "the receptive field must be odd"),
    ([QUICK, "sampler.size=33"], "sampler.size must be even and 8 or more, got 33"),
    ([QUICK, "optimizer.warmup_steps=60"], "optimizer.warmup_steps (60) must be below trainer.steps (60)"),
    ([QUICK, "refine=active_contour", "seed_channel=null"], "refine=active_contour starts from nuclei: name their"),
    ([QUICK, "seed_channel=dapi"], "seed_channel=dapi is not among the channels phase, nuclear"),
    ([QUICK, "trainer.devices=9"], "trainer.devices=9, but there are 4; lower it or leave it null"),
    ([QUICK, "trainer.devices=4"], "sampler.batch=2 cannot be split over trainer.devices=4"),
]

DATA = [
    ([*FOLDER], "data.root is not set; set it to the folder with your images and label images"),
    ([*FOLDER, "data.root={}/nowhere"], "data.root={}/nowhere: no such folder"),
    ([*FOLDER, "data.root={}/none"], "none: no " + format_names() + " images in this folder"),
    ([*FOLDER, "data.root={}/no_label"], "b.tif: no label image; name it b_masks.tif"),
    ([*FOLDER, "data.root={}/no_image"], "b.tif: its image b is missing; add it or remove the label image"),
    ([*FOLDER, "data.root={}/other_shape"], "b.tif: shape (60, 64) differs from (64, 64) of its image b.tif"),
    (
        [*FOLDER, "data.root={}/no_cell", "plan=false"],
        "needs at least 2 images with cells, there is 1; use data.split=region",
    ),
    ([*FOLDER, "data.root={}/fractions"], "b.tif: labels must be whole numbers, it holds fractions"),
    (
        [*FOLDER, "data.root={}/one", "plan=false"],
        "data.split=image needs at least 2 images, there is 1; use data.split=region",
    ),
    (
        [*FOLDER, "data.root={}/subtracted", "normalize.intensity=median"],
        "the median of channel 0 is 0, so the channel cannot be divided by it; give raw (not background-subtracted) "
        "intensities or set normalize.intensity=percentile",
    ),
    ([*FOLDER, "data.root={}/one", "data.validation_fraction=0"], "data.validation_fraction must be in (0, 1), got 0"),
    (
        ["data=hela", "data.root={}/none", "data.on_missing=error", "run={}/out"],
        "not found below {}/none; set data.root",
    ),
    ([QUICK, "data.field.height=8", "run={}/out"], "data.field.height must be in [32, "),
    ([QUICK, "run={}/a_file"], "{}/a_file"),
    ([QUICK, "run={}/broken_config"], "config.json cannot be read; remove it, or give another directory as run=..."),
    ([QUICK, "run={}/truncated"], "60 is damaged: its arrays cannot be read; copy it again"),
]

PREDICTION = [
    (["input={}/good.tif"], "checkpoint is not given; add checkpoint=..."),
    ([CHECKPOINT], "input is not given; add input=..."),
    (["checkpoint={}/nowhere", "input={}/good.tif"], "checkpoint {}/nowhere does not exist; give a run directory"),
    (["checkpoint={}/none", "input={}/good.tif"], "{}/none holds no cellflax checkpoint; give a run directory"),
    (["checkpoint={}/truncated", "input={}/good.tif"], "is damaged: its arrays cannot be read; copy it again"),
    (["checkpoint={}/other_network", "input={}/good.tif"], "is of another network: params.hidden.0."),
    ([CHECKPOINT, "step=7", "input={}/good.tif"], "step=7 is not in {}/run/checkpoints; use best, last or one of "),
    ([CHECKPOINT, "input={}/nowhere.tif"], "{}/nowhere.tif: no such " + format_names() + " file, folder or pattern"),
    ([CHECKPOINT, "input={}/none"], "{}/none: no " + format_names() + " images in this folder"),
    ([CHECKPOINT, "input={}/gray.tif"], "gray.tif: has 1 channels, the checkpoint needs 2 (phase, nuclear)"),
    ([CHECKPOINT, "input={}/constant.tif"], "constant.tif: channel "),
    ([CHECKPOINT, "input={}/nan.tif"], "nan.tif: channel "),
    ([CHECKPOINT, "input={}/movie.tif"], "movie.tif, frame 0: has 1 channels, the checkpoint needs 2 (phase, nuclear)"),
    ([CHECKPOINT, "input={}/damaged.tif"], "damaged.tif: damaged or incomplete"),
    ([CHECKPOINT, "input={}/text.tif"], "text.tif: its content is not " + format_names()),
    ([CHECKPOINT, "input={}/empty.tif"], "empty.tif: the file is empty (0 bytes)"),
    ([CHECKPOINT, "input={}/channels", "channels=[phase,nuclear]"], "b_phase.tif: no file for channel nuclear"),
    ([CHECKPOINT, "input={}/channels", "channels=[dapi,gfp]"], "a_nuclear.tif: no channel dapi; it has channel_0"),
    (
        [CHECKPOINT, "input={}/good.tif", "nuclei={}/nuclei_small.tif"],
        "nuclei_small.tif: (40, 64) nuclei for an image of (64, 64)",
    ),
    ([CHECKPOINT, "input={}/good.tif", "nuclei={}/cells.tif", "refine=threshold"], "nuclei={}/cells.tif has no use"),
    ([CHECKPOINT, "input={}/good.tif", "pixel_size_um=0"], "pixel_size_um must be above 0, or null, got 0"),
    (
        [CHECKPOINT, "input={}/good.tif", "test_time_augmentation=3"],
        "test_time_augmentation must be 1, 4 or 8, or null",
    ),
    ([CHECKPOINT, "input={}/good.tif", "tile=10"], "tile must be 64 or more, or null, got 10"),
    ([CHECKPOINT, "input={}/good.tif", "refine.interior=0.3"], "refine"),
    ([CHECKPOINT, "input={}/good.tif", "output={}/a_file"], "a_file"),
]

EVALUATION = [
    (["predicted={}/cells.tif"], "reference is not given; add reference=FILE"),
    (["predicted={}/cells.tif", "reference={}/nuclei_small.tif"], "shape (40, 64) differs from (64, 64)"),
    (
        ["predicted={}/fractions/labels/b.tif", "reference={}/no_cell/labels/b.tif"],
        "b.tif: labels must be whole numbers",
    ),
    (["predicted={}/cells.tif", "reference={}/cells.tif", "border=32"], "border=32 leaves nothing of a 64 x 64 image"),
]

CASES = [
    pytest.param(command, arguments, message, id=message[:40].strip())
    for command, table in (
        (train.main, CONFIGURATION),
        (train.main, DATA),
        (predict.main, PREDICTION),
        (evaluate.main, EVALUATION),
    )
    for arguments, message in table
]


@pytest.mark.parametrize(("command", "arguments", "message"), CASES)
def test_one_line(files, tmp_path, monkeypatch, command: Callable[[], None], arguments, message):
    monkeypatch.chdir(tmp_path)  # where outputs go that a case does not name
    monkeypatch.delenv("CELLFLAX_DATA", raising=False)
    result = run_command(command, *(argument.format(files) for argument in arguments))
    assert result.status == 1, result.err
    assert message.format(files) in result.error
    assert result.out == ""


@pytest.mark.slow
def test_as_processes(files, tmp_path):
    """The same through the operating system: status 1, and nothing but the line."""
    cases = [
        ("train", ["+debug=quick", "trainer.stps=3"], "error: unknown key trainer.stps: did you mean trainer.steps?"),
        ("predict", [f"checkpoint={files}/none", f"input={files}/good.tif"], f"error: {files}/none holds no cellflax"),
        (
            "evaluate",
            [f"predicted={files}/nowhere", f"reference={files}/cells.tif"],
            f"error: {files}/nowhere: no such",
        ),
        ("simulate", ["fields=none"], "error: fields must be a whole number; got 'none'"),
    ]
    for name, arguments, message in cases:
        result = finish_command(start_command(f"cellflax.{name}", *arguments, cwd=tmp_path))
        assert (result.status, result.out) == (1, "")
        assert result.err.startswith(message)
        assert result.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
