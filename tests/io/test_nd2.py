"""Nikon ND2: files written by hand, and a real one of CELLFLAX_DATA/vendor against nd2's own reading."""

import sys
from typing import Any

import nd2
import numpy as np
import pytest

from cellflax.errors import UserError
from cellflax.io.files import find_images
from cellflax.io.images import read_image
from cellflax.io.readers import has_known_suffix, open_file
from tests.io.nd2_files import other_loop, positions, time_loop, write_nd2, z_stack
from tests.io.vendor_files import cuts, flips, frames_of, outcomes, peak_of_a_plane, random_pixels, real_file, times_of

MOVIE = random_pixels(3, 2, 4, 20, 30)  # (T, C, Z, H, W)
FRAMES = np.moveaxis(MOVIE, 1, -1).reshape(12, 20, 30, 2)
LOOPS = [time_loop(3), z_stack(4, 0.5)]
TIMES = [100.0 + 1000 * i**2 for i in range(12)]


def _movie(path, **options):
    return write_nd2(path, FRAMES, LOOPS, ["DAPI", "GFP"], **{"um": 0.65, "times_ms": TIMES} | options)


@pytest.mark.parametrize("options", [{}, {"compressed": True}, {"padding": 8}])
def test_axes_names_sizes_and_times(tmp_path, options):
    path = _movie(tmp_path / "a.ND2", **options)
    with open_file(path) as (scene,):
        assert dict(scene.sizes) == {"T": 3, "C": 2, "Z": 4, "Y": 20, "X": 30}
        assert (scene.channels, scene.origin) == (("DAPI", "GFP"), "file")
        assert (scene.pixel_size_um, scene.source) == (0.65, "ND2")
        assert scene.z_um == (0, 0.5, 1, 1.5)
        assert scene.times_s() == pytest.approx([0, 16, 64])
    np.testing.assert_array_equal(frames_of(path), MOVIE)
    np.testing.assert_array_equal(np.moveaxis(nd2.imread(path), 2, 1), MOVIE)  # the file is as nd2 expects
    assert has_known_suffix(path)


def test_what_the_file_does_not_say_is_unknown(tmp_path):
    path = _movie(tmp_path / "a.nd2", um=None, times_ms=[5.0] * 12)
    with open_file(path) as (scene,):
        assert (scene.pixel_size_um, scene.times_s()) == (None, None)
    loops = [time_loop(3, period_ms=2500.0), z_stack(4, 0.5, bottom_to_top=False)]
    path = write_nd2(tmp_path / "b.nd2", FRAMES, loops, ["", ""], times_ms=[5.0] * 12)
    with open_file(path) as (scene,):
        assert times_of(scene) == [0, 2.5, 5]
        assert scene.z_um == (0, -0.5, -1, -1.5)
        assert (scene.channels, scene.origin) == (("channel_0", "channel_1"), "default")


def test_positions_are_scenes(tmp_path):
    pixels = random_pixels(2, 3, 8, 9, 1)  # (T, P, H, W, C)
    loops = [time_loop(2), positions(["B2", "B3", ""])]
    times = [0.0, 10.0, 20.0, 5000.0, 5010.0, 5025.0]
    path = write_nd2(tmp_path / "a.nd2", pixels.reshape(6, 8, 9, 1), loops, ["phase"], 1.3, times)
    with open_file(path) as scenes:
        assert [scene.name for scene in scenes] == ["0", "1", "2"]  # one has no name
        assert [times_of(scene)[1] for scene in scenes] == pytest.approx([5, 5, 5.005])
        assert all(scene.channels == ("phase",) and scene.pixel_size_um == 1.3 for scene in scenes)
    for position in range(3):
        np.testing.assert_array_equal(frames_of(path, position)[:, 0, 0], pixels[:, position, ..., 0])
    loops = [positions(["B2", "B3", "C1"]), time_loop(2)]
    write_nd2(path, np.moveaxis(pixels, 1, 0).reshape(6, 8, 9, 1), loops, ["phase"])
    for position in range(3):
        np.testing.assert_array_equal(frames_of(path, position)[:, 0, 0], pixels[:, position, ..., 0])
    assert [image.name for image in find_images([path])] == ["a_B2", "a_B3", "a_C1"]
    with pytest.raises(UserError, match=r"a.nd2: holds 3 images .*B2.*save each as a file of its own"):
        read_image(path)


def test_frames_without_a_loop_are_an_unnamed_axis(tmp_path):
    path = write_nd2(tmp_path / "a.nd2", FRAMES[:5], [], ["a", "b"])
    with open_file(path) as (scene,):
        assert (scene.sizes["T"], scene.unnamed) == (5, "T")
    np.testing.assert_array_equal(frames_of(path)[:, :, 0], np.moveaxis(FRAMES[:5], -1, 1))


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_types_of_pixels(tmp_path, dtype):
    pixels = random_pixels(1, 7, 9, 1, dtype=dtype)
    image = read_image(write_nd2(tmp_path / "a.nd2", pixels, [], ["a"]))
    assert image.pixels.dtype == dtype
    np.testing.assert_array_equal(image.pixels, pixels[0])


def test_colours(tmp_path):
    pixels = random_pixels(1, 7, 9, 3, dtype="u1")
    image = read_image(write_nd2(tmp_path / "a.nd2", pixels, [], ["Brightfield"], samples=3))
    assert (image.channels, image.origin) == (("red", "green", "blue"), "colours")
    np.testing.assert_array_equal(image.pixels, pixels[0])


def test_other_loops_are_refused(tmp_path):
    path = write_nd2(tmp_path / "a.nd2", FRAMES, [other_loop(3), z_stack(4, 1.0)], ["a", "b"])
    with pytest.raises(UserError, match=r"a.nd2: 3 planes along CustomLoop are not supported"):
        read_image(path)


def test_missing_frames_are_refused(tmp_path):
    """nd2 itself reads them as zeros."""
    path = _movie(tmp_path / "a.nd2", without=(7,))
    assert (nd2.imread(path)[1, 3] == 0).all()
    with pytest.raises(UserError, match=r"a.nd2: damaged or incomplete \(frame 7 is missing\)"):
        read_image(path)


@pytest.mark.parametrize("compressed", [False, True])
def test_cut_and_damaged_files(tmp_path, compressed):
    path = _movie(tmp_path / "a.nd2", compressed=compressed)
    content = path.read_bytes()
    assert set(outcomes(tmp_path / "m.nd2", cuts(content), [MOVIE])) == {"refused"}
    assert "refused" in outcomes(tmp_path / "m.nd2", flips(content, 150), [MOVIE])
    moved = content.replace(b"ImageDataSeq|3!" + bytes(4), b"ImageDataSeq|9!" + bytes(4))
    assert outcomes(tmp_path / "m.nd2", [moved], [MOVIE]) == ["refused"]
    for old in (b'uiHeight runtype="lx_int32" value="20"', b'uiWidth runtype="lx_int32" value="30"'):
        for value in (b"00", b"-5", b"99"):
            assert content.count(old) == 1
            changed = content.replace(old, old[:-3] + value + b'"')
            assert outcomes(tmp_path / "m.nd2", [changed], [MOVIE]) == ["refused"]


def test_a_plane_costs_a_plane(tmp_path):
    path = write_nd2(tmp_path / "a.nd2", random_pixels(20, 500, 600, 1), [time_loop(20)], ["a"])
    assert peak_of_a_plane(path) < 3 * 500 * 600 * 2 < path.stat().st_size / 6


def test_without_the_library(tmp_path, monkeypatch):
    path = _movie(tmp_path / "a.nd2")
    monkeypatch.setitem(sys.modules, "nd2", None)
    with pytest.raises(UserError, match=r"a.nd2: needs the package nd2; pip install 'cellflax\[nd2\]'"):
        read_image(path)


def test_a_jpeg_2000_picture_is_no_nd2(tmp_path):
    (tmp_path / "a.jp2").write_bytes(b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(100))
    with pytest.raises(UserError, match=r"a.jp2: a JPEG 2000 picture is not supported; convert it to TIFF"):
        read_image(tmp_path / "a.jp2")
    (tmp_path / "a.nd2").write_bytes(b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(100))
    with pytest.raises(UserError, match=r"a.nd2: damaged or incomplete"):
        read_image(tmp_path / "a.nd2")


@pytest.mark.real_data
@pytest.mark.usefixtures("data_root")
def test_a_real_file_as_nd2_reads_it():
    path = real_file("cluster.nd2")
    with open_file(path) as (scene,), nd2.ND2File(path) as file:
        assert (scene.channels, scene.origin) == (("5-FAM/pH 9.0", "FM 4-64/2% CHAPS"), "file")
        assert scene.pixel_size_um == pytest.approx(0.167809, abs=1e-6)
        assert scene.z_um == tuple(0.5 * i for i in range(10))
        frames: list[Any] = [file.frame_metadata(i) for i in (0, 10, 20)]
        stamps = [frame.channels[0].time.relativeTimeMs / 1000 for frame in frames]
        assert scene.times_s() == pytest.approx(np.array(stamps) - stamps[0])
        expected = np.moveaxis(file.asarray(), 2, 1)
    np.testing.assert_array_equal(frames_of(path), expected)
