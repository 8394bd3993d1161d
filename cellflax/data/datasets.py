"""Load a data set by the kind of its configuration."""

from cellflax.data.coculture import CoCultureData, load_coculture
from cellflax.data.deepcell import DeepCellData, load_deepcell
from cellflax.data.example import Dataset
from cellflax.data.folder import FolderData, load_folder
from cellflax.data.simulated import SimulatedData, load_simulated

DataConfig = CoCultureData | DeepCellData | FolderData | SimulatedData


def load_dataset(config: DataConfig) -> Dataset:
    """Read, fetch or simulate the data set that the configuration describes.

    Raises:
        UserError: if files are missing or cannot be used, or the validation set would be empty.
    """
    match config:
        case CoCultureData():
            return load_coculture(config)
        case DeepCellData():
            return load_deepcell(config)
        case FolderData():
            return load_folder(config)
        case SimulatedData():
            return load_simulated(config)
    raise TypeError(f"not a data configuration: {type(config).__name__}")
