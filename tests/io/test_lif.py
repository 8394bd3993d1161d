"""Leica LIF: files written by hand, against liffile's own reading."""

import re
import sys

import liffile
import numpy as np
import pytest

from cellflax.errors import UserError
from cellflax.io.files import find_images
from cellflax.io.images import read_image
from cellflax.io.readers import has_known_suffix, open_file
from tests.io.lif_files import LifImage, write_lif
from tests.io.vendor_files import cuts, flips, frames_of, outcomes, peak_of_a_plane, random_pixels, times_of

MOVIE = random_pixels(3, 2, 4, 20, 30)  # (T, C, Z, H, W)
EXTENTS = {"X": 29 * 0.5e-6, "Y": 19 * 0.5e-6, "Z": 3 * 2e-6, "T": 2 * 60.0}
STAMPS = [1000 + 1000 * i for i in range(24)]


def _image(name="Series001", **options):
    given = {"extents": EXTENTS, "dyes": ["Leica/DAPI", "GFP"], "stamps_ms": STAMPS} | options
    return LifImage(name, MOVIE, "TCZYX", **given)


def test_axes_names_sizes_and_times(tmp_path):
    path = write_lif(tmp_path / "a.LIF", [_image()])
    with open_file(path) as (scene,):
        assert dict(scene.sizes) == {"T": 3, "C": 2, "Z": 4, "Y": 20, "X": 30}
        assert (scene.channels, scene.origin) == (("DAPI", "GFP"), "file")
        assert (scene.pixel_size_um, scene.source) == (pytest.approx(0.5), "LIF")
        assert scene.z_um == pytest.approx((0, 2, 4, 6))
        assert scene.times_s() == pytest.approx([0, 8, 16])
    np.testing.assert_array_equal(frames_of(path), MOVIE)
    with liffile.LifFile(path) as lif:  # the file is as liffile expects
        assert lif.images[0].sizes == {"T": 3, "C": 2, "Z": 4, "Y": 20, "X": 30}
        np.testing.assert_array_equal(lif.images[0].asarray(), MOVIE)
    assert has_known_suffix(path)


def test_what_the_file_does_not_say_is_unknown(tmp_path):
    image = _image(extents={}, dyes=[], stamps_ms=[5] * 24)
    with open_file(write_lif(tmp_path / "a.lif", [image])) as (scene,):
        assert (scene.pixel_size_um, scene.z_um, scene.times_s()) == (None, None, None)
        assert (scene.channels, scene.origin) == (("channel_0", "channel_1"), "default")
    with open_file(write_lif(tmp_path / "a.lif", [_image(stamps_ms=[])])) as (scene,):
        assert times_of(scene) == [0, 60, 120]


@pytest.mark.parametrize("axes", ["TCZYX", "CTZYX", "ZTCYX", "TZCYX", "TZYCX", "TZYXC"])
def test_planes_in_any_order_in_the_file(tmp_path, axes):
    pixels = np.ascontiguousarray(np.transpose(MOVIE, ["TCZYX".index(axis) for axis in axes]))
    path = write_lif(tmp_path / "a.lif", [LifImage("a", pixels, axes, dyes=["b", "c"])])
    np.testing.assert_array_equal(frames_of(path), MOVIE)
    with open_file(path) as (scene,):
        assert scene.channels == ("b", "c")


@pytest.mark.parametrize("tags", [[1, 2, 3], [3, 2, 1]])
@pytest.mark.parametrize("padding", [0, 3])
def test_colours_in_their_order(tmp_path, tags, padding):
    pixels = random_pixels(7, 9, 3, dtype="u1")
    stored = np.ascontiguousarray(pixels[..., [tag - 1 for tag in tags]])
    image = read_image(write_lif(tmp_path / "a.lif", [LifImage("a", stored, "YXC", tags=tags, padding=padding)]))
    assert (image.channels, image.origin) == (("red", "green", "blue"), "colours")
    np.testing.assert_array_equal(image.pixels, pixels)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_types_of_pixels(tmp_path, dtype):
    pixels = random_pixels(7, 9, dtype=dtype)
    image = read_image(write_lif(tmp_path / "a.lif", [LifImage("a", pixels, "YX")]))
    assert image.pixels.dtype == dtype
    np.testing.assert_array_equal(image.pixels[..., 0], pixels)


def test_images_and_positions_are_scenes(tmp_path):
    tiles = random_pixels(2, 3, 8, 9)  # (T, M, H, W)
    images = [_image("B2"), LifImage("B3", tiles, "TMYX"), LifImage("scan", random_pixels(4, 8, 9), "λYX")]
    path = write_lif(tmp_path / "a.lif", images)
    with open_file(path) as scenes:
        assert [scene.name for scene in scenes] == ["B2", "B3_0", "B3_1", "B3_2"]
        assert [scene.pixel_size_um for scene in scenes] == [pytest.approx(0.5), None, None, None]
    np.testing.assert_array_equal(frames_of(path, 0), MOVIE)
    for position in range(3):
        np.testing.assert_array_equal(frames_of(path, 1 + position)[:, 0, 0], tiles[:, position])
    assert [image.name for image in find_images([path])] == ["a_B2", "a_B3_0", "a_B3_1", "a_B3_2"]


def test_images_that_are_not_read_are_said(tmp_path, capsys):
    scan = LifImage("scan", random_pixels(4, 8, 9), "λYX")
    with pytest.raises(UserError, match=r"a.lif: image scan: 4 planes along emission wavelength are not supported"):
        read_image(write_lif(tmp_path / "a.lif", [scan]))
    assert frames_of(write_lif(tmp_path / "a.lif", [scan, _image()])).shape == MOVIE.shape
    assert re.search(r"warning: .*a.lif: image scan: .*it is left out", capsys.readouterr().err)
    with pytest.raises(UserError, match=r"a.lif: holds no images"):
        read_image(write_lif(tmp_path / "a.lif", []))


def test_other_files_are_not_opened(tmp_path):
    """liffile opens what a reference names."""
    (tmp_path / "other.xlif").write_text("<LMSDataContainerHeader/>")
    path = write_lif(tmp_path / "a.lif", [_image()], '<Reference File="other.xlif"/>')
    with liffile.LifFile(path) as lif, pytest.raises(liffile.LifFileError):
        len(lif.images)
    np.testing.assert_array_equal(frames_of(path), MOVIE)


def test_oblong_pixels_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"a.lif: pixels are 0.5 x 0.8 um"):
        read_image(write_lif(tmp_path / "a.lif", [_image(extents=EXTENTS | {"Y": 19 * 0.8e-6})]))


def test_cut_and_damaged_files(tmp_path):
    content = write_lif(tmp_path / "a.lif", [_image()]).read_bytes()
    assert set(outcomes(tmp_path / "m.lif", cuts(content), [MOVIE])) == {"refused"}
    assert "refused" in outcomes(tmp_path / "m.lif", flips(content, 150), [MOVIE])
    for old, new in [
        ('NumberOfElements="20"', 'NumberOfElements="99"'),
        ('NumberOfElements="20"', 'NumberOfElements="-1"'),
        ('NumberOfElements="30"', 'NumberOfElements="00"'),
        ('BytesInc="60"', 'BytesInc="10"'),
        ('BytesInc="60"', 'BytesInc="-9"'),
        ('Resolution="16"', 'Resolution="99"'),
        ("MemBlock_0", "MemBlock_7"),
    ]:
        assert old.encode("utf-16-le") in content
        changed = content.replace(old.encode("utf-16-le"), new.encode("utf-16-le"), 1)
        assert outcomes(tmp_path / "m.lif", [changed], [MOVIE]) == ["refused"], new


def test_a_plane_costs_a_plane(tmp_path):
    path = write_lif(tmp_path / "a.lif", [LifImage("a", random_pixels(20, 500, 600), "TYX")])
    assert peak_of_a_plane(path) < 3 * 500 * 600 * 2 < path.stat().st_size / 6


def test_without_the_library(tmp_path, monkeypatch):
    path = write_lif(tmp_path / "a.lif", [_image()])
    monkeypatch.setitem(sys.modules, "liffile", None)
    with pytest.raises(UserError, match=r"a.lif: needs the package liffile; pip install 'cellflax\[lif\]'"):
        read_image(path)
