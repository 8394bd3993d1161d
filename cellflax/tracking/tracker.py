"""Label movie in, lineage out: drift, links, gaps, divisions."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import numpy as np

from cellflax.frame_sequence import FrameSequence
from cellflax.tracking.cells import MovieCells, measure_movie
from cellflax.tracking.divisions import DivisionConfig, repair_divisions
from cellflax.tracking.drift import DriftConfig, DriftMethod, estimate_drift
from cellflax.tracking.gaps import GapConfig, close_gaps
from cellflax.tracking.lineage import Lineage, build_lineage
from cellflax.tracking.link import LinkConfig, link_frames


@dataclass
class TrackerConfig:
    """How cells are followed.

    Attributes:
        drift: registration of the field before linking.
        link: links between successive frames.
        gaps: links over frames in which a cell was missed.
        divisions: repair of divisions that the links missed.
    """

    drift: DriftConfig = field(default_factory=DriftConfig)
    link: LinkConfig = field(default_factory=LinkConfig)
    gaps: GapConfig = field(default_factory=GapConfig)
    divisions: DivisionConfig = field(default_factory=DivisionConfig)


@dataclass(frozen=True)
class Tracking:
    """What the tracker found.

    Attributes:
        movie: the cells.
        lineage: their tracks.
        drift: (T, 2) shift of the field from each frame to the next, rows and columns, pixels.
        n_gaps: number of links over gaps.
        n_repaired: number of divisions found only by the areas over several frames.
    """

    movie: MovieCells
    lineage: Lineage
    drift: np.ndarray
    n_gaps: int
    n_repaired: int


def track_cells(
    labels: FrameSequence,
    config: TrackerConfig,
    images: FrameSequence | None = None,
    pixel_size_um: float | None = None,
    progress: Callable[[int], None] | None = None,
    missing: Collection[int] = (),
) -> Tracking:
    """Follow the cells of a movie.

    Args:
        labels: (T, H, W) integer labels, 0 = background; a number identifies a cell only within its frame.
        config: how cells are followed.
        images: (T, H, W) intensities, which help to register the field.
        pixel_size_um: edge of a pixel, for lengths in micrometres.
        progress: called with the number of each frame that has been linked.
        missing: frames that were not recorded, without labels.

    Raises:
        UserError: if there is no cell, a label of a frame is two cells, or a length in um lacks the pixel size.
    """
    movie = measure_movie(labels)
    gate_px = config.link.gate_px(movie.diameter_px, pixel_size_um)
    drift = np.zeros((len(movie.frames), 2), np.int64)
    if config.drift.method is DriftMethod.auto:
        drift = estimate_drift(movie, images, set(missing))
    edges = link_movie(movie, config.link, gate_px, drift, progress)
    over_gaps = close_gaps(movie, edges, config.gaps, config.link, gate_px, drift)
    edges = np.concatenate([edges, over_gaps])
    repaired = repair_divisions(movie, edges, config.divisions, config.link.max_daughter_ratio, gate_px, drift)
    lineage = build_lineage(movie, np.concatenate([edges, repaired]))
    return Tracking(movie, lineage, drift, len(over_gaps), len(repaired))


def link_movie(
    movie: MovieCells,
    config: LinkConfig,
    gate_px: float,
    drift: np.ndarray,
    progress: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Link successive frames, (E, 2) numbers of cells in the movie; arguments as in `track_cells`."""
    edges = [np.zeros((0, 2), np.int64)]
    for t in range(1, len(movie.frames)):
        pairs = link_frames(movie.frames[t - 1], movie.frames[t], config, gate_px, drift[t])
        edges.append(pairs + movie.start[t - 1 : t + 1])
        if progress is not None:
            progress(t)
    return np.concatenate(edges)
