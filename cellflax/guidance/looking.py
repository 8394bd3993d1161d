"""The images that guidance looks at: held-out ones, and a fixed sample of the training images, segmented as usual."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cellflax.data.example import Dataset, Example, Region
from cellflax.errors import UserError
from cellflax.inference.settings import Inference
from cellflax.io.images import Image
from cellflax.metrics.score import CellScores, score_cells
from cellflax.prediction.segment import find_nuclei, segment
from cellflax.prediction.trained import TrainedModel
from cellflax.progress import each
from cellflax.refine import RefineConfig
from cellflax.refine.classes import class_maps
from cellflax.targets import BOUNDARY

# What is looked at costs the time of segmenting it. Of more images, and pixels, these are taken.
MOST_HELD_OUT, MOST_TRAINING = 60, 24
_MOST_PIXELS = 1 << 26
_SAMPLE_SEED = 0


@dataclass(frozen=True)
class Field:
    """An image that is looked at.

    Attributes:
        example: the image with its annotation.
        region: the part of it that was held out, or None.
    """

    example: Example
    region: Region | None

    @property
    def part(self) -> str:
        """`held-out` or `training`; an image of which a region was held out is `both`."""
        if self.region is None:
            return "training"
        rows, columns = self.region.slices
        whole = (rows.start, columns.start, rows.stop, columns.stop) == (0, 0, *self.example.cells.shape)
        return "held-out" if whole else "both"

    def is_held_out(self, y: float, x: float) -> bool:
        """Whether a place, in pixels, is in the held-out part."""
        if self.region is None:
            return False
        return self.region.y0 <= y < self.region.y1 and self.region.x0 <= x < self.region.x1


@dataclass(frozen=True)
class Looked:
    """What a network sees in an image.

    Attributes:
        field: the image.
        labels: (H, W) int32 cells.
        nuclei: (H, W) nuclei that they were grown from, or None.
        foreground: (H, W) float32 probability that a pixel is no background.
        interior: (H, W) float32 probability that it is inside a cell.
    """

    field: Field
    labels: np.ndarray
    nuclei: np.ndarray | None
    foreground: np.ndarray
    interior: np.ndarray

    def scores(self) -> CellScores:
        """The cells of the whole image against the annotation."""
        return self._scores((slice(None), slice(None)))

    def held_out_scores(self) -> CellScores | None:
        """The cells of the held-out part, or None."""
        return None if self.field.region is None else self._scores(self.field.region.slices)

    def _scores(self, part: tuple[slice, slice]) -> CellScores:
        example = self.field.example
        return score_cells(
            example.cells[part],
            self.labels[part],
            nuclei=None if self.nuclei is None else self.nuclei[part],
            ignored=None if example.ignored is None else example.ignored[part],
        )


def all_fields(dataset: Dataset) -> list[Field]:
    """Every image once: the held-out ones, and those with a held-out region, first."""
    fields = {region.example.name: Field(region.example, region) for region in dataset.validation}
    for example in dataset.train:
        fields.setdefault(example.name, Field(example, None))
    return list(fields.values())


def chosen_fields(fields: list[Field]) -> list[Field]:
    """The images that are looked at: up to 60 with held-out regions and 24 others, within a number of pixels."""
    held_out = [field for field in fields if field.region is not None]
    training = [field for field in fields if field.region is None]
    return [*_sample(held_out, MOST_HELD_OUT), *_sample(training, MOST_TRAINING)]


def _sample(fields: list[Field], most: int) -> list[Field]:
    order = np.random.default_rng(_SAMPLE_SEED).permutation(len(fields))
    taken, pixels = [], 0
    for index in order[:most].tolist():
        pixels += fields[index].example.cells.size
        if taken and pixels > _MOST_PIXELS:
            break
        taken.append(index)
    return [fields[index] for index in sorted(taken)]


def look(model: TrainedModel, fields: list[Field], how: RefineConfig, unusable: dict[str, str]) -> Iterator[Looked]:
    """Segment images as `cellflax.predict` does it, without test-time augmentation.

    Args:
        model: the network.
        fields: images, as they are in their files.
        how: from probabilities to cells.
        unusable: gets, by name, what is wrong with images that cannot be segmented.
    """
    for field in each(fields, lambda field: field.example.name):
        try:
            yield _looked(model, field, how)
        except UserError as error:
            unusable[field.example.name] = str(error)


def _looked(model: TrainedModel, field: Field, how: RefineConfig) -> Looked:
    example, names = field.example, model.class_names
    boundary = model.outputs.names.index(BOUNDARY) if BOUNDARY in model.outputs.map_names else None
    image = Image(example.image, model.channels, example.pixel_size_um, Path(example.name))
    foreground, interior = (np.empty(example.cells.shape, np.float32) for _ in range(2))

    def keep(window: tuple[slice, slice], values: np.ndarray, _: np.ndarray | None) -> None:
        classes = values[..., : len(names)]
        foreground[window] = 1 - classes[..., -1]  # background is the last class
        interior[window] = class_maps(classes, names).interior
        if boundary is not None:  # whose classes may not show where two cells touch
            interior[window] *= np.clip(values[..., boundary], 0, 1)

    inference = Inference()
    result = segment(model, image, find_nuclei(model, image, how, inference), how, inference, keep)
    return Looked(field, result.labels, result.seeds, foreground, interior)
