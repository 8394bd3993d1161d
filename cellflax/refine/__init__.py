"""From a network's outputs to labelled cells: one algorithm per file behind `refine`."""

from collections.abc import Sequence

import numpy as np

from cellflax.errors import UserError
from cellflax.labels import renumber
from cellflax.refine.base import FieldMaps, RefineConfig
from cellflax.refine.classes import class_maps, has_compartments, has_distances, has_interior
from cellflax.schemas import kind_of

__all__ = ["FieldMaps", "RefineConfig", "check_classes", "find_seeds", "intensity_image", "needs_seeds", "refine"]


def needs_seeds(config: RefineConfig, class_names: Sequence[str] = ()) -> bool:
    """Whether the refinement requires nuclei from elsewhere; a network that has a class for them finds its own."""
    return config.needs_seeds and not has_compartments(class_names)


def check_classes(config: RefineConfig, class_names: Sequence[str]) -> None:
    """Refuse a refinement that cannot work with a network's classes.

    Raises:
        UserError: naming both and the remedy.
    """
    if not has_interior(class_names):
        raise UserError(
            "no class is called interior..., and no two are called nucleus and cytoplasm, so no cells can be found "
            f"in {', '.join(class_names)}"
        )
    if config.needs_compartments and not has_compartments(class_names):
        raise UserError(
            f"refine={kind_of('refine', config)} starts from the classes nucleus and cytoplasm, but the network has "
            f"{', '.join(class_names)}; take refine=watershed, or train with data.annotation=compartments"
        )
    if config.needs_distances and not has_distances(class_names):
        raise UserError(
            f"refine={kind_of('refine', config)} starts from distances, but the network has {', '.join(class_names)}; "
            "take refine=watershed, or train with target=distances or target=classes_distances"
        )


def intensity_image(config: RefineConfig, image: np.ndarray, channels: Sequence[str]) -> np.ndarray | None:
    """The plane of an image that a refinement works on besides the probabilities; None if it takes none.

    Args:
        config: the refinement.
        image: (H, W, C) intensities, not normalised.
        channels: C names.

    Returns:
        (H, W), to be given to `refine` as `intensity`, or None.

    Raises:
        UserError: if the image does not have the channel.
    """
    plane = config.intensity_plane(channels)
    return None if plane is None else image[..., plane]


def find_seeds(
    config: RefineConfig, probability: np.ndarray, class_names: Sequence[str], pixel_size_um: float | None = None
) -> np.ndarray | None:
    """Nuclei that the network itself shows; `refine` starts from these unless it is given others.

    Args:
        config: the refinement.
        probability: (H, W, K).
        class_names: K names.
        pixel_size_um: edge of a pixel.

    Returns:
        (H, W) int32 labels 1...n; None if the refinement takes no nuclei or the network has no class for them.

    Raises:
        UserError: as `refine`.
    """
    check_classes(config, class_names)
    if not config.takes_seeds:
        return None
    return config.own_seeds(class_maps(probability, class_names), pixel_size_um)


def refine(
    config: RefineConfig,
    probability: np.ndarray,
    class_names: Sequence[str],
    seeds: np.ndarray | None = None,
    *,
    intensity: np.ndarray | None = None,
    pixel_size_um: float | None = None,
) -> np.ndarray:
    """Turn a network's outputs into labelled cells.

    Args:
        config: the algorithm and its settings.
        probability: (H, W, K), as from a softmax or sigmoids; a border of zeros, where the network lacked context,
            is background.
        class_names: K names, of maps too; see `classes.class_maps` for what they mean.
        seeds: (H, W) integer labels, one per cell, 0 = none; see `seeds.nuclei_seeds` and `labels.cells_of`.
            Refinements that take no seeds ignore them. None stands for those of `find_seeds`; without these, a
            refinement that needs seeds cannot start.
        intensity: (H, W) as from `intensity_image`.
        pixel_size_um: edge of a pixel, if known.

    Returns:
        (H, W) int32 labels 1...n, 0 = background; n may be 0. If every seed becomes a cell (whole cells) and seeds
        are numbered without gaps, cell k holds seed k.

    Raises:
        UserError: if a class, a shape or a value does not fit, or if needed seeds or the pixel size are missing.
    """
    check_classes(config, class_names)
    maps = class_maps(probability, class_names)
    if not config.takes_seeds:
        seeds = None
    elif seeds is None:
        seeds = config.own_seeds(maps, pixel_size_um)
    else:
        _check_seeds(seeds, maps.interior.shape)
        seeds = renumber(seeds)  # refinements make tables as long as the largest number
    return config.label(FieldMaps(maps, seeds, intensity, pixel_size_um))


def _check_seeds(seeds: np.ndarray, shape: tuple[int, ...]) -> None:
    if seeds.shape != shape:
        raise UserError(f"the nuclei are {seeds.shape} but the image is {shape}; give nuclei of the same field")
    if not np.issubdtype(seeds.dtype, np.integer) or seeds.min(initial=0) < 0:
        raise UserError(f"the nuclei must be labels of 0 or more, got {seeds.dtype}; see labels.cells_of")
