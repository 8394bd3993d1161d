"""Find keys in an array without a loop."""

import numpy as np


class Lookup:
    """Positions of integer keys among unique ones."""

    def __init__(self, keys: np.ndarray) -> None:
        self._order = np.argsort(keys)
        self._keys = keys[self._order]

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Position of each key, -1 for a missing one."""
        if not len(self._keys):
            return np.full(len(keys), -1)
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[at] == keys, self._order[at], -1)
