"""A data set with what its networks learn: classes made anew where the target has its own, and maps of distances."""

from dataclasses import replace

import numpy as np

from cellflax.data.example import IGNORE, Dataset, Example, Region
from cellflax.targets import TargetConfig


def with_target(dataset: Dataset, target: TargetConfig) -> Dataset:
    """Add a target's maps to a data set at the network's scale, and replace its classes if the target has its own.

    What is held out or not annotated stays so: in training examples, pixels without a class have no distances.

    Args:
        dataset: data set with the classes of its own annotation.
        target: what networks learn.

    Raises:
        UserError: if the target would lose classes of the data.
    """
    outputs = target.outputs(dataset.class_names)
    if outputs.names == dataset.class_names and target.own_classes is None:
        return dataset
    maps: dict[int, np.ndarray | None] = {}  # a training example and its held-out region share their image

    def changed(example: Example) -> Example:
        key = id(example.image)
        if key not in maps:
            maps[key] = target.maps(example.cells, example.ignored)
        found = maps[key]
        if found is not None:
            found = np.where((example.classes == IGNORE)[..., None], np.float32(np.nan), found)
        classes = example.classes if target.own_classes is None else _foreground(example)
        return replace(example, classes=classes, maps=found)

    def changed_region(region: Region) -> Region:
        return replace(region, example=changed(region.example))

    return replace(
        dataset,
        train=tuple(changed(example) for example in dataset.train),
        validation=tuple(changed_region(region) for region in dataset.validation),
        class_names=outputs.class_names,
        map_names=outputs.map_names,
    )


def _foreground(example: Example) -> np.ndarray:
    """(H, W) int8: 0 in cells, 1 outside, IGNORE where the example has no class or nothing is annotated."""
    classes = np.where(example.annotated_cells > 0, 0, 1)
    unknown = example.classes == IGNORE
    if example.ignored is not None:
        unknown = unknown | (example.ignored != 0)
    return np.where(unknown, IGNORE, classes).astype(np.int8)
