"""Which of a network's outputs are classes, and which are maps of distances: the classes come first."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Outputs:
    """The outputs of a network, the last axis of its logits and of its predictions.

    Attributes:
        class_names: names of the classes; their values are probabilities.
        map_names: names of the maps that follow them, see `targets.DISTANCES`; their values are in 0 ... 1.
    """

    class_names: tuple[str, ...]
    map_names: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all outputs, in order."""
        return self.class_names + self.map_names

    def classes(self, planes: Any) -> Any:
        """(..., outputs) -> (..., classes); NumPy or JAX."""
        return split_planes(planes, len(self.map_names))[0]

    def maps(self, planes: Any) -> Any:
        """(..., outputs) -> (..., maps); NumPy or JAX."""
        return split_planes(planes, len(self.map_names))[1]


def split_planes(planes: Any, maps: int) -> tuple[Any, Any]:
    """The classes, and the last `maps` planes; without maps, `planes` itself is the first."""
    if not maps:
        return planes, planes[..., :0]
    return planes[..., :-maps], planes[..., -maps:]
