"""Resample images to a network's physical scale, and results back to the image's grid (Al-Kofahi 2018, P3)."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage
from skimage import transform

from cellflax.checks import above, check, within
from cellflax.data.example import Dataset, Example, Region
from cellflax.errors import UserError

Window = tuple[slice, slice]


@dataclass
class ScaleConfig:
    """Operations in physical units that come first, in training and in prediction.

    Attributes:
        tophat_um: a white top-hat with a square of this width removes wider structures from each channel (P3: 200
            pixels of its images at 10x, which is 130 um); null for none.
        pixel_size_um: images are then resampled to pixels of this size (P3: 0.65); null leaves them as they are.
        factor: or images are resampled by this factor, whatever their pixel size: with 2, cells are twice as wide for
            the network. Results are brought back to the image's own pixels. Null leaves them as they are.
    """

    tophat_um: float | None = None
    pixel_size_um: float | None = None
    factor: float | None = None

    def __post_init__(self):
        check(self, "scale", above(0), "tophat_um", "pixel_size_um")
        check(self, "scale", within(0.05, 20), "factor")
        if self.factor is not None and self.pixel_size_um is not None:
            raise UserError(
                f"scale.factor={self.factor:g} and scale.pixel_size_um={self.pixel_size_um:g}: each sets the size of "
                "the network's pixels; give one of them"
            )

    @property
    def changes_nothing(self) -> bool:
        """Whether images stay as they are."""
        return self.tophat_um is None and self.pixel_size_um is None and self.factor is None

    def pixel_size_after(self, pixel_size_um: float | None) -> float | None:
        """Edge of a network's pixel in um, from that of an image; None if it is unknown."""
        if self.pixel_size_um is not None:
            return self.pixel_size_um
        return pixel_size_um if self.factor is None or pixel_size_um is None else pixel_size_um / self.factor


class NearestGrid:
    """Nearest neighbours between two grids of pixels over the same field.

    Args:
        source: height and width of the grid that values come from.
        target: height and width of the grid that they go to.
    """

    def __init__(self, source: tuple[int, int], target: tuple[int, int]):
        # The source pixel that holds the centre of each target pixel.
        self._same = source == target
        self._index = tuple((2 * np.arange(b) + 1) * a // (2 * b) for a, b in zip(source, target, strict=True))

    def window(self, window: Window) -> Window:
        """The part of the target that takes its values from a window of the source; tiled windows stay tiled."""
        rows, columns = (
            slice(*np.searchsorted(index, (span.start, span.stop)).tolist())
            for index, span in zip(self._index, window, strict=True)
        )
        return rows, columns

    def take(self, values: np.ndarray, window: Window | None = None) -> np.ndarray:
        """Bring values (h, w, ...) of the source, or of a window of it, to the target."""
        if self._same:
            return values
        if window is None:
            rows, columns = self._index
        else:
            part = self.window(window)
            rows, columns = (index[to] - span.start for index, to, span in zip(self._index, part, window, strict=True))
        return values[rows[:, None], columns]


def labels_to_grid(labels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Bring (H, W) labels to another grid over the same field, by nearest neighbours."""
    return NearestGrid(labels.shape[:2], shape).take(labels)


def resample(image: np.ndarray, from_um: float, to_um: float) -> np.ndarray:
    """Resample an image to another pixel size: linearly, after a Gaussian against aliasing if pixels become larger.

    Args:
        image: (H, W, C), any real type.
        from_um: its pixel size.
        to_um: the wanted pixel size. A whole number of pixels covers the field, so the size is exact to within half a
            pixel over the whole field.

    Returns:
        (H', W', C) float32; `image` itself, as float32, if H' and W' do not change.
    """
    height, width = (max(round(size * from_um / to_um), 1) for size in image.shape[:2])
    image = image.astype(np.float32, copy=False)
    if (height, width) == image.shape[:2]:
        return image
    shape = (height, width, image.shape[-1])
    resized = transform.resize(image, shape, order=1, mode="reflect", anti_aliasing=True, preserve_range=True)
    return np.asarray(resized)


def to_scale(
    image: np.ndarray,
    pixel_size_um: float | None,
    config: ScaleConfig,
    name: str = "image",
    remedy: str = "add pixel_size_um=...",
) -> np.ndarray:
    """Apply `config` to an image; without any setting it is returned as it is.

    Args:
        image: (H, W, C), any real type.
        pixel_size_um: its pixel size, if known.
        config: the settings.
        name: what to call the image in an error.
        remedy: what to do if the pixel size is needed and unknown.

    Returns:
        (H', W', C) float32.

    Raises:
        UserError: if the pixel size is needed and unknown: it is never guessed.
    """
    if config.changes_nothing:
        return image
    if config.tophat_um is None and config.factor is not None:
        return resample(image, config.factor, 1.0)
    if pixel_size_um is None:
        key = "tophat_um" if config.pixel_size_um is None else "pixel_size_um"
        setting = f"scale.{key}={getattr(config, key):g}"
        raise UserError(f"{name}: its pixel size is unknown, but the network's {setting} needs it; {remedy}")
    image = image.astype(np.float32)
    if config.tophat_um is not None:
        width = max(round(config.tophat_um / pixel_size_um), 1)
        image = np.asarray(ndimage.white_tophat(image, size=(width, width, 1)))
    target = config.pixel_size_after(pixel_size_um)
    return image if target is None else resample(image, pixel_size_um, target)


def dataset_to_scale(dataset: Dataset, config: ScaleConfig) -> Dataset:
    """Apply `config` to the images of a data set, and to their labels, classes and held-out regions.

    Test images stay as they are: prediction resamples them, and its results back.

    Raises:
        UserError: if an image's pixel size is needed and unknown.
    """
    if config.changes_nothing:
        return dataset
    done: dict[int, np.ndarray] = {}  # a training example and its held-out region share their image

    def scaled(example: Example) -> Example:
        key = id(example.image)
        if key not in done:
            done[key] = to_scale(
                example.image, example.pixel_size_um, config, example.name, "save it in the image file"
            )
        shape = done[key].shape[:2]
        return replace(
            example,
            image=done[key],
            classes=labels_to_grid(example.classes, shape),
            cells=labels_to_grid(example.cells, shape),
            nuclei=None if example.nuclei is None else labels_to_grid(example.nuclei, shape),
            ignored=None if example.ignored is None else labels_to_grid(example.ignored, shape),
            pixel_size_um=config.pixel_size_after(example.pixel_size_um),
        )

    def scaled_region(region: Region) -> Region:
        example = scaled(region.example)
        grid = NearestGrid(region.example.image.shape[:2], example.image.shape[:2])
        rows, columns = grid.window(region.slices)
        return Region(example, rows.start, columns.start, rows.stop, columns.stop)

    return replace(
        dataset,
        train=tuple(scaled(example) for example in dataset.train),
        validation=tuple(scaled_region(region) for region in dataset.validation),
    )
