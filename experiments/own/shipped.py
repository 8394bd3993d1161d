"""O4: `predict checkpoint=nuclei` on fields that this network has not seen.

python experiments/own/shipped.py SPLITS OUTPUT [--checkpoint nuclei]

CELLFLAX_DATA is the folder that contains cellpainting/. The fields: the test part of dsb2018, DNA of JUMP, set4 of the
nuclei of Van Valen 2016, and simulated nuclei at one, a half and two times the size, with the pixel size in the files
and without it. Writes OUTPUT/shipped.md.
"""

import os
import shutil
import sys
from pathlib import Path

import tifffile
from steps import HEADER, StepFailed, arguments, cellflax, columns, evaluate, failed, predict, write_table

SIZES = {"one": 0.65, "half": 1.3, "double": 0.325}
SIMULATED_SEED = 7100


def main() -> None:
    """Predict and evaluate what is not there, and write the table."""
    options = arguments(__doc__, ["dsb2018", "nuclei"], checkpoint="nuclei")
    output = options.output / "shipped"
    fields = {
        name: (options.splits / name / "test" / "images", options.splits / name / "test" / "labels")
        for name in options.sets
    }
    rows, failures = [], 0
    try:
        fields |= {"jump_dna": jump_dna(output), **simulated(output)}
    except StepFailed as error:
        failures += 1
        rows.append(["simulated nuclei", *failed(error, len(HEADER)), None])
    for name, (images, labels) in fields.items():
        folder = output / options.checkpoint.replace("/", "_") / name
        try:
            seconds = predict(options.checkpoint, images, folder / "predicted")
            scores = evaluate(folder / "predicted", labels, folder / "scores")
            per_image = seconds / len([path for path in labels.iterdir() if path.suffix != ".txt"])
            rows.append([f"`{name}`", *columns(scores), per_image])
        except StepFailed as error:
            failures += 1
            rows.append([f"`{name}`", *failed(error, len(HEADER)), None])
    write_table(options.output / "shipped.md", ("fields", *HEADER, "s per image"), rows)
    sys.exit(1 if failures else 0)


def jump_dna(output: Path) -> tuple[Path, Path]:
    """Folders of the image and labels of the nuclei of JUMP."""
    source, folder = Path(os.environ["CELLFLAX_DATA"]).expanduser() / "cellpainting", output / "fields" / "jump_dna"
    for kind, name in (("images", "r01c01f01p01-ch5sk1fk1fl1.tiff"), ("labels", "JUMP_r01c01f01_nuclei_labels.tif")):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, folder / kind / "jump.tif")
    return folder / "images", folder / "labels"


def simulated(output: Path) -> dict[str, tuple[Path, Path]]:
    """Folders of images and labels of simulated nuclei; those without pixel size have the same pixels and labels."""
    found = {}
    for size, pixel_size_um in SIZES.items():
        folder = output / "fields" / f"simulated_{size}"
        if not (folder / "labels").exists():
            settings = (f"nuclei.pixel_size_um={pixel_size_um}", "fields=4", f"seed={SIMULATED_SEED}")
            cellflax(output / f"{size}.log", "simulate", "specimen=nuclei", *settings, f"output={folder}")
        bare = output / "fields" / f"simulated_{size}_without_pixel_size"
        bare.mkdir(exist_ok=True)
        for path in sorted((folder / "images").glob("*.tif")):
            tifffile.imwrite(bare / path.name, tifffile.imread(path))
        found[f"simulated_{size}"] = folder / "images", folder / "labels"
        found[f"simulated_{size}_without_pixel_size"] = bare, folder / "labels"
    return found


if __name__ == "__main__":
    main()
