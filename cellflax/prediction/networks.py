"""Trained networks with the settings they segment by: what `cellflax.predict` and `cellflax.load` share."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cellflax.checks import above, at_least, check
from cellflax.errors import UserError
from cellflax.inference.settings import Inference, Tiling
from cellflax.io.images import Image
from cellflax.prediction.calibration import ENTRY, Sureness, sureness_of
from cellflax.prediction.own_nuclei import nuclei_network
from cellflax.prediction.segment import Maps, OnBlock, Segmentation, find_nuclei, segment
from cellflax.prediction.trained import TrainedModel, load_model
from cellflax.refine import RefineConfig, check_classes
from cellflax.schemas import kind_of, to_json
from cellflax.training.config import TRANSFORM_COUNTS
from cellflax.training.starting import weights_checksum


@dataclass
class PredictionSettings:
    """How trained networks segment images; the defaults follow the checkpoint.

    Attributes:
        step: checkpoint of the run, best, last or a number; not used if `checkpoint` is a numbered one.
        nuclei_checkpoint: run directory of a network that finds the nuclei, or the name of one that comes with
            cellflax. The images must have its channels, by name; the only channel of a network may also be the seed
            channel of the checkpoint. Without given nuclei and this network, they are found in the checkpoint's seed
            channel, if it has one, as they were in its training: by image processing or its nuclei_network.
        network_pixel_size_um: resample the images to this pixel size for `checkpoint`. This overrides the
            checkpoint's own, so that cells appear as large as in training even if the training images recorded no
            pixel size.
        tiling: seamless: tiles see their neighbours, so that the result is that of the whole image; gaussian: the
            two blended passes of P2, whose tiles see only themselves.
        tile: largest edge in pixels of what the network sees at once, null for 512, 1024 if the network sees more
            than 64 px to each side, or 240 (gaussian, as in P2); smaller tiles take less memory.
        block: largest edge in pixels of what is segmented at once. Larger images are segmented in blocks, which
            bounds the memory beyond the image's own; each cell is found by one of them.
        largest_cell_px: length of the largest cell in pixels (those of the network, if it resamples). Each block
            is given this much context on every side; larger cells may be cut where blocks meet.
        test_time_augmentation: rotations and reflections averaged, 1, 4 or 8; each costs the time of one. Null
            takes the checkpoint's.
        refine: from probabilities to cells (group refine); null takes the checkpoint's, with the settings that were
            tuned after training, if any were. One that is given is that of its file, not a change of the checkpoint's.
    """

    step: str = "best"
    nuclei_checkpoint: str | None = None
    network_pixel_size_um: float | None = None
    tiling: Tiling = Tiling.seamless
    tile: int | None = None
    block: int = 2048
    largest_cell_px: int = 200
    test_time_augmentation: int | None = None
    refine: Any = None

    def __post_init__(self):
        check(self, "", above(0), "network_pixel_size_um")
        check(self, "", at_least(64), "tile")
        check(self, "", at_least(256), "block")
        check(self, "", at_least(1), "largest_cell_px")
        check(self, "", TRANSFORM_COUNTS, "test_time_augmentation")


@dataclass(frozen=True)
class Networks:
    """What turns images into cells.

    Attributes:
        model: finds the cells.
        nuclei_model: finds the nuclei that seed them, if one was given.
        how: from probabilities to cells.
        inference: tiles, transforms, blocks.
        nuclei_are_given: whether label images of nuclei are given, so that no network finds them.
        sureness: what gives the probability that a cell is right, if anything does.
    """

    model: TrainedModel
    nuclei_model: TrainedModel | None
    how: RefineConfig
    inference: Inference
    sureness: Sureness
    nuclei_are_given: bool = False

    @property
    def used_nuclei_model(self) -> TrainedModel | None:
        """The network that finds the nuclei; None if image processing does, or they are not looked for."""
        if self.nuclei_model is not None or self.nuclei_are_given or not self.how.takes_seeds:
            return self.nuclei_model
        return nuclei_network(self.model.config)

    @property
    def has_uncertainty(self) -> bool:
        """Whether several predictions are averaged."""
        return self.model.members * self.inference.transforms > 1

    def with_given_nuclei(self, given: str) -> "Networks":
        """The same for images whose nuclei are given: what is known of cells around found ones does not hold there.

        Args:
            given: how they were given, for errors and remarks.

        Raises:
            UserError: as `require_use_of_nuclei`.
        """
        self.require_use_of_nuclei(given)
        sureness = sureness_of(self.model, self.how, self.inference, _other_nuclei(given))
        return replace(self, sureness=sureness, nuclei_are_given=self.nuclei_model is None)

    def require_use_of_nuclei(self, given: str) -> None:
        """Refuse nuclei that would change nothing.

        Args:
            given: how they were given, for the error.

        Raises:
            UserError: if the refinement takes no seeds.
        """
        if not self.how.takes_seeds:
            raise UserError(f"{given} has no use without seeds; add refine=watershed or leave it out")

    def segment(
        self, image: Image, nuclei: np.ndarray | None, maps: Maps | None = None, on_block: OnBlock | None = None
    ) -> Segmentation:
        """Segment one image, by its nuclei if they are given, else by those that the networks find.

        Args:
            image: (H, W, C) raw intensities, channels in the model's order.
            nuclei: (H, W) labels, or None.
            maps: as in `segment.segment`.
            on_block: as in `segment.segment`.
        """
        if nuclei is None:
            nuclei = find_nuclei(self.model, image, self.how, self.inference, self.nuclei_model)
        calibration = self.sureness.calibration
        return segment(self.model, image, nuclei, self.how, self.inference, maps, on_block, calibration)

    def identity(self) -> dict[str, Any]:
        """What tells these networks from others, wherever they are: steps and sums of the weights, as JSON."""
        return {
            "checkpoint": _identity(self.model),
            "nuclei_checkpoint": None if (nuclei := self.used_nuclei_model) is None else _identity(nuclei),
        }


def load_networks(checkpoint: str | Path, settings: PredictionSettings) -> Networks:
    """Read the checkpoints that the settings name.

    Raises:
        UserError: as `load_model`, or if the refinement has no use for `nuclei_checkpoint`.
    """
    model = load_model(checkpoint, settings.step)
    if settings.network_pixel_size_um is not None:
        scale = replace(model.config.scale, pixel_size_um=settings.network_pixel_size_um, factor=None)
        model = replace(model, config=replace(model.config, scale=scale))
    nuclei_model = None if settings.nuclei_checkpoint is None else load_model(settings.nuclei_checkpoint)
    inference = Inference(
        tiling=settings.tiling,
        tile=settings.tile,
        transforms=settings.test_time_augmentation or model.config.test_time_augmentation,
        block=settings.block,
        largest_cell_px=settings.largest_cell_px,
    )
    how = settings.refine or model.config.refine
    check_classes(how, model.outputs.names)
    networks = Networks(model, nuclei_model, how, inference, sureness_of(model, how, inference, None))
    if nuclei_model is None:
        return networks
    return networks.with_given_nuclei(f"nuclei_checkpoint={settings.nuclei_checkpoint}")


def _other_nuclei(given: str) -> str:
    return f"{given} seeds the cells, and they were calibrated without"


def _identity(model: TrainedModel) -> dict[str, Any]:
    identity = {"step": model.step, "weights": weights_checksum(model.record)}
    if model.record.get("tuning") is not None:  # otherwise the weights' record says all, as it did before tuning
        identity["refine"] = {"kind": kind_of("refine", model.config.refine), **to_json(model.config.refine)}
    if model.record.get(ENTRY) is not None:
        identity[ENTRY] = model.record[ENTRY].get("fitted")
    return identity
