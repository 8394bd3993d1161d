"""Write the data as a lab's own images, training and test parts apart, by fixed rules.

python experiments/own/splits.py OUTPUT [SET ...]

CELLFLAX_DATA is the folder with deepcell/, dsb2018/, cellpainting/ and cytoplasm_only/. Writes OUTPUT/SET/train
and OUTPUT/SET/test, each with the folders images/ and labels/ of README.md, and nuclei/ where the recipe or its score
needs them. README.md of this folder gives the rule of each set. A set that is there already is left as it is.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tifffile

from cellflax.data.deepcell import DeepCellData
from cellflax.data.example import SIMULATED_NOTE, Example
from cellflax.data.folder import FolderData
from cellflax.data.split import Split
from cellflax.io.images import read_labels
from cellflax.labels import cells_of

HERE = Path(__file__).resolve().parent
DSB2018_TEST = HERE / "dsb2018_test.txt"
STAINS = {"reticulum": 1, "rna": 101, "mitochondria": 201, "whole_cell": 301}
COLONY_FRAMES = (25, 30, 35, 39)


def main() -> None:
    """Write every set, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"default: all of {', '.join(WRITERS)}")
    options = parser.parse_args()
    if unknown := set(options.sets) - set(WRITERS):
        sys.exit(f"there is no set {', '.join(sorted(unknown))}; there are {', '.join(WRITERS)}")
    if "CELLFLAX_DATA" not in os.environ:
        sys.exit("set CELLFLAX_DATA to the folder that contains deepcell/ and dsb2018/")
    data = Path(os.environ["CELLFLAX_DATA"]).expanduser().resolve()
    output = options.output.expanduser().resolve()
    output.mkdir(parents=True, exist_ok=True)
    for name in options.sets or WRITERS:
        if not (output / name).exists():
            # Written beside its place, so that a set is whole or absent.
            with tempfile.TemporaryDirectory(dir=output, prefix=f".{name}-") as folder:
                WRITERS[name](Path(folder) / name, data)
                (Path(folder) / name).rename(output / name)
        counts = [len(list((output / name / part / "labels").iterdir())) for part in ("train", "test")]
        print(f"{name}: {counts[0]} images to train on, {counts[1]} to test")


# Nuclei, mammalian cytoplasm and bacteria of real data.


def dsb2018(folder: Path, data: Path) -> None:
    """40 of 217 fields are the test part; their names are in dsb2018_test.txt."""
    names = sorted(path.stem for path in (data / "dsb2018" / "images").iterdir())
    drawn = sorted(names[k] for k in np.random.default_rng(0).permutation(217)[:40])
    if drawn != DSB2018_TEST.read_text().split():
        sys.exit(f"{data / 'dsb2018'}: not the 217 fields whose names are in {DSB2018_TEST}")
    for name in names:
        part = folder / ("test" if name in drawn else "train")
        for kind in ("images", "labels"):
            link(data / "dsb2018" / kind / f"{name}.png", part / kind / f"{name}.png")


def nuclei(folder: Path, data: Path) -> None:
    """Test part: set4, which the recipe `nuclei` holds out."""
    for example in deepcell("nuclei", ["nuclear"]):
        part = folder / ("test" if example.name == "set4" else "train")
        link(
            data / "deepcell" / "training_data" / "nuclei" / example.name / "nuclear.png",
            part / "images" / f"{example.name}.png",
        )
        write_labels(part / "labels" / f"{example.name}.tif", example.cells)


def hela(folder: Path, data: Path) -> None:
    """Test part: the published validation field."""
    _cytoplasm(folder, data, "HeLa_joint", "HeLa", "farred", "hela_validation_interior.tif")


def nih3t3(folder: Path, data: Path) -> None:
    """Test part: the published validation field."""
    _cytoplasm(folder, data, "3T3", "3T3", "dapi", "3T3_validation_interior.tif")


def _cytoplasm(folder: Path, data: Path, training: str, validation: str, nuclear: str, truth: str) -> None:
    for example in deepcell(training, ["phase", "nuclear"]):
        source = data / "deepcell" / "training_data" / training / example.name
        for channel in ("phase", "nuclear"):
            link(source / f"{channel}.png", folder / "train" / "images" / f"{example.name}_{channel}.png")
        write_labels(folder / "train" / "labels" / f"{example.name}.tif", example.cells)
    source, test = data / "deepcell" / "validation_data" / validation, folder / "test"
    for channel, name in (("phase", "phase"), (nuclear, "nuclear")):
        link(source / "RawImages" / f"{channel}.tif", test / "images" / f"field_{name}.tif")
    write_labels(test / "labels" / "field.tif", cells_of(read_labels(source / "Validation" / truth)))
    write_labels(test / "nuclei" / "field.tif", cells_of(read_labels(source / "Masks" / "nuclear_mask_0.png")))


def ecoli(folder: Path, data: Path) -> None:
    """Test part: the strips that the recipe `ecoli` holds out of both images."""
    dataset = DeepCellData(
        root=str(data), folder="training_data/ecoli", channels=["phase"], split=Split.region, validation_fraction=0.2
    ).load()
    for region in dataset.validation:
        example = region.example
        planes = {"phase": example.image[..., 0].astype(np.uint16)}
        divide(folder, example.name, planes, example.cells, region.slices)


def jump(folder: Path, data: Path) -> None:
    """Test part: the right 30 % of the field, as in experiments/sadanandan2017."""
    source = data / "cellpainting"
    planes = {"rna": "r01c01f01p01-ch3sk1fk1fl1.tiff", "nuclear": "r01c01f01p01-ch5sk1fk1fl1.tiff"}
    _painted(folder, source, "jump", planes, "JUMP_r01c01f01")


def pca(folder: Path, data: Path) -> None:
    """Test part: the right 30 % of the field."""
    source = data / "cellpainting"
    planes = {"cytoplasm": "r03c03f03p01-ch4sk1fk1fl1.tiff", "nuclear": "r03c03f03p01-ch5sk1fk1fl1.tiff"}
    _painted(folder, source, "pca", planes, "PCA_BR00143976_C03_3")


def _painted(folder: Path, source: Path, name: str, planes: dict[str, str], truth: str) -> None:
    labels = {kind: tifffile.imread(source / f"{truth}_{kind}_labels.tif") for kind in ("cell", "nuclei")}
    column = round(0.7 * labels["cell"].shape[1])
    pixels = {channel: tifffile.imread(source / file) for channel, file in planes.items()}
    where = (slice(0, labels["cell"].shape[0]), slice(column, labels["cell"].shape[1]))
    divide(folder, name, pixels, labels["cell"], where)
    write_labels(folder / "test" / "nuclei" / f"{name}.tif", labels["nuclei"][where])


def cytoplasm_only(folder: Path, data: Path) -> None:
    """Test part: field D7, which a network of experiments/alkofahi2018 leaves out; truth from two channels."""
    work = folder.parent / "annotated"
    real, painted = data / "cytoplasm_only", data / "cellpainting"
    both = "pattern='{site}_01_1_*_{channel}_001.tif|{site}_01_2_*_{channel}_001.tif'"
    annotate(
        work / "jump", painted, "pattern='r01{site}p01-{channel}sk1fk1fl1.tiff'", "ch5", "ch3", "pixel_size_um=0.598"
    )
    annotate(
        work / "pca", painted, "pattern='r03{site}p01-{channel}sk1fk1fl1.tiff'", "ch5", "ch4", "pixel_size_um=0.299",
        "alkofahi.cell_area_um2=600",
    )  # fmt: skip
    annotate(work / "schwann", real, both, "DAPI", "GFP", "pixel_size_um=0.3225")
    for run, site, channel, name in (
        ("jump", "c01f01", "ch3", "jump"),
        ("pca", "c03f03", "ch4", "pca"),
        ("schwann", "F7", "GFP", "f7"),
        ("schwann", "D7", "GFP", "d7"),
    ):
        part = folder / ("test" if name == "d7" else "train")
        copy(work / run / "images" / f"{site}_{channel}.tif", part / "images" / f"{name}.tif")
        for kind in ("labels", "nuclei"):
            copy(work / run / kind / f"{site}.tif", part / kind / f"{name}.tif")


# Simulated data.


def simulated_cytoplasm(folder: Path, data: Path) -> None:
    """Test part: fold 0 of 10 of experiments/alkofahi2018, one field of each stain."""
    fields = folder.parent / "fields"
    for stain, seed in STAINS.items():
        simulate("cytoplasm", "fields=10", f"seed={seed}", f"cytoplasm.stain={stain}", f"output={fields / stain}")
    dataset = FolderData(root=str(fields), channels=["cytoplasm"], folds=10, fold=0).load()
    tested = {example.name for example in dataset.test}
    for stain in STAINS:
        for image in sorted((fields / stain / "images").glob("*_cytoplasm.tif")):
            name = image.name.removesuffix("_cytoplasm.tif")
            part = folder / ("test" if f"{stain}/{name}" in tested else "train")
            copy(image, part / "images" / f"{stain}_{name}.tif")
            for kind in ("labels", "nuclei"):
                copy(fields / stain / kind / f"{name}.tif", part / kind / f"{stain}_{name}.tif")
    _announce(folder, fields / "rna" / "images" / SIMULATED_NOTE)


def simulated_colony(folder: Path, data: Path) -> None:
    """Four frames of colonies 31 and 32 to train on, of 11 and 12 to test, as in experiments/deepcell2016/timelapse."""
    for part, seed in (("train", 31), ("test", 11)):
        movies = folder.parent / part
        simulate("colony", "fields=2", f"seed={seed}", f"output={movies}")
        for number in (seed, seed + 1):
            movie = movies / f"movie_{number:04d}"
            for frame in COLONY_FRAMES:
                name = f"m{number}_t{frame:03d}.tif"
                copy(movie / "images" / f"t{frame:03d}_phase.tif", folder / part / "images" / name)
                (labels,) = (movie / "labels").glob(f"*{frame:03d}.tif")
                copy(labels, folder / part / "labels" / name)
    _announce(folder, movies / f"movie_{number:04d}" / "images" / SIMULATED_NOTE)


def _announce(folder: Path, note: Path) -> None:
    for part in ("train", "test"):
        copy(note, folder / part / "images" / SIMULATED_NOTE)


# Parts of the above.


def divide(
    folder: Path, name: str, planes: dict[str, np.ndarray], cells: np.ndarray, test: tuple[slice, slice]
) -> None:
    """Cut one field: `test` at one of its sides is the test part, and no cell is on both sides.

    The training part begins where the last cell that reaches into the test part ends.

    Args:
        folder: folder of the set.
        name: name of the image.
        planes: (H, W) pixels by channel.
        cells: (H, W) labels.
        test: rows and columns of the test part.
    """
    inside = np.zeros(cells.shape, bool)
    inside[test] = True
    inside |= np.isin(cells, np.setdiff1d(cells[test], [0]))
    train = [slice(0, length) for length in cells.shape]
    for axis, length in enumerate(cells.shape):
        if test[axis].start > 0:
            train[axis] = slice(0, int(np.flatnonzero(inside.any(axis=1 - axis)).min()))
        elif test[axis].stop < length:
            train[axis] = slice(int(np.flatnonzero(inside.any(axis=1 - axis)).max()) + 1, length)
    for part, where in (("train", tuple(train)), ("test", test)):
        for channel, pixels in planes.items():
            (folder / part / "images").mkdir(parents=True, exist_ok=True)
            suffix = f"_{channel}" if len(planes) > 1 else ""
            tifffile.imwrite(folder / part / "images" / f"{name}{suffix}.tif", pixels[where])
        write_labels(folder / part / "labels" / f"{name}.tif", cells[where])


def deepcell(name: str, channels: list[str]) -> Sequence[Example]:
    """All images of a training set of DeepCell, by name; the split is not used: its regions are whole images."""
    data = DeepCellData(root=os.environ["CELLFLAX_DATA"], folder=f"training_data/{name}", channels=channels)
    dataset = data.load()
    examples = [*dataset.train, *(region.example for region in dataset.validation)]
    return sorted(examples, key=lambda example: example.name)


def write_labels(path: Path, labels: np.ndarray) -> None:
    """Write (H, W) labels as 16 bit TIFF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, labels.astype(np.uint16), compression="zlib")


def link(source: Path, path: Path) -> None:
    """Link to a file that can be used as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(source.resolve(strict=True))


def copy(source: Path, path: Path) -> None:
    """Copy a file that goes with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, path)


def annotate(output: Path, source: Path, pattern: str, nuclear: str, cell: str, *more: str) -> None:
    """Labels from a nuclear and a cell channel, by the commands of experiments/alkofahi2018."""
    channels = (f"nuclear={nuclear}", f"cell={cell}", f"images=[{cell}]")
    command("annotate", "method=alkofahi", f"input={source}", pattern, *channels, *more, f"output={output}")


def simulate(specimen: str, *more: str) -> None:
    """Simulated fields or movies with their exact truth."""
    command("simulate", f"specimen={specimen}", *more)


def command(*arguments: str) -> None:
    """Run a command of cellflax; its mistakes end this script."""
    subprocess.run([sys.executable, "-m", "cellflax", *arguments], check=True)


WRITERS: dict[str, Callable[[Path, Path], None]] = {
    writer.__name__: writer
    for writer in (
        dsb2018,
        nuclei,
        hela,
        nih3t3,
        ecoli,
        jump,
        pca,
        cytoplasm_only,
        simulated_cytoplasm,
        simulated_colony,
    )
}


if __name__ == "__main__":
    main()
