"""How a measured quantity is spread."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Spread:
    """Percentiles of a quantity over cells or images.

    Attributes:
        low: 5th percentile.
        median: 50th.
        high: 95th.
    """

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: np.ndarray) -> "Spread":
        """The spread of (n,) values, of which there is at least one."""
        low, median, high = np.percentile(np.asarray(values, np.float64), (5, 50, 95))
        return cls(float(low), float(median), float(high))

    def times(self, factor: float) -> "Spread":
        """The spread of the same quantity in another unit."""
        return Spread(self.low * factor, self.median * factor, self.high * factor)
