"""From the options of `cellflax.quantify` to what each method measures."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from cellflax.errors import UserError
from cellflax.io import results
from cellflax.io.failures import Failures
from cellflax.io.images import read_labels
from cellflax.io.outlines import has_outlines
from cellflax.io.pairs import files_for, partners
from cellflax.io.predictions import Prediction, find_predictions, simulation_notes
from cellflax.labels import cells_of
from cellflax.quantification.config import QuantifyConfig
from cellflax.quantification.images import label_planes, planes, read_plane
from cellflax.quantification.ktr import KtrInput
from cellflax.quantification.recording import (
    Recording,
    frames_of_cells,
    image_recording,
    predicted_recording,
    with_known_of_cells,
)
from cellflax.quantification.tracks import read_tracks
from cellflax.refine.seeds import nuclei_seeds


def tracked_recording(config: QuantifyConfig) -> Recording:
    """Cells of `tracks`, with the columns of `predicted` if both are given."""
    if not config.tracks:
        raise UserError(f"method={config.method.name} needs tracks=DIR, the output of cellflax.track")
    tracks = read_tracks(Path(config.tracks), config.pixel_size_um, config.frame_interval_s)
    predicted = _predicted_recording(config)
    return tracks if predicted is None else with_known_of_cells(tracks, predicted, same_cells=True, pair=config.pair)


def cells_input(
    config: QuantifyConfig, failures: Failures, opened: ExitStack
) -> tuple[Recording, Callable[[int], np.ndarray] | None]:
    """Cells of `tracks` or `predicted`, and the image to measure within them.

    Label images that cannot be opened are noted in `failures`; `opened` keeps movies of images open.
    """
    recording = tracked_recording(config) if config.tracks else _predicted_recording(config, failures)
    if recording is None:
        raise UserError("predicted is not given; add predicted=DIR, the output of cellflax.predict, or tracks=DIR")
    if config.image is None:
        return recording, None
    recording = _with_shapes("image", config.image, recording, config, opened, config.image_channel)
    image = planes("image", config.image, recording, config.pair, opened, config.reading(), config.image_channel)
    return recording.with_sizes_um(image.size_um), image.read


def ktr_input(config: QuantifyConfig, failures: Failures, opened: ExitStack) -> KtrInput:
    """Reporter, nuclei and cells of every frame.

    Label images and images of nuclei that cannot be opened are noted in `failures`; `opened` keeps movies of images
    open.

    If `nuclei` or `nuclear` are given, `tracks` are the cells. Otherwise `tracks` are the nuclei, and `predicted` their
    cells. Without `tracks`, `predicted` are the cells. Without cells there is no mixture.
    """
    if not config.reporter:
        raise UserError("method=ktr needs the reporter's images; add reporter=FILE|DIR|GLOB")
    tracked = results.LABEL
    if config.tracks and _nuclear_option(config) is None:
        predicted = _predicted_recording(config)
        recording = read_tracks(Path(config.tracks), config.pixel_size_um, config.frame_interval_s)
        nuclei, cells = recording.labels, None
        if predicted is not None:
            of_frame = frames_of_cells(recording, predicted, config.pair)
            cells = lambda i: of_frame[i].read()  # noqa: E731
            recording = with_known_of_cells(recording, predicted, same_cells=False, pair=config.pair)
            tracked = "nucleus"
    else:
        labelled = tracked_recording(config) if config.tracks else _predicted_recording(config, failures)
        if labelled:
            channel = config.reporter_channel
            labelled = _with_shapes("reporter", config.reporter, labelled, config, opened, channel)
        recording = labelled or image_recording(*_require_nuclei(config), config.pixel_size_um, failures)
        nuclei, cells = _nuclei(config, recording, opened), None if labelled is None else labelled.labels
    how = (config.reading(), config.reporter_channel)
    reporter = planes("reporter", config.reporter, recording, config.pair, opened, *how)
    recording = recording.with_sizes_um(reporter.size_um)
    return KtrInput(recording, reporter.read, nuclei, cells, tracked)


def cell_type_input(config: QuantifyConfig) -> tuple[dict[str, Prediction], Callable[[str], np.ndarray]]:
    """Predictions by stem, and a function from a stem to the image's nuclei."""
    if not config.predicted:
        raise UserError("predicted is not given; add predicted=DIR, the output of cellflax.predict")
    predictions = find_predictions(config.predicted)
    option, text = _require_nuclei(config)
    files = partners(option, text, {stem: prediction.file for stem, prediction in predictions.items()}, config.pair)
    return predictions, lambda stem: _read_nuclei(config, files[stem], predictions[stem])


def input_notes(config: QuantifyConfig) -> list[str]:
    """A line for every folder of cells that a network trained on simulated images has segmented."""
    folders = {file.parent for file in files_for("predicted", config.predicted)} if config.predicted else set()
    if config.tracks:
        folders.add(Path(config.tracks))
    return simulation_notes(folders)


def _with_shapes(
    option: str, text: str, recording: Recording, config: QuantifyConfig, opened: ExitStack, channel: str | None
) -> Recording:
    """The recording with the shapes of these images, where its cells are outlines."""
    if not recording.has_outlines:
        return recording
    images = planes(option, text, recording, config.pair, opened, config.reading(), channel)
    return recording.with_shapes(lambda i: images.read(i).shape)


def _predicted_recording(config: QuantifyConfig, failures: Failures | None = None) -> Recording | None:
    return predicted_recording(config.predicted, config.pixel_size_um, failures) if config.predicted else None


def _nuclear_option(config: QuantifyConfig) -> tuple[str, str] | None:
    """Name and value of the option that gives the nuclei."""
    if config.nuclei is not None:
        return "nuclei", config.nuclei
    return None if config.nuclear is None else ("nuclear", config.nuclear)


def _require_nuclei(config: QuantifyConfig) -> tuple[str, str]:
    option = _nuclear_option(config)
    if option is None:
        raise UserError(
            f"method={config.method.name} needs nuclei: add nuclear=... with images of a nuclear marker, or "
            "nuclei=... with labels"
        )
    return option


def _nuclei(config: QuantifyConfig, recording: Recording, opened: ExitStack) -> Callable[[int], np.ndarray]:
    """Function from the number of a frame to the labels of its nuclei."""
    option, text = _require_nuclei(config)
    if option == "nuclei":
        labels = label_planes(option, text, recording, config.pair)
        return lambda i: cells_of(labels(i))
    nuclear = planes(option, text, recording, config.pair, opened, config.reading(), config.nuclear_channel)
    given = config.pixel_size_um
    return lambda i: nuclei_seeds(nuclear.read(i), config.seeds, given or nuclear.size_um(i))


def _read_nuclei(config: QuantifyConfig, file: Path, prediction: Prediction) -> np.ndarray:
    if config.nuclei is not None:
        shape = prediction.read_labels().shape if has_outlines(file) else None
        return cells_of(read_labels(file, shape))
    pixels, size = read_plane(file, "nuclear", config.reading(), config.nuclear_channel)
    return nuclei_seeds(pixels, config.seeds, config.pixel_size_um or size)
