"""The stages of `cellflax.predict` on one image in memory, timed one by one, and a paper's time for all of them."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy import ndimage

from benchmarks.timing import Time, print_table
from cellflax.inference.normalize_tiles import NormalizedImage
from cellflax.inference.settings import Inference
from cellflax.io.images import Image
from cellflax.measure.cells import cell_table
from cellflax.prediction.trained import TrainedModel

BLUR_PX = 2.0


def normalizing(model: TrainedModel, image: Image) -> Callable[[], np.ndarray]:
    """Normalises the whole image, (H, W, C)."""
    height, width = image.pixels.shape[:2]
    whole = slice(0, height), slice(0, width)
    return lambda: NormalizedImage(image.pixels, model.config.normalize, model.geometry.receptive_field).window(whole)


def predicting(model: TrainedModel, normalized: np.ndarray, inference: Inference) -> Callable[[], np.ndarray]:
    """Predicts class probabilities (H, W, K) of the whole image."""
    tile = inference.tile_px(model.geometry)
    return lambda: inference.predict(model.probabilities, normalized, model.geometry, tile=tile)


def measuring(model: TrainedModel, image: Image, labels: np.ndarray, probability: np.ndarray) -> Callable[[], int]:
    """Makes the table of cells; returns its size, because the timing cannot wait for a table."""
    return lambda: (
        cell_table(
            labels,
            image=image.pixels,
            channels=model.channels,
            probability=probability,
            class_names=model.class_names,
            pixel_size_um=image.pixel_size_um,
        ).size
    )


def blurred(classes: np.ndarray, count: int) -> np.ndarray:
    """Class probabilities (H, W, count) of a network that is right except for a blur, from (H, W) classes."""
    certain = np.eye(count, dtype=np.float32)[classes]
    return ndimage.gaussian_filter(certain, (BLUR_PX, BLUR_PX, 0))


def print_stages(
    title: str, times: Mapping[str, Time], totals: Mapping[str, Sequence[str]], paper_s: float, paper: str
) -> None:
    """Print a table of the stages and of sums over some of them.

    Args:
        title: heading of the first column.
        times: times of the stages.
        totals: name of each sum, and its stages.
        paper_s: the paper's time for all stages in seconds.
        paper: P1, P2 or P3.
    """
    rows = [[name, *taken.seconds(), ""] for name, taken in times.items()]
    for name, stages in totals.items():
        total = sum((times[stage] for stage in stages), Time(0, 0))
        rows.append([name, *total.seconds(), f"{paper_s / total.wall_s:.1f}"])
    print_table([title, "seconds", "core-seconds", f"{paper_s:g} s ({paper}) / seconds"], rows)
