"""Accuracy after correcting the 10 most uncertain images, against 10 random ones, on simulated nuclei.

python experiments/correction/loop.py OUTPUT [--seeds 0 1 2] [--repeats 1] [--count 10] [--steps 150]

A network learns from fields of the usual kind. It then segments a pool of other fields, most of that kind, some dense
and some dim, as a series of experiments has them. `cellflax correct` chooses COUNT fields of the pool, by the mean
uncertainty of their cells, by its sum, by the mean within groups of fields that look alike, or by chance. The truth of
the simulator takes the place of the person who corrects their labels. The network goes on to learn from the old fields
and the corrected ones, with the same settings and the same number of steps in all cases; `none` goes on with the old
fields alone. All are scored on test fields that nothing else has seen.
A seed is of the fields and of the first network; REPEATS goes on from that several times, with other seeds of the
training and, of `random`, of the choice.
Steps that are done are not done again: remove a folder to repeat them. Writes OUTPUT/table.md, and prints it.
"""

import argparse
import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

KINDS = {
    "usual": (),
    "dense": ("nuclei.nuclei_per_mm2=3000", "nuclei.touching_fraction=0.9", "nuclei.overlap=0.2"),
    "dim": ("nuclei.nuclear_electrons=40", "nuclei.background=0.3", "nuclei.haze=0.3"),
}
SIZE = ("specimen=nuclei", "nuclei.height=256", "nuclei.width=256")
# Fields of each kind in each part. What a lab images is mostly like what it knows.
PARTS = {"old": (10, 0, 0), "pool": (24, 8, 8), "test": (12, 4, 4)}
NETWORK = (
    "data=folder", "plan=false", "model=unet_local", "sampler=crops", "sampler.size=96", "sampler.batch=4",
    "optimizer=adamw", "optimizer.warmup_steps=10", "refine=watershed", "tune=false", "guide=false",
    "seed_channel=null", "trainer.max_minutes=null", "logger.wandb=disabled",
)  # fmt: skip
_COUNTS = ("true_positives", "false_positives", "false_negatives")
# How each network goes on: with the choice of `cellflax correct by=...`, or with the old fields alone.
CHOICES = {"none": None, "random": "random", "uncertain": "mean", "uncertain_total": "total", "spread": "spread"}


def main() -> None:
    """Do what is not done yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--steps", type=int, default=150)
    options = parser.parse_args()
    rows = []
    for seed in options.seeds:
        folder = options.output.expanduser().resolve() / f"seed_{seed}"
        rows += one_seed(folder, seed, options.count, options.steps, options.repeats)
        table = summary(pd.DataFrame(rows))
        (options.output / "table.md").write_text(table, encoding="utf-8")
    print(table, end="")


def one_seed(folder: Path, seed: int, count: int, steps: int, repeats: int) -> list[dict]:
    """The scores of the start and of each way to go on."""
    for number, (part, fields) in enumerate(PARTS.items()):
        simulate(folder / part, fields, 1000 * seed + 100 * number)
    settings = (*NETWORK, f"trainer.steps={steps}", f"trainer.validate_every={steps // 2}")
    start = folder / "start"
    cellflax(start, "train", *settings, f"seed={seed}", f"data.root={folder / 'old'}", output="run")
    pool = folder / "predicted_pool"
    cellflax(pool, "predict", f"checkpoint={start}", f"input={folder / 'pool/images'}", "test_time_augmentation=4")
    rows = [{"seed": seed, "network": "start", **score(folder, start)}]
    for repeat, (choice, by) in itertools.product(range(repeats), CHOICES.items()):
        name, other = (choice if repeat == 0 else f"{choice}_{repeat}"), seed + 1000 * repeat
        chosen, more = folder / f"chosen_{name}", ()
        if by is not None:
            cellflax(chosen, "correct", f"predictions={pool}", f"by={by}", f"seed={other}", f"count={count}")
            correct_by_truth(chosen, folder / "pool")
            more = (f"data.more=[{chosen}]",)
        run = folder / f"after_{name}"
        given = (f"data.root={folder / 'old'}", *more, f"start_from={start}")
        cellflax(run, "train", *settings, f"seed={other}", *given, output="run")
        rows.append({"seed": seed, "network": choice, **score(folder, run), **kinds_of(chosen)})
    return rows


def simulate(folder: Path, fields: tuple[int, ...], seed: int) -> None:
    """Fields of all kinds in one folder; their names begin with their kind."""
    for i, (kind, count) in enumerate(zip(KINDS, fields, strict=True)):
        if count == 0:
            continue
        source = folder.parent / "simulated" / f"{folder.name}_{kind}"
        cellflax(source, "simulate", *SIZE, f"fields={count}", f"seed={10_000 * i + seed}", *KINDS[kind])
        for place in ("images", "labels"):
            (folder / place).mkdir(parents=True, exist_ok=True)
            for file in (source / place).glob("*.tif"):
                shutil.copy(file, folder / place / f"{kind}_{file.name.replace('_nuclear', '')}")
            shutil.copy(source / place / "SIMULATED.txt", folder / place)


def correct_by_truth(folder: Path, pool: Path) -> None:
    """Put the truth in the place of the predicted labels, as a person who makes no mistake would."""
    for file in (folder / "labels").glob("*.tif"):
        shutil.copy(pool / "labels" / file.name, file)
    table = pd.read_csv(folder / "to_correct.csv").assign(done="yes")  # also where the prediction was right
    table.to_csv(folder / "to_correct.csv", index=False)


def kinds_of(folder: Path) -> dict[str, int]:
    """How many of the chosen fields are of each kind."""
    names = [file.name for file in (folder / "labels").glob("*.tif")] if folder.is_dir() else []
    return {f"{kind} chosen": sum(name.startswith(kind) for name in names) for kind in KINDS}


def score(folder: Path, run: Path) -> dict[str, float]:
    """F1 at IoU 0.5 and mean Jaccard index of the test cells, of all and of each kind."""
    predicted, scores = run.with_name(f"{run.name}_test"), run.with_name(f"{run.name}_scores")
    cellflax(predicted, "predict", f"checkpoint={run}", f"input={folder / 'test/images'}")
    cellflax(scores, "evaluate", f"predicted={predicted}", f"reference={folder / 'test/labels'}")
    metrics = json.loads((scores / "metrics.json").read_text())
    found = {"F1": f1([metrics["pooled"]]), "Jaccard": metrics["pooled"]["jaccard_index"]}
    for kind in KINDS:
        found[f"F1 {kind}"] = f1([image for name, image in metrics["images"].items() if name.startswith(kind)])
    return found


def f1(scores: list[dict]) -> float:
    """F1 at IoU 0.5 of the cells of several images together."""
    at_half = [image["by_iou"][0] for image in scores]
    right, false, missed = (sum(each[key] for each in at_half) for key in _COUNTS)
    return 2 * right / max(2 * right + false + missed, 1)


def cellflax(target: Path, command: str, *arguments: str, output: str = "output") -> None:
    """Run a command that writes to `target`, unless it has ended before."""
    mark = target.with_name(f".{target.name}.done")
    if mark.exists():
        return
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "cellflax", command, *arguments, f"{output}={target}"]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(f"{' '.join(words)}\n{ended.stderr[-2000:]}")
    mark.touch()
    print(f"{target.parent.name}: {target.name}", file=sys.stderr, flush=True)


def summary(rows: pd.DataFrame) -> str:
    """The table as Markdown: mean over the seeds, and the value of each seed for the pooled scores."""
    lines = ["| network | " + " | ".join(c for c in rows.columns if c not in ("seed", "network")) + " | F1 by seed |"]
    lines.append("|" + "---|" * (len(rows.columns)))
    for network, group in rows.groupby("network", sort=False):
        cells = [
            "" if np.isnan(mean := group[column].mean()) else f"{mean:.3f}" if "chosen" not in column else f"{mean:.1f}"
            for column in rows.columns
            if column not in ("seed", "network")
        ]
        lines.append(f"| {network} | " + " | ".join(cells) + f" | {', '.join(f'{v:.3f}' for v in group['F1'])} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
