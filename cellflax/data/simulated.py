"""Simulated fields as a data set: a stand-in when data are missing, and a source of exact truth."""

import dataclasses
from enum import Enum

import numpy as np

from cellflax.checks import at_least, check
from cellflax.data.datasets import DataConfig
from cellflax.data.example import Dataset, Example
from cellflax.data.pixel_classes import Annotation, pixel_classes
from cellflax.data.split import whole
from cellflax.errors import UserError
from cellflax.simulation.hela import CHANNELS, HelaFieldConfig, simulate_hela_field


class Target(Enum):
    """What is annotated."""

    cells = "cells"
    nuclei = "nuclei"


@dataclasses.dataclass
class SimulatedData(DataConfig):
    """HeLa-like fields, channels phase and nuclear.

    Attributes:
        target: whether whole cells or nuclei are annotated.
        annotation: which classes are made from them.
        fields: number of training fields.
        validation_fields: number of held-out fields.
        seed: determines the seeds of all fields; training and held-out fields never share one.
        edge_px: width of the edge class in pixels, if there is one.
        field: settings of the cells and the microscope of every field.
    """

    target: Target = Target.cells
    annotation: Annotation = Annotation.boundaries
    fields: int = 8
    validation_fields: int = 2
    seed: int = 0
    edge_px: int = 2
    field: HelaFieldConfig = dataclasses.field(default_factory=HelaFieldConfig)

    def __post_init__(self) -> None:
        check(self, "data", at_least(1), "fields", "validation_fields", "edge_px")
        check(self, "data", at_least(0), "seed")
        if self.annotation.needs_nuclei and self.target is Target.nuclei:
            raise UserError(
                f"data.annotation={self.annotation.name} separates nuclei from the cells around them, so data.target "
                "must be cells, got nuclei"
            )

    def load(self) -> Dataset:
        """See `load_simulated`."""
        return load_simulated(self)


def load_simulated(config: SimulatedData) -> Dataset:
    """Simulate the data set; the same configuration gives the same pixels."""
    train = _examples(config, "field", field_seeds(config.seed, config.fields, stream=0))
    held_out = _examples(config, "held_out", field_seeds(config.seed, config.validation_fields, stream=1))
    if not all(any(example.cells.any() for example in part) for part in (train, held_out)):
        raise UserError(
            "data.field: the simulated fields hold no cell; raise data.field.cells_per_mm2, height or width"
        )
    return Dataset(
        train=train,
        validation=tuple(whole(example) for example in held_out),
        channels=CHANNELS,
        class_names=config.annotation.class_names,
        source=f"simulated HeLa fields ({config.target.name}), {config.fields} for training, seed {config.seed}",
        simulated=True,
    )


def field_seeds(seed: int, count: int, stream: int) -> list[int]:
    """Seeds of `count` fields; those of stream 0 (training) are even, of stream 1 (held out) odd."""
    words = np.random.SeedSequence((seed, stream)).generate_state(count)
    return [2 * int(word) + stream for word in words]


def _examples(config: SimulatedData, prefix: str, seeds: list[int]) -> tuple[Example, ...]:
    examples = []
    for index, seed in enumerate(seeds):
        field = simulate_hela_field(config.field, seed)
        annotated = field.cells if config.target is Target.cells else field.nuclei
        examples.append(
            Example(
                name=f"{prefix}_{index:04d}",
                image=field.image,
                classes=pixel_classes(config.annotation, annotated, field.nuclei, config.edge_px),
                cells=annotated,
                nuclei=field.nuclei,
                pixel_size_um=field.pixel_size_um,
            )
        )
    return tuple(examples)
