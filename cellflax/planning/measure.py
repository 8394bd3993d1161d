"""Everything that a plan is made from, measured on the images and their labels."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from cellflax.data.datasets import DataConfig
from cellflax.data.example import Example
from cellflax.data.folder import FolderData, read_folder
from cellflax.data.folds import PartOptions, divide
from cellflax.labels import label_values
from cellflax.planning.cell_shapes import CellShapes, measure_cells
from cellflax.planning.channel_files import channels_in_names
from cellflax.planning.intensities import ChannelIntensities, measure_channel
from cellflax.planning.markers import NuclearMarker, is_nuclear, measure_marker
from cellflax.planning.spread import Spread


@dataclass(frozen=True)
class ImageSet:
    """One data set of a folder.

    Attributes:
        name: its name; empty if there is only one.
        images: number of images.
        cells: number of annotated cells.
    """

    name: str
    images: int
    cells: int


@dataclass(frozen=True)
class Measurements:
    """Images and annotated cells, before anything is resampled.

    Attributes:
        source: where they come from, in one line.
        simulated: whether they are simulated.
        images: number of images.
        with_cells: number of images with a cell, of those that can be held out.
        sets: the data sets.
        height, width: sizes of the images in pixels.
        smallest_edge: of the smallest image, in pixels.
        pixels: number of pixels in all images.
        pixel_size_um: edge of a pixel where it is known; None if it is known of no image.
        unknown_pixel_size: number of images whose pixel size is unknown.
        has_nuclei: whether label images of the nuclei are there.
        cells: shapes of the cells.
        channels: intensities of each channel.
        markers: nuclear markers among them, by their names; empty where there is only one channel.
        in_names: whether the channels are words of the files' names that were found, not given.
    """

    source: str
    simulated: bool
    images: int
    with_cells: int
    sets: tuple[ImageSet, ...]
    height: Spread
    width: Spread
    smallest_edge: int
    pixels: int
    pixel_size_um: Spread | None
    unknown_pixel_size: int
    has_nuclei: bool
    cells: CellShapes
    channels: tuple[ChannelIntensities, ...]
    markers: tuple[NuclearMarker, ...]
    in_names: bool = False

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)


def measure_data(config: DataConfig) -> Measurements:
    """Read a data set and measure it.

    Raises:
        UserError: if files are missing or cannot be used.
    """
    if isinstance(config, FolderData):
        words = channels_in_names(config)
        config = replace(config, channels=words or config.channels)
        read = read_folder(config)
        own = without_test(read.own, config)
        measured = measure_examples((*own, *read.further), read.channels, read.source, read.simulated > 0)
        return replace(measured, in_names=bool(words), with_cells=_with_cells(own))
    dataset = config.load()
    # An image of which a region is held out is in both parts; that of the region has all of its annotation.
    examples = {example.name: example for example in dataset.train}
    examples |= {region.example.name: region.example for region in dataset.validation}
    return measure_examples(tuple(examples.values()), dataset.channels, dataset.source, dataset.simulated)


def without_test(examples: Sequence[Example], config: PartOptions) -> Sequence[Example]:
    """The images that are not kept for the final scores: a plan must not know them."""
    if config.folds is not None:
        kept = {example.name for example in divide(examples, config).test}
        return [example for example in examples if example.name not in kept]
    return [example for example in examples if example.data_set not in config.test_sets] or examples


def measure_examples(
    examples: Sequence[Example], channels: Sequence[str], source: str = "", simulated: bool = False
) -> Measurements:
    """Measure annotated images.

    Args:
        examples: the images, of which at least one has a cell.
        channels: names of their channels.
        source: where they come from, in one line.
        simulated: whether they are simulated.
    """
    nuclear = [(i, name) for i, name in enumerate(channels) if len(channels) > 1 and is_nuclear(name)]
    markers = tuple(measure_marker(examples, i, name) for i, name in nuclear)
    cells = measure_cells(examples, max((marker.fragment_px for marker in markers if marker.seeds_cells), default=0.0))
    names = list(dict.fromkeys(example.data_set for example in examples))
    sets = [[example for example in examples if example.data_set == name] for name in names]
    sizes = np.array([example.cells.shape for example in examples])
    known = np.array([e.pixel_size_um for e in examples if e.pixel_size_um is not None])
    return Measurements(
        source=source,
        simulated=simulated,
        images=len(examples),
        with_cells=_with_cells(examples),
        sets=tuple(
            ImageSet(name, len(part), sum(len(label_values(e.annotated_cells)) for e in part))
            for name, part in zip(names, sets, strict=True)
        ),
        height=Spread.of(sizes[:, 0]),
        width=Spread.of(sizes[:, 1]),
        smallest_edge=int(sizes.min()),
        pixels=int(sizes.prod(axis=1).sum()),
        pixel_size_um=Spread.of(known) if known.size else None,
        unknown_pixel_size=len(examples) - known.size,
        has_nuclei=all(example.nuclei is not None for example in examples),
        cells=cells,
        channels=tuple(measure_channel(examples, i, name, cells.diameter.median) for i, name in enumerate(channels)),
        markers=markers,
    )


def _with_cells(examples: Sequence[Example]) -> int:
    return sum(bool(example.annotated_cells.any()) for example in examples)
