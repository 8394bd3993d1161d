"""The table of all peers, as CSV, as Markdown and on the screen."""

import os
import platform
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.peers.data import split_of
from benchmarks.peers.options import Options
from benchmarks.peers.runs import RESULT, Peer
from cellflax.atomic import replacing
from cellflax.io.tables import write_table
from cellflax.jsonfile import read_json

_HEADER = {
    "peer": "peer",
    "f1_0.5": "F1 at IoU 0.5",
    "f1_0.7": "0.7",
    "f1_0.8": "0.8",
    "panoptic_quality": "PQ",
    "ap_0.5": "AP at 0.5",
    "ap_0.5_mean_of_images": "AP at 0.5, mean of images",
    "fit_minutes": "minutes of fit",
    "training_minutes": "minutes until ready",
    "steps": "steps",
    "epochs": "epochs",
    "seconds_per_image": "seconds per image",
    "device": "device",
    "cores": "cores",
    "load_average": "load before",
    "versions": "versions",
}
_DIGITS = {"fit_minutes": 1, "training_minutes": 1, "epochs": 1, "seconds_per_image": 2, "load_average": 1}


def table_of(output: Path, peers: Mapping[str, Peer]) -> pd.DataFrame:
    """One row per peer that is complete, in the order of `peers`; scores are numbers, unknown ones NaN."""
    rows = []
    for name, peer in peers.items():
        file = output / name / RESULT
        if file.is_file():
            result = read_json(file, f"remove {output / name} and run the command again")
            versions = ", ".join(f"{package} {number}" for package, number in result["versions"].items())
            row = {"peer": peer.title, **result["scores"], **result, "versions": versions}
            rows.append({key: row[key] for key in _HEADER})
    return pd.DataFrame(rows, columns=list(_HEADER))


def write_tables(options: Options, data: Path, table: pd.DataFrame) -> str:
    """Write `peers.csv` and `peers.md`; returns the Markdown."""
    write_table(options.output / "peers.csv", table)
    rows = [[_cell(key, row[key]) for key in _HEADER] for row in table.to_dict("records")]
    header = list(_HEADER.values())
    lines = ["| " + " | ".join(row) + " |" for row in [header, len(header) * ["---"], *rows]]
    counts = {part: len(names) for part, names in split_of(data).items()}
    title = (
        f"{date.today()}; {_processor()}, {options.cores} of {os.cpu_count()} cores; minutes={options.minutes:g} "
        f"seed={options.seed}; {counts['train']} images to train on, {counts['validation']} to validate, "
        f"{counts['test']} to test"
    )
    if options.cellflax:
        title += f"; cellflax={options.cellflax}"
    text = "\n".join([title, "", *lines, ""])
    with replacing(options.output / "peers.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    return text


def _cell(key: str, value: Any) -> str:
    if value is None or value != value:
        return "-"
    if isinstance(value, str):
        return value
    if key in ("steps", "cores"):
        return f"{int(value)}"
    return f"{value:.{_DIGITS.get(key, 3)}f}"


def _processor() -> str:
    """Name of the processor, as far as the system says."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
