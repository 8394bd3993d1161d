"""Settings of a network to go."""

from dataclasses import dataclass, field
from enum import Enum

from cellflax.checks import check, within
from cellflax.training.config import TRANSFORM_COUNTS


class NetworkFormat(Enum):
    """What other programs read."""

    onnx = "onnx"  # a graph for ONNX Runtime, in any language
    stablehlo = "stablehlo"  # a program for JAX without cellflax
    bioimageio = "bioimageio"  # a package for the BioImage Model Zoo, ilastik, deepImageJ, bioimageio.core


@dataclass
class NetworkExport:
    """What of a trained network goes where.

    Attributes:
        checkpoint: run directory, one of its checkpoints, or the name of a network that comes with cellflax.
        step: checkpoint of the run, best, last or a number; not used if `checkpoint` is a numbered one.
        tile: edge in pixels of the square image that the network takes at once; null for 512, or more if the network
            sees so far around each pixel that less than 256 would be left. Larger images are cut into tiles by the
            program that runs the network.
        test_time_augmentation: rotations and reflections averaged in the network, 1, 4 or 8; each costs the time of
            one. Null takes the checkpoint's.
        authors: names of the people who made the network, for BioImage.IO; empty for unknown.
        license: licence of the network as an SPDX identifier, such as CC-BY-4.0, for BioImage.IO; null for unknown.
    """

    checkpoint: str | None = None
    step: str = "best"
    tile: int | None = None
    test_time_augmentation: int | None = None
    authors: list[str] = field(default_factory=list)
    license: str | None = None

    def __post_init__(self):
        check(self, "", within(64, 2048), "tile")
        check(self, "", TRANSFORM_COUNTS, "test_time_augmentation")
