"""G3: 2,000 simulated images over 4 shards, one killed and resumed, against one process.

python experiments/plates/shards.py OUTPUT [--images 2000] [--shards 4] [--kill-at 100]

Simulates fields of nuclei (64 x 64 pixels), and segments them with the network `nuclei`: by one process, and by one for
each shard, at once. Shard 1 gets SIGKILL when --kill-at images are finished; `gather` must refuse then. It is completed
with resume=true, `gather` makes one set, and every figure is compared. Exits with 1 if any differs.
Writes OUTPUT/shards.md: CPU seconds and peak memory of each command, and what was compared.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

PIXELS = 64
KILLED = 1


@dataclass(frozen=True)
class Ended:
    """How a command ended, its CPU seconds and its peak memory in MB."""

    status: int
    cpu_s: float
    peak_mb: float


class Running:
    """A command in a process of its own, with a log beside the results."""

    def __init__(self, log: Path, *words: object):
        self.log = log
        with log.open("w") as stream:
            command = [sys.executable, "-m", "cellflax", *map(str, words)]
            self.process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)

    def end(self) -> Ended:
        """Wait for it."""
        _, status, used = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        return Ended(self.process.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def main() -> None:
    """Run all of it, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--kill-at", type=int, default=100)
    options = parser.parse_args()
    root = options.output
    root.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(root / "shards", ignore_errors=True)
    used: dict[str, Ended] = {}
    if not (root / "fields" / "provenance.simulate.json").exists():
        size = [
            f"nuclei.{key}={value}" for key, value in (("height", PIXELS), ("width", PIXELS), ("pixel_size_um", 1.3))
        ]
        words = ("simulate", f"output={root / 'fields'}", "specimen=nuclei", f"fields={options.images}", *size)
        require(Running(root / "simulate.log", *words).end(), 0, "simulate")
    given = ("predict", "checkpoint=nuclei", f"input={root / 'fields' / 'images'}", "resume=true")
    whole = Running(root / "one.log", *given, f"output={root / 'one'}")

    def shard(index: int, name: str) -> Running:
        words = (*given, f"output={root / 'shards'}", f"shards={options.shards}", f"shard={index}")
        return Running(root / f"{name}.log", *words)

    def gather(name: str) -> Ended:
        return Running(root / f"{name}.log", "gather", f"output={root / 'shards'}").end()

    running = [shard(index, f"shard_{index}") for index in range(options.shards)]
    folder = root / "shards" / "shards" / f"{KILLED}-of-{options.shards}"
    done = kill_when(running[KILLED], folder, options.kill_at)
    for index, one in enumerate(running):
        used[f"shard {index}"] = one.end()
        require(used[f"shard {index}"], -signal.SIGKILL if index == KILLED else 0, f"shard {index}")
    require(gather("refused"), 1, "gather without the killed shard")
    print((root / "refused.log").read_text().strip().splitlines()[-1])
    used[f"shard {KILLED} resumed"] = shard(KILLED, "resumed").end()
    require(used[f"shard {KILLED} resumed"], 0, "the resumed shard")
    (kept,) = re.findall(r"resume: (\d+) of (\d+) images", (root / "resumed.log").read_text())
    used["gather"] = gather("gather")
    require(used["gather"], 0, "gather")
    used["one process"] = whole.end()
    require(used["one process"], 0, "one process")
    compared = compare(root / "one", root / "shards")
    write(
        root / "shards.md", used, compared, f"{done} images were finished at the kill, {kept[0]} of {kept[1]} were kept"
    )
    sys.exit(not all(same for _, same in compared))


def kill_when(running: Running, folder: Path, count: int) -> int:
    """Kill a shard when it has finished so many images; returns how many."""
    while running.process.poll() is None:
        journals = list(folder.glob(".unfinished.*/journal.jsonl"))
        done = len(journals[0].read_text().splitlines()) - 1 if journals else 0
        if done >= count:
            running.process.send_signal(signal.SIGKILL)
            return done
        time.sleep(0.05)
    sys.exit(f"the shard ended before it had finished {count} images: see {running.log}")


def require(ended: Ended, status: int, what: str) -> None:
    """Stop where a command did not end as it should."""
    if ended.status != status:
        sys.exit(f"{what} ended with {ended.status}, not {status}")


def compare(one: Path, other: Path) -> list[tuple[str, bool]]:
    """What was compared, and whether it is the same."""
    labels = sorted(file.name for file in one.glob("*_labels.tif"))
    records = [json.loads((folder / "provenance.json").read_text()) for folder in (one, other)]
    for record in records:
        record.pop("gathered", None)
        record["settings"].pop("output")
        for image in record["resume"]["done"].values():  # each TIFF has an identifier of its own
            image["files"] = sorted(image["files"])
    rows = sum(1 for _ in (one / "cells.csv").open()) - 1
    pages = [tables(folder / "report.html") for folder in (one, other)]
    return [
        (
            "the same files",
            sorted(p.name for p in one.iterdir()) == sorted(p.name for p in other.iterdir() if p.is_file()),
        ),
        (
            f"cells.csv, {rows} rows, byte by byte",
            (one / "cells.csv").read_bytes() == (other / "cells.csv").read_bytes(),
        ),
        (f"pixels of {len(labels)} label images", all(same_pixels(one / name, other / name) for name in labels)),
        ("overlay.png, byte by byte", (one / "overlay.png").read_bytes() == (other / "overlay.png").read_bytes()),
        ("provenance.json without the output, the shards and the identifiers of TIFFs", records[0] == records[1]),
        ("pictures, curves and figures of the images in report.html", bool(pages[0]) and pages[0] == pages[1]),
    ]


def same_pixels(one: Path, other: Path) -> bool:
    """Whether two images are equal."""
    return bool(np.array_equal(tifffile.imread(one), tifffile.imread(other)))


def tables(page: Path) -> list[str]:
    """Pictures of a report, points of its curves, and rows of its table of images."""
    text = page.read_text(encoding="utf-8")
    rows = [row for row in re.findall(r"<tr>.*?</tr>", text, re.DOTALL) if "field_" in row and "labels" not in row]
    return [*re.findall(r'src="data:[^"]+"', text), *re.findall(r'<path[^>]* d="[^"]+"', text), *rows]


def write(path: Path, used: dict[str, Ended], compared: list[tuple[str, bool]], kill: str) -> None:
    """Write and print the tables."""
    lines = ["| command | CPU s | peak MB |", "|---|---|---|"]
    lines += [f"| {name} | {one.cpu_s:.0f} | {one.peak_mb:.0f} |" for name, one in used.items()]
    lines += ["", f"{kill}.", "", "| compared | the same |", "|---|---|"]
    lines += [f"| {what} | {'yes' if same else 'NO'} |" for what, same in compared]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
