"""Data sets by their configuration."""

from dataclasses import dataclass

from cellflax.data.example import Dataset


@dataclass
class DataConfig:
    """Base of the settings of a data set; a subclass defines `load`."""

    def load(self) -> Dataset:
        """Read, fetch or simulate the data set.

        Raises:
            UserError: if files are missing or cannot be used, or the validation set would be empty.
        """
        raise NotImplementedError


def load_dataset(config: DataConfig) -> Dataset:
    """The data set of a configuration; see `DataConfig.load`."""
    return config.load()
