"""From class probabilities to labelled cells: one algorithm per file behind `refine`."""

from collections.abc import Sequence

import numpy as np

from cellflax.errors import UserError
from cellflax.refine.active_contour import ActiveContourConfig, refine_by_active_contour
from cellflax.refine.flood import FloodConfig
from cellflax.refine.threshold import ThresholdConfig, refine_by_threshold
from cellflax.refine.watershed import WatershedConfig, refine_by_watershed

RefineConfig = ThresholdConfig | WatershedConfig | ActiveContourConfig


def takes_seeds(config: RefineConfig) -> bool:
    """Whether nuclei, where they are known, change the result."""
    return isinstance(config, FloodConfig)


def needs_seeds(config: RefineConfig) -> bool:
    """Whether there are no cells without nuclei."""
    return isinstance(config, ActiveContourConfig)


def refine(
    config: RefineConfig,
    probability: np.ndarray,
    class_names: Sequence[str],
    seeds: np.ndarray | None = None,
) -> np.ndarray:
    """Turn a network's class probabilities into labelled cells.

    Args:
        config: the algorithm and its settings.
        probability: (H, W, K), as from a softmax; a border of zeros, where the network saw too little, is
            background.
        class_names: K names. Classes whose name starts with "interior" are summed (a co-culture has one
            per cell type), likewise those that start with "edge", which may be missing.
        seeds: (H, W) integer labels, one per cell, 0 = none; see `seeds.nuclei_seeds` and
            `seeds.seeds_from_labels`. The threshold has no use for them, the active contour needs them.

    Returns:
        (H, W) int32 labels 1...n, 0 = background; n may be 0.

    Raises:
        UserError: if a class, a shape or a value does not fit, or needed seeds are missing; the message says which.
    """
    interior, edge = _class_maps(probability, class_names)
    if isinstance(config, ThresholdConfig):
        return refine_by_threshold(config, interior)
    if seeds is not None:
        _check_seeds(seeds, interior.shape)
    if isinstance(config, ActiveContourConfig):
        return refine_by_active_contour(config, interior, edge, seeds)
    return refine_by_watershed(config, interior, edge, seeds)


def _class_maps(probability: np.ndarray, class_names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    if probability.ndim != 3 or probability.shape[2] != len(class_names):
        raise UserError(
            f"the probability must be (height, width, {len(class_names)}) for the classes "
            f"{', '.join(class_names)}; got shape {probability.shape}"
        )
    if not np.isfinite(probability).all():
        raise UserError("the probability holds NaN or infinite values; check the image and the checkpoint")
    interior = [k for k, name in enumerate(class_names) if name.startswith("interior")]
    if not interior:
        raise UserError(f"no class is called interior..., so there are no cells in {', '.join(class_names)}")
    edge = [k for k, name in enumerate(class_names) if name.startswith("edge")]
    return probability[..., interior].sum(-1), probability[..., edge].sum(-1)


def _check_seeds(seeds: np.ndarray, shape: tuple[int, ...]) -> None:
    if seeds.shape != shape:
        raise UserError(f"the nuclei are {seeds.shape} but the image is {shape}; give nuclei of the same field")
    if not np.issubdtype(seeds.dtype, np.integer) or seeds.min(initial=0) < 0:
        raise UserError(f"the nuclei must be labels of 0 or more, got {seeds.dtype}; see seeds_from_labels")
