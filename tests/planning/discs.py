"""Images of cells of known size, as arrays and as files."""

from pathlib import Path

import numpy as np
import tifffile

from cellflax.data.example import Example


def discs(diameter: float, rows: int, columns: int, pitch: int, margin: int = 0) -> np.ndarray:
    """Labels of a grid of discs, (margin + rows pitch, margin + columns pitch)."""
    labels = np.zeros((margin + rows * pitch, margin + columns * pitch), np.int32)
    y, x = np.indices(labels.shape)
    for i in range(rows):
        for j in range(columns):
            centre = margin + (i + 0.5) * pitch - 0.5, margin + (j + 0.5) * pitch - 0.5
            labels[np.hypot(y - centre[0], x - centre[1]) <= diameter / 2] = 1 + i * columns + j
    return labels


def stained(labels: np.ndarray, seed: int = 0, brightness: float = 1000.0) -> np.ndarray:
    """(H, W) uint16: bright cells on a background of 100 with noise."""
    noise = np.random.default_rng(seed).normal(0, 10, labels.shape)
    return np.clip(100 + brightness * (labels > 0) + noise, 0, 65535).astype(np.uint16)


def example(labels: np.ndarray, *channels: np.ndarray, **fields) -> Example:
    """An example of a data set, annotated in whole if nothing else is said."""
    image = np.stack(channels or (stained(labels),), -1).astype(np.float32)
    return Example(fields.pop("name", "a"), image, (labels == 0).astype(np.int8), labels, **fields)


def write_folder(root: Path, labels: dict[str, np.ndarray], **options) -> Path:
    """A training folder of stained cells: x.tif beside x_masks.tif."""
    root.mkdir(parents=True)
    for seed, (name, cells) in enumerate(labels.items()):
        tifffile.imwrite(root / f"{name}.tif", stained(cells, seed), **options)
        tifffile.imwrite(root / f"{name}_masks.tif", cells.astype(np.uint16))
    return root
