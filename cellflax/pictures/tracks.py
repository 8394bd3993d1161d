"""Pictures of tracks: the movie with outlines in the tracks' colours, and the lineage tree in the same colours."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure
from skimage.segmentation import find_boundaries

from cellflax.frame_sequence import FrameSequence
from cellflax.labels import compact
from cellflax.pictures.overlay import stretch
from cellflax.tracking.lineage import Lineage

_SIDE_PX = 512  # longer side of a frame is this to twice this
_MOST_ROWS = 400  # of a tree: more are hard to distinguish
_GOLDEN = (math.sqrt(5) - 1) / 2  # multiples of it, modulo 1, are spread evenly however many there are


def track_colours(tracks: np.ndarray) -> np.ndarray:
    """A bright colour for each track number, (..., 3) in [0, 1]; successive numbers get colours far apart."""
    hue = tracks * _GOLDEN % 1
    return hsv_to_rgb(np.stack([hue, np.full(hue.shape, 0.75), np.full(hue.shape, 0.95)], axis=-1))


def track_movie(tracks: FrameSequence, images: FrameSequence | None = None) -> Iterator[np.ndarray]:
    """Draw the outlines of tracked cells, with a faint filling.

    Args:
        tracks: (T, H, W) track of every pixel in each frame, 0 = background.
        images: (T, H, W) intensities for the background.

    Yields:
        (H', W', 3) uint8 frames, enlarged or thinned out by a whole factor.
    """
    side = max(tracks.shape[1:])
    zoom, step = math.ceil(_SIDE_PX / side), math.ceil(side / (2 * _SIDE_PX))
    for t, frame in enumerate(tracks):
        present, numbers = compact(frame[::step, ::step])
        colours = np.vstack([np.zeros(3), track_colours(present)])
        shown = numbers.repeat(zoom, axis=0).repeat(zoom, axis=1)
        picture = np.zeros((*shown.shape, 3))
        if images is not None:
            grey = stretch(images[t])[::step, ::step].repeat(zoom, axis=0).repeat(zoom, axis=1)
            picture += 0.8 * grey[..., None]
        inside = shown > 0
        picture[inside] = 0.8 * picture[inside] + 0.2 * colours[shown[inside]]
        outline = find_boundaries(shown, mode="inner")
        picture[outline] = colours[shown[outline]]
        yield (255 * picture).round().astype(np.uint8)


def lineage_tree(lineage: Lineage, times_s: np.ndarray | None = None) -> Figure:
    """Draw the tracks from left to right, each with its daughters above and below it.

    If there is no room for all families, only the largest are drawn, and the title says so.

    Args:
        lineage: the tracks.
        times_s: (T,) time of each frame; without it the axis counts frames.
    """
    rows, n_families, n_shown = _tree_rows(lineage.tracks)
    figure = Figure(figsize=(10, 1.5 + 0.12 * max(len(rows), 10)), dpi=100, layout="constrained")
    ax = figure.subplots()
    last = int(lineage.tracks["end"].to_numpy().max())
    at = np.arange(last + 1) if times_s is None else np.asarray(times_s) / 3600
    columns = (lineage.tracks[name].to_numpy() for name in ("track", "parent", "begin", "end"))
    track, parent, begin, end = columns
    for i, colour in enumerate(track_colours(track)):
        if track[i] not in rows:
            continue
        row = rows[track[i]]
        ax.plot(at[[begin[i], end[i]]], [row, row], color=colour, linewidth=2, marker=".", markersize=4)
        if parent[i]:
            division = at[[end[parent[i] - 1], begin[i]]]  # tracks are numbered from 1
            ax.plot(division, [rows[parent[i]], row], color="0.6", linewidth=0.8)
    ax.set_yticks([])
    ax.set_xlabel("frame" if times_s is None else "time (h)")
    ax.set_ylabel("tracks")
    title = f"{len(lineage.tracks)} tracks, {lineage.n_divisions} divisions"
    if n_shown < n_families:
        title += f"; the {n_shown} largest of {n_families} families"
    ax.set_title(title)
    return figure


def _tree_rows(tracks: pd.DataFrame) -> tuple[dict[int, float], int, int]:
    """Row of each track that is drawn, how many families there are, and how many are drawn."""
    parent = dict(zip(tracks["track"].tolist(), tracks["parent"].tolist(), strict=True))
    daughters: dict[int, list[int]] = {track: [] for track in [0, *parent]}
    for track, of in parent.items():
        daughters[of].append(track)
    families = [_family(founder, daughters) for founder in daughters[0]]
    leaves = [[track for track in family if not daughters[track]] for family in families]
    rows: dict[int, float] = {}
    n_leaves = n_shown = 0
    for i in sorted(range(len(families)), key=lambda i: -len(leaves[i])):
        if n_shown and n_leaves + len(leaves[i]) > _MOST_ROWS:
            break
        rows |= {track: float(n_leaves + row) for row, track in enumerate(leaves[i])}
        for track in reversed(families[i]):
            if daughters[track]:
                rows[track] = float(np.mean([rows[daughter] for daughter in daughters[track]]))
        n_leaves += len(leaves[i])
        n_shown += 1
    return rows, len(daughters[0]), n_shown


def _family(founder: int, daughters: dict[int, list[int]]) -> list[int]:
    """A track and all that come from it, parents before their daughters, branch by branch."""
    found, waiting = [], [founder]
    while waiting:
        track = waiting.pop()
        found.append(track)
        waiting += reversed(daughters[track])
    return found
