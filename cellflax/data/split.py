"""What is held out for validation: whole images, or a strip of each image with every cell that reaches into it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from skimage import segmentation

from cellflax.checks import above, at_least, check
from cellflax.data.example import IGNORE, Example, Region
from cellflax.errors import UserError

# Pixels around a cell that carry its edge annotation (up to 3 px) and are held out with it.
CELL_MARGIN_PX = 5


class Split(Enum):
    """How validation data are separated from training data."""

    image = "image"
    region = "region"


@dataclass
class SplitOptions:
    """Settings of the split, part of every data set that is read from files.

    Attributes:
        split: `image` holds out whole images, `region` a strip at one side of each image.
        validation_fraction: share of the images, or of each image's width or height, that is held out.
        split_seed: seed that chooses the held-out images, or the side of each image.
    """

    split: Split = Split.image
    validation_fraction: float = 0.1
    split_seed: int = 0

    def __post_init__(self) -> None:
        check(self, "data", above(0, below=1), "validation_fraction")
        check(self, "data", at_least(0), "split_seed")


def split_examples(
    examples: Sequence[Example], options: SplitOptions
) -> tuple[tuple[Example, ...], tuple[Region, ...]]:
    """Separate training examples from held-out regions; no cell has pixels in both.

    Raises:
        UserError: if either side would be left without a cell.
    """
    divide = _by_image if options.split is Split.image else _by_region
    train, validation = divide(list(examples), options)
    setting = f"data.validation_fraction={options.validation_fraction} with data.split={options.split.name}"
    if not any(_has_cells(example) for example in train):
        raise UserError(f"{setting} leaves no cell to train on; lower it or add images")
    if not any(region.example.annotated_cells[region.slices].any() for region in validation):
        raise UserError(f"{setting} holds out no cell; raise it, change data.split_seed or add images")
    return train, validation


def _has_cells(example: Example) -> bool:
    """Whether a cell is annotated, and not held out."""
    return bool(example.annotated_cells[example.classes != IGNORE].any())


def whole(example: Example) -> Region:
    """The region that covers a whole example."""
    return Region(example, 0, 0, *example.classes.shape)


def _by_image(examples: list[Example], options: SplitOptions) -> tuple[tuple[Example, ...], tuple[Region, ...]]:
    if len(examples) < 2:
        raise UserError(f"data.split=image needs at least 2 images, there is {len(examples)}; use data.split=region")
    count = max(1, round(options.validation_fraction * len(examples)))
    order = np.random.default_rng(options.split_seed).permutation(len(examples)).tolist()
    # Both sides need a cell: images without one (they show what is no cell) make way, if there are enough with cells.
    with_cells = [i for i in order if _has_cells(examples[i])]
    held_out = set(order[:count])
    if len(with_cells) == 1:
        raise UserError("data.split=image needs at least 2 images with cells, there is 1; use data.split=region")
    found = len(held_out & set(with_cells))
    if 1 < len(with_cells) < len(examples) and found in (0, len(with_cells)):
        first, rest = with_cells[0], [i for i in order if i not in with_cells]
        held_out = {first, *[*rest, *with_cells[1:-1]][: count - 1]}
    train = tuple(example for i, example in enumerate(examples) if i not in held_out)
    return train, tuple(whole(examples[i]) for i in sorted(held_out))


def _by_region(examples: list[Example], options: SplitOptions) -> tuple[tuple[Example, ...], tuple[Region, ...]]:
    rng = np.random.default_rng(options.split_seed)
    train, validation = [], []
    for example in examples:
        strips = _strips(example, options.validation_fraction)
        order = rng.permutation(len(strips))
        # The first side, in random order, that shows a cell; an image without one has nothing to hold out.
        strip = next((strips[i] for i in order if example.annotated_cells[strips[i].slices].any()), None)
        train.append(example if strip is None else _without(strip))
        validation += [] if strip is None else [strip]
    return tuple(train), tuple(validation)


def _strips(example: Example, fraction: float) -> list[Region]:
    """Strips at the top, bottom, left and right side that are `fraction` of the image, at least one pixel."""
    height, width = example.classes.shape
    rows, columns = max(1, round(fraction * height)), max(1, round(fraction * width))
    return [
        Region(example, 0, 0, rows, width),
        Region(example, height - rows, 0, height, width),
        Region(example, 0, 0, height, columns),
        Region(example, 0, width - columns, height, width),
    ]


def _without(strip: Region) -> Example:
    """The strip's example without annotation in the strip and in every cell or cell edge that reaches into it."""
    example = strip.example
    territory = segmentation.expand_labels(example.cells, CELL_MARGIN_PX)
    reaching = np.unique(territory[strip.slices])
    excluded = np.isin(territory, reaching[reaching > 0])
    excluded[strip.slices] = True
    return replace(example, classes=np.where(excluded, IGNORE, example.classes).astype(np.int8))
