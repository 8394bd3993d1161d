"""What the scripts of this folder share: the sets, README's commands as subprocesses, and tables of their scores.

Each step is done once: a training that has ended, a prediction with its cells.csv, and an evaluation with its
metrics.json are left as they are. A training that was interrupted is resumed. Remove a folder to do its steps again.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Facts:
    """What a user knows about a set, and what its hand-made recipe reached.

    Attributes:
        channels: parts of the names of the files of each channel; empty if there is one file per image.
        score: options of `evaluate`, so that figures compare with those of the recipe.
        nuclei: whether `test/nuclei` says which cells count in the Jaccard index and SM.
        given_nuclei: whether the recipe was scored with these nuclei as seeds, so that this is done as well.
        recipe: what the hand-made recipe is.
        figures: what it reached on the same test part, unless `recipe` says otherwise.
    """

    channels: tuple[str, ...] = ()
    score: tuple[str, ...] = ()
    nuclei: bool = False
    given_nuclei: bool = False
    recipe: str = "none"
    figures: str = ""


_P1 = ("border=30", "erode_reference=true")
SETS = {
    "dsb2018": Facts(),
    "nuclei": Facts(recipe="+experiment=nuclei", figures="JI 0.894, DI 0.943"),
    "hela": Facts(("phase", "nuclear"), _P1, True, True, "+experiment=hela_cyto", "JI 0.858, DI 0.923"),
    "nih3t3": Facts(("phase", "nuclear"), _P1, True, True, "+experiment=nih3t3_cyto", "JI 0.758, DI 0.861"),
    "ecoli": Facts(recipe="+experiment=ecoli", figures="JI 0.709, 40 % at JI >= 0.8"),
    "jump": Facts(("rna", "nuclear"), (), True, recipe="annotate, whole field", figures="F1 0.956"),
    "pca": Facts(
        ("cytoplasm", "nuclear"), (), True, recipe="annotate method=alkofahi, whole field", figures="F1 0.738"
    ),
    "cytoplasm_only": Facts((), (), True, recipe="+experiment=whole_cell", figures="SM 0.839"),
    "simulated_cytoplasm": Facts((), (), True, recipe="+experiment=whole_cell, 10 folds", figures="SM 0.903"),
    "simulated_colony": Facts(recipe="+experiment=ecoli data=folder", figures="tracks only"),
}


class StepFailed(Exception):
    """A command of cellflax ended with an error; its last line is the message."""


def arguments(doc: str | None, sets: Sequence[str], **defaults: Any) -> argparse.Namespace:
    """Read the command line of a script; what follows `--` goes to every training.

    Args:
        doc: description of the script.
        sets: sets that are the default of `--sets`.
        defaults: further options with their defaults; a list takes several values.
    """
    words, more = sys.argv[1:], []
    if "--" in words:
        words, more = words[: words.index("--")], words[words.index("--") + 1 :]
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("splits", type=Path, help="output of splits.py")
    parser.add_argument("output", type=Path, help="folder to write to; the scripts may share one")
    parser.add_argument("--sets", nargs="+", default=list(sets), choices=list(SETS), metavar="SET")
    for name, default in defaults.items():
        many = isinstance(default, list)
        kind = type(default[0]) if many and default else str if many else type(default)
        parser.add_argument(f"--{name}", type=kind, default=default, nargs="+" if many else None)
    options = parser.parse_args(words)
    options.splits, options.output = (path.expanduser().resolve() for path in (options.splits, options.output))
    options.more = more
    return options


def place(output: Path, name: str, minutes: float, seed: int, variant: str) -> Path:
    """The folder of one training and what follows it; the scripts find each other's trainings in it."""
    return output / name / f"{minutes:g}_minutes" / f"seed_{seed}" / variant


def train(data: Path, folder: Path, channels: Sequence[str], minutes: float, seed: int, *more: str) -> dict[str, Any]:
    """Train on own images by README's command, in `folder/run`; returns summary.json.

    Raises:
        StepFailed: if that failed.
    """
    summary = folder / "run" / "summary.json"
    if not _ended(summary):
        given = [f"data.channels=[{','.join(channels)}]"] if channels else []
        limits = (f"trainer.max_minutes={minutes:g}", f"seed={seed}", "logger.wandb=disabled")
        cellflax(
            folder / "train.log", "train", "data=folder", f"data.root={data}", *given, *limits, *more,
            f"run={folder / 'run'}",
        )  # fmt: skip
    return json.loads(summary.read_text())


def _ended(summary: Path) -> bool:
    return summary.exists() and json.loads(summary.read_text())["training"]["reason"] is not None


def predict(checkpoint: str | Path, images: Path, output: Path, channels: Sequence[str] = (), *more: str) -> float:
    """Segment images by README's command; returns its seconds, as measured when it ran.

    Raises:
        StepFailed: if that failed.
    """
    seconds = output.parent / f"{output.name}.seconds"
    if not (output / "cells.csv").exists() or not seconds.exists():
        given = [f"channels=[{','.join(channels)}]"] if channels else []
        start = time.monotonic()
        cellflax(
            output.parent / f"{output.name}.log", "predict", f"checkpoint={checkpoint}", f"input={images}", *given,
            *more, f"output={output}", "overwrite=true",
        )  # fmt: skip
        seconds.write_text(f"{time.monotonic() - start:.1f}\n")
    return float(seconds.read_text())


def evaluate(predicted: Path, reference: Path, output: Path, *more: str) -> dict[str, Any]:
    """Score label images by README's command.

    Returns:
        metrics.json, and under "share_jaccard_0.8" the share of the cells in the index with a Jaccard index of 0.8.

    Raises:
        StepFailed: if that failed.
    """
    if not (output / "metrics.json").exists():
        log = output.parent / f"{output.name}.log"
        cellflax(log, "evaluate", f"predicted={predicted}", f"reference={reference}", *more, f"output={output}")
    cells = pd.read_csv(output / "per_cell.csv")
    jaccard = cells.loc[cells["in_index"], "jaccard"].to_numpy()
    scores = json.loads((output / "metrics.json").read_text())
    return {**scores, "share_jaccard_0.8": float(np.mean(jaccard >= 0.8))}


def score_test_part(splits: Path, name: str, checkpoint: str | Path, folder: Path, *more: str) -> dict[str, Any]:
    """Segment and score the test part of a set: see `evaluate`; and under "seconds" what the prediction took.

    Args:
        splits: output of splits.py.
        name: the set.
        checkpoint: run directory.
        folder: where `predicted` and `scores` are written.
        more: further options of `predict`.

    Raises:
        StepFailed: if that failed.
    """
    facts, test = SETS[name], splits / name / "test"
    seconds = predict(checkpoint, test / "images", folder / "predicted", facts.channels, *more)
    nuclei = (f"nuclei={test / 'nuclei'}",) if facts.nuclei else ()
    scores = evaluate(folder / "predicted", test / "labels", folder / "scores", *facts.score, *nuclei)
    return {**scores, "seconds": seconds}


def cellflax(log: Path, *words: str) -> None:
    """Run a command of cellflax; what it prints goes to `log`.

    Raises:
        StepFailed: if it ended with an error.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    print("python -m cellflax", *words, flush=True)
    with log.open("w", encoding="utf-8") as file:
        status = subprocess.run([sys.executable, "-m", "cellflax", *words], stdout=file, stderr=file).returncode
    if status:
        lines = log.read_text(encoding="utf-8").strip().splitlines() or [f"exit status {status}"]
        errors = [line for line in lines if line.startswith("error:")]
        raise StepFailed((errors or lines)[-1])


def columns(scores: dict[str, Any]) -> list[float | None]:
    """F1 at IoU 0.5 and 0.7, PQ, JI, DI, share at JI 0.8, and SM, as `HEADER` names them."""
    pooled = scores["pooled"]
    by_iou = {round(row["iou"], 2): row["f1"] for row in pooled["by_iou"]}
    values = [by_iou[0.5], by_iou[0.7], *(pooled[k] for k in ("panoptic_quality", "jaccard_index", "dice_index"))]
    return [*values, scores["share_jaccard_0.8"], pooled["sm"]]


HEADER = ("F1 at 0.5", "at 0.7", "PQ", "JI", "DI", "JI >= 0.8", "SM")


def write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table, and write it as Markdown; numbers have three decimals, and None is a dash."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(*lines, f"table: {path}", sep="\n", flush=True)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def failed(error: StepFailed, length: int) -> list[str | None]:
    """The columns of a row whose step failed."""
    return [f"failed: {error}".replace("|", "/"), *[None] * (length - 1)]
