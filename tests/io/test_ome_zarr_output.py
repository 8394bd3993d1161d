"""OME-Zarr that cellflax writes, checked by yaozarrs, read by zarr-python and by cellflax."""

import numpy as np
import pytest
import yaozarrs
import zarr

from cellflax.errors import UserError
from cellflax.io.frames import label_frame, open_label_movie
from cellflax.io.images import read_image, read_labels
from cellflax.io.movie_time import TimeAxis
from cellflax.io.ome_zarr_output import ZarrLayout, writing_ome_zarr
from cellflax.io.readers import open_scene
from tests.exporting.drawing import hard_cells

HEIGHT, WIDTH = 60, 1101
LABELS = np.pad(hard_cells(), ((0, 0), (0, WIDTH - 80)))
PIXELS = np.random.default_rng(0).integers(0, 60_000, (3, HEIGHT, WIDTH, 2)).astype(np.uint16)
TIMES = {
    "image": None,
    "unknown": TimeAxis(3),
    "regular": TimeAxis(3, np.array([0.0, 60.0, 120.0])),
    "irregular": TimeAxis(3, np.array([0.0, 60.0, 150.0])),
}


def layout(time=None, size=0.65, version="0.5", dtype=np.uint16, name="a"):
    types = (np.dtype(dtype), np.dtype(np.uint32))
    return ZarrLayout(HEIGHT, WIDTH, ("phase", "DAPI/405"), *types, time, size, version, name)


def write(path, given, pixels=PIXELS):
    with writing_ome_zarr(path, given) as writer:
        for t in range(1 if given.time is None else 3):
            writer.write(t, pixels[t], np.roll(LABELS, t, axis=1))
    return path


@pytest.mark.parametrize("version", ["0.5", "0.4"])
@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("size", [0.65, None])
def test_what_is_written_is_valid_and_read_back(tmp_path, version, time, size):
    path = write(tmp_path / "a b%20ü#?.ome.zarr", layout(TIMES[time], size, version))
    yaozarrs.validate_zarr_store(str(path))  # warnings are errors
    group = zarr.open_group(path, mode="r")
    whole, cells = np.asarray(group["0"]), np.asarray(group["labels/cells/0"])
    movie = np.stack([np.roll(LABELS, t, axis=1) for t in range(3)])
    if time == "image":
        np.testing.assert_array_equal(whole, np.moveaxis(PIXELS[0], -1, 0))
        np.testing.assert_array_equal(cells, LABELS[None])
        image = read_image(path)
        np.testing.assert_array_equal(image.pixels, PIXELS[0])
        assert (image.channels, image.pixel_size_um) == (("phase", "DAPI/405"), size)
        np.testing.assert_array_equal(read_labels(path / "labels/cells"), LABELS)
        return
    np.testing.assert_array_equal(whole, np.moveaxis(PIXELS, -1, 1))
    np.testing.assert_array_equal(cells[:, 0], movie)
    with open_scene(path) as scene, open_label_movie(path / "labels/cells") as labels:
        for found in (scene, labels):
            times = found.times_s(None)
            assert times.tolist() == [0, 60, 120] if time == "regular" else times is None
            assert found.pixel_size_um == size
        np.testing.assert_array_equal(label_frame(labels, 2), movie[2])


def test_smaller_copies(tmp_path):
    group = zarr.open_group(write(tmp_path / "a.zarr", layout()), mode="r")
    image, half = (np.asarray(group[f"{i}"], float) for i in range(2))
    assert [group[f"{i}"].shape for i in range(3)] == [(2, 60, 1101), (2, 30, 551), (2, 15, 276)]
    np.testing.assert_allclose(half[1, 4, 7], image[1, 8:10, 14:16].mean(), atol=0.5)
    np.testing.assert_allclose(half[0, 4, 550], image[0, 8:10, 1100].mean(), atol=0.5)
    np.testing.assert_array_equal(group["labels/cells/2"], LABELS[None, ::4, ::4])
    steps = group.attrs["ome"]["multiscales"][0]["datasets"][2]["coordinateTransformations"]
    assert steps[0] == {"type": "scale", "scale": [1, 2.6, 2.6]}
    np.testing.assert_allclose(steps[1]["translation"], [0, 1.5 * 0.65, 1.5 * 0.65])


@pytest.mark.parametrize("dtype", [np.uint8, ">u2", np.int16, np.float32, np.float64, bool])
def test_types_of_pixels(tmp_path, dtype):
    pixels = (PIXELS % 2 if dtype is bool else PIXELS % 200).astype(dtype)
    if pixels.dtype.kind == "f":
        pixels[0, 0, 0] = np.nan
    for version in ("0.5", "0.4"):
        path = write(tmp_path / f"{version}.zarr", layout(version=version, dtype=dtype), pixels)
        yaozarrs.validate_zarr_store(str(path))
        found = np.asarray(zarr.open_group(path, mode="r")["0"])
        assert found.dtype == np.dtype(dtype).newbyteorder("=")
        np.testing.assert_array_equal(found, np.moveaxis(pixels[0], -1, 0))


def test_whole_or_absent(tmp_path):
    with pytest.raises(KeyboardInterrupt), writing_ome_zarr(tmp_path / "a.zarr", layout()):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / "a.zarr", layout())
    with pytest.raises(UserError, match="already exists"):
        write(tmp_path / "a.zarr", layout())
