"""What a network was trained on, in ranges: intensities, noise, sharpness, pixel sizes and sizes of cells.

A checkpoint keeps it, so that prediction can say which images are unlike those of the training.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cellflax.data.example import Dataset, Example
from cellflax.data.normalize import NormalizeConfig, intensity_scale
from cellflax.errors import UserError
from cellflax.measure.appearance import CENTRE_PX, Appearance, appearance_of, central_part, equivalent_diameters
from cellflax.schemas import from_json, to_json

SEEN = "seen"  # of a checkpoint's record
MOST_IMAGES = 200  # that are measured; more change the ranges little and take long
FEW_CELLS = 5  # an image with fewer has no typical size of cells
_CELL_PERCENT = (5, 95)


@dataclass
class SeenChannel:
    """Smallest and largest value of each statistic over the training images; empty where no image has one.

    Attributes:
        name: of the channel.
        low: 1st percentile of the intensities.
        middle: median of the intensities.
        high: 99.8th percentile of the intensities.
        offset: `low` after the channel is brought to the network's scale (before a local mean is subtracted).
        span: `high` - `low` after that.
        level: where the median lies between `low` (0) and `high` (1).
        contrast_to_noise: `high` - `low` in standard deviations of the noise.
        sharpness: see `measure.appearance.Appearance`.
    """

    name: str = ""
    low: list[float] = field(default_factory=list)
    middle: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    offset: list[float] = field(default_factory=list)
    span: list[float] = field(default_factory=list)
    level: list[float] = field(default_factory=list)
    contrast_to_noise: list[float] = field(default_factory=list)
    sharpness: list[float] = field(default_factory=list)


@dataclass
class Seen:
    """The ranges of a training.

    Attributes:
        images: training images that were measured.
        channels: of each channel, in the network's order.
        pixel_size_um: smallest and largest pixel size; empty where none is known. Sizes below are in pixels of the
            network, which may be others.
        cell_diameter_px: diameters that 5 % of the cells, half of them and 95 % do not exceed; empty without cells.
        image_diameter_px: smallest and largest median diameter of an image's cells; empty without an image with 5.
    """

    images: int = 0
    channels: list[SeenChannel] = field(default_factory=list)
    pixel_size_um: list[float] = field(default_factory=list)
    cell_diameter_px: list[float] = field(default_factory=list)
    image_diameter_px: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Look:
    """How one channel of an image looks, as it is and as the network gets it.

    Attributes:
        appearance: of the raw intensities.
        offset: as in `SeenChannel`.
        span: as in `SeenChannel`.
    """

    appearance: Appearance
    offset: float
    span: float


def looks_of(image: np.ndarray, config: NormalizeConfig) -> list[Look] | None:
    """How each channel of an image looks; None for one that cannot be normalised.

    Args:
        image: (H, W, C) at the network's scale. Of a large one, the centre is measured.
        config: how intensities are brought to a common scale.
    """
    part = central_part(image, CENTRE_PX)
    try:
        scale = intensity_scale(part, config)
    except UserError:  # blank: whoever segments it says so
        return None
    looks = []
    for c in range(part.shape[-1]):
        seen = appearance_of(part[..., c])
        offset, divisor = float(scale.offset[c]), float(scale.divisor[c])
        looks.append(Look(seen, (seen.low - offset) / divisor, seen.span / divisor))
    return looks


def seen_in_training(dataset: Dataset, config: NormalizeConfig) -> dict[str, Any]:
    """The ranges of the training images, as JSON for the checkpoint's record.

    Args:
        dataset: data set at the network's scale. Of many training images, 200 are measured.
        config: how intensities are brought to a common scale.
    """
    examples = spread_over(dataset.train, MOST_IMAGES)
    found = [looks for example in examples if (looks := looks_of(example.image, config)) is not None]
    channels = [_channel(name, [looks[index] for looks in found]) for index, name in enumerate(dataset.channels)]
    cells = [equivalent_diameters(example.annotated_cells) for example in examples]
    each = np.concatenate(cells)
    percentiles = np.percentile(each, (_CELL_PERCENT[0], 50, _CELL_PERCENT[1])).tolist() if len(each) else []
    return to_json(
        Seen(
            images=len(examples),
            channels=channels,
            pixel_size_um=_range(example.pixel_size_um for example in dataset.train),
            cell_diameter_px=percentiles,
            image_diameter_px=_range(float(np.median(sizes)) for sizes in cells if len(sizes) >= FEW_CELLS),
        )
    )


def spread_over(examples: Sequence[Example], most: int) -> list[Example]:
    """At most so many of the examples, at equal distances over the list."""
    places = np.unique(np.linspace(0, len(examples) - 1, min(most, len(examples))).round().astype(int))
    return [examples[place] for place in places]


def read_seen(record: dict[str, Any]) -> Seen | None:
    """The ranges in a checkpoint's record; None in one of an older version.

    Raises:
        UserError: if the record is damaged.
    """
    if SEEN not in record:
        return None
    seen = from_json(Seen, record[SEEN])
    pairs = [getattr(channel, name) for channel in seen.channels for name in _RANGES]
    pairs += [seen.pixel_size_um, seen.image_diameter_px]
    if any(len(pair) not in (0, 2) for pair in pairs) or len(seen.cell_diameter_px) not in (0, 3):
        raise UserError("its ranges of the training images are no ranges")
    return seen


_RANGES = ("low", "middle", "high", "offset", "span", "level", "contrast_to_noise", "sharpness")


def _channel(name: str, looks: list[Look]) -> SeenChannel:
    own = {"offset": _range(look.offset for look in looks), "span": _range(look.span for look in looks)}
    rest = {key: _range(getattr(look.appearance, key) for look in looks) for key in _RANGES if key not in own}
    return SeenChannel(name=name, **own, **rest)


def _range(values: Iterable[float | None]) -> list[float]:
    """Smallest and largest of the known values; an image may hold NaN where nothing is annotated."""
    known = [float(value) for value in values if value is not None and math.isfinite(value)]
    return [min(known), max(known)] if known else []
