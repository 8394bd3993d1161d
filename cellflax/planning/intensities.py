"""What the intensities of images say: range, background, contrast, illumination."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from cellflax.data.example import Example

# Contrast and unevenness are those of this many images at most, evenly chosen, on every n-th pixel of every n-th row:
# a cell is then about this wide, or the image has about so many pixels.
_MOST_IMAGES = 50
_CELL_PX = 8
_MOST_PIXELS = 2**18
# The background changes slowly over this many diameters of a cell.
_SLOW = 1.5


@dataclass(frozen=True)
class ChannelIntensities:
    """Intensities of one channel over all images.

    Attributes:
        name: name of the channel.
        lowest, highest: smallest and largest value.
        whole_numbers: whether all values are whole numbers.
        bits: bits that hold the largest value, if all values are whole numbers >= 0; else None.
        zero: share of the pixels that are 0: after a subtraction of the background, most of them are.
        constant: number of images in which all values of the channel are equal.
        contrast: difference between the medians of cells and background, in standard deviations of the background;
            median over (at most 50) images. Negative where cells are darker. A stain has several, transmitted light
            about none.
        unevenness: standard deviation of the slowly changing part of the background, as a share of the range between
            the 1st and the 99.8th percentile of the image; median over the same images.
    """

    name: str
    lowest: float
    highest: float
    whole_numbers: bool
    bits: int | None
    zero: float
    constant: int
    contrast: float
    unevenness: float


def measure_channel(examples: Sequence[Example], channel: int, name: str, diameter_px: float) -> ChannelIntensities:
    """Measure one channel of all images.

    Args:
        examples: the images.
        channel: its index.
        name: its name.
        diameter_px: median diameter of a cell.
    """
    lowest, highest, zeros, pixels, constant, whole = np.inf, -np.inf, 0, 0, 0, True
    contrasts, slopes = [], []
    chosen = set(np.linspace(0, len(examples) - 1, min(_MOST_IMAGES, len(examples))).astype(int).tolist())
    for index, example in enumerate(examples):
        plane = example.image[..., channel]
        low, high = float(plane.min()), float(plane.max())
        lowest, highest = min(lowest, low), max(highest, high)
        zeros, pixels = zeros + int((plane == 0).sum()), pixels + plane.size
        constant += low == high
        whole = whole and bool((plane == np.rint(plane)).all())
        if low < high and index in chosen:
            step = max(int(np.sqrt(plane.size / _MOST_PIXELS)), int(diameter_px / _CELL_PX), 1)
            cells, ignored = (
                None if image is None else image[::step, ::step] for image in (example.annotated_cells, example.ignored)
            )
            assert cells is not None
            known = None if ignored is None else ignored == 0
            found = _contrast(plane[::step, ::step], cells > 0, known, diameter_px / step)
            if found is not None:
                contrasts.append(found[0])
                slopes.append(found[1])
    return ChannelIntensities(
        name=name,
        lowest=lowest,
        highest=highest,
        whole_numbers=whole,
        bits=max(int(highest).bit_length(), 1) if whole and lowest >= 0 else None,
        zero=zeros / pixels,
        constant=constant,
        contrast=float(np.median(contrasts)) if contrasts else 0.0,
        unevenness=float(np.median(slopes)) if slopes else 0.0,
    )


def _contrast(
    plane: np.ndarray, cells: np.ndarray, known: np.ndarray | None, diameter_px: float
) -> tuple[float, float] | None:
    """Contrast and unevenness of one image; None if it has no cell, or no background beside cells."""
    margin = max(round(diameter_px / 8), 1)  # light of cells, and what was not drawn quite
    background = np.logical_not(ndimage.binary_dilation(cells, iterations=margin))
    if known is not None:
        background &= known
    if not cells.any() or background.sum() < cells.size // 100:
        return None
    values = plane[background].astype(np.float64)
    noise = float(values.std())
    difference = float(np.median(plane[cells]) - np.median(values))
    low, high = np.percentile(plane.astype(np.float64), (1, 99.8))
    spread = float(high - low) or float(plane.max() - plane.min())
    sigma = _SLOW * diameter_px
    weight = ndimage.gaussian_filter(background.astype(np.float64), sigma)
    slow = ndimage.gaussian_filter(np.where(background, plane, 0).astype(np.float64), sigma)
    slow = slow[background] / np.maximum(weight[background], 1e-9)
    # A background of one value has no deviation: any difference is a full contrast.
    contrast = difference / noise if noise > 0 else float(np.sign(difference)) * 100.0
    return contrast, float(slow.std()) / spread
