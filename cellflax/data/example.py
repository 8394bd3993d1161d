"""What every data source yields: annotated images, and the images or regions that are held out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cellflax.ignored import visible
from cellflax.targets import Outputs

IGNORE = -1
# The classes of Van Valen 2016 (P1).
EDGE, INTERIOR, BACKGROUND = 0, 1, 2
CLASS_NAMES = ("edge", "interior", "background")
# A file of this name says that the images beside it are simulated.
SIMULATED_NOTE = "SIMULATED.txt"


@dataclass(frozen=True)
class Example:
    """One annotated image.

    Attributes:
        name: where it came from, unique in its data set ("set1", "field_0003").
        image: (H, W, C) float32, raw intensities in the order of the data set's channels.
        classes: (H, W) int8 class of each pixel, an index into the data set's `class_names`; -1 marks pixels that
            are not annotated and never trained on.
        cells: (H, W) int32 instance labels, 0 = background: the reference for cell metrics.
        nuclei: (H, W) int32 nucleus labels, where the source has them.
        pixel_size_um: edge of a pixel, if known.
        data_set: name of the data set that it belongs to, where a source has several.
        ignored: (H, W) uint8 codes of what is not annotated, see `cellflax.ignored`; None if everything is. `cells` and
            `nuclei` may have labels there, which do not count.
        maps: (H, W, maps) float32, what the network learns besides classes, NaN where it is unknown or not trained on;
            None without such maps. See `data.with_target`.
        simulated: whether a data set of simulated and other images says of this one that it is simulated.
    """

    name: str
    image: np.ndarray
    classes: np.ndarray
    cells: np.ndarray
    nuclei: np.ndarray | None = None
    pixel_size_um: float | None = None
    data_set: str = ""
    ignored: np.ndarray | None = None
    maps: np.ndarray | None = None
    simulated: bool = False

    @property
    def annotated_cells(self) -> np.ndarray:
        """`cells` with 0 where nothing is annotated."""
        return visible(self.cells, self.ignored)


@dataclass(frozen=True)
class Region:
    """A rectangle of one example that is held out: rows y0..y1, columns x0..x1 (half-open, pixels)."""

    example: Example
    y0: int
    x0: int
    y1: int
    x1: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """The rectangle as an index."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)


@dataclass(frozen=True)
class Dataset:
    """Training examples, the regions held out of them, and the images kept for the final scores.

    Attributes:
        train: training examples; `classes` is IGNORE in held-out regions and in cells that reach into
            one.
        validation: held-out regions, never empty; their examples carry the full annotation.
        channels: names of the image channels, in order.
        class_names: names of the classes, by index (P1: edge, interior, background; in co-cultures an interior per
            cell line; P2 and P3: see `pixel_classes.Annotation`). Background is always last.
        source: one line for screen, checkpoint and reports ("DeepCell HeLa_joint, 5 images").
        simulated: True if images are simulated, all or some.
        test: images for the final scores; may be empty. They keep the scale of their files, because they are
            segmented in the same way as by `cellflax.predict`.
        map_names: names of the maps of the examples.
        simulated_images: number of images that are simulated, where others are not; None where all or none are.
    """

    train: tuple[Example, ...]
    validation: tuple[Region, ...]
    channels: tuple[str, ...]
    class_names: tuple[str, ...]
    source: str
    simulated: bool = False
    test: tuple[Example, ...] = ()
    map_names: tuple[str, ...] = ()
    simulated_images: int | None = None

    @property
    def outputs(self) -> Outputs:
        """The outputs of a network that learns these data."""
        return Outputs(self.class_names, self.map_names)


def class_pixels(examples: Sequence[Example], classes: int) -> np.ndarray:
    """Annotated pixels of each class in each example, (N, K)."""
    return np.array([[np.sum(example.classes == k) for k in range(classes)] for example in examples])
