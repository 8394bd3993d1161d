"""Run directories as `cellflax.train` leaves them, written without training."""

import copy
import json
from pathlib import Path
from typing import Any

from cellflax.summary.runs import FinishedRun, read_run

NET_21 = {
    "kind": "patch_net",
    "stages": [{"kernels": [4, 3], "filters": [32, 32]}, {"kernels": [3, 3, 4], "filters": [32, 32, 200]}],
    "dense": [200],
    "side_filters": [],
    "regularization": "batch_norm",
}
NET_31 = NET_21 | {
    "stages": [
        {"kernels": [4], "filters": [32]},
        {"kernels": [3, 3], "filters": [64, 64]},
        {"kernels": [3, 3], "filters": [128, 200]},
    ]
}
MULTI_31 = NET_31 | {"dense": [512], "side_filters": [200]}


def write_run(
    directory: Path,
    jaccard: tuple[float | None, ...] = (0.5, 0.7, 0.6),
    *,
    seed: int = 0,
    reason: str | None = "all steps done",
    simulated: bool = False,
    source: str = "DeepCell HeLa_joint, 5 images",
    finished: str = "2026-01-01T10:00:00+00:00",
    seconds: float = 120.0,
    **changes: Any,
) -> Path:
    """Write a run that was validated every 10 steps, its loss falling from 1 in tenths.

    `changes` are configuration values by dotted key, with __ for the dot.
    """
    config: dict[str, Any] = {
        "name": "toy",
        "seed": seed,
        "model": NET_31,
        "data": {"kind": "deepcell", "folder": "HeLa"},
        "loss": {"kind": "cross_entropy", "l2": 1e-5},
        "optimizer": {"kind": "adamw", "learning_rate": 0.1},
        "trainer": {"steps": 10 * len(jaccard), "max_minutes": None, "devices": None},
        "logger": {"group": None},
    }
    config = copy.deepcopy(config)
    for key, value in changes.items():
        *parents, last = key.split("__")
        node = config
        for parent in parents:
            node = node[parent]
        node[last] = value
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(config))
    with (directory / "metrics.jsonl").open("w") as file:
        for i, score in enumerate(jaccard):
            step = 10 * (i + 1)
            metrics = {"jaccard": score, "loss": 1 - i / 10, "accuracy_edge": 0.25, "dice": 0.75}
            file.write(json.dumps({"step": step, "train_loss": 2.0}) + "\n")
            file.write(json.dumps({"step": step} | {f"validation_{k}": v for k, v in metrics.items()}) + "\n")
    scores = [-1.0 if score is None else score for score in jaccard]
    summary = {
        "name": config["name"],
        "finished": finished,
        "data": {"source": source, "simulated": simulated},
        "training": {
            "elapsed_s": seconds,
            "best_step": 10 * (scores.index(max(scores)) + 1),
            "validated_step": 10 * len(jaccard),
            "reason": reason,
        },
        "monitor": "jaccard",
    }
    (directory / "summary.json").write_text(json.dumps(summary))
    return directory


def finished(*directories: Path) -> list[FinishedRun]:
    runs = [read_run(directory) for directory in directories]
    assert all(isinstance(run, FinishedRun) for run in runs), runs
    return [run for run in runs if isinstance(run, FinishedRun)]
