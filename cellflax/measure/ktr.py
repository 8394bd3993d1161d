"""Kinase translocation reporters: the ratio of nucleus to cytoplasm, by ring and by mixture.

See Fig 4, S10 and S11 of Van Valen 2016 (P1).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import pandas as pd
from scipy import ndimage
from skimage import segmentation

from cellflax.checks import above, at_least, check
from cellflax.errors import UserError
from cellflax.labels import label_values, majority_owners
from cellflax.measure.mixture import fit_two_gaussians

RATIO = "nucleus_to_cytoplasm"
MIXTURE = "mixture"
_MODE_SHARE = 0.2  # share of the pixels in the shortest interval around the mode
_MIN_FREE_SHARE = 0.01  # share of the image that must lie outside the cells to show the background


class Background(Enum):
    """What is subtracted from the reporter image: nothing, the mode outside cells, or a percentile of all pixels."""

    none = "none"
    mode = "mode"
    percentile = "percentile"


@dataclass
class KtrConfig:
    """From reporter images to ratios.

    Attributes:
        ring_px: widths of the rings around the nuclei in pixels; empty for none.
        ring_um: the same in micrometres; replaces ring_px if given.
        gap_px: pixels around a nucleus that its blur reaches; rings and mixture leave them out.
        edge_px: pixels along the outline of a cell that the mixture leaves out, because its light is blurred into the
            surroundings there.
        background: what is subtracted from each reporter image.
        percentile: the percentile for background=percentile, which suits fields without gaps.
    """

    ring_px: list[int] = field(default_factory=lambda: [5, 10, 15, 20, 25])
    ring_um: list[float] = field(default_factory=list)
    gap_px: int = 2
    edge_px: int = 1
    background: Background = Background.mode
    percentile: float = 1.0

    def __post_init__(self) -> None:
        check(self, "ktr", above(0), "ring_px", "ring_um")
        check(self, "ktr", at_least(0), "gap_px", "edge_px")
        check(self, "ktr", at_least(0, below=100), "percentile")
        for key in ("ring_px", "ring_um"):
            widths = getattr(self, key)
            if len(set(widths)) < len(widths):
                raise UserError(f"ktr.{key} must be different widths, got {list(widths)}")


def rings(config: KtrConfig, pixel_size_um: float | None = None) -> dict[str, float]:
    """Widths of the rings in pixels by name: `ring_5px` or `ring_3.25um`, ascending.

    Raises:
        UserError: if they are given in micrometres and the pixel size is not known.
    """
    if not config.ring_um:
        return {f"ring_{width}px": float(width) for width in sorted(config.ring_px)}
    if pixel_size_um is None:
        raise UserError("ktr.ring_um needs the pixel size, which the images do not record; add pixel_size_um=...")
    return {f"ring_{width:g}um": width / pixel_size_um for width in sorted(config.ring_um)}


def ktr_table(
    reporter: np.ndarray,
    nuclei: np.ndarray,
    cells: np.ndarray | None,
    config: KtrConfig,
    pixel_size_um: float | None = None,
) -> pd.DataFrame:
    """Measure the nucleus-to-cytoplasm ratio of every cell in one image.

    The nucleus is the median of its pixels. A ring gives the cytoplasm as the median of its pixels. The mixture gives
    it as the mean of the brighter of two Gaussians fitted to all pixels of the cell outside of nuclei. This component
    is the compartment that exchanges reporter with the nucleus, without thin parts of the cell and misassigned pixels.

    Args:
        reporter: (H, W) intensities.
        nuclei: (H, W) labels of the nuclei.
        cells: (H, W) labels of whole cells; with None, only rings are measured.
        config: rings and background.
        pixel_size_um: edge of a pixel, for rings in micrometres.

    Returns:
        One row per cell (without cells, per nucleus), by ascending label: `label`, `nucleus` (0: none, see
        `labels.majority_owners`), `intensity_background`; `intensity_nucleus` and `intensity_cytoplasm_<method>`, both
        above the background; `nucleus_to_cytoplasm_<method>`, NaN where the cytoplasm has no pixel or is not brighter
        than the background. Methods are the rings and, with cells, "mixture". The mixture adds `mixture_share`, the
        share of the brighter component, and `mixture_separation`, Ashman's D.
    """
    distance, nearest = _nearest_nucleus(nuclei)
    occupied = nuclei > 0 if cells is None else (cells > 0) | (nuclei > 0)
    level = background_level(reporter, ~occupied, config)
    signal = reporter.astype(np.float64) - level
    names = label_values(nuclei)
    if cells is None:
        owner_of_nucleus, label, nucleus = names, names, names
    else:
        nucleus, owner_of_nucleus = majority_owners(cells, nuclei)
        label = label_values(cells)
    free = (nuclei == 0) & (distance > config.gap_px)
    around = free.copy()
    if cells is not None and len(names):
        around &= (cells == 0) | (cells == owner_of_nucleus[np.searchsorted(names, nearest)])
    table: dict[str, np.ndarray] = {"label": label, "nucleus": nucleus}
    table["intensity_background"] = np.full(len(label), level)
    table["intensity_nucleus"] = _median(signal, nuclei, nucleus)
    for name, width in rings(config, pixel_size_um).items():
        ring = np.where(around & (distance <= config.gap_px + width), nearest, 0)
        _add_method(table, name, _median(signal, ring, nucleus))
    if cells is not None:
        _add_mixture(table, signal, np.where(free & _inside(cells, config.edge_px), cells, 0))
    return pd.DataFrame(table)


def method_names(columns: Iterable[str]) -> list[str]:
    """Methods for which a table has ratios."""
    return [name.removeprefix(f"{RATIO}_") for name in columns if name.startswith(f"{RATIO}_")]


def background_level(image: np.ndarray, outside: np.ndarray, config: KtrConfig) -> float:
    """Intensity of an image where there is no reporter.

    The mode is the middle of the shortest interval that holds a fifth of the pixels. Unlike the mean, it does not rise
    with cells that were not found.

    Args:
        image: (H, W).
        outside: (H, W) bool, True outside of all cells. If that is less than 1 % of the image, all pixels are used.
        config: the kind of background.
    """
    if config.background is Background.none:
        return 0.0
    if config.background is Background.percentile:
        return float(np.percentile(image, config.percentile))
    pixels = np.sort(image[outside] if outside.mean() >= _MIN_FREE_SHARE else image.ravel()).astype(np.float64)
    held = max(1, round(_MODE_SHARE * len(pixels)))
    start = np.argmin(pixels[held - 1 :] - pixels[: len(pixels) - held + 1])
    return float(pixels[start] + pixels[start + held - 1]) / 2


def _nearest_nucleus(nuclei: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance of every pixel to the nearest nucleus, and the label of that nucleus; infinity and 0 without nuclei."""
    if not nuclei.any():
        return np.full(nuclei.shape, np.inf), np.zeros_like(nuclei)
    place = np.empty((2, *nuclei.shape), np.int32)
    distance = ndimage.distance_transform_edt(nuclei == 0, return_indices=True, indices=place)
    return np.asarray(distance), nuclei[place[0], place[1]]


def _inside(cells: np.ndarray, edge: int) -> np.ndarray:
    """Pixels at least `edge` pixels away from the pixels along the outlines of cells."""
    outline = segmentation.find_boundaries(cells, mode="inner")
    if not edge or not outline.any():
        return np.ones(cells.shape, bool)
    return np.asarray(ndimage.distance_transform_edt(~outline)) >= edge


def _median(signal: np.ndarray, regions: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Median over the region of each label; NaN where it has no pixel, and for label 0."""
    present = np.isin(labels, regions) & (labels > 0)
    result = np.full(len(labels), np.nan)
    if present.any():
        result[present] = ndimage.median(signal, regions, labels[present])
    return result


def _add_mixture(table: dict[str, np.ndarray], signal: np.ndarray, cytoplasm: np.ndarray) -> None:
    inside = cytoplasm > 0
    label = table["label"]
    fit = fit_two_gaussians(signal[inside], np.searchsorted(label, cytoplasm[inside]), len(label))
    _add_method(table, MIXTURE, fit.mean[:, 1])
    table["mixture_share"], table["mixture_separation"] = fit.weight[:, 1], fit.separation


def _add_method(table: dict[str, np.ndarray], name: str, cytoplasm: np.ndarray) -> None:
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(cytoplasm > 0, table["intensity_nucleus"] / cytoplasm, np.nan)
    table[f"intensity_cytoplasm_{name}"], table[f"{RATIO}_{name}"] = cytoplasm, ratio
