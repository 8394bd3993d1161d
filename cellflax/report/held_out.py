"""Single cells and whole regions of label images that are in memory, from the worst to the best."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cellflax.metrics.overlap import CellAccuracy
from cellflax.pictures.overlay import Panel
from cellflax.report.cells import Pick, image_gallery, picked_cells, scored_galleries, scored_panel
from cellflax.report.model import Gallery

_WHOLE = 3  # regions that are shown as a whole
_MOST_PX = 1280  # of a region's longer side that a picture of it has


@dataclass(frozen=True)
class Scored:
    """A label image that was compared with its reference.

    Attributes:
        name: of the image.
        predicted: (H, W) labels.
        reference: (H, W) labels.
        image: (H, W) intensities behind them.
        accuracy: overlaps of the reference cells.
    """

    name: str
    predicted: np.ndarray
    reference: np.ndarray
    image: np.ndarray
    accuracy: CellAccuracy


@dataclass(frozen=True)
class ScoredCrops:
    """What is kept of label images for a report: small parts of them."""

    cells: list[tuple[Pick, Panel]]
    wholes: list[Panel]

    def galleries(self, reference: str) -> list[Gallery]:
        """The cells by how well they are found, and a few regions as a whole.

        Args:
            reference: what the orange outline is.
        """
        words = f"Blue: the network's outlines, orange: {reference}, white: both."
        return [
            *scored_galleries(self.cells, reference),
            *([image_gallery(self.wholes, words, reference)] if self.wholes else []),
        ]


def crops_of(scored: Sequence[Scored]) -> ScoredCrops:
    """The worst, the middle and the best cells, and the worst, the middle and the best image."""
    named = _by_name(scored)
    picks = picked_cells({name: one.accuracy for name, one in named.items()})
    cells = []
    for pick in picks:
        one = named[pick.image]
        cells.append((pick, scored_panel(pick, one.predicted, one.reference, one.image)))
    ranked = sorted(named.items(), key=lambda item: np.nan_to_num(item[1].accuracy.mean_jaccard))
    places = np.unique(np.linspace(0, len(ranked) - 1, _WHOLE).round().astype(int)).tolist() if ranked else []
    return ScoredCrops(cells, [_whole(*ranked[i]) for i in places])


def _by_name(scored: Sequence[Scored]) -> dict[str, Scored]:
    """The images by names of their own: regions of one image are numbered."""
    found: dict[str, Scored] = {}
    for one in scored:
        name, number = one.name, 2
        while name in found:
            name, number = f"{one.name}, region {number}", number + 1
        found[name] = one
    return found


def _whole(name: str, one: Scored) -> Panel:
    step = -(-max(one.predicted.shape) // _MOST_PX)
    score = f"Jaccard {one.accuracy.mean_jaccard:.3f}" if one.accuracy.n_cells else "no cells to score"
    thin = [part[::step, ::step].copy() for part in (one.predicted, one.reference, one.image)]
    return Panel(f"{name}: {score}", *thin)
