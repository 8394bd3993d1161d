"""A small simulated movie of crawling, spindle-shaped cells whose reporter shuttles between nucleus and cytoplasm."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from tests.refine.drawing import disc

BACKGROUND, FRAMES = 100.0, 9
_SHAPE, _ROWS, _COLUMNS = (180, 220), 8, 2
_HALF_LENGTH, _HALF_WIDTH, _NUCLEUS = 46, 9, 7.5
_BLUR_PX, _HAZE_PX, _HAZE = 1.5, 6.0, 0.15  # in focus, out of focus, and the share of light out of focus


@dataclass(frozen=True)
class Shuttling:
    """Exact labels and images, (T, H, W), and the true ratio (T, n) by ascending label."""

    cells: np.ndarray
    nuclei: np.ndarray
    images: np.ndarray
    ratio: np.ndarray


def shuttling_cells(seed: int) -> Shuttling:
    """Cells that lie side by side, narrow, thick around the nucleus and thin elsewhere, each at a phase of its own.

    The nucleus wanders through the cell and the outline ripples, so that what a ring around the nucleus holds of the
    cell, of its thin parts and of the medium changes with time; part of the light is out of focus.
    """
    rng = np.random.default_rng(seed)
    n = _ROWS * _COLUMNS
    phase, amount = rng.uniform(0, 2 * np.pi, n), rng.uniform(300, 1500, n)
    ratio = 1.2 + 0.7 * np.sin(np.linspace(0, 2 * np.pi, FRAMES)[:, None] + phase)
    frames = [_frame(rng, amount, values) for values in ratio]
    return Shuttling(*(np.array(part) for part in zip(*frames, strict=True)), ratio)


def _frame(rng: np.random.Generator, amount: np.ndarray, ratio: np.ndarray) -> tuple[np.ndarray, ...]:
    rows, columns = np.indices(_SHAPE)
    cells, nuclei, thickness = np.zeros(_SHAPE, np.int32), np.zeros(_SHAPE, np.int32), np.zeros(_SHAPE)
    for i in range(len(amount)):
        y, x = 13 + 22 * (i // _COLUMNS), 56 + 108 * (i % _COLUMNS)
        along = (columns - x) / _HALF_LENGTH
        ripple = 1 + 0.2 * np.sin(9 * along + rng.uniform(0, 2 * np.pi))
        half_width = _HALF_WIDTH * np.sqrt(np.clip(1 - along**2, 0, None)) * ripple
        inside = np.abs(rows - y) < half_width
        centre = y + rng.uniform(-3, 3), x + rng.uniform(-18, 18)
        cells[inside] = i + 1
        nuclei[disc(_SHAPE, *centre, _NUCLEUS) & inside] = i + 1
        near = np.hypot(rows - centre[0], columns - centre[1]) < rng.uniform(16, 24)
        thickness[inside] = np.where(near, 1.0, 0.3)[inside]
    in_cytoplasm, in_nucleus = np.append(0, amount / (1 + ratio)), np.append(0, amount * ratio / (1 + ratio))
    light = np.where(nuclei > 0, in_nucleus[nuclei], in_cytoplasm[cells] * thickness)
    focus, haze = (ndimage.gaussian_filter(light, width) for width in (_BLUR_PX, _HAZE_PX))
    image = BACKGROUND + rng.poisson((1 - _HAZE) * focus + _HAZE * haze) + rng.normal(0, 4, _SHAPE)
    return cells, nuclei, image
