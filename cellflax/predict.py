"""Segment images with a trained network.

    cellflax predict checkpoint=RUN input='new/*.tif' output=DIR
    cellflax predict checkpoint=RUN input=FOLDER 'channels=[phase,nuclear]' refine=watershed refine.interior=0.3

Writes `<name>_labels.tif` for every image, `cells.csv` with a row per cell, `overlay.png`, and
`provenance.json`. A TIFF with a time axis gives one label movie, and `cells.csv` then has a row per cell and frame.
Normalisation, channels and refinement are those of the checkpoint. The networks of an ensemble are averaged, and their
disagreement is the uncertainty of each cell.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from cellflax.atomic import output_directory
from cellflax.checks import above, check
from cellflax.config import entry
from cellflax.device import set_up_jax
from cellflax.errors import UserError
from cellflax.io import results
from cellflax.io.frames import Frames
from cellflax.io.images import group_channels, list_files
from cellflax.io.pairs import PairBy, partners
from cellflax.jsonfile import write_json
from cellflax.pictures.overlay import Panel, save_overlay
from cellflax.prediction.files import ResultFiles, frame_cells, panel, provenance, write_cells
from cellflax.prediction.inputs import channel_parts, open_images, open_nuclei, warn_of_simulation
from cellflax.prediction.networks import Networks, PredictionSettings, load_networks
from cellflax.prediction.trained import TrainedModel
from cellflax.progress import say

_MAX_PANELS = 6


@dataclass
class PredictConfig(PredictionSettings):
    """Options of `cellflax.predict`.

    Attributes:
        checkpoint: run directory of a training, its `checkpoints` folder, or one numbered checkpoint.
        input: images, FILE | DIR | GLOB; TIFFs with several frames along T (or an unnamed axis too long for channels)
            are movies.
        output: directory for the results.
        channels: if each channel has its own file, the part of the file names that identifies the channel, in the
            order of the checkpoint's channels (the checkpoint's own names may come in any order); empty if one file
            holds all channels.
        nuclei: nucleus masks or labels that seed the cells, FILE | DIR | GLOB, paired with the images by name; a
            movie needs a movie.
        pair: names pairs `nuclei` with the images by their names, order in the order of their names.
        pixel_size_um: pixel size of all images; overrides the files. If the network was trained at a fixed pixel size
            (scale.pixel_size_um), the images are resampled to it; the results are on the images' own grid.
        frame_interval_s: time between the frames of all movies; overrides the files.
        save_probability: also write `<name>_probability.tif` (CYX, float32) and, if there are any,
            `<name>_uncertainty.tif` (YX, float32) and the nuclei as `<name>_seeds.tif`. In movies, T comes first.
    """

    checkpoint: str = ""
    input: str = ""
    output: str = "predictions"
    channels: list[str] = field(default_factory=list)
    nuclei: str | None = None
    pair: PairBy = PairBy.names
    pixel_size_um: float | None = None
    frame_interval_s: float | None = None
    save_probability: bool = False

    def __post_init__(self):
        super().__post_init__()
        check(self, "", above(0), "pixel_size_um", "frame_interval_s")
        if self.nuclei is not None and self.nuclei_checkpoint is not None:
            raise UserError(f"nuclei={self.nuclei} and nuclei_checkpoint={self.nuclei_checkpoint}: give one of them")


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
    networks = load_networks(config.checkpoint, config)
    if config.nuclei is not None:
        networks.require_use_of_nuclei(f"nuclei={config.nuclei}")
    model = networks.model
    _announce(model, set_up_jax(model.config.trainer.precision.name))
    images = group_channels(list_files(config.input), channel_parts(config.channels, model.channels))
    nuclei = partners("nuclei", config.nuclei, {image.name: image.paths[0] for image in images}, config.pair)
    output = output_directory(config.output)
    for stale in (results.CELLS, results.PARTIAL_CELLS, results.PROVENANCE):
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
            write_cells(output / (results.CELLS if complete else results.PARTIAL_CELLS), table)
        done = [files.name for files in images[: len(tables)]]
        write_json(output / results.PROVENANCE, provenance(model, networks.nuclei_model, config, done, complete))
    save_overlay(output / results.OVERLAY, panels)
    say(f"results: {output}")
    return table


def _segment_frames(
    frames: Frames, nuclei: Path | None, networks: Networks, config: PredictConfig, panels: list[Panel]
) -> pd.DataFrame:
    """Segment an image or all frames of a movie, write the results, and return the table of their cells.

    Some of the frames are appended to `panels`.
    """
    files = ResultFiles(
        Path(config.output),
        frames,
        networks.model.class_names,
        maps=config.save_probability,
        uncertainty=networks.has_uncertainty,
    )
    shown = set(np.linspace(0, frames.count - 1, min(frames.count, _MAX_PANELS - len(panels)), dtype=int).tolist())
    tables = []
    with open_nuclei(nuclei, frames) as read_nuclei, files:
        for t in range(frames.count):
            image = frames.read(t)
            result = networks.segment(image, read_nuclei(t, image), files.maps(t, image))
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
    warn_of_simulation(model)


if __name__ == "__main__":
    main()
