"""Base of the settings of every refinement: what it needs, and how it runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cellflax.labels import components, remove_small
from cellflax.refine.classes import ClassMaps
from cellflax.refine.search_space import KnownCells

# For refinements without settings for nuclei: the probability that a nucleus exceeds, and its least area.
_NUCLEUS = 0.5
_MIN_NUCLEUS_PX = 20


@dataclass(frozen=True)
class FieldMaps:
    """What a refinement may start from: all that is known of one image, or of one block of it.

    Attributes:
        maps: the probabilities by their meaning.
        seeds: (H, W) integer labels of nuclei, 0 = none, given or from `RefineConfig.own_seeds`. None where there are
            none, and always for a refinement that takes none.
        intensity: (H, W) raw intensities of the channel that `RefineConfig.intensity_plane` names, or None.
        pixel_size_um: edge of a pixel, if known.
    """

    maps: ClassMaps
    seeds: np.ndarray | None = None
    intensity: np.ndarray | None = None
    pixel_size_um: float | None = None


@dataclass
class RefineConfig:
    """Base of the settings of a refinement; a subclass sets what it needs and defines `label`.

    Attributes:
        takes_seeds: whether known nuclei change the result. This and the others are properties of the refinement,
            not settings.
        needs_seeds: whether the refinement requires nuclei.
        needs_pixel_size: whether the refinement requires the size of a pixel.
        needs_compartments: whether the network must have the classes nucleus and cytoplasm.
        needs_distances: whether the network must have maps of distances (group target).
        takes_levels: whether the result depends on levels of the whole input (its mean, thresholds by Otsu), so that
            a part of an image gives other cells than the whole.
    """

    takes_seeds: ClassVar[bool] = False
    needs_seeds: ClassVar[bool] = False
    needs_pixel_size: ClassVar[bool] = False
    needs_compartments: ClassVar[bool] = False
    needs_distances: ClassVar[bool] = False
    takes_levels: ClassVar[bool] = False

    def intensity_plane(self, channels: Sequence[str]) -> int | None:
        """The channel whose raw intensities `label` gets besides the probabilities; None if it takes none.

        Args:
            channels: names of the image's channels.

        Raises:
            UserError: if the image does not have the channel.
        """
        return None

    def own_seeds(self, maps: ClassMaps, pixel_size_um: float | None) -> np.ndarray | None:
        """Nuclei that the network itself shows.

        Args:
            maps: probabilities by their meaning.
            pixel_size_um: edge of a pixel, if known.

        Returns:
            (H, W) int32 labels 1...n, or None if the network has no class for nuclei.

        Raises:
            UserError: if the pixel size is needed and unknown.
        """
        if maps.nucleus is None:
            return None
        return components(remove_small(components(maps.nucleus > _NUCLEUS), _MIN_NUCLEUS_PX))

    def search_space(self, cells: KnownCells) -> dict[str, list[Any]]:
        """The settings that are chosen on held-out regions after training, and the values that are tried of each.

        Args:
            cells: sizes of the annotated cells.

        Returns:
            By the name of a setting, the one that matters most first, its candidates in ascending order. They have the
            setting's type. The present value need not be among them. Nothing is searched of a refinement without any.
        """
        return {}

    def label(self, field: FieldMaps) -> np.ndarray:
        """Turn probabilities into labelled cells.

        Args:
            field: what is known of the image.

        Returns:
            (H, W) int32 labels 1...n, 0 = background.

        Raises:
            UserError: if needed seeds or the pixel size are missing.
        """
        raise NotImplementedError
