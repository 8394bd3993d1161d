"""A reader's folder, and the lines of the documentation as this reader types them, with small trainings.

A line keeps every word. Placeholders become the reader's own: `<time>` the newest run, `/scratch` and `/shared` folders
of theirs, `node01` this machine. Settings that make images, networks and trainings small stand after the words.
"""

import os
import re
import shutil
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import tifffile

from cellflax import simulate
from tests import fake_slurm
from tests.commands import TINY_UNET, run_command
from tests.conversion.keras1_files import BATCH_NORM, Published
from tests.documentation import Line
from tests.io import zarr_files
from tests.planning.discs import discs, stained, write_folder

SHORT = (
    "trainer.steps=2",
    "trainer.validate_every=1",
    "optimizer.warmup_steps=0",
    "tuner.evaluations=4",  # a network of two steps finds specks, which take long
    "logger.wandb=disabled",
)
FIELD = ("height=128", "width=128", "pixel_size_um=1.3")  # coarse pixels: a dozen cells in a small field
STAND_IN = ("fields=1", "validation_fields=1", *(f"field.{size}" for size in FIELD))
# What makes the training of an experiment small.
EXPERIMENTS = {
    "quickstart": (*(f"data.{key}" for key in STAND_IN), "sampler.size=48", "trainer.ensemble=1"),
    "hela_cyto": (*(f"data.stand_in.{key}" for key in STAND_IN), *TINY_UNET),
    "hela_cyto_patch_net": (*(f"data.stand_in.{key}" for key in STAND_IN), "sampler.size=32"),
    "brightfield_auto": ("sampler.size=48", "sampler.batch=1", "sampler.stored_crops=4"),
    "planned": TINY_UNET,
    "whole_cell": ("sampler.size=64", "sampler.batch=1"),
}
SWEEPS = {
    "receptive_field": ("model=patch_net_21,patch_net_31", "seed=0,1"),
    "learning_rate": ("hydra.sweeper.n_trials=2",),
}


def typed(line: Line, folder: Path, public: Path | None) -> list[str]:
    """Words of a line as the reader types them.

    Args:
        line: of the documentation.
        folder: the reader's.
        public: folder of the public data sets; None where there is none.
    """
    words = [_own(word, folder) for word in line.words]
    given = {word.lstrip("+").partition("=")[0] for word in words}
    return words + [word for word in _smaller(line, public) if word.partition("=")[0] not in given - _SHORTENED]


_SHORTENED = {"trainer.steps", "trainer.max_minutes"}  # given on some lines, and too long for a test


def _own(word: str, folder: Path) -> str:
    found = re.search(r"([\w/]*)/<time>", word)
    if found:
        newest = max((folder / found[1]).iterdir(), key=lambda path: path.stat().st_mtime_ns)
        word = word.replace("<time>", newest.name)
    return re.sub(r"(^|=)/(?=(scratch|shared)/)", r"\1", word).replace("node01:", "localhost:")


def _smaller(line: Line, public: Path | None) -> list[str]:
    words = set(line.words)
    if line.command == "simulate":
        return [f"hela.{size}" for size in FIELD]
    if line.command == "validate" and any("interval(" in word for word in words):
        return ["hydra.sweeper.n_trials=2"]
    if line.command == "data" and "get" in words:
        return [f"mirror={public / 'deepcell'}"] if public else []
    if line.command != "train":
        return []
    small = list(SHORT)
    if any(word.startswith("trainer.max_minutes=") for word in words):
        small = ["trainer.max_minutes=0.3", *(word for word in SHORT if not word.startswith("trainer.steps"))]
    if not any(word.startswith("trainer.process") for word in words):
        small.append("trainer.devices=1")
    for word in words:
        small += EXPERIMENTS.get(word.removeprefix("+experiment="), ())
        small += SWEEPS.get(word.removeprefix("+sweep="), ())
    if "data=folder" in words:
        small += TINY_UNET
    if "data.on_missing=download" in words and public:
        small += [f"data.mirror={public / 'deepcell'}", "trainer.validate_regions=1", "test_time_augmentation=1"]
    return small


def places_of(line: Line, folder: Path) -> list[Path]:
    """Directories that a line names for its results."""
    words = [_own(word, folder).partition("=") for word in line.words if word.startswith(("output=", "run="))]
    return [folder / value for _, _, value in words]


# What the reader of a page has.


def _mine(folder: Path, name: str = "mine", count: int = 6) -> None:
    """Label images beside images."""
    write_folder(folder / name, {f"a{i}": discs(14, 4, 4, 24) for i in range(count)})


def _images(folder: Path, name: str, count: int = 3, channels: int = 1) -> None:
    """Images without labels."""
    (folder / name).mkdir(parents=True)
    axes = "YX" if channels == 1 else "CYX"
    for i in range(count):
        planes = np.stack([stained(discs(14, 4, 4, 24), 90 + i + 100 * channel) for channel in range(channels)])
        tifffile.imwrite(folder / name / f"b{i}.tif", planes.squeeze(), metadata={"axes": axes})


def _simulated(folder: Path, name: str, *words: str) -> Path:
    result = run_command(simulate.main, f"output={folder / name}", *words)
    assert result.status == 0, result.err
    return folder / name


def _sites(folder: Path) -> None:
    """Three planes of two sites of a plate."""
    size = (f"brightfield.{key}=256" for key in ("height", "width"))
    made = _simulated(folder, "made", "specimen=brightfield", "fields=2", "brightfield.wells=[well1]", *size)
    (made / "images").rename(folder / "plate")


def _movie(folder: Path) -> None:
    """Cells that crawl, with a reporter: segmented, and their nuclei."""
    size = (f"migration.{key}" for key in ("height=160", "width=160", "frames=6"))
    (movie,) = _simulated(folder, "made", "specimen=migration", "fields=1", *size).glob("movie_*")
    (folder / "movie").mkdir()
    (folder / "predictions").mkdir()
    for file in (movie / "images").iterdir():
        shutil.copy(file, folder / "movie" / file.name.replace("reporter", "ktr"))
    for file in sorted((movie / "labels").glob("*.tif")):
        frame = re.findall(r"\d+", file.stem)[-1]
        shutil.copy(file, folder / "predictions" / f"t{frame}_labels.tif")
    shutil.copytree(movie / "nuclei", folder / "nuclei")


def _published(folder: Path) -> None:
    """Networks as Keras 1 wrote them, and a field for them."""
    for name, channels, classes in (("HeLa", 2, 3), ("Nuclear", 1, 3)):
        place = folder / "DeepCell/trained_networks" / name
        place.mkdir(parents=True)
        for i in range(2):
            Published(BATCH_NORM, channels=channels, classes=classes).write(place / f"net_{i}.h5")
    (folder / "images").mkdir()
    for channel, cells in (("phase", discs(14, 4, 4, 24)), ("nuclear", discs(6, 4, 4, 24))):
        tifffile.imwrite(folder / f"images/b0_{channel}.tif", stained(cells, 3))


def _slides(folder: Path) -> None:
    """One image of a slide, in two formats."""
    image = stained(discs(14, 14, 14, 24), 5)
    tifffile.imwrite(folder / "slide.ome.tif", image, ome=True, metadata={"axes": "YX"})
    zarr_files.write(folder / "slide.zarr", image, "yx")


def _truth(folder: Path) -> None:
    """Label images, and predictions that miss a little."""
    for name, diameter in (("truth", 14), ("predictions", 13)):
        (folder / name).mkdir()
        for i in range(3):
            end = "_labels" if name == "predictions" else ""
            tifffile.imwrite(folder / name / f"b{i}{end}.tif", discs(diameter, 4, 4, 24).astype(np.uint16))


def _whole_cells(folder: Path) -> None:
    size = (f"cytoplasm.{key}=192" for key in ("height", "width"))
    _simulated(folder, "cytoplasm", "specimen=cytoplasm", "fields=4", *size)


_NEW = partial(_images, name="new")
_PLATE = partial(_images, name="plate", count=17)  # more than the 16 shards of the pages
PAGES: dict[str, tuple[Callable[[Path], None], ...]] = {
    "README.md": (_mine, _NEW),
    "docs/start.md": (),
    "docs/howto/annotate.md": (_sites,),
    "docs/howto/clusters.md": (
        partial(_images, name="scratch/plate", channels=2),
        partial(_images, name="plate", count=17),
    ),
    "docs/howto/correct.md": (partial(_mine, name="OLD"), partial(_images, name="new", count=4)),
    "docs/howto/data.md": (),
    "docs/howto/evaluate.md": (_truth,),
    "docs/howto/export.md": (_NEW,),
    "docs/howto/export_networks.md": (),
    "docs/howto/gpu.md": (),
    "docs/howto/large_images.md": (_slides,),
    "docs/howto/predict.md": (_NEW, _published, partial(_images, name="DIR"), _PLATE),
    "docs/howto/sweep.md": (partial(_mine, name="images"),),
    "docs/howto/track.md": (_movie,),
    "docs/howto/train.md": (_mine,),
    "docs/tutorials/cytoplasm.md": (_whole_cells,),
}


def lay_out(page: str, folder: Path, run: Path) -> None:
    """Fill the folder with what the reader of a page has.

    Args:
        page: relative to the repository.
        folder: an empty one.
        run: a training; the reader has it as `RUN`, and as that of `name=mine` unless the page trains it.
    """
    for make in PAGES[page]:
        make(folder)
    shutil.copytree(run, folder / "RUN")
    if page != "README.md":
        shutil.copytree(run, folder / "runs/mine/2026-11-30_12-00-00")


# What a reader does between the lines.


def before(line: Line, folder: Path) -> None:
    """What a reader of the page has done when they come to this line."""
    if line.page.endswith("correct.md") and line.command == "train":
        for file in (folder / "corrected/labels").glob("*.tif"):
            labels = tifffile.imread(file)
            labels[:6, :6] = labels.max() + 1  # a cell that the network missed
            tifffile.imwrite(file, labels)


def free_address() -> str:
    """A port of this machine that nobody listens at."""
    with socket.socket() as listening:
        listening.bind(("localhost", 0))
        return f"localhost:{listening.getsockname()[1]}"


def others_of_the_plate(words: list[str]) -> list[list[str]]:
    """The shards that other machines do, for a line that does one."""
    if "shards=16" not in words or not any(word.startswith("shard=") for word in words):
        return []
    own = next(word for word in words if word.startswith("shard="))
    if not own.removeprefix("shard=").isdigit():
        return []
    shards = (f"shard={i}" for i in range(16))
    return [[shard if word == own else word for word in words] for shard in shards if shard != own]


def surroundings(line: Line, folder: Path) -> dict[str, str]:
    """Variables of the environment in which the reader types a line."""
    found = dict(variable.split("=", 1) for variable in line.variables)
    if "CELLFLAX_DATA" in found:
        found["CELLFLAX_DATA"] = str(folder / found["CELLFLAX_DATA"])
    if "data.on_missing=download" in line.words:
        found["CELLFLAX_CACHE"] = str(folder / "cache")
    if "shards=auto" in line.words:  # in the only job of an array
        found |= {f"SLURM_ARRAY_TASK_{key}": value for key, value in (("ID", "0"), ("MIN", "0"), ("MAX", "0"))}
        found |= {"SLURM_ARRAY_TASK_COUNT": "1", "SLURM_JOB_ID": "77"}
    if any("slurm" in word or word == "hydra/launcher=lab" for word in line.words):
        if not (folder / "slurm").exists():
            fake_slurm.write_programs(folder / "slurm")
        found |= {"PATH": f"{folder / 'slurm'}:{os.environ['PATH']}", "FAKE_SLURM": str(folder / "slurm")}
    return found
