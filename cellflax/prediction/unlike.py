"""Images that are unlike those of the training, gathered over a prediction: one line for each way."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cellflax.data.resample import to_scale
from cellflax.errors import UserError
from cellflax.io.images import Image
from cellflax.measure.appearance import CENTRE_PX, central_part
from cellflax.prediction.trained import TrainedModel
from cellflax.progress import say
from cellflax.training.seen import FEW_CELLS, Look, SeenChannel, looks_of, read_seen

# How far beyond the training images' range an image may be. Few images show little of what is usual, and a warning
# that comes for nothing is soon ignored.
_PIXEL_SIZE_FACTOR = 1.1
_SPAN_FACTOR = 2.0
_NOISE_FACTOR = 2.0
_SHARPNESS_FACTOR = 1.25
_DIAMETER_FACTOR = 1.4
_LEVEL_TOLERANCE = 0.25  # of the channel's range
_NAMED = 3  # images that a line names


@dataclass(frozen=True)
class _Finding:
    """An image that is unlike those of the training in one way.

    Attributes:
        value: what it has, in words.
        seen: what the training had, in words.
        remedy: what to do, or what it may come from.
    """

    value: str
    seen: str
    remedy: str


class UnlikeTraining:
    """Compares images with those of a network's training, and says at the end which are unlike them.

    A checkpoint of an older version has no record of its training images except a pixel size; nothing else is compared.

    Args:
        model: the network.

    Raises:
        UserError: if the checkpoint's record is damaged.
    """

    def __init__(self, model: TrainedModel):
        self._model = model
        try:
            self._seen = read_seen(model.record)
        except UserError as error:
            raise UserError(f"checkpoint {model.path} is damaged: {error}; copy it again") from error
        self._found: dict[str, dict[str, _Finding]] = {}  # by kind and image
        self._said: set[str] = set()
        self._sizes: dict[str, float | None] = {}

    def image(self, name: str, image: Image) -> None:
        """Compare an image, or the first frame of a movie, before it is segmented.

        Args:
            name: how the line names it.
            image: (H, W, C) raw intensities, channels in the model's order.
        """
        self._sizes[name] = image.pixel_size_um
        self._compare_pixel_size(name, image.pixel_size_um)
        if self._seen is None or len(self._seen.channels) != image.pixels.shape[-1]:
            return
        try:
            looks = looks_of(_centre_at_scale(image, self._model), self._model.config.normalize)
        except UserError:  # its pixel size is needed and unknown: whoever segments it says so
            return
        for channel, look in zip(self._seen.channels, looks or (), strict=False):
            self._compare(name, channel, look)

    def cells(self, name: str, cells: pd.DataFrame) -> None:
        """Compare the sizes of the cells that were found in an image.

        Args:
            name: as for `image`, which comes first.
            cells: its table of cells, with the column `area_px`.
        """
        seen = self._seen
        if seen is None or not seen.cell_diameter_px or len(cells) < FEW_CELLS:
            return
        size, scale = self._sizes[name], self._model.config.scale
        of_network = scale.pixel_size_after(size)
        resampled = size / of_network if size and of_network else scale.factor or 1.0
        found = resampled * math.sqrt(4 / math.pi * float(np.median(cells["area_px"].to_numpy())))
        known = seen.image_diameter_px or [seen.cell_diameter_px[0], seen.cell_diameter_px[-1]]
        if not _beyond(found, known, _DIAMETER_FACTOR):
            return
        factor = found / seen.cell_diameter_px[1]
        remedy = (
            f"if they are as large as those of the training, resample with network_pixel_size_um="
            f"{of_network * factor:.3g}"
            if size and of_network
            else f"if they are as large as those of the training, resample with pixel_size_um=1 "
            f"network_pixel_size_um={factor / resampled:.3g} (lengths in um are then wrong), or with the true sizes"
        )
        value = f"cells of {found:.3g} px across (median)"
        self._add("the size of the cells", name, value, f"images of {_words(known)} px", remedy)

    def say(self) -> None:
        """Print a line for each way in which images are unlike those of the training; each way once."""
        for kind, findings in self._found.items():
            if kind not in self._said:
                self._said.add(kind)
                say(f"warning: {_line(findings, len(self._sizes))}")

    def _compare_pixel_size(self, name: str, size: float | None) -> None:
        one = self._model.record["data"]["pixel_size_um"]
        trained = (self._seen and self._seen.pixel_size_um) or ([one, one] if one else [])
        scale = self._model.config.scale
        of_network = scale.pixel_size_after(size)  # as the training's record has it
        if not of_network or not trained or scale.pixel_size_um is not None:
            return
        low, high = trained
        if low / _PIXEL_SIZE_FACTOR <= of_network <= high * _PIXEL_SIZE_FACTOR:
            return
        nearest = low if of_network < low else high
        remedy = f"resample it with network_pixel_size_um={nearest:g}"
        images = [edge * (scale.factor or 1) for edge in trained]
        self._add("the pixel size", name, f"{size:g} um per pixel", _words(images), remedy)

    def _compare(self, name: str, seen: SeenChannel, look: Look) -> None:
        image, channel = look.appearance, seen.name
        # The range of few images says less: of one, the factor counts twice.
        few = 1 + 1 / max(self._seen.images if self._seen else 1, 1)
        if _beyond(look.span, seen.span, _SPAN_FACTOR**few):
            self._add(
                f"the contrast of {channel}",
                name,
                f"a contrast of {look.span:.3g} in {channel}",
                _words(seen.span),
                "was it taken with another exposure or stain? normalize.intensity=percentile trains a network that "
                "does not depend on it",
            )
        if seen.level and image.level is not None and _off(image.level, seen.level, _LEVEL_TOLERANCE):
            self._add(
                f"the background of {channel}",
                name,
                f"the median of {channel} at {image.level:.0%} of its range",
                _percents(seen.level),
                "is it another stain or microscopy, or are bright and dark exchanged?",
            )
        elif seen.span and _off(look.offset, seen.offset, max(seen.span) / 2):
            self._add(
                f"the offset of {channel}",
                name,
                f"a darkest value of {look.offset:.3g} in {channel}",
                _words(seen.offset),
                "was its background subtracted? give images as those of the training",
            )
        if seen.contrast_to_noise and image.contrast_to_noise is not None:
            least = min(seen.contrast_to_noise)
            if image.contrast_to_noise < least / _NOISE_FACTOR**few:
                self._add(
                    f"the noise of {channel}",
                    name,
                    f"a contrast of {image.contrast_to_noise:.3g} times the noise in {channel}",
                    f"{least:.3g} or more",
                    "expect missed cells; expose longer, or train with such images",
                )
        if image.sharpness is not None and _beyond(image.sharpness, seen.sharpness, _SHARPNESS_FACTOR):
            blurred = image.sharpness < min(seen.sharpness)
            self._add(
                f"the {'blur' if blurred else 'sharpness'} of {channel}",
                name,
                f"a sharpness of {image.sharpness:.2f} in {channel}",
                _words(seen.sharpness, ".2f"),
                "is it out of focus, or larger on the image than in training?"
                if blurred
                else "is it smaller on the image than in training?",
            )

    def _add(self, kind: str, name: str, value: str, seen: str, remedy: str) -> None:
        self._found.setdefault(kind, {})[name] = _Finding(value, seen, remedy)


def _centre_at_scale(image: Image, model: TrainedModel) -> np.ndarray:
    """The central part of an image at the network's scale."""
    part = central_part(image.pixels, CENTRE_PX)
    return to_scale(part, image.pixel_size_um, model.config.scale, str(image.path))


def _beyond(value: float, seen: Sequence[float], factor: float) -> bool:
    """Whether a value is outside of a range of positive values by more than a factor."""
    return bool(seen) and not min(seen) / factor <= value <= max(seen) * factor


def _off(value: float, seen: Sequence[float], tolerance: float) -> bool:
    """Whether a value is outside of a range by more than a tolerance."""
    return bool(seen) and not min(seen) - tolerance <= value <= max(seen) + tolerance


def _line(findings: Mapping[str, _Finding], images: int) -> str:
    """One line about images that are unlike those of the training in the same way; the first gives the value."""
    names = list(findings)
    first = findings[names[0]]
    line = f"{names[0]} has {first.value}, training had {first.seen}; {first.remedy}"
    if images == 1:
        return line
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{len(names)} of {images} images ({', '.join(names[:_NAMED])}{more}): {line}"


def _words(seen: Sequence[float], digits: str = ".3g") -> str:
    low, high = (format(value, digits) for value in seen)
    return low if low == high else f"{low} to {high}"


def _percents(seen: Sequence[float]) -> str:
    return " to ".join(dict.fromkeys(f"{value:.0%}" for value in seen))
