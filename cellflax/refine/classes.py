"""What a network's outputs mean to a refinement, by their names."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cellflax.errors import UserError
from cellflax.targets import BOUNDARY, CENTRE, DISTANCES

NUCLEUS, CYTOPLASM = "nucleus", "cytoplasm"


@dataclass(frozen=True)
class ClassMaps:
    """The probabilities, and distances, that refinements work on.

    Attributes:
        interior: (H, W) probability of the inside of a cell.
        edge: (H, W) probability of an edge, zeros if the network has no such class.
        nucleus: (H, W) probability of a nucleus, or None if the network has no such class.
        centre: (H, W) distance to the cell's centre, 0 there, see `targets.distance_maps`; None if the network has no
            such map.
        boundary: (H, W) distance to the cell's outline, 0 there; None if the network has no such map.
    """

    interior: np.ndarray
    edge: np.ndarray
    nucleus: np.ndarray | None
    centre: np.ndarray | None = None
    boundary: np.ndarray | None = None


def has_compartments(class_names: Sequence[str]) -> bool:
    """Whether the classes distinguish nucleus and cytoplasm."""
    return NUCLEUS in class_names and CYTOPLASM in class_names


def has_distances(names: Sequence[str]) -> bool:
    """Whether the outputs of a network have maps of distances."""
    return set(DISTANCES) <= set(names)


def has_interior(class_names: Sequence[str]) -> bool:
    """Whether some class is inside cells."""
    return has_compartments(class_names) or any(name.startswith("interior") for name in class_names)


def class_maps(probability: np.ndarray, class_names: Sequence[str]) -> ClassMaps:
    """Add up the classes that have the same meaning.

    Classes whose name starts with "edge" are summed, and those whose name starts with "interior" (a co-culture has
    one per cell type). Classes called nucleus and cytoplasm make up the inside instead; as independent outputs they
    may sum to more than 1, which counts as 1. Maps of distances are known by their names.

    Args:
        probability: (H, W, K), classes and maps.
        class_names: K names.

    Raises:
        UserError: for a shape or values that cannot be probabilities of these classes.
    """
    if probability.ndim != 3 or probability.shape[2] != len(class_names):
        raise UserError(
            f"the probability must be (height, width, {len(class_names)}) for the classes "
            f"{', '.join(class_names)}; got shape {probability.shape}"
        )
    if not np.isfinite(probability).all():
        raise UserError("the probability holds NaN or infinite values; check the image and the checkpoint")
    edge = _sum(probability, [name.startswith("edge") for name in class_names])
    distances = [_plane(probability, class_names, name) for name in (CENTRE, BOUNDARY)]
    if not has_compartments(class_names):
        interior = _sum(probability, [name.startswith("interior") for name in class_names])
        return ClassMaps(interior, edge, None, *distances)
    inside = _sum(probability, [name in (NUCLEUS, CYTOPLASM) for name in class_names])
    return ClassMaps(np.minimum(inside, 1), edge, _plane(probability, class_names, NUCLEUS), *distances)


def _plane(probability: np.ndarray, class_names: Sequence[str], name: str) -> np.ndarray | None:
    return probability[..., list(class_names).index(name)] if name in class_names else None


def _sum(probability: np.ndarray, chosen: list[bool]) -> np.ndarray:
    return probability[..., np.flatnonzero(chosen)].sum(-1)
