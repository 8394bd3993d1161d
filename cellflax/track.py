"""Follow segmented cells over time.

    cellflax track input=LABELS output=DIR
    cellflax track input='predictions/*_labels.tif' images='movie/*_phase.tif' frame_interval_s=300 output=tracks

`input` is a label movie (TIFF with axes TYX), or FILE | DIR | GLOB with one label image per frame, as
`cellflax.predict` writes them. The numbers in the names of a folder's files are the numbers of the frames: a gap is a
gap, and images belong to the labels of the same number. Writes `tracks.csv` with a row per cell and frame, the graph as
`nodes.csv` and `edges.csv`, the tracks in the Cell Tracking Challenge's form (`mask###.tif`, `res_track.txt`),
`tree.png`, `overlay.png` (an animation), `report.html` and `summary.json`. With `reference=DIR`, true tracks in the
challenge's form, it also writes `metrics.json`: TRA, DET, SEG, divisions and complete tracks.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import cellflax
from cellflax.checks import above, at_least, check
from cellflax.config import entry, to_json
from cellflax.errors import UserError
from cellflax.exporting.formats import ExportOptions, check_formats, expected_exports, require_packages
from cellflax.exporting.tracking import TRACKS_NAME, TrackedCells, export_tracking
from cellflax.frame_sequence import FramesOnDemand, first_channel
from cellflax.io import results
from cellflax.io.movies import ImageMovie, LabelMovie, open_image_movie, read_label_movie
from cellflax.io.pairs import PairBy
from cellflax.io.reading import ReadingOptions
from cellflax.io.result_set import result_set
from cellflax.io.tables import write_table
from cellflax.jsonfile import write_json
from cellflax.measure.tracks import graph_tables, track_table
from cellflax.metrics.lineage import tracking_summary
from cellflax.pictures.animation import save_animation
from cellflax.pictures.png import save_png
from cellflax.pictures.tracks import lineage_tree, track_movie
from cellflax.progress import Progress, say
from cellflax.report.of_tracks import tracks_report
from cellflax.report.page import save_report
from cellflax.tracking.ctc import (
    TrackedMovie,
    ctc_files,
    paint,
    read_ctc,
    read_seg,
    require_16_bits,
    to_ctc,
    write_ctc,
)
from cellflax.tracking.description import describe_tracking
from cellflax.tracking.tracker import TrackerConfig, Tracking, track_cells


@dataclass
class TrackConfig(ReadingOptions, ExportOptions, TrackerConfig):
    """Options of `cellflax.track`.

    Attributes:
        input: label movie: a TIFF, or FILE | DIR | GLOB with one label image per frame.
        images: images of the same frames, given in the same ways; used for the overlay, the intensities in
            `tracks.csv`, and the drift (first channel).
        reference: Cell Tracking Challenge folder with the true tracks.
        pair: names pairs the files of `input` and `images` by the numbers in their names, where a gap is a gap; order
            takes them as successive frames, in the order of their names.
        output: directory for the results.
        overwrite: replace the results of an earlier tracking in `output`, and no other files there.
        frame_interval_s: time between frames; overrides the file metadata.
        pixel_size_um: edge of a pixel; overrides the file metadata.
        ctc: write the Cell Tracking Challenge's files.
        overlay: write the animation.
        division_tolerance: frames by which a division may be early or late in `division_f1_within_tolerance`.
    """

    input: str = ""
    images: str | None = None
    reference: str | None = None
    pair: PairBy = PairBy.names
    output: str = "tracks"
    overwrite: bool = False
    frame_interval_s: float | None = None
    pixel_size_um: float | None = None
    ctc: bool = True
    overlay: bool = True
    division_tolerance: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, "", above(0), "frame_interval_s", "pixel_size_um")
        check(self, "", at_least(0), "division_tolerance")
        check_formats("export", self.export, ("images", "tables", "tracks"), self.ome_zarr_version)
        if "ome_zarr" in self.export and self.images is None:
            raise UserError("export=[ome_zarr]: needs the images of the same frames; add images=FILE|DIR|GLOB")


@entry("track", TrackConfig)
def main(config: TrackConfig) -> None:
    """Follow the cells of `input`."""
    summary = track(config)
    for note in summary["notes"]:
        say(f"note: {note}")
    print(
        f"{summary['n_tracks']} tracks of {summary['n_cells']} cells in {summary['n_frames']} frames, "
        f"{summary['n_divisions']} divisions"
    )
    if "metrics" in summary:
        print("  ".join(f"{key} {_shown(summary['metrics'][key])}" for key in ("TRA", "DET", "SEG", "division_f1")))
    print(f"results: {config.output}")


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def track(config: TrackConfig) -> dict[str, Any]:
    """Track, write the results, and return what `summary.json` holds, with `metrics` where there is a reference.

    Raises:
        UserError: if the movie, its images or the reference cannot be used; then nothing is written.
    """
    if not config.input:
        raise UserError("input is not given; add input=LABELS, a label movie or a folder with a label image per frame")
    require_packages("export", config.export)
    movie = read_label_movie(
        config.input,
        frame_interval_s=config.frame_interval_s,
        pair=config.pair,
        pixel_size_um=config.pixel_size_um,
    )
    expected = _expected(config, len(movie.labels))
    reference = [] if config.reference is None else sorted(Path(config.reference).expanduser().glob("*"))
    inputs = [*movie.files, *reference]
    with (
        result_set(config.output, config.overwrite, expected, command="track", inputs=inputs) as found,
        _open_images(config, movie) as images,
    ):
        summary = _track(config, movie, images, found.folder, found.report())
        found.publish({"cellflax": cellflax.__version__, "settings": summary["settings"]})
    return summary


def _expected(config: TrackConfig, n_frames: int) -> list[str]:
    """Files that will be written."""
    names = [results.TRACKS, results.NODES, results.EDGES, results.TREE, results.SUMMARY]
    names += [results.OVERLAY] * config.overlay + [results.METRICS] * (config.reference is not None)
    of = {"images": [TRACKS_NAME], "tables": [TRACKS_NAME], "tracks": TRACKS_NAME}
    names += expected_exports(config.export, config.ome_zarr_version, **of)
    return [*names, *(ctc_files(n_frames) if config.ctc else ())]


def _track(
    config: TrackConfig, movie: LabelMovie, images: ImageMovie | None, output: Path, report: Path | None
) -> dict[str, Any]:
    """Track a movie and write all files to a directory, the report among them; returns what `track` returns."""
    reference = None if config.reference is None else _read_reference(config.reference, movie)
    times_s = images.times_s if movie.times_s is None and images is not None else movie.times_s
    pixel_size_um = config.pixel_size_um or movie.pixel_size_um or (images.pixel_size_um if images else None)
    pixels, channels = (None, ()) if images is None else (images.pixels, images.channels)
    shown = None if pixels is None else first_channel(pixels)

    with Progress(len(movie.labels) - 1) as progress:
        tracking = track_cells(movie.labels, config, shown, pixel_size_um, progress.update, movie.missing)
    tracked = to_ctc(tracking.movie, tracking.lineage)
    if config.ctc:
        require_16_bits(tracked)
    table = track_table(tracking, movie.labels, times_s, pixel_size_um, pixels, channels)
    summary = {
        "cellflax": cellflax.__version__,
        "settings": to_json(config),
        **describe_tracking(movie, tracking, times_s, pixel_size_um, config.gaps.max_frames),
    }
    if reference is not None and config.reference is not None:
        summary["metrics"] = tracking_summary(
            reference, tracked, read_seg(config.reference), tolerance=config.division_tolerance
        )

    _write_tables(output, config, tracking, table, tracked, times_s)
    save_png(lineage_tree(tracking.lineage, times_s), output / results.TREE)
    if config.overlay:
        save_animation(output / results.OVERLAY, track_movie(_by_track(tracking), shown), len(movie.labels))
    if config.export:
        tables = (*graph_tables(tracking, times_s), table)
        cells = TrackedCells(
            tables, len(movie.labels), _by_track(tracking), images, pixel_size_um, times_s, movie.source
        )
        export_tracking(output, cells, config.export, config.ome_zarr_version, summary)
    if "metrics" in summary:
        write_json(output / results.METRICS, {"cellflax": cellflax.__version__, **summary["metrics"]})
    write_json(output / results.SUMMARY, {key: value for key, value in summary.items() if key != "metrics"})
    save_report(report, lambda: tracks_report(summary, tracking, table, shown, times_s, movie.files))
    return summary


def _by_track(tracking: Tracking) -> FramesOnDemand:
    """(T, H, W) the track at every pixel, 0 = background."""
    return paint(tracking.movie, tracking.lineage.nodes[results.TRACK].to_numpy())


def _write_tables(
    output: Path,
    config: TrackConfig,
    tracking: Tracking,
    table: pd.DataFrame,
    tracked: TrackedMovie,
    times_s: np.ndarray | None,
) -> None:
    """Write tables and masks."""
    write_table(output / results.TRACKS, table)
    for name, part in zip((results.NODES, results.EDGES), graph_tables(tracking, times_s), strict=True):
        write_table(output / name, part)
    if config.ctc:
        write_ctc(output, tracked)


@contextmanager
def _open_images(config: TrackConfig, movie: LabelMovie) -> Iterator[ImageMovie | None]:
    """The images of the same frames, if there are any."""
    if config.images is None:
        yield None
        return
    options: dict[str, Any] = {"frame_interval_s": config.frame_interval_s, "pair": config.pair}
    with open_image_movie(config.images, labels=movie, reading=config.reading(), **options) as images:
        _check_images(config, config.images, images, movie)
        yield images


def _check_images(config: TrackConfig, text: str, images: ImageMovie, movie: LabelMovie) -> None:
    """Refuse images of other frames or with other pixels."""
    if images.pixels.shape[:3] != movie.labels.shape:
        raise UserError(
            f"images={text}: {_described(images.pixels.shape)}, but input={movie.source} has "
            f"{_described(movie.labels.shape)}; give the images that were segmented"
        )
    both = (movie.pixel_size_um, images.pixel_size_um)
    if config.pixel_size_um is None and both[0] and both[1] and abs(both[0] - both[1]) > 0.01 * both[0]:
        raise UserError(
            f"images={text}: pixels of {both[1]:g} um, but input={movie.source} has {both[0]:g} um; give "
            "pixel_size_um=..., the size that is right"
        )


def _read_reference(folder: str, movie: LabelMovie) -> TrackedMovie:
    reference = read_ctc(folder)
    if reference.labels.shape != movie.labels.shape:
        raise UserError(
            f"reference={folder}: {_described(reference.labels.shape)}, but input={movie.source} has "
            f"{_described(movie.labels.shape)}; give the tracks of the same movie"
        )
    return reference


def _described(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} frames of {shape[1]} x {shape[2]}"


if __name__ == "__main__":
    main()
