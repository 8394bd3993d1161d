"""Segment images with a trained network: python -m cellflax.predict checkpoint=RUN input=FILE|DIR|GLOB output=DIR.

Writes `<name>_labels.tif` for every image, `cells.csv` with a row per cell, `overlay.png`, and
`provenance.json`. Normalisation, channels and refinement are those of the checkpoint; an ensemble's networks are
averaged, and what they disagree about is each cell's uncertainty.
"""

import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cellflax.config import entry
from cellflax.data.images import (
    Image,
    ImageFiles,
    group_channels,
    list_files,
    read_channels,
    read_labels,
    write_labels,
)
from cellflax.data.pairs import partners
from cellflax.device import set_up_jax
from cellflax.errors import UserError
from cellflax.inference.settings import Inference, Tiling
from cellflax.jsonfile import write_json
from cellflax.predict_files import open_maps, panel, provenance, write_table
from cellflax.refine import takes_seeds
from cellflax.refine.seeds import seeds_from_labels
from cellflax.report import save_overlay
from cellflax.segment import find_nuclei, segment
from cellflax.trained import TrainedModel, load_model
from cellflax.training_config import check_transforms

_MAX_PANELS = 6
# Cells of another apparent size than in training are another problem; the network has never seen it.
_PIXEL_SIZE_TOLERANCE = 0.1


@dataclass
class PredictConfig:
    """Options of `cellflax.predict`.

    Attributes:
        checkpoint: run directory of a training, its `checkpoints` folder, or one numbered checkpoint.
        step: best, last or a number, where `checkpoint` leaves it open.
        input: images, FILE | DIR | GLOB.
        output: directory for the results.
        channels: where each channel has its own file: the part of the file names that tells which, in the
            order of the checkpoint's channels (its own names may come in any order); empty where one file holds
            all channels.
        nuclei: nucleus masks or labels that seed the cells, FILE | DIR | GLOB, paired with the images by name.
        nuclei_checkpoint: a network that finds the nuclei (run directory, as `checkpoint`), in channels that the
            images have by name. Without either, nuclei are found by image processing in the checkpoint's seed
            channel, if it has one.
        pixel_size_um: of all images, where the files do not say. A network that was trained at a pixel size of its
            own (scale.pixel_size_um) gets the images resampled to that; its results are on the images' own grid.
        save_probability: also write `<name>_probability.tif`, CYX float32, and where there are any
            `<name>_uncertainty.tif`, YX float32, and the nuclei as `<name>_seeds.tif`.
        tiling: seamless: tiles see their neighbours, so that the result is that of the whole image; gaussian: the
            two blended passes of P2, whose tiles see only themselves.
        tile: largest edge in pixels of what the network sees at once, null for 512 (seamless) or 240 (gaussian, as
            P2); smaller takes less memory.
        block: largest edge in pixels of what is segmented at once. Larger images are segmented in blocks, which
            bounds the memory beyond the image's own; each cell is found by one of them.
        largest_cell_px: length of the largest cell in pixels (those of the network, where it resamples); so far
            beyond itself does a block look, and larger cells may be cut where blocks meet.
        test_time_augmentation: rotations and reflections averaged, 1, 4 or 8; each costs the time of one. Null
            takes the checkpoint's.
        refine: from probabilities to cells (group refine); null takes the checkpoint's.
    """

    checkpoint: str = ""
    step: str = "best"
    input: str = ""
    output: str = "predictions"
    channels: list[str] = field(default_factory=list)
    nuclei: str | None = None
    nuclei_checkpoint: str | None = None
    pixel_size_um: float | None = None
    save_probability: bool = False
    tiling: Tiling = Tiling.seamless
    tile: int | None = None
    block: int = 2048
    largest_cell_px: int = 200
    test_time_augmentation: int | None = None
    refine: Any = None

    def __post_init__(self):
        if self.test_time_augmentation is not None:
            check_transforms(self.test_time_augmentation)
        if self.nuclei is not None and self.nuclei_checkpoint is not None:
            raise UserError(f"nuclei={self.nuclei} and nuclei_checkpoint={self.nuclei_checkpoint}: give one of them")
        for key, least in (("tile", 64), ("block", 256), ("largest_cell_px", 1)):
            value = getattr(self, key)
            if value is not None and value < least:
                raise UserError(f"{key} must be {least} pixels or more, got {value}")
        if self.pixel_size_um is not None and self.pixel_size_um <= 0:
            raise UserError(f"pixel_size_um must be above 0, got {self.pixel_size_um}")


@entry("predict", PredictConfig)
def main(config: PredictConfig) -> None:
    """Segment all images of `input`."""
    predict(config)


def predict(config: PredictConfig) -> pd.DataFrame:
    """Segment images and write the results; returns the table of all cells.

    Raises:
        UserError: if the checkpoint or an image cannot be used. Results of the images before it stay, and the
            table of their cells is called `cells.partial.csv`.
    """
    for key in ("checkpoint", "input"):
        if not getattr(config, key):
            raise UserError(f"{key} is not given; add {key}=...")
    model = load_model(config.checkpoint, config.step)
    nuclei_model = None if config.nuclei_checkpoint is None else load_model(config.nuclei_checkpoint)
    how = config.refine or model.config.refine
    inference = Inference(
        tiling=config.tiling,
        tile=config.tile,
        transforms=config.test_time_augmentation or model.config.test_time_augmentation,
        block=config.block,
        largest_cell_px=config.largest_cell_px,
    )
    for key in ("nuclei", "nuclei_checkpoint"):
        if getattr(config, key) is not None and not takes_seeds(how):
            raise UserError(
                f"{key}={getattr(config, key)} has no use without seeds; add refine=watershed or leave it out"
            )
    _announce(model, set_up_jax(model.config.trainer.precision.name))
    images = group_channels(list_files(config.input), _channel_parts(config.channels, model.channels))
    nuclei = partners("nuclei", config.nuclei, {image.name: image.paths[0] for image in images})
    output = Path(config.output)
    output.mkdir(parents=True, exist_ok=True)
    for stale in ("cells.csv", "cells.partial.csv", "provenance.json"):
        (output / stale).unlink(missing_ok=True)

    tables, panels, complete = [], [], False
    try:
        for files in images:
            image = _read(files, model, config)
            if files.name in nuclei:
                seeds = _read_nuclei(nuclei[files.name], image)
            else:
                seeds = find_nuclei(model, image, how, inference, nuclei_model)
            with ExitStack() as stack:
                maps = None
                if config.save_probability:
                    several = model.members * inference.transforms > 1
                    maps = open_maps(stack, output, files.name, image, model.class_names, uncertainty=several)
                result = segment(model, image, seeds, how, inference, maps)
            write_labels(output / f"{files.name}_labels.tif", result.labels, image.pixel_size_um)
            if config.save_probability and result.seeds is not None:
                write_labels(output / f"{files.name}_seeds.tif", result.seeds, image.pixel_size_um)
            tables.append(result.cells.assign(image=files.name))
            if len(panels) < _MAX_PANELS:
                panels.append(panel(files.name, result.labels, image.pixels[..., 0]))
            _print(f"{files.name}: {len(result.cells)} cells")
        complete = True
    finally:
        if tables:
            write_table(output / ("cells.csv" if complete else "cells.partial.csv"), tables)
        done = [files.name for files in images[: len(tables)]]
        write_json(output / "provenance.json", provenance(model, nuclei_model, config, done, complete))
    save_overlay(output / "overlay.png", panels)
    _print(f"results: {output}")
    return pd.concat(tables, ignore_index=True)


def _announce(model: TrainedModel, device: str) -> None:
    _print(device)
    networks = f"{model.members} networks" if model.members > 1 else "one network"
    _print(f"checkpoint: {model.path}, {networks}; {model.record['data']['source']}")
    if model.simulated:
        _print("SIMULATED DATA: this network was trained on simulated images; do not publish what it measures")


def _channel_parts(given: list[str], channels: tuple[str, ...]) -> list[str]:
    """Parts of the file names in the order of the checkpoint's channels."""
    return list(channels) if sorted(given) == sorted(channels) else given


def _read(files: ImageFiles, model: TrainedModel, config: PredictConfig) -> Image:
    """Read one image and check it against what the network was trained on."""
    image = read_channels(files)
    wanted = model.channels
    if image.pixels.shape[-1] != len(wanted):
        raise UserError(
            f"{image.path}: has {image.pixels.shape[-1]} channels, the checkpoint needs {len(wanted)} "
            f"({', '.join(wanted)}); for one file per channel give channels=[{','.join(wanted)}]"
        )
    size = config.pixel_size_um or image.pixel_size_um
    trained = model.record["data"]["pixel_size_um"]
    resampled = model.config.scale.pixel_size_um is not None
    if not resampled and size and trained and abs(size / trained - 1) > _PIXEL_SIZE_TOLERANCE:
        _print(f"warning: {files.name} has {size:g} um per pixel, training had {trained:g}; rescale the image")
    return Image(image.pixels, wanted, size, image.path)


def _read_nuclei(path: Path, image: Image) -> np.ndarray:
    """Given nuclei, checked against their image."""
    labels = seeds_from_labels(read_labels(path))
    if labels.shape != image.pixels.shape[:2]:
        raise UserError(f"{path}: {labels.shape} nuclei for an image of {image.pixels.shape[:2]}")
    return labels


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
