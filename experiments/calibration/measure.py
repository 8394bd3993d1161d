"""Are cells as often right as their probabilities say? On test images that neither training nor calibration saw.

python experiments/calibration/measure.py TEST OUTPUT --run RUN [-- KEY=VALUE ...]
python experiments/calibration/measure.py TEST OUTPUT --train FOLDER [--minutes 4] [--channels a b] [-- KEY=VALUE ...]

TEST and FOLDER have images/ and labels/, as experiments/own/splits.py writes them. With --run, a copy of that training
is taken, and its checkpoint is calibrated again; with --train, a network is trained for so many minutes, which
calibrates it. What follows `--` goes to `validate` and `predict` (test_time_augmentation=4). Writes
OUTPUT/calibration.md: expected calibration error and Brier score of the calibrated probabilities, and of what was at
hand before.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from cellflax.io.images import read_labels
from cellflax.io.results import RIGHT
from cellflax.labels import overlap_table
from cellflax.metrics.calibration import Reliability, reliability
from cellflax.metrics.detection import right_cells


def main() -> None:
    """Train or copy, calibrate, predict, evaluate, and write the table."""
    words, more = sys.argv[1:], []
    if "--" in words:
        words, more = words[: words.index("--")], words[words.index("--") + 1 :]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("test", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--train", type=Path)
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--channels", nargs="*", default=[])
    options = parser.parse_args(words)
    if (options.run is None) == (options.train is None):
        parser.error("give --run or --train")
    options.output.mkdir(parents=True, exist_ok=True)
    run, predicted = options.output / "run", options.output / "predicted"
    channels = f"[{','.join(options.channels)}]"
    if options.run is not None:
        if not run.exists():
            shutil.copytree(options.run, run)
        cellflax("validate", f"checkpoint={run}", "calibrate=true", *more)
    else:
        given = (f"data.root={options.train}", f"data.channels={channels}", f"trainer.max_minutes={options.minutes:g}")
        cellflax("train", "data=folder", *given, "logger.wandb=disabled", f"run={run}")
        if more:
            cellflax("validate", f"checkpoint={run}", "calibrate=true", *more)
    images = (f"input={options.test / 'images'}", f"channels={channels}", "overwrite=true")
    cellflax("predict", f"checkpoint={run}", *images, f"output={predicted}", *more)
    reference, scored = options.test / "labels", options.output / "evaluation"
    cellflax("evaluate", f"predicted={predicted}", f"reference={reference}", f"output={scored}")
    table = compare(judged(predicted, reference))
    text = f"# Calibration\n\nHeld out in training:\n\n{held_out(run)}\n\nTest images:\n\n{table}\n"
    (options.output / "calibration.md").write_text(text)
    print(text)


def cellflax(*words: str) -> None:
    """Run a command of cellflax, or end where it fails."""
    if subprocess.run([sys.executable, "-m", "cellflax", *words], check=False).returncode:
        sys.exit(f"failed: cellflax {' '.join(words)}")


def judged(predicted: Path, reference: Path) -> pd.DataFrame:
    """`cells.csv` with the columns `right_<IoU>`: whether the cell has a partner."""
    cells = pd.read_csv(predicted / "cells.csv", dtype={"image": str})
    tables = []
    for name, rows in cells.groupby("image"):
        # An image that is named by its channel (a_nuclear) has its labels without (a).
        (file,) = (path for path in sorted(reference.iterdir()) if f"{name}_".startswith(f"{path.stem}_"))
        table = overlap_table(read_labels(file), read_labels(predicted / f"{name}_labels.tif"))
        right = pd.DataFrame({"label": table.predicted_labels})
        for iou in RIGHT.values():
            right[f"right_{iou:g}"] = right_cells(table, iou)
        tables.append(rows.merge(right, on="label", validate="one_to_one"))
    return pd.concat(tables, ignore_index=True)


def compare(cells: pd.DataFrame) -> str:
    """A table with a line for each IoU and each number that could be a probability."""
    confidences = {"1 - mean probability of background": 1 - cells["probability_mean_background"]}
    confidences["mean probability of interior"] = cells["probability_mean_interior"]
    if "uncertainty" in cells:
        confidences["1 - uncertainty"] = 1 - cells["uncertainty"]
    lines = [header()]
    for name, iou in RIGHT.items():
        right = cells[f"right_{iou:g}"].to_numpy()
        for what, values in confidences.items():
            lines.append(line(name, f"before: {what}", reliability(np.clip(values.to_numpy(), 0, 1), right)))
        if name in cells:
            lines.append(line(name, "calibrated", reliability(cells[name].to_numpy(), right)))
    return "\n".join(lines)


def held_out(run: Path) -> str:
    """What the checkpoint's record says of its own held-out cells, by cross-fitting."""
    best = json.loads((run / "summary.json").read_text())["training"]["best_step"]
    record = json.loads((run / "checkpoints" / str(best) / "_CHECKPOINT_METADATA").read_text())
    entry = record["custom_metadata"]["calibration"]
    lines = [header()]
    for name, score in entry["scores"].items():
        rows = {f"before: {what}": values for what, values in score["before"].items()}
        rows |= {"calibrated, cross-fitted": score["cross_fitted"]} if score["cross_fitted"] else {}
        for what, values in rows.items():
            names = ("expected_calibration_error", "error_by_chance", "brier", "brier_of_rate")
            numbers = " | ".join(f"{values[key]:.3f}" for key in names)
            lines.append(f"| `{name}` | {what} | {values['n_cells']} | {values['n_right']} | {numbers} |")
    lines += [f"\nno `{name}`: {reason}" for name, reason in entry["missing"].items()]
    return "\n".join(lines)


def header() -> str:
    """The first two lines of a table."""
    names = ("probability", "taken for it", "cells", "right", "ECE", "ECE by chance", "Brier", "Brier of the rate")
    return f"| {' | '.join(names)} |\n|{'---|' * len(names)}"


def line(name: str, what: str, score: Reliability) -> str:
    """One line of the table."""
    numbers = (score.expected_calibration_error, score.error_by_chance, score.brier, score.brier_of_rate)
    return f"| `{name}` | {what} | {score.n} | {score.n_right} | {' | '.join(f'{value:.3f}' for value in numbers)} |"


if __name__ == "__main__":
    main()
