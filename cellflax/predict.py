"""Segment images with a trained network.

    cellflax predict checkpoint=RUN input='new/*.tif' output=DIR
    cellflax predict checkpoint=RUN input=FOLDER 'channels=[phase,nuclear]' refine=watershed refine.interior=0.3

Writes `<name>_labels.tif` for every image, `cells.csv` with a row per cell, `overlay.png`, and
`provenance.json`. A TIFF with time as an axis gives one label movie, and rows per cell and frame. Normalisation,
channels and refinement are those of the checkpoint; an ensemble's networks are averaged, and what they disagree about
is each cell's uncertainty.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cellflax.config import entry
from cellflax.device import set_up_jax
from cellflax.errors import UserError
from cellflax.inference.settings import Inference, Tiling
from cellflax.io.frames import Frames
from cellflax.io.images import group_channels, list_files
from cellflax.io.pairs import partners
from cellflax.jsonfile import write_json
from cellflax.pictures.overlay import Panel, save_overlay
from cellflax.prediction.files import ResultFiles, frame_cells, panel, provenance, write_table
from cellflax.prediction.inputs import channel_parts, open_images, open_nuclei
from cellflax.prediction.segment import find_nuclei, segment
from cellflax.prediction.trained import TrainedModel, load_model
from cellflax.progress import say
from cellflax.refine import RefineConfig, takes_seeds
from cellflax.training.config import check_transforms

_MAX_PANELS = 6


@dataclass
class PredictConfig:
    """Options of `cellflax.predict`.

    Attributes:
        checkpoint: run directory of a training, its `checkpoints` folder, or one numbered checkpoint.
        step: best, last or a number, where `checkpoint` leaves it open.
        input: images, FILE | DIR | GLOB; TIFFs with several frames along T (or an unnamed axis too long for channels)
            are movies.
        output: directory for the results.
        channels: where each channel has its own file: the part of the file names that tells which, in the
            order of the checkpoint's channels (its own names may come in any order); empty where one file holds
            all channels.
        nuclei: nucleus masks or labels that seed the cells, FILE | DIR | GLOB, paired with the images by name; movies
            for movies.
        nuclei_checkpoint: a network that finds the nuclei (run directory, as `checkpoint`), in channels that the
            images have by name. Without either, nuclei are found by image processing in the checkpoint's seed
            channel, if it has one.
        pixel_size_um: of all images, where the files do not say. A network that was trained at a pixel size of its
            own (scale.pixel_size_um) gets the images resampled to that; its results are on the images' own grid.
        network_pixel_size_um: resample the images to this pixel size for `checkpoint`, counts before its own; so cells
            look as large to it as those of its training, whose images may not have told their pixel size.
        frame_interval_s: of all movies, where the files do not say.
        save_probability: also write `<name>_probability.tif`, CYX float32, and where there are any
            `<name>_uncertainty.tif`, YX float32, and the nuclei as `<name>_seeds.tif`; of movies with T first.
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
    network_pixel_size_um: float | None = None
    frame_interval_s: float | None = None
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
        for key in ("pixel_size_um", "network_pixel_size_um", "frame_interval_s"):
            value = getattr(self, key)
            if value is not None and not value > 0:
                raise UserError(f"{key} must be above 0, got {value}")


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
    networks = _load(config)
    model = networks.model
    _announce(model, set_up_jax(model.config.trainer.precision.name))
    images = group_channels(list_files(config.input), channel_parts(config.channels, model.channels))
    nuclei = partners("nuclei", config.nuclei, {image.name: image.paths[0] for image in images})
    output = Path(config.output)
    output.mkdir(parents=True, exist_ok=True)
    for stale in ("cells.csv", "cells.partial.csv", "provenance.json"):
        (output / stale).unlink(missing_ok=True)

    tables, panels, complete = [], [], False
    try:
        for files in images:
            with open_images(files, model, config.pixel_size_um, config.frame_interval_s) as frames:
                tables.append(_segment_frames(frames, nuclei.get(files.name), networks, config, panels))
        complete = True
    finally:
        if tables:
            table = pd.concat(tables, ignore_index=True)
            write_table(output / ("cells.csv" if complete else "cells.partial.csv"), table)
        done = [files.name for files in images[: len(tables)]]
        write_json(output / "provenance.json", provenance(model, networks.nuclei_model, config, done, complete))
    save_overlay(output / "overlay.png", panels)
    say(f"results: {output}")
    return table


@dataclass(frozen=True)
class _Networks:
    """What turns images into cells.

    Attributes:
        model: finds the cells.
        nuclei_model: finds the nuclei that seed them, if there is one.
        how: from probabilities to cells.
        inference: tiles, transforms, blocks.
    """

    model: TrainedModel
    nuclei_model: TrainedModel | None
    how: RefineConfig
    inference: Inference


def _load(config: PredictConfig) -> _Networks:
    model = load_model(config.checkpoint, config.step)
    if config.network_pixel_size_um is not None:
        scale = replace(model.config.scale, pixel_size_um=config.network_pixel_size_um)
        model = replace(model, config=replace(model.config, scale=scale))
    nuclei_model = None if config.nuclei_checkpoint is None else load_model(config.nuclei_checkpoint)
    how = config.refine or model.config.refine
    for key in ("nuclei", "nuclei_checkpoint"):
        if getattr(config, key) is not None and not takes_seeds(how):
            raise UserError(
                f"{key}={getattr(config, key)} has no use without seeds; add refine=watershed or leave it out"
            )
    inference = Inference(
        tiling=config.tiling,
        tile=config.tile,
        transforms=config.test_time_augmentation or model.config.test_time_augmentation,
        block=config.block,
        largest_cell_px=config.largest_cell_px,
    )
    return _Networks(model, nuclei_model, how, inference)


def _segment_frames(
    frames: Frames, nuclei: Path | None, networks: _Networks, config: PredictConfig, panels: list[Panel]
) -> pd.DataFrame:
    """Segment an image or all frames of a movie, write the results, and return the table of their cells.

    Some of the frames are appended to `panels`.
    """
    model, how, inference = networks.model, networks.how, networks.inference
    several = model.members * inference.transforms > 1
    files = ResultFiles(
        Path(config.output), frames, model.class_names, maps=config.save_probability, uncertainty=several
    )
    shown = set(np.linspace(0, frames.count - 1, min(frames.count, _MAX_PANELS - len(panels)), dtype=int).tolist())
    tables = []
    with open_nuclei(nuclei, frames) as read_nuclei, files:
        for t in range(frames.count):
            image = frames.read(t)
            seeds = read_nuclei(t, image)
            if seeds is None:
                seeds = find_nuclei(model, image, how, inference, networks.nuclei_model)
            result = segment(model, image, seeds, how, inference, files.maps(t, image))
            files.write(image, result)
            tables.append(frame_cells(frames, t, result.cells))
            title = frames.name if frames.time is None else f"{frames.name}, frame {t}"
            if t in shown:
                panels.append(panel(title, result.labels, image.pixels[..., 0]))
            say(f"{title}: {len(result.cells)} cells")
    return pd.concat(tables, ignore_index=True)


def _announce(model: TrainedModel, device: str) -> None:
    say(device)
    networks = f"{model.members} networks" if model.members > 1 else "one network"
    say(f"checkpoint: {model.path}, {networks}; {model.record['data']['source']}")
    if model.simulated:
        say("SIMULATED DATA: this network was trained on simulated images; do not publish what it measures")


if __name__ == "__main__":
    main()
