"""HeLa-S3 trained from a tenth of its cells, against all of them: JI of both on images that training never saw.

python experiments/deepcell2016/sparse.py OUTPUT [--share 0.1] [--seed 0] [--steps 500]

CELLFLAX_DATA is the folder that contains deepcell/. Of HeLa_joint, set1 to set4 are for training and set5 is for the
test, and so is the validation field of the paper. Writes two training folders with the same images to OUTPUT: `all`
with every cell, `share` with a random share of the cells of each image, the true background around them painted as
background, and everything else 0, which then means "not annotated" (data.ignore_label=0). Trains `hela_cyto` on both
with the same settings, predicts and evaluates both, and prints a table. Trainings that are there already are resumed.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import tifffile
from scipy import ndimage

from cellflax.data.deepcell import DeepCellData
from cellflax.data.example import BACKGROUND, Example
from cellflax.labels import label_values

TEST = "set5"
# Someone who outlines a cell sees this much around it; about a cell's radius.
AROUND_PX = 25
BACKGROUND_VALUE = 65535


def main() -> None:
    """Prepare, train, predict, evaluate, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=500)
    options = parser.parse_args()
    field = Path(os.environ["CELLFLAX_DATA"]) / "deepcell" / "validation_data" / "HeLa"
    counts = write_folders(options.output, options.share, options.seed)
    scores = {}
    for name, (cells, known) in counts.items():
        train(options.output, name, options.steps)
        scores[name] = (cells, known, *evaluate(options.output, name, field))
    print(f"| trained on | cells | pixels annotated | {TEST}: JI, F1 | validation field: JI, F1 |")
    print("|---|---|---|---|---|")
    for name, (cells, known, (test, test_f1), (valid, valid_f1)) in scores.items():
        print(f"| `{name}` | {cells} | {100 * known:.0f} % | {test:.3f}, {test_f1:.3f} | {valid:.3f}, {valid_f1:.3f} |")


def write_folders(output: Path, share: float, seed: int) -> dict[str, tuple[int, float]]:
    """Write the training folders and the test image; returns each folder's cells and annotated share of the pixels."""
    dataset = DeepCellData(validation_fraction=0.2).load()  # the split is not used: its regions are whole images
    if dataset.simulated:
        sys.exit("set CELLFLAX_DATA to the folder that contains deepcell/training_data/HeLa_joint")
    examples = [*dataset.train, *(region.example for region in dataset.validation)]
    rng = np.random.default_rng(seed)
    counts = {"all": [0, 0, 0], "share": [0, 0, 0]}
    for example in sorted(examples, key=lambda example: example.name):
        if example.name == TEST:
            write(output / "test", example, example.cells)
            continue
        labels = {"all": example.cells, "share": some(example, share, rng)}
        for name, values in labels.items():
            write(output / name, example, values)
            cells = label_values(np.where(values == BACKGROUND_VALUE, 0, values))
            known = (values != 0).sum() if name == "share" else values.size
            counts[name] = [a + b for a, b in zip(counts[name], (len(cells), known, values.size), strict=True)]
    return {name: (cells, known / pixels) for name, (cells, known, pixels) in counts.items()}


def some(example: Example, share: float, rng: np.random.Generator) -> np.ndarray:
    """Labels of a random share of an image's cells, with the background around them."""
    values = label_values(example.cells)
    kept = np.where(
        np.isin(example.cells, rng.choice(values, max(round(share * len(values)), 1), False)), example.cells, 0
    )
    near = np.asarray(ndimage.distance_transform_edt(kept == 0)) <= AROUND_PX
    # What is drawn as an edge is no background, and specks of the drawing are no cells.
    background = near & (example.cells == 0) & (example.classes == BACKGROUND)
    return np.where(background, BACKGROUND_VALUE, kept)


def write(folder: Path, example: Example, labels: np.ndarray) -> None:
    """Write one image, a file per channel, and its label image."""
    folder.mkdir(parents=True, exist_ok=True)
    for channel, name in enumerate(("phase", "nuclear")):
        tifffile.imwrite(folder / f"{example.name}_{name}.tif", example.image[..., channel])
    tifffile.imwrite(folder / f"{example.name}_labels.tif", labels.astype(np.uint16))


def train(output: Path, name: str, steps: int) -> None:
    """Train on one of the folders, or go on where that stopped."""
    sparse = ("data.ignore_label=0", f"data.background_label={BACKGROUND_VALUE}") if name == "share" else ()
    settings = ("sampler.size=128", "test_time_augmentation=1", f"optimizer.warmup_steps={steps // 10}")
    loop = (f"trainer.steps={steps}", "trainer.validate_every=250", "logger.wandb=disabled")
    data = ("data=folder", f"data.root={output / name}", "data.channels=[phase,nuclear]", "data.split=region", *sparse)
    command("train", "+experiment=hela_cyto", *data, *settings, *loop, f"run={output / 'runs' / name}")


def evaluate(output: Path, name: str, field: Path) -> list[tuple[float, float]]:
    """JI and F1 of the test image, whose nuclei the nuclear channel shows, and of the validation field as published."""
    run, nuclei = f"checkpoint={output / 'runs' / name}", f"nuclei={field / 'Masks' / 'nuclear_mask_0.png'}"
    done, scores = output / "predicted" / name, output / "scores" / name
    image, channels = f"input={output / 'test'}/{TEST}_[pn]*.tif", "channels=[phase,nuclear]"
    command("predict", run, image, channels, f"output={done / 'test'}", "overwrite=true")
    reference = f"reference={output / 'test' / f'{TEST}_labels.tif'}"
    command("evaluate", f"predicted={done / 'test'}/*_labels.tif", reference, f"output={scores / 'test'}")
    image, channels = f"input={field / 'RawImages'}", "channels=[phase,farred]"
    command("predict", run, image, channels, nuclei, f"output={done / 'field'}", "overwrite=true")
    command(
        "evaluate", f"predicted={done / 'field'}/*_labels.tif", nuclei, "border=30", "erode_reference=true",
        f"reference={field / 'Validation' / 'hela_validation_interior.tif'}", f"output={scores / 'field'}",
    )  # fmt: skip
    pooled = [json.loads((scores / part / "metrics.json").read_text())["pooled"] for part in ("test", "field")]
    return [(values["jaccard_index"], values["f1"]) for values in pooled]


def command(*arguments: str) -> None:
    """Run a command of cellflax; its mistakes end this script."""
    subprocess.run([sys.executable, "-m", "cellflax", *arguments], check=True)


if __name__ == "__main__":
    main()
