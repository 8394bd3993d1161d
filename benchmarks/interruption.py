"""A batch that is ended half-way: what `cellflax.predict` leaves, and what `resume=true` does again.

python -m benchmarks.interruption [--images 200] [--bad 3]

Each row ends the first run in another way: SIGKILL, SIGTERM, Ctrl-C, a full disk (a file system of a few MB in memory,
where it can be mounted), or not at all, so that only the bad images are left. The second run continues from there. The
last column says whether `cells.csv` is that of a run that was left alone. The network is that of predict_memory.py.
"""

import argparse
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.batch import finished, predict_command, start_predict, write_images
from benchmarks.predict_memory import save_network
from benchmarks.timing import print_table, start

SIZE = 128  # pixels
ROOM_KB = 64  # that a full disk has left beyond the labels of half of the images
ENDINGS = {
    "SIGKILL": signal.SIGKILL,
    "SIGTERM": signal.SIGTERM,
    "Ctrl-C": signal.SIGINT,
    "full disk": None,
    "bad images alone": None,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--bad", type=int, default=3, help="images that are damaged")
    options = parser.parse_args()
    start()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_images(root / "images", options.images, SIZE)
        files = sorted((root / "images").iterdir())
        for number in range(options.bad):
            file = files[(2 * number + 1) * len(files) // (2 * options.bad)]
            file.write_bytes(file.read_bytes()[:-1000])
        save_network(root / "run")
        start_predict(predict_command(root), folder).wait()
        whole = (root / "out" / "cells.csv").read_bytes()
        size = sum(file.stat().st_size for file in (root / "out").iterdir()) // 1024
        (root / "out").rename(root / "whole")
        rows = [row for name in ENDINGS if (row := end_and_resume(root, name, options.images, size, whole))]
    header = ["ended by", "status", "finished", "left in output", "second run: kept", "made", "status", "hidden files"]
    print_table([*header, "cells.csv as uninterrupted"], rows)


def end_and_resume(root: Path, ending: str, count: int, whole_kb: int, whole: bytes) -> list[str] | None:
    """A row of the table; None where a disk cannot be filled."""
    output = root / "out"
    output.mkdir()
    with small_disk(output, whole_kb // 2 + ROOM_KB) if ending == "full disk" else unlimited() as usable:
        if not usable:
            shutil.rmtree(output, ignore_errors=True)
            print(f"{ending}: no small file system can be mounted here", flush=True)
            return None
        process = start_predict(predict_command(root), str(root))
        number = ENDINGS[ending]
        while number is not None and process.poll() is None and finished(output) < count // 2:
            time.sleep(0.005)
        if number is not None:
            process.send_signal(number)
        status = process.wait()
        done = finished(output) or len(list(output.glob("*_labels.tif")))
        left = ", ".join(sorted(kind(file) for file in output.iterdir() if not file.name.endswith("_labels.tif")))
        before = {file.name: file.stat().st_mtime_ns for file in output.rglob("*_labels.tif")}
        if ending == "full disk":
            subprocess.run(["mount", "-o", f"remount,size={4 * whole_kb + 4096}k", output], check=True)
        again = start_predict(predict_command(root, "resume=true"), str(root)).wait()
        after = {file.name: file.stat().st_mtime_ns for file in output.glob("*_labels.tif")}
        kept = sum(after.get(name) == moment for name, moment in before.items())
        hidden = [file.name for file in output.glob(".*")]
        same = (output / "cells.csv").read_bytes() == whole
    shutil.rmtree(output)
    return [
        ending,
        str(status),
        str(done),
        left,
        str(kept),
        str(len(after) - kept),
        str(again),
        str(len(hidden)),
        str(same),
    ]


def kind(file: Path) -> str:
    """A name without what differs each time."""
    return ".unfinished" if file.name.startswith(".unfinished.") else file.name


@contextmanager
def small_disk(folder: Path, size_kb: int) -> Iterator[bool]:
    """Mount a file system in memory on a folder, if that is allowed."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_kb}k", "tmpfs", str(folder)]
    mounted = shutil.which("mount") is not None and subprocess.run(command, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def unlimited() -> Iterator[bool]:
    """The disk as it is."""
    yield True


if __name__ == "__main__":
    main()
