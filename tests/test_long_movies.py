"""A longer movie takes hardly more memory."""

import tracemalloc

import numpy as np
import pytest
import tifffile

from cellflax.quantification.config import QuantifyConfig, QuantifyMethod
from cellflax.quantify import quantify
from cellflax.track import TrackConfig, track

SHORT, LONG, SIDE = 5, 35, 256
MORE = (LONG - SHORT) * SIDE * SIDE * 4  # bytes of the further frames, as int32 labels or as float32 images


@pytest.fixture
def movies(tmp_path):
    """Folders of a short and a long movie: labels of four cells that move, as files and in one, and images in one."""
    labels = np.zeros((LONG, SIDE, SIDE), np.uint16)
    for t in range(LONG):
        for i, (y, x) in enumerate(((20, 20), (20, 140), (140, 20), (140, 140))):
            labels[t, y + t : y + t + 70, x : x + 80] = i + 1
    images = np.random.default_rng(0).normal(100, 5, labels.shape).astype(np.float32) + 50 * (labels > 0)
    folders = tmp_path / "short", tmp_path / "long"
    for folder, frames in zip(folders, (SHORT, LONG), strict=True):
        (folder / "frames").mkdir(parents=True)
        for t, frame in enumerate(labels[:frames]):
            tifffile.imwrite(folder / f"frames/t{t:02}.tif", frame, compression="zlib")
        for name, stack in (("labels", labels), ("images", images.astype(np.float32))):
            tifffile.imwrite(folder / f"{name}.tif", stack[:frames], compression="zlib", metadata={"axes": "TYX"})
    return folders


def _growth(command, movies):
    """How much more memory a command takes at its peak for the long movie."""
    peaks = []
    for name, folder in (("first", movies[0]), ("short", movies[0]), ("long", movies[1])):
        tracemalloc.start()
        command(folder, str(folder / name))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    return peaks[2] - peaks[1]  # the first of all imports and caches


@pytest.mark.parametrize("labels", ["frames", "labels.tif"])
def test_track(movies, labels):
    def run(folder, output):
        track(TrackConfig(input=str(folder / labels), images=str(folder / "images.tif"), output=output))

    assert _growth(run, movies) < MORE / 4


def test_quantify(movies):
    for folder in movies:
        track(TrackConfig(input=str(folder / "labels.tif"), output=str(folder / "tracks"), overlay=False))

    def run(folder, output):
        given = {"tracks": str(folder / "tracks"), "image": str(folder / "images.tif")}
        quantify(QuantifyConfig(method=QuantifyMethod.cells, **given, output=output))

    assert _growth(run, movies) < MORE / 4
