"""Growth and division of tracked cells: python -m cellflax.quantify method=growth tracks=DIR (P1, Fig 3)."""

from typing import Any

import numpy as np
import pandas as pd

from cellflax.errors import UserError
from cellflax.io import results
from cellflax.io.tables import write_table
from cellflax.measure.growth import GrowthConfig, cell_cycles, count_jumps, step_rates, track_rate
from cellflax.measure.shape import rod_table
from cellflax.measure.tracks import times
from cellflax.pictures.growth_curves import growth_figure, rate_map
from cellflax.quantification.recording import Recording
from cellflax.quantification.report import Shown
from cellflax.quantification.tables import distribution
from cellflax.quantification.truth import Truth, match_truth, read_truth


def quantify_growth(config: GrowthConfig, recording: Recording, truth: str | None, shown: Shown) -> dict[str, Any]:
    """Measure areas over time, growth rates and division times.

    Writes `growth.csv`, a row per cell and frame, `growth_tracks.csv`, a row per cell, both as Parquet too,
    `growth.png` and `rate_map.png`. Rates are per hour where the times of the frames are known, else per frame.

    Args:
        config: from areas to rates.
        recording: tracked cells.
        truth: folder of a simulated movie, see `truth.read_truth`; None if there is none.
        shown: takes figures and tables, and says where to write.

    Returns:
        Numbers, distributions, the share of area jumps, and the agreement with the truth.

    Raises:
        UserError: if there are fewer than two frames or no cell in them, or the truth does not fit.
    """
    if len(recording.frames) < 2:
        raise UserError(f"method=growth needs two frames or more, {recording.source} has one")
    unit = time_unit(recording)
    expected = None if truth is None else read_truth(truth, f"growth_rate_per_{unit}")
    cells = growth_table(recording, config)
    if cells.empty:
        raise UserError(f"{recording.source}: no cell in any frame")
    tracks = track_growth_table(cells, recording, config)
    for name, table in ((results.GROWTH_TRACKS, tracks), (results.GROWTH, cells)):
        write_table(shown.output / name, table)
        shown.tables.append((name, table))
    text = "Area of every cell over time, growth rates, and times from birth to division."
    shown.save(growth_figure(cells, tracks, unit), results.GROWTH_FIGURE, "Growth", text)
    last = recording.labels(-1)
    rates = pd.Series(tracks[f"growth_rate_per_{unit}"].to_numpy(), index=tracks[results.TRACK].to_numpy())
    text = "The last frame; the brighter a cell, the faster it grows."
    shown.save(rate_map(last, rates, unit), results.RATE_MAP, "Growth rate by place", text)
    area = _usable_area(cells, config)
    n_jumps, n_steps = count_jumps(cells[results.TRACK].to_numpy(), cells[results.FRAME].to_numpy(), area, config.jump)
    metrics = {
        "n_frames": len(recording.frames),
        "n_tracks": len(tracks),
        "n_divisions": int(np.sum(tracks["n_daughters"].to_numpy() > 0)),
        f"growth_rate_per_{unit}": distribution(tracks[f"growth_rate_per_{unit}"].to_numpy()),
        f"step_growth_rate_per_{unit}": distribution(cells[f"growth_rate_per_{unit}"].to_numpy()),
        f"division_time_{unit}": distribution(tracks[f"division_time_{unit}"].to_numpy()),
        "area_jumps": {"n": n_jumps, "n_steps": n_steps, "share": n_jumps / n_steps if n_steps else None},
    }
    if expected is not None:
        metrics["truth"] = _agreement(expected, match_truth(expected, recording), rates)
    return metrics


def time_unit(recording: Recording) -> str:
    """Unit of growth rates and division times: "h", or "frame" where no times are known."""
    return "h" if results.TIME_S in recording.frames[0].key else "frame"


def growth_table(recording: Recording, config: GrowthConfig) -> pd.DataFrame:
    """One row per cell and frame, by track and frame.

    `frame`, `time_s` where known, `track`, `parent`, `generation`, the columns of `shape.rod_table`, `touches_border`,
    what else is known of the cells, and `growth_rate_per_h` since the cell was last seen (or `_per_frame`).
    """
    tables = []
    for frame in (recording.frames[i] for i in recording.present):
        labels = frame.read()
        table = rod_table(labels, frame.pixel_size_um)
        edges = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
        table["touches_border"] = np.isin(table[results.LABEL].to_numpy(), edges)
        tables.append(recording.rows(frame, table))
    cells = pd.concat(tables, ignore_index=True).sort_values([results.TRACK, results.FRAME], ignore_index=True)
    rate = step_rates(cells[results.TRACK].to_numpy(), times(cells), _usable_area(cells, config))
    return cells.assign(**{f"growth_rate_per_{time_unit(recording)}": rate})


def track_growth_table(cells: pd.DataFrame, recording: Recording, config: GrowthConfig) -> pd.DataFrame:
    """One row per track of a `growth_table`.

    `track`, `parent`, `generation`, `first_frame`, `last_frame`, `n_frames`, `n_daughters`, `division_time_h` (from
    birth to division, where both were seen), `growth_rate_per_h` over the cell's life with the limits of its 95 %
    confidence interval, `growth_rate_low_per_h` and `growth_rate_high_per_h`. Without times, `frame` replaces `h`.
    """
    unit = time_unit(recording)
    track, first, n_frames = np.unique(cells[results.TRACK].to_numpy(), return_index=True, return_counts=True)
    last = first + n_frames - 1  # the rows of a track follow each other
    parent, frame, time = cells[results.PARENT].to_numpy()[first], cells[results.FRAME].to_numpy(), times(cells)
    n_daughters, cycle = cell_cycles(track, parent, time[first])
    pieces = zip(np.split(time, first[1:]), np.split(_usable_area(cells, config), first[1:]), strict=True)
    rate, low, high = np.transpose([track_rate(*piece, config.min_frames) for piece in pieces])
    return pd.DataFrame(
        {
            results.TRACK: track,
            results.PARENT: parent,
            results.GENERATION: cells[results.GENERATION].to_numpy()[first],
            "first_frame": frame[first],
            "last_frame": frame[last],
            "n_frames": n_frames,
            "n_daughters": n_daughters,
            f"division_time_{unit}": cycle,
            f"growth_rate_per_{unit}": rate,
            f"growth_rate_low_per_{unit}": low,
            f"growth_rate_high_per_{unit}": high,
        }
    )


def _usable_area(cells: pd.DataFrame, config: GrowthConfig) -> np.ndarray:
    cut = cells["touches_border"].to_numpy() & (not config.use_border_cells)
    return np.where(cut, np.nan, cells["area_px"].to_numpy())


def _agreement(truth: Truth, track: np.ndarray, rates: pd.Series) -> dict[str, Any]:
    """Error of the rate of every true cell, measured on the track that covers most of its life."""
    cells = np.unique(truth.track)
    true = np.array([np.median(truth.value[truth.track == one]) for one in cells])
    found = np.array([_most_frequent(track[truth.track == one]) for one in cells])
    error = np.abs(rates.reindex(found).to_numpy() / true - 1)
    known = error[np.isfinite(error)]
    return {
        "n": len(known),
        "n_truth": len(cells),
        "relative_error": float(np.median(known)) if len(known) else None,
    }


def _most_frequent(tracks: np.ndarray) -> int:
    """The number that occurs most often, the smallest of several."""
    numbers, counts = np.unique(tracks, return_counts=True)
    return int(numbers[counts.argmax()])


def format_growth(metrics: dict[str, Any]) -> str:
    """The lines shown on screen."""
    lines = [f"{metrics['n_tracks']} tracks, {metrics['n_divisions']} divisions in {metrics['n_frames']} frames"]
    for name, item in metrics.items():
        if isinstance(item, dict) and "median" in item:
            spread = f"median {item['median']:.4g} ({item['q25']:.4g} ... {item['q75']:.4g})" if item["n"] else "none"
            lines.append(f"{name}: {spread}, n = {item['n']}")
    jumps = metrics["area_jumps"]
    share = f" = {jumps['share']:.2%}" if jumps["n_steps"] else ""
    lines.append(f"area jumps: {jumps['n']} of {jumps['n_steps']}{share}")
    if "truth" in metrics and metrics["truth"]["n"]:
        truth = metrics["truth"]
        lines.append(
            f"growth rate of {truth['n']} of {truth['n_truth']} true cells: error {truth['relative_error']:.1%}"
        )
    return "\n".join(lines)
