"""The results of `predict` that are corrected, with the images that they were made from."""

import shlex
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cellflax.errors import UserError
from cellflax.io import results
from cellflax.io.frames import open_labels
from cellflax.io.images import Image, ImageFiles, find_images, list_files
from cellflax.io.predictions import cells_of_image, read_cells
from cellflax.io.reading import ReadingOptions, TimeFrom
from cellflax.io.result_set import without_results
from cellflax.jsonfile import read_json
from cellflax.labels import label_values
from cellflax.prediction.inputs import channel_parts, open_images
from cellflax.prediction.trained import TrainedModel, load_model

_REMEDY = "give the output of cellflax predict"


@dataclass(frozen=True)
class PredictedImage:
    """An image with what was predicted.

    Attributes:
        image: its channels, those of the network in its order.
        labels: (H, W) int32 cells.
        nuclei: (H, W) int32 nuclei that they were grown from, where `predict` saved them.
    """

    image: Image
    labels: np.ndarray
    nuclei: np.ndarray | None


class PredictedSet:
    """What `cellflax predict` wrote to a directory.

    Args:
        folder: the directory.
        images: where the images are; None for where they were.
        checkpoint: the network; None for where it was.

    Attributes:
        folder: the directory.
        cells: rows of `cells.csv`; `uncertainty` and the centroids are numbers.
        model: the network.
        names: names of all images that were segmented.

    Raises:
        UserError: if it is no such directory, or the network or the images are not where they were.
    """

    def __init__(self, folder: Path, images: str | None = None, checkpoint: str | None = None):
        self.folder = folder
        self._record = _read_record(folder / results.PROVENANCE)
        self._settings: dict[str, Any] = self._record["settings"]
        self.cells = _numbers(read_cells(folder / results.CELLS))
        self.model = self._load(checkpoint)
        self._files = self._find(images)
        self.names: list[str] = self._record["images"]

    @property
    def simulated(self) -> bool:
        """Whether the network learned from simulated images."""
        return bool(self._record.get("simulated"))

    def require_uncertainty(self) -> None:
        """Require the column `uncertainty`.

        Raises:
            UserError: with the command that makes it.
        """
        if results.UNCERTAINTY in self.cells:
            return
        again = {
            "checkpoint": self._text("checkpoint"),
            "input": self._text("input"),
            "output": str(self.folder),
            "test_time_augmentation": "4",
            "overwrite": "true",
        }
        words = [f"{key}={value}" for key, value in again.items() if value]
        if channels := self._settings.get("channels"):
            words.append(f"channels=[{','.join(map(str, channels))}]")
        raise UserError(
            f"{self.folder / results.CELLS}: has no column {results.UNCERTAINTY}, because there was one prediction; "
            f"predict again by several: cellflax predict {shlex.join(words)}"
        )

    def read(self, name: str, frame: int | None) -> PredictedImage:
        """Read an image, or a frame of a movie, with its prediction.

        Raises:
            UserError: if it is not among the images, cannot be read, or is not what was segmented.
        """
        if name not in self._files:
            raise UserError(f"image {name} in {results.CELLS} is not among the images; add images=FILE|DIR|GLOB")
        labels_file = self.folder / results.result_file(name, results.LABELS)
        seeds_file = self.folder / results.result_file(name, results.SEEDS)
        with (
            ExitStack() as stack,
            open_images(self._files[name], self.model, self._number("pixel_size_um"), None) as frames,
        ):
            t = frame or 0
            if not 0 <= t < frames.count or (frame is None) != (frames.time is None):
                raise UserError(f"{self._files[name].paths[0]}: is not the file that was segmented; predict again")
            image = frames.read(t)
            labels = stack.enter_context(open_labels(labels_file, frames.time))(t)
            nuclei = None
            if seeds_file.is_file():
                nuclei = stack.enter_context(open_labels(seeds_file, frames.time))(t)
        for plane, file in ((labels, labels_file), (nuclei, seeds_file)):
            if plane is not None and plane.shape != image.pixels.shape[:2]:
                raise UserError(
                    f"{file}: shape {plane.shape} differs from {image.pixels.shape[:2]} of its image; predict again"
                )
        rows = cells_of_image(self.cells, name)
        rows = rows if frame is None else rows.loc[rows[results.FRAME] == frame]
        if not np.array_equal(label_values(labels), np.sort(np.asarray(rows[results.LABEL]))):
            raise UserError(f"{labels_file}: its cells are not those of {name} in {results.CELLS}; predict again")
        return PredictedImage(image, labels, nuclei)

    def folders(self, name: str) -> set[Path]:
        """The folders of the files of an image."""
        return {path.parent for path in self._files[name].paths}

    def _load(self, checkpoint: str | None) -> TrainedModel:
        recorded = self._record["checkpoint"]["path"]
        try:
            return load_model(checkpoint or recorded, str(self._record["checkpoint"].get("step", "best")))
        except UserError as error:
            remedy = "" if checkpoint else "; if the network is elsewhere now, add checkpoint=RUN"
            raise UserError(f"the network of {self.folder} cannot be read: {error}{remedy}") from error

    def _find(self, images: str | None) -> dict[str, ImageFiles]:
        """The images by name, found as `predict` found them."""
        settings, given = self._settings, images or self._text("input")
        try:
            files = list_files(given)
            if len(files) > 1 or not Path(given).expanduser().is_file():
                files = without_results(f"images={given}", files)
            options = ReadingOptions(
                scene=settings.get("scene"), z=settings.get("z"), time_axis=TimeFrom[settings.get("time_axis", "T")]
            )
            channels = channel_parts(list(settings.get("channels", [])), self.model.channels)
            found = find_images(files, channels, options.reading(self.model.focal_planes))
        except UserError as error:
            remedy = "" if images else "; if the images are elsewhere now, add images=FILE|DIR|GLOB"
            raise UserError(f"the images of {self.folder} cannot be read: {error}{remedy}") from error
        return {image.name: image for image in found}

    def _text(self, key: str) -> str:
        value = self._settings.get(key)
        return value if isinstance(value, str) else ""

    def _number(self, key: str) -> float | None:
        value = self._settings.get(key)
        return float(value) if isinstance(value, int | float) and value > 0 else None


def _numbers(cells: pd.DataFrame) -> pd.DataFrame:
    """The table with positions as numbers; those that are none are empty."""
    columns = [name for name in POSITION if name in cells]
    return cells.assign(**{name: pd.to_numeric(cells[name], errors="coerce") for name in columns})


POSITION = ("centroid-0_px", "centroid-1_px")


def _read_record(path: Path) -> dict[str, Any]:
    record = read_json(path, _REMEDY)
    settings, checkpoint, images = (record.get(key) for key in ("settings", "checkpoint", "images"))
    sound = (
        isinstance(settings, dict)
        and isinstance(checkpoint, dict)
        and isinstance(checkpoint.get("path"), str)
        and isinstance(images, list)
        and settings.get("time_axis", "T") in TimeFrom.__members__
        and all(isinstance(settings.get(key), str | None) for key in ("scene", "z"))
        and isinstance(settings.get("channels", []), list)
        and all(isinstance(name, str) for name in [*images, *settings.get("channels", [])])
    )
    if not sound:
        raise UserError(f"{path}: not a record of cellflax predict; {_REMEDY}")
    return record
