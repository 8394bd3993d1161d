"""Groups of images that look alike, so that corrections are spread over all kinds of images."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from cellflax.correction.predicted import PredictedImage
from cellflax.correction.ranking import Candidate
from cellflax.measure.appearance import appearance_of, equivalent_diameters

# What of each trait counts as a step: differences below it are usual among images of one kind. Logarithms are
# natural, so that 0.1 is 10 %.
_CHANNEL_STEPS = {"contrast": 0.1, "level": 0.05, "contrast to noise": 0.15, "sharpness": 0.05}
_CELL_STEPS = {"diameter": 0.1, "density": 0.3}


def traits_of(image: PredictedImage) -> np.ndarray:
    """How an image and its predicted cells look, (4 C + 2,), in steps that tell kinds of images apart.

    Of each channel: contrast, level of the median, contrast to noise, and sharpness. Of the cells: their median
    diameter in pixels and how many there are per pixel. NaN where something cannot be measured.

    Args:
        image: an image of C channels.
    """
    parts: list[float] = []
    for channel in np.moveaxis(image.image.pixels, -1, 0):
        look = appearance_of(channel)
        values = (_log(look.span), look.level, _log(look.contrast_to_noise), _log(look.sharpness))
        parts += _in_steps(values, _CHANNEL_STEPS.values())
    sizes = equivalent_diameters(image.labels)
    diameter = float(np.median(sizes)) if len(sizes) else None
    parts += _in_steps((_log(diameter), _log(len(sizes) / image.labels.size)), _CELL_STEPS.values())
    return np.array(parts)


def spread_over_groups(candidates: Sequence[Candidate], traits: np.ndarray, count: int) -> list[Candidate]:
    """Candidates in another order: the best of each group, then the second best of each, and so on.

    Args:
        candidates: the best first.
        traits: (N, D) of their images, as from `traits_of`.
        count: number of groups; there are fewer where images are the same.
    """
    groups = _groups_of(traits, count)
    sizes, taken = Counter(groups), Counter()
    chosen: list[tuple[int, Candidate]] = []
    for candidate, group in zip(candidates, groups, strict=True):
        others = sizes[group] - 1
        alike = f"of a group of {others + 1} that look alike" if others else "unlike all others"
        chosen.append((taken[group], replace(candidate, why=f"{candidate.why}; {alike}")))
        taken[group] += 1
    return [candidate for _, candidate in sorted(chosen, key=lambda pair: pair[0])]  # stable: the best first


def _groups_of(traits: np.ndarray, most: int) -> list[int]:
    """The group of each image by Ward's method. What is unknown of an image counts as the median of the others."""
    if len(traits) < 2:
        return [0] * len(traits)
    columns = []
    for column in traits.T:
        known = np.isfinite(column)
        columns.append(np.where(known, column, np.median(column[known]) if known.any() else 0.0))
    return fcluster(linkage(np.stack(columns, axis=1), "ward"), most, "maxclust").tolist()


def _in_steps(values: Iterable[float | None], steps: Iterable[float]) -> list[float]:
    return [math.nan if value is None else value / step for value, step in zip(values, steps, strict=True)]


def _log(value: float | None) -> float | None:
    return math.log(value) if value else None
