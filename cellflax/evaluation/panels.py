"""Panels of the overlay of `evaluate`: reference and prediction of a few images, from the worst to the best."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cellflax.errors import UserError
from cellflax.io.images import read_image
from cellflax.io.movie_file import is_movie, open_movie
from cellflax.io.pair_arrays import WHOLE, SparseReference, read_pair
from cellflax.io.pairs import Pair
from cellflax.metrics.overlap import CellAccuracy, compared_cells, crop_border
from cellflax.pictures.overlay import Panel

_MAX_PANELS = 6


def panels(
    pairs: Sequence[Pair],
    accuracy: Mapping[str, CellAccuracy],
    *,
    border: int,
    erode_reference: bool,
    sparse: SparseReference = WHOLE,
) -> list[Panel]:
    """At most 6 images, evenly along the ranking by Jaccard index, as they are compared.

    Raises:
        UserError: if a background picture has another shape than the prediction.
    """
    ranked = sorted(pairs, key=lambda pair: np.nan_to_num(accuracy[pair.name].mean_jaccard))
    chosen = np.linspace(0, len(ranked) - 1, min(_MAX_PANELS, len(ranked))).round().astype(int)
    return [_panel(ranked[i], accuracy[ranked[i].name], border, erode_reference, sparse) for i in chosen]


def _panel(pair: Pair, accuracy: CellAccuracy, border: int, erode_reference: bool, sparse: SparseReference) -> Panel:
    arrays = read_pair(pair, sparse)
    reference, predicted = compared_cells(
        arrays.reference, arrays.predicted, border=border, erode_reference=erode_reference, ignored=arrays.ignored
    )
    background = None
    if pair.image is not None:
        pixels = _background(pair.image, pair.frame)
        if pixels.shape != arrays.predicted.shape:
            raise UserError(
                f"{pair.image}: shape {pixels.shape} differs from {arrays.predicted.shape} of "
                f"{pair.predicted}; give the image that was segmented"
            )
        background = crop_border(pixels, border)
    result = f"Jaccard {accuracy.mean_jaccard:.3f}" if accuracy.n_cells else "no cells to score"
    return Panel(f"{pair.name}: {result}", predicted, reference, background)


def _background(path: Path, t: int | None) -> np.ndarray:
    """The first channel of an image, or of a frame of a movie, (H, W)."""
    if t is None or not is_movie(path):
        return read_image(path).pixels[..., 0]
    with open_movie(path) as movie:
        return movie.frame(t)[..., 0]
