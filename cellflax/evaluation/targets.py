"""What pixels are scored for: cells, and nuclei, each a sum of a network's classes."""

from collections.abc import Sequence

import numpy as np

from cellflax.targets import DISTANCES

# Cells are all classes but background, so a class of cell edges belongs to them, as in the maps of P1.
CELLS, NUCLEI = "cells", "nuclei"


def target_classes(target: str, class_names: Sequence[str]) -> list[int]:
    """Indices of the classes that make up a target; maps of distances among the names are none of them."""
    if target == CELLS:
        return [k for k, name in enumerate(class_names) if name not in ("background", *DISTANCES)]
    return [k for k, name in enumerate(class_names) if name.startswith("nucle")]


def target_probability(probability: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    """(H, W, K) class probabilities -> (H, W) sum over `classes`; independent ones can add up to more than 1."""
    return np.clip(probability[..., classes].sum(axis=-1), 0, 1)
