"""Maps written window by window, as `write_probability` writes them at once."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cellflax.errors import UserError
from cellflax.io.images import read_stack
from cellflax.io.movie_time import TimeAxis
from cellflax.io.readers import open_scene
from cellflax.io.tiff_maps import MapWriter
from cellflax.io.tiff_output import write_probability


@pytest.mark.parametrize("size", [None, 0.65])
def test_windows_in_any_order_give_the_file_that_is_written_at_once(tmp_path, size):
    maps = np.random.default_rng(0).random((30, 41, 3), np.float32)
    names = ("edge", "interior", "background")
    path = tmp_path / "a_probability.tif"
    path.write_bytes(b"an older result")
    with MapWriter(path, (30, 41), names, size) as file:
        for rows in (slice(20, 30), slice(0, 20)):
            for columns in (slice(7, 41), slice(0, 7)):
                file.write((rows, columns), maps[rows, columns])
        assert path.read_bytes() == b"an older result"
    write_probability(tmp_path / "at_once.tif", maps, names, size)
    for part, expected in zip(read_stack(path), read_stack(tmp_path / "at_once.tif"), strict=True):
        np.testing.assert_array_equal(part, expected)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.series[0].axes == "CYX"
        assert tiff.ome_metadata is not None
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a_probability.tif", "at_once.tif"]


def test_maps_of_a_movie(tmp_path):
    maps = np.random.default_rng(0).random((3, 7, 9, 2), np.float32)
    with MapWriter(tmp_path / "a.tif", (7, 9), ("x", "y"), 0.5, TimeAxis(3, np.array([0.0, 2.0, 5.0]))) as file:
        for t in (2, 0, 1):
            file.write((slice(0, 7), slice(0, 9)), maps[t], t)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.series[0].axes == "TCYX"
        np.testing.assert_array_equal(tiff.asarray(), np.moveaxis(maps, -1, 1))
    with open_scene(tmp_path / "a.tif") as movie:
        np.testing.assert_array_equal(movie.times_s(), [0, 2, 5])
        assert movie.pixel_size_um == 0.5


def test_an_interrupted_file_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), MapWriter(tmp_path / "a.tif", (4, 5), ("x",), None):
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_told():
    with (
        pytest.raises(UserError, match=r"/nowhere/a.tif: cannot be written"),
        MapWriter(Path("/nowhere/a.tif"), (4, 5), ("x",), None),
    ):
        pass


def test_maps_have_their_space_before_they_are_mapped(tmp_path):
    """A write to the map of a sparse file on a full disk is SIGBUS."""
    with MapWriter(tmp_path / "a.tif", (512, 512), ("x",), None):
        (file,) = tmp_path.iterdir()
        assert 512 * file.stat().st_blocks >= 4 * 512 * 512


def test_no_space_for_maps_is_one_line(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError, match=r"a.tif: cannot be written \(No space left on device\)"):
        MapWriter(tmp_path / "a.tif", (512, 512), ("x",), None).__enter__()
    assert not list(tmp_path.iterdir())
