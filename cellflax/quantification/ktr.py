"""Nucleus-to-cytoplasm ratios of a reporter: python -m cellflax.quantify method=ktr reporter=... (P1, Fig 4)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cellflax.errors import UserError
from cellflax.io import results
from cellflax.io.failures import Failures
from cellflax.io.tables import write_table
from cellflax.measure.agreement import time_course_agreement
from cellflax.measure.ktr import RATIO, KtrConfig, ktr_table, method_names
from cellflax.pictures.reporter_ratios import radius_figure, ratio_figure
from cellflax.progress import each
from cellflax.quantification.recording import Recording
from cellflax.quantification.report import Shown
from cellflax.quantification.tables import distribution
from cellflax.quantification.truth import Truth, match_truth, read_truth


@dataclass(frozen=True)
class KtrInput:
    """What the ratios are measured in; the functions take the number of the frame within the movie.

    Attributes:
        recording: the frames.
        reporter: (H, W) intensities of a frame.
        nuclei: (H, W) labels of the nuclei.
        cells: (H, W) labels of the cells, None where they are not known.
        tracked: column of `ktr.ktr_table` that holds the tracks, where there are any: "label" or "nucleus".
    """

    recording: Recording
    reporter: Callable[[int], np.ndarray]
    nuclei: Callable[[int], np.ndarray]
    cells: Callable[[int], np.ndarray] | None
    tracked: str = results.LABEL


def quantify_ktr(
    config: KtrConfig, given: KtrInput, truth: str | None, failures: Failures, shown: Shown
) -> dict[str, Any]:
    """Measure the reporter's ratio in every cell and frame, by every ring and by mixture.

    Writes `ktr.csv`, a row per cell and frame (see `measure.ktr.ktr_table`), `ktr.png`, the ratios
    over time, and `ring_radius.png`, how much they depend on the ring.

    Args:
        config: rings, mixture and background.
        given: images and labels.
        truth: folder of a simulated movie, see `truth.read_truth`; None if there is none.
        failures: where frames are noted that cannot be used.
        shown: takes figures and tables, and says where to write.

    Returns:
        Numbers of cells, the distribution of the ratio by method, and the agreement with the truth by method.

    Raises:
        UserError: if arrays do not fit, there is no nucleus, or the truth has nothing to be compared with.
    """
    if truth is not None and given.recording.lineage is None:
        raise UserError(f"truth={truth} needs tracked cells; add tracks=DIR, the output of cellflax.track")
    expected = None if truth is None else read_truth(truth, RATIO)
    tables = []
    for i in each(given.recording.present, lambda i: given.recording.frames[i].name, "frames"):
        with failures.of(given.recording.frames[i].name):
            tables.append(_measure(config, given, i))
    failures.require_some(len(tables))
    cells = pd.concat(tables, ignore_index=True)
    methods = method_names(map(str, cells.columns))
    if not methods:
        raise UserError("ktr.ring_px and ktr.ring_um are empty and there are no cells for a mixture; give one of them")
    ratios = {name: cells[f"{RATIO}_{name}"].to_numpy(np.float64) for name in methods}
    if not any(np.isfinite(ratio).any() for ratio in ratios.values()):
        raise UserError("no cell has a nucleus and a cytoplasm that is brighter than the background; check reporter=")
    write_table(shown.output / results.KTR, cells)
    shown.tables.append((results.KTR, cells))
    text = "Intensity of the reporter in the nucleus divided by that in the cytoplasm: a line per track, or counts."
    shown.save(ratio_figure(cells, methods), results.KTR_FIGURE, "Ratio of nucleus and cytoplasm (KTR)", text)
    text = "How much the ratio depends on the ring that stands for the cytoplasm."
    shown.save(radius_figure(cells, methods), results.RADIUS_FIGURE, "Ratio by the width of the ring", text)
    metrics: dict[str, Any] = {
        "n_frames": len(given.recording.frames) - len(given.recording.present) + len(tables),
        "n_cells_and_frames": len(cells),
        "n_tracks": len(np.unique(cells[results.TRACK].to_numpy())) if results.TRACK in cells else None,
        RATIO: {name: distribution(ratio) for name, ratio in ratios.items()},
    }
    if expected is not None:
        metrics["truth"] = _agreement(expected, match_truth(expected, given.recording), cells, methods)
    return metrics


def _measure(config: KtrConfig, given: KtrInput, i: int) -> pd.DataFrame:
    """Rows of one frame."""
    frame = given.recording.frames[i]
    reporter, nuclei = given.reporter(i), given.nuclei(i)
    cells = None if given.cells is None else given.cells(i)
    for what, labels in (("nuclei", nuclei), ("cells", cells)):
        if labels is not None and labels.shape != reporter.shape:
            raise UserError(
                f"{frame.name}: {what} of shape {labels.shape} for a reporter image of {reporter.shape}; give the "
                "same field"
            )
    table = ktr_table(reporter, nuclei, cells, config, frame.pixel_size_um)
    if given.tracked == "nucleus":
        table = table.query("nucleus > 0")
    return given.recording.rows(frame, table, given.tracked)


def _agreement(truth: Truth, track: np.ndarray, cells: pd.DataFrame, methods: list[str]) -> dict[str, Any]:
    place = pd.MultiIndex.from_arrays([truth.frame, track])
    measured = cells.set_index([results.FRAME, results.TRACK]).reindex(place)
    return {
        name: time_course_agreement(truth.track, truth.value, measured[f"{RATIO}_{name}"].to_numpy())
        for name in methods
    }


def format_ktr(metrics: dict[str, Any]) -> str:
    """The lines shown on screen."""
    tracks = "" if metrics["n_tracks"] is None else f" of {metrics['n_tracks']} tracks"
    lines = [f"{metrics['n_cells_and_frames']} cells{tracks} in {metrics['n_frames']} frames"]
    for name, item in metrics[RATIO].items():
        spread = f"median {item['median']:.3f} ({item['q25']:.3f} ... {item['q75']:.3f})" if item["n"] else "none"
        lines.append(f"{RATIO} by {name}: {spread}, n = {item['n']}")
    for name, item in metrics.get("truth", {}).items():
        correlation = "unknown" if item["correlation"] is None else f"{item['correlation']:.3f}"
        error = "unknown" if item["relative_error"] is None else f"{item['relative_error']:.1%}"
        lines.append(f"truth, {name}: correlation {correlation}, relative error {error}")
    return "\n".join(lines)
