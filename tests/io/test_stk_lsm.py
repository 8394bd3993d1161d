"""MetaMorph STK and Zeiss LSM, written by hand, and all suffixes of TIFF."""

from typing import Any

import numpy as np
import pytest
import tifffile

from cellflax.errors import UserError
from cellflax.io.files import find_images, list_files
from cellflax.io.images import read_image
from cellflax.io.readers import open_file
from tests.io.stk_lsm_files import write_lsm, write_stk
from tests.io.vendor_files import cuts, flips, frames_of, outcomes, peak_of_a_plane, random_pixels, times_of

PLANES = random_pixels(5, 20, 30)
TIMES = [1000, 4000, 8000, 12000, 20000]
STACK = random_pixels(3, 4, 2, 20, 30)  # (T, Z, C, H, W)


def test_a_movie_of_metamorph(tmp_path):
    path = write_stk(tmp_path / "a.STK", PLANES, times_ms=TIMES)
    with open_file(path) as (scene,):
        assert dict(scene.sizes) == {"T": 5, "C": 1, "Z": 1, "Y": 20, "X": 30}
        assert (scene.pixel_size_um, scene.source) == (pytest.approx(0.65), "MetaMorph")
        assert times_of(scene) == [0, 3, 7, 11, 19]
        assert (scene.channels, scene.origin, scene.dtype) == (("channel_0",), "default", "u2")
    np.testing.assert_array_equal(frames_of(path)[:, 0, 0], PLANES)


def test_a_stack_of_metamorph(tmp_path):
    path = write_stk(tmp_path / "a.stk", PLANES, times_ms=TIMES, z_step=2)
    with open_file(path) as (scene,):
        assert (scene.sizes["T"], scene.sizes["Z"], scene.z_um) == (1, 5, (0, 2, 4, 6, 8))
        assert scene.times_s() is None
    np.testing.assert_array_equal(frames_of(path)[0, 0], PLANES)
    with open_file(write_stk(tmp_path / "a.stk", PLANES, units="nm", size=650.0, z_step=2)) as (scene,):
        assert (scene.pixel_size_um, scene.z_um) == (pytest.approx(0.65), None)


def test_planes_of_metamorph_without_times_are_unnamed(tmp_path):
    with open_file(write_stk(tmp_path / "a.stk", random_pixels(9, 20, 30))) as (scene,):
        assert (scene.sizes["T"], scene.unnamed, scene.times_s()) == (9, "T", None)


@pytest.mark.parametrize("options", [{"units": "pixels"}, {"units": ""}, {"calibrated": 0}, {"size": 0.0}])
def test_sizes_that_metamorph_does_not_say(tmp_path, options):
    assert read_image(write_stk(tmp_path / "a.stk", PLANES[:1], **options)).pixel_size_um is None


def test_a_series_of_lsm(tmp_path, capsys):
    path = write_lsm(tmp_path / "a.LSM", STACK, ["Ch1-T1", "Ch2-T2"], stamps=[100.0, 130.0, 190.0])
    with open_file(path) as (scene,):
        assert dict(scene.sizes) == {"T": 3, "C": 2, "Z": 4, "Y": 20, "X": 30}
        assert (scene.channels, scene.origin) == (("Ch1-T1", "Ch2-T2"), "file")
        assert (scene.pixel_size_um, scene.source) == (pytest.approx(0.5), "LSM")
        assert scene.z_um == pytest.approx((0, 2, 4, 6))
        assert times_of(scene) == [0, 30, 90]
    np.testing.assert_array_equal(frames_of(path), np.moveaxis(STACK, 2, 1))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("frames", "planes", "channels"), [(1, 4, 1), (3, 1, 2), (1, 1, 2), (1, 1, 1), (3, 1, 1)])
def test_fewer_axes_of_lsm(tmp_path, frames, planes, channels):
    pixels = STACK[:frames, :planes, :channels]
    path = write_lsm(tmp_path / "a.lsm", pixels)
    with open_file(path) as (scene,):
        assert (scene.origin, scene.times_s()) == ("default", None)
    np.testing.assert_array_equal(frames_of(path), np.moveaxis(pixels, 2, 1))


def test_stamps_of_lsm_that_do_not_rise_say_nothing(tmp_path):
    with open_file(write_lsm(tmp_path / "a.lsm", STACK, stamps=[5.0, 5.0, 6.0])) as (scene,):
        assert scene.times_s() is None


def test_oblong_pixels_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"a.lsm: pixels are 0.5 x 0.7 um"):
        read_image(write_lsm(tmp_path / "a.lsm", STACK, um=(0.5, 0.7, 1)))


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_types_of_pixels(tmp_path, dtype):
    pixels = random_pixels(1, 1, 2, 7, 9, dtype=dtype)
    image = read_image(write_lsm(tmp_path / "a.lsm", pixels))
    assert image.pixels.dtype == dtype
    np.testing.assert_array_equal(image.pixels, np.moveaxis(pixels[0, 0], 0, -1))


def test_cut_and_damaged_files(tmp_path):
    content = write_stk(tmp_path / "a.stk", PLANES, times_ms=TIMES).read_bytes()
    found = outcomes(tmp_path / "m.stk", cuts(content), [PLANES[:, None, None]])
    assert set(found) <= {"refused", "right"}
    assert found.count("right") <= 1  # without the last byte, which says that no page follows
    assert "refused" in outcomes(tmp_path / "m.stk", flips(content, 100), [PLANES[:, None, None]])
    content = write_lsm(tmp_path / "a.lsm", STACK, stamps=[1.0, 2.0, 3.0]).read_bytes()
    whole = [np.moveaxis(STACK, 2, 1)]
    assert set(outcomes(tmp_path / "m.lsm", cuts(content), whole)) <= {"refused", "right"}
    assert "refused" in outcomes(tmp_path / "m.lsm", flips(content, 500), whole)


def test_a_plane_costs_a_plane(tmp_path):
    path = write_stk(tmp_path / "a.stk", random_pixels(20, 500, 600), times_ms=range(20))
    assert peak_of_a_plane(path) < 3 * 500 * 600 * 2 < path.stat().st_size / 6
    path = write_lsm(tmp_path / "a.lsm", random_pixels(20, 1, 1, 500, 600))
    assert peak_of_a_plane(path) < 3 * 500 * 600 * 2 < path.stat().st_size / 6


SUFFIXES = [".tif", ".tiff", ".btf", ".tf2", ".tf8", ".ome.tif", ".ome.tiff", ".ome.btf"]


@pytest.mark.parametrize("suffix", [*SUFFIXES, *map(str.upper, SUFFIXES), ".Ome.Tif"])
def test_every_suffix_of_tiff_in_any_case(tmp_path, suffix):
    path = tmp_path / f"cell{suffix}"
    options: dict[str, Any] = {"bigtiff": "btf" in suffix.lower() or "tf8" in suffix.lower()}
    if "ome" in suffix.lower():
        options |= {"ome": True, "metadata": {"axes": "YX", "PhysicalSizeX": 0.3, "PhysicalSizeY": 0.3}}
    tifffile.imwrite(path, PLANES[0], **options)
    assert list_files(tmp_path) == [path]
    assert [image.name for image in find_images([path])] == ["cell"]
    image = read_image(path)
    np.testing.assert_array_equal(image.pixels[..., 0], PLANES[0])
    assert image.pixel_size_um == (0.3 if "ome" in suffix.lower() else None)
