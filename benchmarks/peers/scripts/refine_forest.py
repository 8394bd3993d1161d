"""Cells from the forest's probabilities, by cellflax's own watershed; it runs with cellflax.

The seeds are the maxima of the smoothed interior (`refine=watershed`, no nuclei). Threshold, smoothing and depth of the
seeds, smallest cell and smoothing of outlines are chosen one after the other, twice if the time allows, by the mean F1
over IoU 0.5 to 0.9 on the validation images.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from peer_job import MEASURED, Job

from cellflax.data.example import CLASS_NAMES
from cellflax.metrics.score import pool, score_cells
from cellflax.refine import refine
from cellflax.refine.watershed import WatershedConfig

_CHOICES: dict[str, tuple[float, ...]] = {
    "interior": (0.3, 0.4, 0.5, 0.6, 0.7),
    "seed_smoothing_px": (1.0, 2.0, 3.0, 4.0, 6.0),
    "seed_depth": (0.05, 0.1, 0.2, 0.3),
    "min_area_px": (10, 25, 50, 100),
    "outline_px": (0.0, 1.0, 2.0),
}
_ROUNDS = 2
_HIGHEST_IOU = 0.9
_TUNING_SHARE = 0.1  # of the minutes


def main() -> None:
    job = Job.read()
    began = time.perf_counter()
    validation = job.part("validation")
    maps = [_probability(job, "validation", name) for name in validation.names]
    config = WatershedConfig()
    best = _score(config, maps, validation.labels)
    for key, values in _ROUNDS * list(_CHOICES.items()):
        for value in values:
            other = replace(config, **{key: value})
            if time.perf_counter() - began > 60 * _TUNING_SHARE * job.minutes:
                break
            if other != config and (score := _score(other, maps, validation.labels)) > best:
                config, best = other, score
    tuning_s = time.perf_counter() - began
    names, seconds = job.part("test").names, 0.0
    for name in names:
        probability = _probability(job, "test", name)
        began = time.perf_counter()
        labels = refine(config, probability, CLASS_NAMES)
        seconds += time.perf_counter() - began
        job.write_labels(name, labels)
    file = job.output / MEASURED
    measured = json.loads(file.read_text(encoding="utf-8"))
    measured["training_minutes"] += tuning_s / 60
    measured["seconds_per_image"] += seconds / len(names)
    measured["settings"] |= {key: getattr(config, key) for key in _CHOICES}
    file.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")


def _probability(job: Job, part: str, name: str) -> np.ndarray:
    return np.load(job.output / "probability" / part / f"{name}.npy", allow_pickle=False)


def _score(config: WatershedConfig, maps: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> float:
    """Mean F1 over IoU 0.5 to 0.9, of all cells together."""
    pairs = zip(maps, labels, strict=True)
    scores = pool([score_cells(reference, refine(config, each, CLASS_NAMES)) for each, reference in pairs])
    f1 = [match.f1 for match in scores.matches if match.threshold <= _HIGHEST_IOU]
    return float(np.mean(np.nan_to_num(f1)))


if __name__ == "__main__":
    main()
