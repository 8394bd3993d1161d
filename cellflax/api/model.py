"""Trained networks as functions of images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cellflax.checks import above, check_value
from cellflax.device import set_up_jax
from cellflax.errors import UserError
from cellflax.inference.blocks import Window
from cellflax.inference.settings import Tiling
from cellflax.io.images import Image, grey_if_equal, stack_channels
from cellflax.prediction.inputs import nuclei_of, warn_of_simulation
from cellflax.prediction.networks import Networks, PredictionSettings, load_networks
from cellflax.prediction.unlike import UnlikeTraining
from cellflax.progress import say
from cellflax.schemas import group_types

_NAME = "the image"  # in messages


@dataclass(frozen=True)
class Segmented:
    """The cells of one image.

    Attributes:
        labels: (H, W) int32 cells, 0 = background.
        cells: one row per cell, with the columns of `cells.csv` except `image`; among them `uncertainty`, where several
            predictions were averaged, and `probability_iou50` and `probability_iou80` (that a cell is right), where the
            checkpoint's calibration fits the settings; never with given nuclei.
        nuclei: (H, W) int32 nuclei that the cells were grown from, or None.
        probabilities: (H, W, K) float32 probability of each class, or None if they were not asked for.
        uncertainty: (H, W) float32 disagreement of the averaged predictions, or None if there was one prediction or
            `probabilities` were not asked for.
        distances: (H, W, D) float32 maps called `Model.distance_names`, or None if the network has none (group target)
            or `probabilities` were not asked for.
    """

    labels: np.ndarray
    cells: pd.DataFrame
    nuclei: np.ndarray | None
    probabilities: np.ndarray | None
    uncertainty: np.ndarray | None
    distances: np.ndarray | None = None


class Model:
    """Trained networks that segment arrays; `load` makes one."""

    def __init__(self, networks: Networks):
        self._networks = networks
        self._unlike = UnlikeTraining(networks.model)
        self._told = False  # what given nuclei change

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels that the network needs, in its own order."""
        return self._networks.model.channels

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of `Segmented.probabilities`."""
        return self._networks.model.class_names

    @property
    def distance_names(self) -> tuple[str, ...]:
        """Names of the maps of distances, in the order of `Segmented.distances`; empty if there are none."""
        return self._networks.model.outputs.map_names

    @property
    def path(self) -> Path:
        """The checkpoint."""
        return self._networks.model.path

    @property
    def simulated(self) -> bool:
        """Whether the network was trained on simulated images."""
        return self._networks.model.simulated

    def __repr__(self) -> str:
        return f"<cellflax model {self.path}: channels {', '.join(self.channels)}; {', '.join(self.class_names)}>"

    def __call__(
        self,
        image: np.ndarray,
        *,
        pixel_size_um: float | None = None,
        channels: Sequence[str] = (),
        nuclei: np.ndarray | None = None,
        probabilities: bool = False,
    ) -> Segmented:
        """Segment one image.

        A line says where it is unlike the images of the training; of many images, the first for each way.

        Args:
            image: (H, W, C) raw intensities, or (H, W) for one channel.
            pixel_size_um: edge of a pixel, if known.
            channels: name of each of the C planes; the network picks its own planes by name and ignores the others.
                Without names, the planes must be the network's channels in its order.
            nuclei: (H, W) labels or mask of the nuclei that seed the cells.
            probabilities: also return the class probabilities, the distances if the network has any, and the
                uncertainty of every pixel where there is one.

        Raises:
            UserError: if an array does not fit, or holds NaN; the message names it.
        """
        given = self._image(np.asarray(image), channels, pixel_size_um)
        self._unlike.image(_NAME, given)
        networks, seeds = self._networks, None
        if nuclei is not None:
            if networks.nuclei_model is not None:
                raise UserError("nuclei=... and nuclei_checkpoint are both given; leave one of them out")
            networks = networks.with_given_nuclei("nuclei=...")
            if networks.sureness != self._networks.sureness and not self._told:
                self._told = True
                for remark in networks.sureness.remarks:
                    say(remark)
            seeds = nuclei_of(np.asarray(nuclei), given, "nuclei")
        outputs = networks.model.outputs
        maps = _Maps(given.pixels.shape[:2], len(outputs.names)) if probabilities else None
        result = networks.segment(given, seeds, None if maps is None else maps.write)
        self._unlike.cells(_NAME, result.cells)
        self._unlike.say()
        return Segmented(
            labels=result.labels,
            cells=result.cells,
            nuclei=result.seeds,
            probabilities=None if maps is None else outputs.classes(maps.outputs),
            uncertainty=None if maps is None else maps.uncertainty,
            distances=None if maps is None or not outputs.map_names else outputs.maps(maps.outputs),
        )

    def _image(self, pixels: np.ndarray, channels: Sequence[str], pixel_size_um: float | None) -> Image:
        """The planes of the network's channels, in its order, checked."""
        wanted, names = self.channels, (channels,) if isinstance(channels, str) else tuple(channels)
        pixels = pixels[..., None] if pixels.ndim == 2 else pixels
        if pixels.ndim != 3 or min(pixels.shape) < 1:
            raise UserError(f"the image must have the shape (H, W) or (H, W, C), got {pixels.shape}")
        if len(wanted) == 1 and not names:
            pixels = grey_if_equal(pixels)
        if pixels.dtype.kind not in "biuf":
            raise UserError(f"the image must hold integers or floats, got {pixels.dtype}")
        planes = pixels.shape[-1]
        if names and len(names) != planes:
            raise UserError(
                f"channels names {len(names)} planes ({', '.join(names)}) and the image has {planes}, as its shape "
                f"{pixels.shape} is (H, W, C); name every plane"
            )
        if len(set(names)) < len(names):
            raise UserError(f"channels must be different names, got {', '.join(names)}")
        if missing := [name for name in wanted if names and name not in names]:
            raise UserError(
                f"channels lacks {', '.join(missing)}: the network needs {', '.join(wanted)}, got {', '.join(names)}"
            )
        if not names and planes != len(wanted):
            raise UserError(
                f"the image has {planes} planes, as its shape {pixels.shape} is (H, W, C), and the network needs "
                f"{len(wanted)} ({', '.join(wanted)}); give those, or name the planes by channels=[...]"
            )
        if pixel_size_um is not None:
            check_value("pixel_size_um", pixel_size_um, above(0))
        if names:
            pixels = pixels[..., [names.index(name) for name in wanted]]
        pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
        return stack_channels([Image(pixels, wanted, pixel_size_um, Path(_NAME))], ())


class _Maps:
    """Collects the maps of an image window by window."""

    def __init__(self, shape: tuple[int, ...], planes: int):
        self.outputs = np.zeros((*shape, planes), np.float32)
        self.uncertainty: np.ndarray | None = None

    def write(self, window: Window, probability: np.ndarray, disagreement: np.ndarray | None) -> None:
        self.outputs[window] = probability
        if disagreement is not None:
            if self.uncertainty is None:
                self.uncertainty = np.zeros(self.outputs.shape[:2], np.float32)
            self.uncertainty[window] = disagreement


def load(run: str | Path, settings: PredictionSettings | None = None) -> Model:
    """Rebuild trained networks from a checkpoint.

    Args:
        run: run directory of a training, its `checkpoints` folder, one numbered checkpoint, or the name of a network
            that comes with cellflax, such as "nuclei".
        settings: the settings shared with `cellflax.predict`, such as
            `PredictionSettings(test_time_augmentation=8, refine=WatershedConfig(interior=0.3))`.

    Raises:
        UserError: if there is no checkpoint, it cannot be read, or the settings do not go with it.
    """
    settings = settings or PredictionSettings()
    if not isinstance(settings.tiling, Tiling):
        raise UserError(f"tiling must be Tiling.seamless or Tiling.gaussian, got {settings.tiling!r}")
    kinds = group_types("refine").values()
    if settings.refine is not None and type(settings.refine) not in kinds:
        names = ", ".join(kind.__name__ for kind in kinds)
        raise UserError(f"refine must be one of {names} from cellflax.refine, got {settings.refine!r}")
    networks = load_networks(run, settings)
    set_up_jax(networks.model.config.trainer.precision.name)
    for remark in networks.sureness.remarks:
        say(remark)
    warn_of_simulation(networks.model)
    return Model(networks)
