"""The network that comes with cellflax and finds the nuclei for a training and its predictions."""

import functools

from cellflax.errors import UserError
from cellflax.networks import shipped_network, shipped_networks
from cellflax.prediction.trained import TrainedModel, load_model
from cellflax.training.config import TrainConfig


def nuclei_network(config: TrainConfig) -> TrainedModel | None:
    """The network that `nuclei_network` of a training names; None if image processing finds the nuclei.

    Raises:
        UserError: if no network of this name comes with cellflax.
    """
    if config.nuclei_network is None or config.seed_channel is None:
        return None
    return own_network(config.nuclei_network)


@functools.lru_cache(maxsize=2)  # an image is segmented in several places, by the same compiled network
def own_network(name: str) -> TrainedModel:
    """A network that comes with cellflax.

    Raises:
        UserError: if there is none of this name.
    """
    path = shipped_network(name)
    if path is None:
        raise UserError(
            f"nuclei_network={name}: no network of this name comes with cellflax (there are: "
            f"{', '.join(shipped_networks()) or 'none'}); take null, and predict with nuclei_checkpoint=RUN"
        )
    return load_model(str(path))
