"""Label images of which only a part is annotated: how they say what is unknown."""

from dataclasses import dataclass

import numpy as np

from cellflax.errors import UserError

# Codes of an array of what is not annotated; 0 is annotated.
# Somebody painted these pixels as not annotated, perhaps over a part of a cell: nothing is known about them.
PAINTED = 1
# Nobody drew anything here, and label 0 means unknown: they belong to no annotated cell, but perhaps to another.
UNDRAWN = 2


@dataclass(frozen=True)
class SparseLabels:
    """Which values of a label image are not labels of cells.

    Attributes:
        ignore_label: value of pixels that are not annotated; None for none.
        background_label: value of background beside 0; None for none.
    """

    ignore_label: int | None = None
    background_label: int | None = None

    def check(self, key: str = "") -> None:
        """Refuse negative and equal values.

        Args:
            key: where they are configured, such as "data.", for errors.

        Raises:
            UserError: naming the key.
        """
        for name in ("ignore_label", "background_label"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 2**31:
                raise UserError(f"{key}{name} must be in 0 ... 2147483647, got {value}")
        if self.ignore_label is not None and self.ignore_label == self.background_label:
            raise UserError(f"{key}ignore_label and {key}background_label must differ, both are {self.ignore_label}")

    def take_out(self, labels: np.ndarray, painted: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        """Separate the labels of cells from what is not annotated.

        Args:
            labels: (H, W) integers.
            painted: (H, W), not zero where a mask says that nothing is annotated; None without a mask.

        Returns:
            Labels with 0 for everything that is no cell; those under the mask stay. And (H, W) uint8 codes of what is
            not annotated, see `PAINTED` and `UNDRAWN`; None if neither a value nor a mask says so.
        """
        kept = labels
        if self.background_label is not None:
            kept = np.where(labels == self.background_label, 0, kept)
        if self.ignore_label is None and painted is None:
            return kept, None
        ignored = np.zeros(labels.shape, np.uint8)
        if self.ignore_label is not None:
            where = labels == self.ignore_label
            ignored[where] = UNDRAWN if self.ignore_label == 0 else PAINTED
            kept = np.where(where, 0, kept)
        if painted is not None:
            ignored[painted != 0] = PAINTED
        return kept, ignored


def visible(labels: np.ndarray, ignored: np.ndarray | None) -> np.ndarray:
    """Labels with 0 where nothing is annotated; `labels` itself if everything is."""
    return labels if ignored is None else np.where(ignored != 0, 0, labels)
