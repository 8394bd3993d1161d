"""What prediction writes: labels, maps, the table of cells, panels of the overlay, provenance."""

import math
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd

import cellflax
from cellflax.config import to_json
from cellflax.inference.blocks import Window
from cellflax.io import results
from cellflax.io.frames import Frames
from cellflax.io.images import Image, write_labels
from cellflax.io.label_movie_file import LabelMovieWriter
from cellflax.io.tiff_maps import MapWriter
from cellflax.pictures.overlay import Panel
from cellflax.prediction.segment import Maps, Segmentation
from cellflax.prediction.trained import TrainedModel
from cellflax.schemas import kind_of
from cellflax.training.starting import STARTED_FROM

_PANEL_PX = 1600  # largest edge that pictures.overlay.outline_overlay shows of an image


class ResultFiles:
    """The files of one image or movie; a context manager, at whose end movies and maps are complete.

    Attributes:
        written: the files so far.

    Args:
        output: directory.
        frames: the image or movie.
        names: names of the network's outputs.
        maps: whether to write probabilities, uncertainties and seeds.
        uncertainty: whether there will be uncertainties.
    """

    def __init__(self, output: Path, frames: Frames, names: tuple[str, ...], *, maps: bool, uncertainty: bool):
        self._output, self._name, self._time = output, frames.name, frames.time
        self._save_maps = maps
        self._names = {results.PROBABILITY: names} | (
            {results.UNCERTAINTY: (results.UNCERTAINTY,)} if uncertainty else {}
        )
        self._maps: dict[str, MapWriter] = {}
        self._movies: dict[str, LabelMovieWriter] = {}
        self._open = ExitStack()
        self.written: list[Path] = []

    def __enter__(self) -> "ResultFiles":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def maps(self, t: int, image: Image) -> Maps | None:
        """The function that writes a frame's maps for `segment.segment`, or None if no maps are wanted."""
        if not self._save_maps:
            return None
        height, width = image.pixels.shape[:2]
        for kind, names in self._names.items():
            if kind not in self._maps:
                file = MapWriter(self._path(kind), (height, width), names, image.pixel_size_um, self._time)
                self._maps[kind] = self._open.enter_context(file)

        def write(window: Window, probability: np.ndarray, disagreement: np.ndarray | None) -> None:
            self._maps[results.PROBABILITY].write(window, probability, t)
            if disagreement is not None:
                self._maps[results.UNCERTAINTY].write(window, disagreement[..., None], t)

        return write

    def write(self, t: int, image: Image, result: Segmentation) -> None:
        """Write the cells of frame `t`, and the nuclei they were grown from; frames left out have none."""
        self._write_labels(results.LABELS, t, result.labels, image.pixel_size_um)
        if self._save_maps and result.seeds is not None:
            self._write_labels(results.SEEDS, t, result.seeds, image.pixel_size_um)

    def _write_labels(self, kind: str, t: int, labels: np.ndarray, pixel_size_um: float | None) -> None:
        if self._time is None:
            write_labels(self._path(kind), labels, pixel_size_um)
            return
        if kind not in self._movies:
            file = LabelMovieWriter(self._path(kind), self._time, pixel_size_um)
            self._movies[kind] = self._open.enter_context(file)
        self._movies[kind].write(labels, t)

    def _path(self, kind: str) -> Path:
        file = self._output / results.result_file(self._name, kind)
        if file not in self.written:
            self.written.append(file)
        return file


def panel(name: str, labels: np.ndarray, plane: np.ndarray) -> Panel:
    """One picture of the overlay, thinned out to the pixels that it shows, so that no full image is kept for it."""
    step = math.ceil(max(labels.shape) / _PANEL_PX)
    return Panel(name, labels[::step, ::step].copy(), image=plane[::step, ::step].copy())


def frame_cells(frames: Frames, t: int, cells: pd.DataFrame) -> pd.DataFrame:
    """Cells with the columns that locate them: `image`; in a movie also `frame` and, if known, `time_s`."""
    key: dict[str, Any] = {results.IMAGE: frames.name}
    if frames.time is not None:
        key[results.FRAME] = t
        if frames.time.times_s is not None:
            key[results.TIME_S] = frames.time.times_s[t]
    return pd.concat([pd.DataFrame(key, index=cells.index), cells], axis=1)


def expected_files(names: Iterable[str], *, maps: bool, uncertainty: bool) -> list[str]:
    """Files that a prediction of these images may write.

    Args:
        names: names of the images.
        maps: as for `ResultFiles`.
        uncertainty: as for `ResultFiles`.
    """
    kinds = [results.LABELS]
    if maps:
        kinds += [results.PROBABILITY, results.SEEDS, *([results.UNCERTAINTY] if uncertainty else [])]
    tables = [results.CELLS, results.PARTIAL_CELLS, results.OVERLAY]
    return [*(results.result_file(name, kind) for name in names for kind in kinds), *tables]


def provenance(
    model: TrainedModel,
    nuclei_model: TrainedModel | None,
    config: Any,
    done: list[str],
    failed: dict[str, str],
    complete: bool,
) -> dict[str, Any]:
    """What the results come from, as JSON.

    Args:
        model: model that segmented the cells.
        nuclei_model: model that segmented the nuclei, if there was one.
        config: configuration of the command.
        done: names of the images that were segmented.
        failed: by image that was not, or frame, what was wrong with it.
        complete: whether these are all images.
    """
    return {
        "cellflax": cellflax.__version__,
        "simulated": model.simulated or (nuclei_model is not None and nuclei_model.simulated),
        "complete": complete,
        "images": done,
        "failed": failed,
        "settings": to_json(config),
        "checkpoint": _origin(model),
        "nuclei_checkpoint": None if nuclei_model is None else _origin(nuclei_model),
    }


def _origin(model: TrainedModel) -> dict[str, Any]:
    return {
        "path": str(model.path),
        "step": model.step,
        "networks": model.members,
        "data": model.record["data"],
        "refine": {"kind": kind_of("refine", model.config.refine), **to_json(model.config.refine)},
    } | ({STARTED_FROM: model.started_from} if model.started_from else {})
