"""Nuclear markers among the channels: recognised by name, and measured against the annotated cells."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage import filters

from cellflax.data.example import Example
from cellflax.data.fragments import is_fragment, largest_fragment_px
from cellflax.labels import compact, components
from cellflax.networks import shipped_network
from cellflax.planning.spread import Spread
from cellflax.prediction.nuclei import network_finder
from cellflax.refine.seeds import NucleiSeedsConfig, nuclei_seeds

# Words of a channel's name, in lower case, that stand for the nucleus. A word may be followed by more (`h2bgfp`).
_NUCLEAR = re.compile(
    r"(nuclear|nucleus|nuclei|dapi|hoechst|h2b|h2a|histone|draq5|draq7|sytox|syto|sirdna|nls|dna)\w*|nuc"
)
NETWORK = "nuclei"  # the network of this name, if it comes with cellflax, may find them better than image processing
_MOST_IMAGES = 4  # nuclei are looked for in so many images, of this edge at most
_LARGEST_EDGE = 1024
_LEAST_AREA_PX = 9  # a smaller nucleus is noise

# A nuclear channel seeds the cells if its nuclei cover less of them than this, and this share of the cells' area is in
# cells with exactly one nucleus.
NUCLEI_THEMSELVES, LEAST_SEEDED = 0.6, 0.5
# So many of the small pieces must be without a nucleus, for all of them to be fragments.
_WITHOUT_NUCLEUS = 0.8


@dataclass(frozen=True)
class NuclearMarker:
    """A channel whose name says that it shows nuclei.

    Attributes:
        name: name of the channel.
        diameter: diameters of the nuclei in it, in pixels of the images; None if none is found in a cell.
        coverage: share of the annotated cells' area that is bright in this channel. Where the cells are the nuclei
            themselves, this is nearly all of it.
        seeded: share of the annotated cells' area in cells that hold exactly one nucleus by image processing.
        seeded_by_network: the same by the network `NETWORK`; None if it does not come with cellflax.
        fragment_px: annotated pieces with a smaller area in pixels are fragments, see `cellflax.data.fragments`; 0 if
            there are none, or too many of them hold a nucleus.
    """

    name: str
    diameter: Spread | None
    coverage: float
    seeded: float
    seeded_by_network: float | None = None
    fragment_px: float = 0.0

    @property
    def seeds_cells(self) -> bool:
        """Whether cells can be grown from the nuclei of this channel."""
        return self.coverage < NUCLEI_THEMSELVES and self.best_seeded >= LEAST_SEEDED

    @property
    def best_seeded(self) -> float:
        """The larger of both shares."""
        return max(self.seeded, self.seeded_by_network or 0.0)


def is_nuclear(name: str) -> bool:
    """Whether a channel's name says that it shows nuclei: nuclear, DAPI, Hoechst 33342, DNA, H2B-mCherry, ..."""
    words = re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", name).lower())
    return any(_NUCLEAR.fullmatch(word) for word in words)


def measure_marker(examples: Sequence[Example], channel: int, name: str) -> NuclearMarker:
    """Measure a nuclear channel within the annotated cells of a few images.

    Args:
        examples: images with cells.
        channel: its index.
        name: its name.
    """
    with_cells = [example for example in examples if example.annotated_cells.any()]
    chosen = np.linspace(0, len(with_cells) - 1, min(_MOST_IMAGES, len(with_cells))).astype(int)
    views = [_view(with_cells[i], channel) for i in chosen]
    bright = [_bright(plane) for plane, _ in views]
    inside = sum(int((cells > 0).sum()) for _, cells in views)
    coverage = sum(int((found & (cells > 0)).sum()) for found, (_, cells) in zip(bright, views, strict=True)) / inside
    sizes = _diameters([components(found) for found in bright], views)
    if not sizes.size:
        return NuclearMarker(name, None, coverage, 0.0)
    # The threshold includes the blurred rim; the method that finds seeds cuts each nucleus at its own brightness.
    settings = NucleiSeedsConfig(diameter_px=float(np.median(sizes)))
    nuclei = [nuclei_seeds(plane, settings) for plane, _ in views]
    sizes = _diameters(nuclei, views)
    by_network = None
    if shipped_network(NETWORK) is not None:
        find = network_finder(NETWORK)
        by_network = _share_with_one([find(plane, None) for plane, _ in views], views)
    shown = Spread.of(sizes) if sizes.size else None
    seeded = _share_with_one(nuclei, views)
    return NuclearMarker(name, shown, coverage, seeded, by_network, _fragment_px(nuclei, views))


def _fragment_px(nuclei: Sequence[np.ndarray], views: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    """Area below which nearly all pieces of the annotation are without a nucleus, in pixels."""
    pairs = [(cells, found) for found, (_, cells) in zip(nuclei, views, strict=True)]
    largest = largest_fragment_px(pairs)
    without = sum(int(is_fragment(cells, found, largest).sum()) for cells, found in pairs)
    small = sum(int((np.bincount(compact(cells)[1].ravel())[1:] < largest).sum()) for cells, _ in pairs)
    return largest if small and without >= _WITHOUT_NUCLEUS * small else 0.0


def _diameters(nuclei: Sequence[np.ndarray], views: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Diameters in pixels of the nuclei (labels 1...n) whose centres are in a cell, without specks."""
    sizes = []
    for found, (_, cells) in zip(nuclei, views, strict=True):
        area = np.bincount(found.ravel())[1:]
        sizes.append(area[(_owners(found, cells) > 0) & (area >= _LEAST_AREA_PX)])
    return np.sqrt(4 * np.concatenate(sizes) / np.pi)


def _owners(nuclei: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """(n,) label of the cell that holds the centre of each nucleus 1...n, 0 where there is none."""
    if not nuclei.max():
        return np.zeros(0, cells.dtype)
    centres = np.round(ndimage.center_of_mass(nuclei > 0, nuclei, np.arange(1, nuclei.max() + 1))).astype(int)
    return cells[tuple(centres.T)]


def _share_with_one(nuclei: Sequence[np.ndarray], views: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    """Share of the cells' area in cells that hold exactly one nucleus."""
    one = sum(_area_with_one(found, cells) for found, (_, cells) in zip(nuclei, views, strict=True))
    return one / sum(int((cells > 0).sum()) for _, cells in views)


def _area_with_one(nuclei: np.ndarray, cells: np.ndarray) -> int:
    """Area of the cells that hold exactly one nucleus."""
    owners, counts = np.unique(_owners(nuclei, cells), return_counts=True)
    return int(np.isin(cells[cells > 0], owners[(counts == 1) & (owners > 0)]).sum())


def _view(example: Example, channel: int) -> tuple[np.ndarray, np.ndarray]:
    """A window of the channel and of the cells, where most cells are."""
    cells = example.annotated_cells
    if max(cells.shape) <= _LARGEST_EDGE:
        return example.image[..., channel], cells
    rows, columns = (
        slice(start := _densest(np.sum(cells > 0, axis=1 - axis)), start + _LARGEST_EDGE) for axis in (0, 1)
    )
    return example.image[rows, columns, channel], cells[rows, columns]


def _densest(profile: np.ndarray) -> int:
    """Where a window of the largest edge holds most."""
    if len(profile) <= _LARGEST_EDGE:
        return 0
    total = np.concatenate([[0], np.cumsum(profile)])
    return int(np.argmax(total[_LARGEST_EDGE:] - total[:-_LARGEST_EDGE]))


def _bright(plane: np.ndarray) -> np.ndarray:
    """Pixels above Otsu's threshold on the logarithm of what exceeds the background."""
    smooth = np.asarray(ndimage.gaussian_filter(plane.astype(np.float64), 1))
    noise = max(float(np.percentile(smooth, 50) - np.percentile(smooth, 5)), 1e-3 * float(np.ptp(smooth)), 1e-12)
    brightness = np.log1p(np.maximum(smooth - np.percentile(smooth, 5), 0) / noise)
    if brightness.max() <= brightness.min():
        return np.zeros(plane.shape, bool)
    return brightness > filters.threshold_otsu(brightness)
