"""Base of the settings of every target: which maps it adds to the classes, and how they are made from cells."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cellflax.targets.outputs import Outputs


@dataclass
class TargetConfig:
    """Base of the settings of a target; a subclass sets what it adds.

    Attributes:
        own_classes: classes that take the place of those of the data; None keeps these. This and `map_names` are
            properties of the target, not settings.
        map_names: names of the maps that follow the classes.
    """

    own_classes: ClassVar[tuple[str, ...] | None] = None
    map_names: ClassVar[tuple[str, ...]] = ()

    def outputs(self, class_names: Sequence[str]) -> Outputs:
        """The outputs of a network that learns this from data with these classes.

        Raises:
            UserError: if the target would lose classes of the data.
        """
        return Outputs(self.own_classes or tuple(class_names), self.map_names)

    def maps(self, cells: np.ndarray, ignored: np.ndarray | None) -> np.ndarray | None:
        """The maps of one image, (H, W, maps) float32 with NaN where nothing is known; None for a target without maps.

        Args:
            cells: (H, W) integer labels, 0 = background.
            ignored: (H, W) codes of what is not annotated, see `cellflax.ignored`; None if everything is.
        """
        return None


@dataclass
class ClassesTarget(TargetConfig):
    """The classes of the data alone, as in the three papers (data.annotation)."""
