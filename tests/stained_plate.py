"""A small plate of stained cells, and `cellflax.annotate` as a command on it."""

from pathlib import Path

import numpy as np

from cellflax import annotate
from cellflax.io.images import write_image
from tests.commands import Result, run_command

PATTERN = "pattern={well}_{site}_{channel}_z{plane}.tif"
STAINS = ("nuclear=dapi", "cell=actin", "images=[brightfield]")
SIZE = 120
CENTRES = [(25, 25), (25, 80), (70, 40), (75, 95), (100, 60), (100, 20)]


def cells(radius: int, shift: int) -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE]
    labels = np.zeros((SIZE, SIZE), np.int32)
    for label, (row, column) in enumerate(CENTRES, 1):
        labels[(y - row) ** 2 + (x - column - shift) ** 2 < radius**2] = label
    return labels


def _plane(labels: np.ndarray, brightness: float, seed: int) -> np.ndarray:
    """Counts of evenly stained cells on a background that rises from left to right."""
    light = brightness * (labels > 0) + np.linspace(50, 150, SIZE)
    return np.random.default_rng(seed).poisson(light).astype(np.uint16)


def write_plate(folder: Path) -> Path:
    """Two wells with a site each: two planes of bright field, DAPI and actin."""
    for shift, name in enumerate(("A1_1", "B1_1")):
        nuclei, whole = cells(6, shift), cells(12, shift)
        for plane, z_um in enumerate((-2.0, 2.0)):
            write_image(folder / f"{name}_dapi_z{plane}.tif", _plane(nuclei, 900, plane), 0.5, z_um)
            write_image(folder / f"{name}_actin_z{plane}.tif", _plane(whole, 400, 2 + plane), 0.5, z_um)
            write_image(folder / f"{name}_brightfield_z{plane}.tif", _plane(whole, -30, 4 + plane), 0.5, z_um)
    return folder


def annotate_stains(*arguments: str) -> Result:
    return run_command(annotate.main, *arguments)
