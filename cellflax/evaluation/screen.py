"""The scores of `evaluate` as a table on the screen."""

from typing import Any

from cellflax.io import results

_COLUMNS = {
    "cells": "n_cells_in_index",
    "JI": "jaccard_index",
    "DI": "dice_index",
    "F1@0.5": "f1",
    "mAP": "mean_average_precision",
    "PQ": "panoptic_quality",
    "SM": "sm",
    "F>=0.6": "share_f_0.6",
}


def format_table(metrics: dict[str, Any], max_images: int = 20) -> str:
    """The table shown on screen: the first images, then all of them pooled."""
    images = metrics["images"]
    rows = list(images.items())[:max_images]
    hidden = len(images) - len(rows)
    if len(images) > 1:
        rows.append((f"all {len(images)} images", metrics["pooled"]))
    width = max(len(name) for name, _ in rows)
    lines = [" " * width + "".join(f"{title:>8}" for title in _COLUMNS)]
    for name, summary in rows:
        values = (summary[key] for key in _COLUMNS.values())
        lines.append(name.ljust(width) + "".join(map(score_words, values)))
    if hidden:
        lines.insert(-1, f"... {hidden} more in {results.METRICS}")
    return "\n".join(lines)


def score_words(value: float | int | None) -> str:
    """A score in eight characters; a dash where it is undefined."""
    if value is None:
        return f"{'-':>8}"
    return f"{value:8d}" if isinstance(value, int) else f"{value:8.3f}"
