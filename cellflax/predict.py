"""Segment images with a trained network.

    cellflax predict checkpoint=RUN input='new/*.tif' output=DIR
    cellflax predict checkpoint=RUN input=FOLDER 'channels=[phase,nuclear]' refine=watershed refine.interior=0.3

Writes `<name>_labels.tif` for every image, `cells.csv` with a row per cell, `overlay.png`, and
`provenance.json`. A TIFF with a time axis gives one label movie, and `cells.csv` then has a row per cell and frame.
Normalisation, channels and refinement are those of the checkpoint. The networks of an ensemble are averaged, and their
disagreement is the uncertainty of each cell.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from cellflax.checks import above, check
from cellflax.config import entry
from cellflax.device import set_up_jax
from cellflax.errors import BlankError, ContentError, OutputError, UserError
from cellflax.io import results
from cellflax.io.frames import Frames
from cellflax.io.images import ImageFiles, find_images, list_files
from cellflax.io.pairs import PairBy, partners
from cellflax.io.reading import ReadingOptions
from cellflax.io.result_set import ResultSet, result_set, without_results
from cellflax.pictures.overlay import Panel, save_overlay
from cellflax.prediction.files import ResultFiles, expected_files, frame_cells, panel, provenance, write_cells
from cellflax.prediction.inputs import channel_parts, open_images, open_nuclei, warn_of_simulation
from cellflax.prediction.networks import Networks, PredictionSettings, load_networks
from cellflax.prediction.trained import TrainedModel
from cellflax.progress import say

_MAX_PANELS = 6


@dataclass
class PredictConfig(ReadingOptions, PredictionSettings):
    """Options of `cellflax.predict`.

    Attributes:
        checkpoint: run directory of a training, its `checkpoints` folder, or one numbered checkpoint.
        input: images, FILE | DIR | GLOB; TIFFs with several frames along T (or an unnamed axis too long for channels)
            are movies.
        output: directory for the results.
        channels: if each channel has its own file, the part of the file names that identifies the channel, in the
            order of the checkpoint's channels (the checkpoint's own names may come in any order). If no file name has
            such a part, names or indices of channels within each file. Empty takes a file's channels by their names.
        nuclei: nucleus masks or labels that seed the cells, FILE | DIR | GLOB, paired with the images by name; a
            movie needs a movie.
        pair: names pairs `nuclei` with the images by their names, order in the order of their names.
        pixel_size_um: pixel size of all images; overrides the files. If the network was trained at a fixed pixel size
            (scale.pixel_size_um), the images are resampled to it; the results are on the images' own grid.
        frame_interval_s: time between the frames of all movies; overrides the files.
        overwrite: whether to replace the results of an earlier run in `output`, which is refused otherwise; other
            files there stay.
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
    overwrite: bool = False
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
        UserError: if the checkpoint cannot be used, or nothing can be written: the results of the images before
            stay, and the table of their cells is called `cells.partial.csv`, unless they would replace an earlier
            set. Also if images cannot be used: at the end, when the others are done.
    """
    for key in ("checkpoint", "input"):
        if not getattr(config, key):
            raise UserError(f"{key} is not given; add {key}=...")
    networks = load_networks(config.checkpoint, config)
    if config.nuclei is not None:
        networks.require_use_of_nuclei(f"nuclei={config.nuclei}")
    model = networks.model
    _announce(model, set_up_jax(model.config.trainer.precision.name))
    files = list_files(config.input)
    if len(files) > 1 or not Path(config.input).expanduser().is_file():
        files = without_results(f"input={config.input}", files)  # of an earlier run beside the images
    images = find_images(files, channel_parts(config.channels, model.channels), config.reading(model.focal_planes))
    nuclei = partners("nuclei", config.nuclei, {image.name: image.paths[0] for image in images}, config.pair)
    options = {"maps": config.save_probability, "uncertainty": networks.has_uncertainty}
    expected = expected_files((image.name for image in images), **options)

    batch = _Batch(networks, config)
    with result_set(config.output, config.overwrite, expected) as found:
        try:
            for image in images:
                batch.segment(image, nuclei.get(image.name), found.folder)
        except BaseException:  # a full disk, an interruption: no other image can be segmented
            if batch.tables and not found.replaces:  # an earlier set stays whole
                with suppress(OSError, UserError):  # the disk may be full; what is reported is why it ended
                    batch.publish(found, ended=False)
            raise
        if not batch.tables:
            raise batch.error()
        table = batch.publish(found, ended=True)
    say(f"results: {config.output}")
    if batch.unusable:
        raise batch.error()
    return table


class _Batch:
    """Images that are segmented one after the other, and what is wrong with some of them.

    Args:
        networks: what segments them.
        config: options of the command.

    Attributes:
        tables: cells of each image that was segmented.
        unusable: by image or frame, what was wrong with it.
    """

    def __init__(self, networks: Networks, config: PredictConfig):
        self._networks, self._config = networks, config
        self.tables: list[pd.DataFrame] = []
        self.unusable: dict[str, str] = {}
        self._blank: dict[str, str] = {}
        self._done: list[str] = []
        self._panels: list[Panel] = []

    def segment(self, files: ImageFiles, nuclei: Path | None, folder: Path) -> None:
        """Segment one image or movie into a folder; one that cannot be used is noted.

        Raises:
            OutputError: if a result cannot be written.
        """
        config = self._config
        try:
            with open_images(files, self._networks.model, config.pixel_size_um, config.frame_interval_s) as frames:
                self.tables.append(self._segment_frames(frames, nuclei, folder))
            self._done.append(files.name)
        except OutputError:
            raise
        except UserError as error:
            self.unusable[files.name] = str(error)
            say(f"not segmented: {error}")

    def publish(self, found: ResultSet, ended: bool) -> pd.DataFrame:
        """Complete the set with the table, the overlay and the provenance; returns the table.

        Args:
            found: the set, which holds the images.
            ended: whether all images were tried.
        """
        networks = self._networks
        table = pd.concat(self.tables, ignore_index=True)
        write_cells(found.folder / (results.CELLS if ended else results.PARTIAL_CELLS), table)
        if ended:
            save_overlay(found.folder / results.OVERLAY, self._panels)
        wrong = {**self._blank, **self.unusable}
        complete = ended and not self.unusable
        found.publish(provenance(networks.model, networks.nuclei_model, self._config, self._done, wrong, complete))
        return table

    def error(self) -> UserError:
        """What to report at the end about what could not be used."""
        first, *more = self.unusable.values()
        if not self.tables and not more:
            return UserError(first)
        rest = f" (and {len(more)} more, see above)" if more else ""
        others = f"the others are in {self._config.output}" if self.tables else "nothing is written"
        return UserError(f"{1 + len(more)} images or frames were not segmented, {others}: {first}{rest}")

    def _segment_frames(self, frames: Frames, nuclei: Path | None, folder: Path) -> pd.DataFrame:
        """Segment an image or all frames of a movie, write the results, and return the table of their cells.

        A frame that cannot be analysed has no cells; unless it is blank, that is noted as for an image. Some of the
        frames are kept for the overlay.

        Raises:
            UserError: if the image, or all frames of a movie, cannot be used.
        """
        networks, panels = self._networks, self._panels
        options = {"maps": self._config.save_probability, "uncertainty": networks.has_uncertainty}
        files = ResultFiles(folder, frames, networks.model.class_names, **options)
        shown = set(np.linspace(0, frames.count - 1, min(frames.count, _MAX_PANELS - len(panels)), dtype=int).tolist())
        tables: list[pd.DataFrame] = []
        blank: dict[str, str] = {}
        unusable: dict[str, str] = {}
        with open_nuclei(nuclei, frames) as read_nuclei, files:
            for t in range(frames.count):
                title = frames.name if frames.time is None else f"{frames.name}, frame {t}"
                try:
                    image = frames.read(t)
                    result = networks.segment(image, read_nuclei(t, image), files.maps(t, image))
                except ContentError as error:
                    (blank if isinstance(error, BlankError) else unusable)[title] = str(error)
                    if len(blank) + len(unusable) == frames.count:
                        raise
                    say(f"warning: no cells in this frame: {error}")
                    continue
                files.write(t, image, result)
                tables.append(frame_cells(frames, t, result.cells))
                if t in shown:
                    panels.append(panel(title, result.labels, image.pixels[..., 0]))
                say(f"{title}: {len(result.cells)} cells")
        self._blank |= blank
        self.unusable |= unusable
        return pd.concat(tables, ignore_index=True)


def _announce(model: TrainedModel, device: str) -> None:
    say(device)
    networks = f"{model.members} networks" if model.members > 1 else "one network"
    say(f"checkpoint: {model.path}, {networks}; {model.record['data']['source']}")
    warn_of_simulation(model)


if __name__ == "__main__":
    main()
