"""Memory of reading one plane of a large movie, by format; it must not grow with the movie.

python -m benchmarks.plane_memory [--gigabytes 4] [--size 1024]

Each plane is read by a process of its own, and the operating system (Linux) counts the growth of its peak resident
memory. The whole movie is the alternative: what a reader takes that does not read single planes.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorstore
import tifffile

from benchmarks.timing import print_table, start

READ = """
import re, sys
from pathlib import Path
from cellflax.io.readers import open_scene
def peak():  # not ru_maxrss, which starts from that of the process that started this one
    return int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
first, path, frame = sys.argv[1:]
with open_scene(Path(first)) as scene:  # what is loaded and set up once
    scene.plane(0, 0, 0)
before = peak()
with open_scene(Path(path)) as scene:
    plane = scene.plane(int(frame), 0, 0)
    assert (plane == int(frame) + 1).all()
print(scene.n_frames, plane.nbytes, peak() - before)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=4, help="size of the movie's pixels")
    parser.add_argument("--size", type=int, default=1024, help="edge of a frame, pixels")
    options = parser.parse_args()
    start()
    frames = max(round(options.gigabytes * 1e9 / (2 * options.size**2)), 2)
    rows = []
    for form, (suffix, write) in FORMATS.items():
        with tempfile.TemporaryDirectory() as folder:
            small, movie = Path(folder) / f"small{suffix}", Path(folder) / f"movie{suffix}"
            write(small, 2, 64)
            write(movie, frames, options.size)
            before = time.perf_counter()
            command = [sys.executable, "-c", READ, str(small), str(movie), str(frames // 2)]
            result = subprocess.run(command, check=True, capture_output=True, text=True)
            seconds = time.perf_counter() - before
        count, plane, grown = (int(word) for word in result.stdout.split())
        megabytes = [plane / 1e6, count * plane / 1e6, grown * 1024 / 1e6]
        rows.append([form, str(count), *(f"{value:.1f}" for value in megabytes), f"{seconds:.1f}"])
    columns = [
        "format",
        "frames",
        "one plane (MB)",
        "movie (MB)",
        "peak memory of a plane (MB)",
        "seconds with start-up",
    ]
    print_table(columns, rows)


def planes(frames: int, size: int) -> Iterator[np.ndarray]:
    """Frames whose pixels are their numbers, from 1."""
    for frame in range(frames):
        yield np.full((size, size), frame + 1, np.uint16)


def write_tiff(path: Path, frames: int, size: int, compression: str | None = None) -> None:
    """Write a movie as OME-TIFF."""
    tifffile.imwrite(
        path,
        planes(frames, size),
        shape=(frames, size, size),
        dtype=np.uint16,
        compression=compression,
        metadata={"axes": "TYX"},
        ome=True,
        bigtiff=True,
        photometric="minisblack",
    )


def write_zarr(path: Path, frames: int, size: int, edge: int) -> None:
    """Write a movie as OME-Zarr 0.5 in square chunks of one frame."""
    axes = [{"name": name, "type": kind} for name, kind in (("t", "time"), ("y", "space"), ("x", "space"))]
    scale = [{"type": "scale", "scale": [1, 1, 1]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    ome = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    path.mkdir()
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}
    (path / "zarr.json").write_text(json.dumps(group))
    chunk = [1, min(edge, size), min(edge, size)]
    metadata = {
        "shape": [frames, size, size],
        "data_type": "uint16",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "zstd"}],
    }
    store = {"driver": "file", "path": f"{path}/0/"}
    array = tensorstore.open({"driver": "zarr3", "kvstore": store, "metadata": metadata}, create=True).result()
    for frame, plane in enumerate(planes(frames, size)):
        array[frame] = plane


def write_npy(path: Path, frames: int, size: int) -> None:
    """Write a movie as an array of NumPy."""
    array = np.lib.format.open_memmap(path, "w+", np.uint16, (frames, size, size))
    for frame, plane in enumerate(planes(frames, size)):
        array[frame] = plane
    array.flush()


FORMATS: dict[str, tuple[str, Callable[[Path, int, int], None]]] = {
    "OME-Zarr, a chunk per frame": (".zarr", lambda *at: write_zarr(*at, edge=1 << 20)),
    "OME-Zarr, chunks of 256 x 256": (".zarr", lambda *at: write_zarr(*at, edge=256)),
    "OME-TIFF, contiguous": (".ome.tif", write_tiff),
    "OME-TIFF, zlib": (".ome.tif", lambda *at: write_tiff(*at, compression="zlib")),
    "NPY": (".npy", write_npy),
}


if __name__ == "__main__":
    main()
