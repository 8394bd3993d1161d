"""Images that need not fit in memory: memory against size, 1 and 4 workers, and a worker that is killed.

    python experiments/large_images/run.py DIR sizes=2048,4096,8192 workers=4 block=512

Draws images of discs on disk chunk by chunk (SIMULATED), trains a tiny network on small ones of the same kind, and runs
`cellflax predict streamed=true`. Prints a line per run, and writes them to DIR/measured.json: the largest memory of any
process (`ru_maxrss`), CPU seconds, cells. It ends with an error if labels differ.

    python experiments/large_images/run.py DIR huge=50000 block=2048

measures what one worker needs of an image of 50,000 x 50,000 pixels: the pass over all its pixels, then the block in
its middle. Of its chunks nine are drawn; the others are links to these, so that it takes 19 MB of disk.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore

from cellflax.io.images import write_image, write_labels
from cellflax.io.ome_zarr_output import ZarrLayout, create_array, multiscale

CHUNK = 1024
SPACING = 64  # pixels: one disc in every square of this edge, at a random place
RADII = 8, 26  # of neighbours some touch


def discs(row: int, column: int) -> tuple[float, float, float, float]:
    """Centre, radius and brightness of the disc of one square: the same whoever asks."""
    y, x, radius, brightness = np.random.default_rng((7, row, column)).random(4)
    return (
        (row + y) * SPACING,
        (column + x) * SPACING,
        RADII[0] + radius * (RADII[1] - RADII[0]),
        600 + 1400 * brightness,
    )


def drawn(top: int, left: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (uint16) and labels of a window of the endless image; the later of two discs covers the other."""
    pixels, labels = np.full((height, width), 400.0, np.float32), np.zeros((height, width), np.int32)
    reach = -(-RADII[1] // SPACING) + 1
    number = 0
    for row in range(max(top // SPACING - reach, 0), (top + height) // SPACING + reach + 1):
        for column in range(max(left // SPACING - reach, 0), (left + width) // SPACING + reach + 1):
            y, x, radius, brightness = discs(row, column)
            rows = slice(max(int(y - radius) - top, 0), max(int(y + radius) + 2 - top, 0))
            columns = slice(max(int(x - radius) - left, 0), max(int(x + radius) + 2 - left, 0))
            part = pixels[rows, columns]
            if not part.size:
                continue
            yy = np.arange(rows.start, rows.start + part.shape[0])[:, None] + top - y
            xx = np.arange(columns.start, columns.start + part.shape[1])[None] + left - x
            distance = np.sqrt(yy**2 + xx**2)
            number += 1
            labels[rows, columns][distance <= radius] = number
            inside = np.clip(radius - distance + 0.5, 0, 1)
            part[...] = part * (1 - inside) + (400 + brightness * (0.7 + 0.3 * distance / radius)) * inside
    noise = np.random.default_rng((8, top, left)).normal(0, 60, pixels.shape)
    return np.clip(pixels + noise, 0, 65535).astype(np.uint16), labels


def make_image(folder: Path, size: int) -> Path:
    """Write an image of size x size pixels as an OME-Zarr, chunk by chunk."""
    if (folder / "zarr.json").exists():
        return folder
    layout = ZarrLayout(size, size, ("stain",), np.dtype(np.uint16), np.dtype(np.int32), None, 0.5, "0.5", folder.stem)
    array = create_array({"driver": "file", "path": f"{folder.absolute()}/0/"}, layout, layout.dtype, (size, size))
    for top in range(0, size, CHUNK):
        for left in range(0, size, CHUNK):
            height, width = min(CHUNK, size - top), min(CHUNK, size - left)
            part = array[0, top : top + height, left : left + width]
            part.write(drawn(top, left, height, width)[0]).result()
    content = multiscale(layout, is_image=True)
    content["datasets"] = content["datasets"][:1]
    channels = {"channels": [{"label": "stain", "color": "FFFFFF", "window": dict(start=0, end=1, min=0, max=1)}]}
    ome = {"version": "0.5", "multiscales": [content], "omero": channels}
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}
    (folder / "zarr.json").write_text(json.dumps(group))
    return folder


def make_huge(folder: Path, size: int) -> Path:
    """An image whose chunks repeat every three."""
    image = make_image(folder, 3 * CHUNK)
    metadata = image / "0" / "zarr.json"
    content = json.loads(metadata.read_text())
    content["shape"][1:] = [size, size]
    metadata.write_text(json.dumps(content))
    chunks = image / "0" / "c" / "0"
    for row in range(-(-size // CHUNK)):
        (chunks / str(row)).mkdir(exist_ok=True)
        for column in range(-(-size // CHUNK)):
            if row > 2 or column > 2:
                os.link(chunks / str(row % 3) / str(column % 3), chunks / str(row) / str(column))
    return image


def measure_huge(folder: Path, size: int, block: int, run: Path) -> None:
    """Memory of one worker that segments the middle block."""
    shutil.rmtree(folder / "huge.zarr", ignore_errors=True)
    shutil.rmtree(folder / "huge", ignore_errors=True)
    image = make_huge(folder / "huge.zarr", size)
    edge = -(-size // block)
    words = [f"checkpoint={run}", f"input={image}", f"output={folder / 'huge'}", "streamed=true", f"block={block}"]
    words += ["largest_cell_px=200", f"block_shard={edge // 2 * (edge + 1)}", f"block_shards={edge**2}"]
    memory, seconds = command("predict", *words)
    print(json.dumps({"size": size, "block": block, "worker_mb": round(memory), "cpu_s": round(seconds, 1)}))


def train(folder: Path) -> Path:
    """A tiny network for such images."""
    run = folder / "network"
    if (run / "summary.json").exists():
        return run
    for i in range(6):
        pixels, labels = drawn(20_000 * (i + 1), 0, 256, 256)
        for kind, write, array in (("images", write_image, pixels), ("labels", write_labels, labels)):
            (folder / "training" / kind).mkdir(parents=True, exist_ok=True)
            write(folder / "training" / kind / f"{i}.tif", array)
    command("train", "+debug=toy", "data=folder", f"data.root={folder / 'training'}", f"run={run}", "calibrate=false")
    return run


def start(*words: str) -> subprocess.Popen:
    """Start a command of cellflax."""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen([sys.executable, "-m", "cellflax", *words], env=environment)


def ended(process: subprocess.Popen) -> tuple[int, float, float]:
    """Exit status, largest memory in MB and CPU seconds of a process, when it has ended."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime


def command(*words: str) -> tuple[float, float]:
    """Run a command of cellflax; memory in MB and CPU seconds."""
    code, memory, seconds = ended(start(*words))
    if code:
        raise SystemExit(f"{words} ended with status {code}")
    return memory, seconds


def labels_of(folder: Path) -> tensorstore.TensorStore:
    """The labels of a result at full resolution."""
    (labels,) = folder.glob("*_labels.zarr")
    return tensorstore.open({"driver": "zarr3", "kvstore": f"file://{labels.absolute()}/0/"}, read=True).result()[0]


def differing(a: Path, b: Path) -> int:
    """Number of pixels whose labels differ, read chunk by chunk."""
    one, other = labels_of(a), labels_of(b)
    count = 0
    for top in range(0, one.shape[0], CHUNK):
        count += int((one[top : top + CHUNK].read().result() != other[top : top + CHUNK].read().result()).sum())
    return count


def measure(folder: Path, size: int, workers: int, block: int, run: Path, kill: bool = False) -> dict[str, Any]:
    """Segment an image with some workers at once; one of them may be killed (9) on its way and started again."""
    image = make_image(folder / f"{size}.zarr", size)
    output = folder / f"{size}_{workers}_{block}{'_killed' * kill}"
    shutil.rmtree(output, ignore_errors=True)
    words = ["predict", f"checkpoint={run}", f"input={image}", f"output={output}", "streamed=true"]
    words += [f"block={block}", "largest_cell_px=64", "tile=128", "test_time_augmentation=1"]
    memory, seconds, killed = [], 0.0, None
    if workers > 1:
        shares = [start(*words, f"block_shard={i}", f"block_shards={workers}") for i in range(workers)]
        if kill:
            facts = output / f".blocks.{size}" / "facts"
            while not facts.is_dir() or len(list(facts.iterdir())) < workers:
                time.sleep(0.2)
            shares[1].send_signal(signal.SIGKILL)
            killed = len(list(facts.iterdir()))
        for i, share in enumerate(shares):
            code, used, cpu = ended(share)
            assert code == (-signal.SIGKILL if kill and i == 1 else 0), code
            memory.append(used)
            seconds += cpu
    used, cpu = command(*words)
    with (output / "cells.csv").open() as file:
        cells = sum(1 for _ in file) - 1
    found = {
        "size": size,
        "workers": workers,
        "block": block,
        "blocks": (-(-size // block)) ** 2,
        "blocks_at_kill": killed,
        "worker_mb": round(max(memory)) if memory else None,
        "joining_mb": round(used),
        "cpu_s": round(seconds + cpu, 1),
        "joining_cpu_s": round(cpu, 1) if memory else None,
        "cells": cells,
        "output": output.name,
    }
    print(json.dumps(found), flush=True)
    return found


def main() -> None:
    """Measure at every size; at the first one also compare labels."""
    folder = Path(sys.argv[1]).absolute()
    options = dict(word.split("=") for word in sys.argv[2:])
    sizes = [int(size) for size in options.get("sizes", "2048,4096,8192").split(",")]
    workers, block = int(options.get("workers", "4")), int(options.get("block", "512"))
    folder.mkdir(parents=True, exist_ok=True)
    run = train(folder)
    if "huge" in options:
        measure_huge(folder, int(options["huge"]), block, run)
        return
    found = [measure(folder, size, 1, block, run) for size in sizes[:1]]
    reference = folder / found[0]["output"]
    for number, edge, kill in ((workers, block, False), (workers, block, True), (1, block // 2, False)):
        found.append(measure(folder, sizes[0], number, edge, run, kill))
        found[-1]["pixels_that_differ"] = differing(reference, folder / found[-1]["output"])
        print(f"{found[-1]['pixels_that_differ']} pixels differ from those of 1 worker", flush=True)
    for size in sizes[1:]:
        found.append(measure(folder, size, 1, block, run))
    (folder / "measured.json").write_text(json.dumps(found, indent=1) + "\n")
    if any(each.get("pixels_that_differ") for each in found):
        raise SystemExit("labels differ")


if __name__ == "__main__":
    main()
