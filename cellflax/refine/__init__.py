"""From class probabilities to labelled cells: one algorithm per file behind `refine`."""

from collections.abc import Sequence

import numpy as np

from cellflax.errors import UserError
from cellflax.labels import components, remove_small
from cellflax.refine.active_contour import ActiveContourConfig, refine_by_active_contour
from cellflax.refine.classes import ClassMaps, class_maps, has_compartments, has_interior
from cellflax.refine.flood import FloodConfig
from cellflax.refine.threshold import ThresholdConfig, refine_by_threshold
from cellflax.refine.watershed import WatershedConfig, refine_by_watershed
from cellflax.refine.whole_cell import WholeCellConfig, refine_by_whole_cell, whole_cell_nuclei

RefineConfig = ThresholdConfig | WatershedConfig | ActiveContourConfig | WholeCellConfig

# Where a refinement has no settings for nuclei: they are likelier than not, and smaller ones are specks.
_NUCLEUS = 0.5
_MIN_NUCLEUS_PX = 20


def takes_seeds(config: RefineConfig) -> bool:
    """Whether nuclei, where they are known, change the result."""
    return isinstance(config, FloodConfig | WholeCellConfig)


def needs_seeds(config: RefineConfig, class_names: Sequence[str] = ()) -> bool:
    """Whether there are no cells without nuclei; a network that has a class for them shows them itself."""
    return isinstance(config, ActiveContourConfig) and not has_compartments(class_names)


def needs_pixel_size(config: RefineConfig) -> bool:
    """Whether there are no cells without the size of a pixel."""
    return isinstance(config, WholeCellConfig)


def check_classes(config: RefineConfig, class_names: Sequence[str]) -> None:
    """Refuse a refinement that has no use for a network's classes.

    Raises:
        UserError: naming both and the remedy.
    """
    if not has_interior(class_names):
        raise UserError(
            "no class is called interior..., nor two nucleus and cytoplasm, so there are no cells in "
            f"{', '.join(class_names)}"
        )
    if isinstance(config, WholeCellConfig) and not has_compartments(class_names):
        raise UserError(
            "refine=whole_cell starts from the classes nucleus and cytoplasm and the network has "
            f"{', '.join(class_names)}; take refine=watershed, or train with data.annotation=compartments"
        )


def intensity_image(config: RefineConfig, image: np.ndarray, channels: Sequence[str]) -> np.ndarray | None:
    """The plane of an image that a refinement works on besides the probabilities, None where it takes none.

    Args:
        config: the refinement.
        image: (H, W, C) intensities, not normalised.
        channels: C names.

    Returns:
        (H, W), to be given to `refine` as `intensity`, or None.

    Raises:
        UserError: if the image does not have the channel.
    """
    if not isinstance(config, WholeCellConfig):
        return None
    name = config.intensity_channel
    if name is not None and name not in channels:
        raise UserError(
            f"refine.intensity_channel={name} is not among the channels {', '.join(channels)}; "
            "name one of them, or null for the first"
        )
    return image[..., 0 if name is None else list(channels).index(name)]


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
        (H, W) int32 labels 1...n; None where the refinement takes no nuclei or the network has no class for them.

    Raises:
        UserError: as `refine`.
    """
    check_classes(config, class_names)
    if not takes_seeds(config):
        return None
    return _own_seeds(config, class_maps(probability, class_names), pixel_size_um)


def refine(
    config: RefineConfig,
    probability: np.ndarray,
    class_names: Sequence[str],
    seeds: np.ndarray | None = None,
    *,
    intensity: np.ndarray | None = None,
    pixel_size_um: float | None = None,
) -> np.ndarray:
    """Turn a network's class probabilities into labelled cells.

    Args:
        config: the algorithm and its settings.
        probability: (H, W, K), as from a softmax or sigmoids; a border of zeros, where the network saw too little,
            is background.
        class_names: K names; see `classes.class_maps` for what they mean.
        seeds: (H, W) integer labels, one per cell, 0 = none; see `seeds.nuclei_seeds` and
            `seeds.seeds_from_labels`. The threshold has no use for them. None takes those of `find_seeds`; where
            there are none either, the active contour has nothing to start from.
        intensity: (H, W) as from `intensity_image`, for the refinement of whole cells.
        pixel_size_um: edge of a pixel, likewise.

    Returns:
        (H, W) int32 labels 1...n, 0 = background; n may be 0. Where every seed becomes a cell (whole cells), cell k
        holds seed k, if those are numbered without gaps.

    Raises:
        UserError: if a class, a shape or a value does not fit, or needed seeds or the pixel size are missing; the
            message says which.
    """
    check_classes(config, class_names)
    maps = class_maps(probability, class_names)
    if isinstance(config, ThresholdConfig):
        return refine_by_threshold(config, maps.interior)
    if seeds is None:
        seeds = _own_seeds(config, maps, pixel_size_um)
    else:
        _check_seeds(seeds, maps.interior.shape)
    if isinstance(config, WholeCellConfig):
        assert seeds is not None, "check_classes requires a class for nuclei"
        return refine_by_whole_cell(config, maps.interior, _checked(intensity, maps), pixel_size_um, seeds)
    if isinstance(config, ActiveContourConfig):
        return refine_by_active_contour(config, maps.interior, maps.edge, seeds)
    return refine_by_watershed(config, maps.interior, maps.edge, seeds)


def _own_seeds(config: RefineConfig, maps: ClassMaps, pixel_size_um: float | None) -> np.ndarray | None:
    if maps.nucleus is None:
        return None
    if isinstance(config, WholeCellConfig):
        return whole_cell_nuclei(config, maps.nucleus, pixel_size_um)
    return components(remove_small(components(maps.nucleus > _NUCLEUS), _MIN_NUCLEUS_PX))


def _check_seeds(seeds: np.ndarray, shape: tuple[int, ...]) -> None:
    if seeds.shape != shape:
        raise UserError(f"the nuclei are {seeds.shape} but the image is {shape}; give nuclei of the same field")
    if not np.issubdtype(seeds.dtype, np.integer) or seeds.min(initial=0) < 0:
        raise UserError(f"the nuclei must be labels of 0 or more, got {seeds.dtype}; see seeds_from_labels")


def _checked(intensity: np.ndarray | None, maps: ClassMaps) -> np.ndarray:
    if intensity is None or intensity.shape != maps.interior.shape:
        shape = None if intensity is None else intensity.shape
        raise ValueError(f"refine=whole_cell needs intensity_image(...) of {maps.interior.shape}, got {shape}")
    if not np.isfinite(intensity).all():
        raise UserError("the image holds NaN or infinite values; replace them before segmenting")
    return intensity
