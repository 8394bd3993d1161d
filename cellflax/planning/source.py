"""The trained network that a training starts from, as far as a plan depends on it."""

from dataclasses import dataclass
from typing import Any

from cellflax.errors import UserError
from cellflax.schemas import to_json
from cellflax.training.seen import read_seen
from cellflax.training.weights import read_weights

# Options of conf/model that stand for a kind of network in the plan; the layers are those of the source.
OPTIONS = {"unet": "unet", "skip_fcn": "skip_fcn", "patch_net": "patch_net_61"}


@dataclass(frozen=True)
class StartingNetwork:
    """What of a trained network its successors keep.

    Attributes:
        path: as in `start_from`.
        model: kind of the network.
        target: what it learned; an option of `target`.
        multiple: sizes of crops are divisible by this.
        normalize: how its images were normalised, as JSON.
        factor: by how much its images were resampled, if it is set so.
        pixel_size_um: the pixel size that they were resampled to, if it is set so.
        diameter_px: diameters that 5 % of the cells it learned, half of them and 95 % do not exceed, in pixels of the
            network; None if the checkpoint does not say.
    """

    path: str
    model: str
    target: str
    multiple: int
    normalize: dict[str, Any]
    factor: float | None
    pixel_size_um: float | None
    diameter_px: tuple[float, float, float] | None

    @property
    def reason(self) -> str:
        """Why something is as it is."""
        return f"as in start_from={self.path}"


def source_of(path: str) -> StartingNetwork:
    """Read what a plan must know of a trained network.

    Args:
        path: as `start_from`.

    Raises:
        UserError: if there is no such network, or it cannot be read.
    """
    trained = read_weights(path)
    config = to_json(trained.config)
    try:
        seen = read_seen(trained.record)
    except UserError as error:
        raise UserError(f"start_from={path}: {error}; start from another checkpoint") from error
    sizes = seen.cell_diameter_px if seen is not None else []
    diameter = (sizes[0], sizes[1], sizes[2]) if sizes and sizes[1] > 0 else None
    return StartingNetwork(
        path=path,
        model=config["model"]["kind"],
        target=config["target"]["kind"],
        multiple=trained.geometry.multiple,
        normalize=config["normalize"],
        factor=config["scale"]["factor"],
        pixel_size_um=config["scale"]["pixel_size_um"],
        diameter_px=diameter,
    )
