"""Data sets by their configuration."""

from dataclasses import dataclass
from typing import ClassVar

from cellflax.data.example import Dataset
from cellflax.data.normalize import Intensity


@dataclass
class DataConfig:
    """Base of the settings of a data set; a subclass defines `load`.

    Attributes:
        usual_intensity: what `normalize.intensity=null` means for such data; the papers divide by the median.
        usual_tune: what `tune=null` means for such data; the papers' experiments have settings of their own.
    """

    usual_intensity: ClassVar[Intensity] = Intensity.median
    usual_tune: ClassVar[bool] = False

    def load(self) -> Dataset:
        """Read, fetch or simulate the data set.

        Raises:
            UserError: if files are missing or cannot be used, or the validation set would be empty.
        """
        raise NotImplementedError


def load_dataset(config: DataConfig) -> Dataset:
    """The data set of a configuration; see `DataConfig.load`."""
    return config.load()
