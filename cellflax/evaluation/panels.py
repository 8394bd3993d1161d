"""Panels of the overlay of `evaluate`: reference and prediction of a few images, from the worst to the best."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cellflax.errors import UserError
from cellflax.io.failures import Failures
from cellflax.io.images import frame_image
from cellflax.io.pair_arrays import WHOLE, SparseReference, read_pair
from cellflax.io.pairs import Pair
from cellflax.io.readers import open_scene
from cellflax.metrics.overlap import CellAccuracy, compared_cells, crop_border
from cellflax.pictures.overlay import Panel

_MAX_PANELS = 6


def panels(
    pairs: Sequence[Pair],
    accuracy: Mapping[str, CellAccuracy],
    failures: Failures,
    *,
    border: int,
    erode_reference: bool,
    sparse: SparseReference = WHOLE,
) -> list[Panel]:
    """At most 6 images, evenly along the ranking by Jaccard index, as they are compared.

    A background picture that cannot be used, or has another shape than the prediction, is noted in `failures`.
    """
    ranked = sorted(pairs, key=lambda pair: np.nan_to_num(accuracy[pair.name].mean_jaccard))
    chosen = np.linspace(0, len(ranked) - 1, min(_MAX_PANELS, len(ranked))).round().astype(int)
    return [_panel(ranked[i], accuracy[ranked[i].name], failures, border, erode_reference, sparse) for i in chosen]


def _panel(
    pair: Pair,
    accuracy: CellAccuracy,
    failures: Failures,
    border: int,
    erode_reference: bool,
    sparse: SparseReference,
) -> Panel:
    arrays = read_pair(pair, sparse)
    reference, predicted = compared_cells(
        arrays.reference, arrays.predicted, border=border, erode_reference=erode_reference, ignored=arrays.ignored
    )
    background = None
    if pair.image is not None:
        with failures.of(f"{pair.name} in image"):
            background = background_of(pair.image, pair, arrays.predicted.shape, border)
    result = f"Jaccard {accuracy.mean_jaccard:.3f}" if accuracy.n_cells else "no cells to score"
    return Panel(f"{pair.name}: {result}", predicted, reference, background)


def background_of(path: Path, pair: Pair, shape: tuple[int, ...], border: int) -> np.ndarray:
    """The picture behind the outlines of a pair, without its border, (H, W).

    Args:
        path: file of the picture.
        pair: the label images.
        shape: of the label images.
        border: pixels cut off each side.

    Raises:
        UserError: if it cannot be read, or has another shape.
    """
    pixels = _background(path, pair.frame)
    if pixels.shape != shape:
        raise UserError(
            f"{path}: shape {pixels.shape} differs from {shape} of {pair.predicted}; give the image that was segmented"
        )
    return crop_border(pixels, border)


def _background(path: Path, t: int | None) -> np.ndarray:
    """The first channel of an image, or of a frame of a movie, (H, W)."""
    with open_scene(path) as scene:
        return frame_image(scene, t if t is not None and scene.n_frames > 1 else 0).pixels[..., 0]
