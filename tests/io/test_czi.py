"""Zeiss CZI: files written by hand, and real ones of CELLFLAX_DATA/vendor against czifile's own reading."""

import struct
import sys

import czifile
import imagecodecs
import numpy as np
import pytest

from cellflax.errors import UserError
from cellflax.io.files import find_images
from cellflax.io.images import read_image
from cellflax.io.readers import has_known_suffix, open_file
from tests.io.czi_files import czi_xml, tile, write_czi
from tests.io.vendor_files import cuts, flips, frames_of, outcomes, peak_of_a_plane, random_pixels, real_file, times_of

MOVIE = random_pixels(3, 2, 4, 20, 30)


def _movie(path, stamps=(10.0, 15.0, 25.0), **options):
    tiles = [tile(MOVIE[t, c, z], Z=z, C=c, T=t, **options) for t in range(3) for c in range(2) for z in range(4)]
    return write_czi(path, tiles, czi_xml(["DAPI", "GFP"], (0.65, 0.65), 2.0), list(stamps))


def test_axes_names_sizes_and_times(tmp_path):
    path = _movie(tmp_path / "a.CZI")
    with open_file(path) as (scene,):
        assert dict(scene.sizes) == {"T": 3, "C": 2, "Z": 4, "Y": 20, "X": 30}
        assert (scene.channels, scene.origin) == (("DAPI", "GFP"), "file")
        assert (scene.pixel_size_um, scene.source) == (pytest.approx(0.65), "CZI")
        assert scene.z_um == pytest.approx((0, 2, 4, 6))
        assert times_of(scene) == [0, 5, 15]
        assert scene.name == ""
    np.testing.assert_array_equal(frames_of(path), MOVIE)
    np.testing.assert_array_equal(czifile.imread(path).reshape(MOVIE.shape), MOVIE)  # the file is as czifile expects
    assert has_known_suffix(path)


@pytest.mark.parametrize("stamps", [(1, 1, 2), (45000.0, 45000.1, 45000.2), (1, 2), (1, 2, np.nan)])
def test_stamps_that_do_not_rise_or_may_be_dates_say_nothing(tmp_path, stamps):
    with open_file(_movie(tmp_path / "a.czi", stamps)) as (scene,):
        assert scene.times_s() is None


def test_the_interval_of_a_file_without_stamps(tmp_path):
    interval = (
        "<T><Positions><Interval><Start>0</Start><Increment>30</Increment></Interval></Positions></T></Dimensions>"
    )
    xml = czi_xml(["phase"]).replace("</Dimensions>", interval)
    tiles = [tile(MOVIE[t, 0, 0], T=t) for t in range(3)]
    with open_file(write_czi(tmp_path / "a.czi", tiles, xml)) as (scene,):
        assert times_of(scene) == [0, 30, 60]
    with open_file(write_czi(tmp_path / "a.czi", tiles, xml, [0.0, 31.0, 63.0])) as (scene,):
        assert times_of(scene) == [0, 31, 63]


def test_tiles_over_which_a_mask_lies(tmp_path):
    """What a mask leaves out is no pixel: the tile below shows."""
    below, above = random_pixels(8, 16), random_pixels(8, 16)
    mask = np.arange(8 * 16).reshape(8, 16) % 3 > 0
    guid = b"g\xea\xe3\xcb\xfc[+I\xa1j\xec\xe3x\x03\x14H"
    bits = struct.pack("<IIII", 16, 8, 0, 2) + np.packbits(mask, axis=1).tobytes()
    attachment = guid + struct.pack("<i", len(bits)) + bits
    tiles = [tile(below, M=0), {**tile(above, M=1), "attachment": attachment}]
    expected = np.where(mask, above, below)
    path = write_czi(tmp_path / "a.czi", tiles)
    np.testing.assert_array_equal(czifile.imread(path), expected)
    np.testing.assert_array_equal(read_image(path).pixels[..., 0], expected)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_types_of_pixels(tmp_path, dtype):
    pixels = random_pixels(7, 9, dtype=dtype)
    image = read_image(write_czi(tmp_path / "a.czi", [tile(pixels)]))
    assert image.pixels.dtype == dtype
    assert (image.pixel_size_um, image.origin) == (None, "default")
    np.testing.assert_array_equal(image.pixels[..., 0], pixels)


@pytest.mark.parametrize("samples", [3, 4])
def test_colours_in_their_order_without_alpha(tmp_path, samples):
    pixels = random_pixels(7, 9, samples, dtype="u1")
    image = read_image(write_czi(tmp_path / "a.czi", [tile(pixels)]))
    assert (image.channels, image.origin) == (("red", "green", "blue"), "colours")
    np.testing.assert_array_equal(image.pixels, pixels[..., :3])


@pytest.mark.parametrize(("number", "encode"), [(5, imagecodecs.zstd_encode), (4, imagecodecs.jpegxr_encode)])
def test_compressed_tiles(tmp_path, number, encode):
    pixels = random_pixels(40, 50)
    data = encode(pixels.tobytes()) if number == 5 else encode(pixels, level=1.0)
    image = read_image(write_czi(tmp_path / "a.czi", [tile(pixels, data, number)]))
    np.testing.assert_array_equal(image.pixels[..., 0], pixels)


def test_scenes_and_mosaics(tmp_path):
    whole = random_pixels(2, 30, 40)
    tiles = []
    for scene, top in enumerate((100, 700)):
        for m, (rows, columns) in enumerate([(slice(0, 30), slice(0, 25)), (slice(0, 30), slice(20, 40))]):
            place = {"S": scene, "M": m, "Y": top + rows.start, "X": 50 + columns.start}
            tiles.append(tile(whole[scene, rows, columns], None, 0, C=0, **place))
    path = write_czi(tmp_path / "a.czi", tiles, czi_xml(["phase"], scenes=["B2", "B3"]))
    with open_file(path) as scenes:
        assert [scene.name for scene in scenes] == ["B2", "B3"]
        assert all(scene.shape == (30, 40) and scene.channels == ("phase",) for scene in scenes)
    for scene in range(2):
        np.testing.assert_array_equal(frames_of(path, scene)[0, 0, 0], whole[scene])
    assert [image.name for image in find_images([path])] == ["a_B2", "a_B3"]
    lost = write_czi(tmp_path / "b.czi", tiles[1:], czi_xml(["phase"], scenes=["B2", "B3"]))
    assert frames_of(lost)[0, 0, 0].shape == (30, 20)


def test_names_that_display_settings_give_by_order(tmp_path):
    """As ZEN leaves them after channels of two images were put together."""
    xml = czi_xml(["", ""]).replace(
        "</Metadata>",
        '<DisplaySetting><Channels><Channel Id="Channel:0" Name="DAPI"/><Channel Id="c15b" Name="GFP"/></Channels>'
        "</DisplaySetting></Metadata>",
    )
    path = write_czi(tmp_path / "a.czi", [tile(MOVIE[0, c, 0], C=c) for c in range(2)], xml)
    assert read_image(path).channels == ("DAPI", "GFP")
    swapped = xml.replace('Id="c15b"', 'Id="Channel:1"').replace('<Channel Id="Channel:0" Name', '<Channel Id="x" Name')
    path.write_bytes(write_czi(path, [tile(MOVIE[0, c, 0], C=c) for c in range(2)], swapped).read_bytes())
    assert read_image(path).channels == ("DAPI", "GFP")


def test_oblong_pixels_and_other_axes_are_refused(tmp_path):
    path = write_czi(tmp_path / "a.czi", [tile(MOVIE[0, 0, 0])], czi_xml(["a"], (0.5, 0.7)))
    with pytest.raises(UserError, match=r"a.czi: pixels are 0.5 x 0.7 um"):
        read_image(path)
    path = write_czi(tmp_path / "a.czi", [tile(MOVIE[0, 0, i], H=i) for i in range(3)])
    with pytest.raises(UserError, match=r"a.czi: 3 planes along H are not supported"):
        read_image(path)


def test_missing_planes_are_refused_and_no_others(tmp_path):
    tiles = [tile(MOVIE[t, c, 0], T=t, C=c) for t in range(2) for c in range(2)][:-1]
    path = write_czi(tmp_path / "a.czi", tiles)
    with open_file(path) as (scene,):
        np.testing.assert_array_equal(scene.plane(1, 0, 0), MOVIE[1, 0, 0])
        with pytest.raises(UserError, match=r"frame 1, channel 1, focal plane 0 is missing"):
            scene.plane(1, 1, 0)


def test_cut_and_damaged_files(tmp_path):
    content = _movie(tmp_path / "a.czi").read_bytes()
    found = outcomes(tmp_path / "m.czi", cuts(content), [MOVIE])
    assert set(found) == {"refused"}
    tiles = [place for place in range(0, len(content), 32) if content[place:].startswith(b"ZISRAWSUBBLOCK")]
    gone = [content[:place] + b"DELETED".ljust(16, b"\0") + content[place + 16 :] for place in tiles[:3]]
    odd = [content[:place] + b"XXXXXXXXXXXXXXXX" + content[place + 16 :] for place in tiles[:3]]
    short = [content[: place + 40] + struct.pack("<q", 60) + content[place + 48 :] for place in tiles[:3]]
    assert set(outcomes(tmp_path / "m.czi", gone + odd + short, [MOVIE])) == {"refused"}


def test_flipped_bytes_end_in_pixels_or_one_line(tmp_path):
    content = _movie(tmp_path / "a.czi").read_bytes()
    assert "refused" in outcomes(tmp_path / "m.czi", flips(content, 150), [MOVIE])


def test_sizes_that_no_file_can_hold(tmp_path):
    content = bytearray(_movie(tmp_path / "a.czi").read_bytes())
    directory = content.index(b"ZISRAWDIRECTORY") + 32 + 128
    for axis in (0, 1):
        for size in (2**31 - 1, 2**20, 0, -5):
            changed = content.copy()
            at = directory + 32 + 20 * axis
            changed[at + 8 : at + 12] = struct.pack("<i", size)
            changed[at + 16 : at + 20] = struct.pack("<i", size)
            assert outcomes(tmp_path / "m.czi", [bytes(changed)], [MOVIE]) == ["refused"]


def test_a_plane_costs_a_plane(tmp_path):
    tiles = [tile(random_pixels(500, 600), T=t) for t in range(20)]
    path = write_czi(tmp_path / "a.czi", tiles)
    assert peak_of_a_plane(path) < 3 * 500 * 600 * 2 < path.stat().st_size / 6


def test_without_the_library(tmp_path, monkeypatch):
    path = _movie(tmp_path / "a.czi")
    monkeypatch.setitem(sys.modules, "czifile", None)
    with pytest.raises(UserError, match=r"a.czi: needs the package czifile; pip install 'cellflax\[czi\]'"):
        read_image(path)


@pytest.mark.real_data
@pytest.mark.usefixtures("data_root")
def test_real_files_as_czifile_reads_them():
    with czifile.CziFile(real_file("DAPI_GFP.czi")) as czi:
        expected = czi.asarray()
    image = read_image(real_file("DAPI_GFP.czi"))
    assert (image.channels, image.origin, image.pixel_size_um) == (("DAPI", "GFP"), "file", None)
    np.testing.assert_array_equal(image.pixels, np.moveaxis(expected, 0, -1))

    path = real_file("S3_1Pos_2Mosaic_T1_Z1_CH1.czi")
    with open_file(path) as scenes, czifile.CziFile(path) as czi:
        assert [(scene.name, *scene.shape) for scene in scenes] == [
            ("TR1", 122, 295),
            ("P1", 64, 64),
            ("TR2", 237, 352),
        ]
        for i, scene in enumerate(scenes):
            assert scene.channels == ("DAPI",)
            assert (scene.pixel_size_um, scene.source) == (1.6, "CZI")
            np.testing.assert_array_equal(scene.plane(0, 0, 0), czi.asarray(scene=i))
    content = real_file("DAPI_GFP.czi").read_bytes()
    assert content.count(b"ZISRAWSUBBLOCK") == 2
    with pytest.raises(UserError, match=r"holds 3 images .*TR1.*save each as a file of its own"):
        read_image(path)
