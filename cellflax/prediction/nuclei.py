"""How a training finds the nuclei that seed cells in its held-out regions: as its predictions do."""

from pathlib import Path

import numpy as np

from cellflax.inference.settings import Inference
from cellflax.io.images import Image
from cellflax.prediction.own_nuclei import nuclei_network, own_network
from cellflax.prediction.segment import nuclei_by_network
from cellflax.prediction.trained import TrainedModel
from cellflax.refine.seeds import nuclei_seeds
from cellflax.training.config import TrainConfig
from cellflax.training.held_out import FindNuclei


def nuclei_finder(config: TrainConfig) -> FindNuclei:
    """What finds the nuclei in one plane of an image: a network that comes with cellflax, or image processing.

    Raises:
        UserError: as `own_nuclei.nuclei_network`.
    """
    network = nuclei_network(config) if config.refine.takes_seeds else None
    if network is None:
        return lambda plane, size_um: nuclei_seeds(plane, config.seeds, size_um)

    return _finder_of(network)


def network_finder(name: str) -> FindNuclei:
    """What finds the nuclei in one plane of an image by a network that comes with cellflax.

    Raises:
        UserError: if there is no such network.
    """
    return _finder_of(own_network(name))


def _finder_of(network: TrainedModel) -> FindNuclei:
    def find(plane: np.ndarray, size_um: float | None) -> np.ndarray:
        return nuclei_by_network(network, Image(plane[..., None], network.channels, size_um, Path()), Inference())

    return find
