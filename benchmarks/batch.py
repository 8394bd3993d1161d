"""Time per image and growth of memory of `cellflax.predict` on many small images; both must be flat.

python -m benchmarks.batch [--images 500] [--size 256]

The command runs in its own process. Its journal says how many images are finished, and Linux says how much memory is
resident then and how much processor time was used. The network is that of predict_memory.py.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from benchmarks.predict_memory import save_network, write_image
from benchmarks.timing import print_table, start


@dataclass(frozen=True)
class Sample:
    """A moment of a run.

    Attributes:
        images: number of images that are finished.
        seconds: elapsed time.
        core_seconds: processor time, summed over threads; less disturbed by other programs.
        memory_mb: resident memory.
    """

    images: int
    seconds: float
    core_seconds: float
    memory_mb: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--size", type=int, default=256, help="edge of an image, pixels")
    options = parser.parse_args()
    start()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_images(root / "images", options.images, options.size)
        save_network(root / "run")
        samples = watch(predict_command(root), root / "out", folder)
    tenths = [max(options.images * tenth // 10, 1) for tenth in (1, 2, 4, 6, 8, 10)]
    marks = [min(samples, key=lambda sample: abs(sample.images - count)) for count in tenths]
    rows = [[str(marks[0].images), "", "", f"{marks[0].memory_mb:.0f}", ""]]
    for before, mark in pairwise(marks):
        ms = 1000 / max(mark.images - before.images, 1)
        times = (ms * (mark.seconds - before.seconds), ms * (mark.core_seconds - before.core_seconds))
        growth = mark.memory_mb - marks[0].memory_mb
        rows.append([str(mark.images), *(f"{time:.0f}" for time in times), f"{mark.memory_mb:.0f}", f"{growth:+.1f}"])
    print_table(["images finished", "ms per image", "core-ms per image", "resident memory (MB)", "growth (MB)"], rows)


def write_images(folder: Path, count: int, size: int) -> None:
    """Write images of discs, all different."""
    folder.mkdir()
    for index in range(count):
        write_image(folder / f"image_{index:04d}.tif", size, seed=index)


def predict_command(root: Path, *options: str) -> list[str]:
    """The command that segments `images` into `out` with the network in `run`."""
    given = (f"checkpoint={root / 'run'}", f"input={root / 'images'}", f"output={root / 'out'}")
    return [sys.executable, "-m", "cellflax.predict", *given, *options]


def start_predict(command: list[str], cache: str) -> subprocess.Popen[bytes]:
    """Start a command with a cache of its own, without its lines."""
    return subprocess.Popen(command, env={**os.environ, "CELLFLAX_CACHE": cache}, stderr=subprocess.DEVNULL)


def finished(output: Path) -> int:
    """Number of images that a running command has finished."""
    count = 0
    for journal in output.glob(".unfinished.*/journal.jsonl"):
        try:
            count += journal.read_bytes().count(b"\n") - 1
        except FileNotFoundError:  # it ended this moment
            continue
    return count


def watch(command: list[str], output: Path, cache: str) -> list[Sample]:
    """Run a command, and take a sample whenever more images are finished."""
    process, began = start_predict(command, cache), time.perf_counter()
    samples: list[Sample] = []
    while process.poll() is None:
        count = finished(output)
        if count > (samples[-1].images if samples else 0):
            with suppress(OSError):  # it ended this moment
                status = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
                core_s = (int(status[11]) + int(status[12])) / os.sysconf("SC_CLK_TCK")
                memory_mb = int(status[21]) * os.sysconf("SC_PAGE_SIZE") / 2**20
                samples.append(Sample(count, time.perf_counter() - began, core_s, memory_mb))
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"predict ended with status {process.returncode}")
    return samples


if __name__ == "__main__":
    main()
