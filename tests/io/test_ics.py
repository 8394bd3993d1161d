"""ICS files against headers written here line by line, and against numpy's reading of a public one."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from cellflax.errors import UserError
from cellflax.io.images import read_image, read_stack

PLANE = np.arange(4 * 6, dtype=np.uint16).reshape(4, 6) * 1000
STACK = np.stack([PLANE, PLANE + 7, PLANE[::-1]])  # z, y, x

BASE = {
    "ics_version": "2.0",
    "layout\torder": "bits\tx\ty",
    "layout\tsizes": "16\t6\t4",
    "representation\tformat": "integer",
    "representation\tsign": "unsigned",
    "representation\tcompression": "gzip",
    "representation\tbyte_order": "1\t2",
}


def _ics(path: Path, entries: dict[str, str | None], pixels: bytes, line: str = "\n", field: str = "\t") -> Path:
    """Write a header of BASE changed by `entries` (None leaves one out), then the pixels as they are."""
    lines = [f"{key}\t{value}" for key, value in (BASE | entries).items() if value is not None]
    text = "".join(f"{line_}\n" for line_ in ["\t", *lines, "end\t"])
    path.write_bytes(text.replace("\n", line).replace("\t", field).encode("latin-1") + pixels)
    return path


def _gz(array: np.ndarray, dtype: str = "<u2") -> bytes:
    # Without the time, which would be in the names of tests: all processes of a run must collect the same.
    return gzip.compress(array.astype(dtype).tobytes(), mtime=0)


@pytest.mark.parametrize(
    ("entries", "pixels", "options"),
    [
        ({}, _gz(PLANE), {}),
        ({}, _gz(PLANE), {"line": "\r\n"}),
        ({}, _gz(PLANE), {"field": ","}),
        ({"representation\tbyte_order": "2\t1"}, _gz(PLANE, ">u2"), {}),
        ({"representation\tcompression": "uncompressed"}, PLANE.astype("<u2").tobytes(), {}),
        ({"layout\torder": "bits\ty\tx", "layout\tsizes": "16\t4\t6"}, _gz(PLANE.T), {}),
        ({"layout\torder": "bits\tx\ty\tt", "layout\tsizes": "16\t6\t4\t1"}, _gz(PLANE), {}),
        (
            {
                "layout\tsizes": "32\t6\t4",
                "representation\tformat": "real",
                "representation\tsign": "signed",
                "representation\tbyte_order": "1\t2\t3\t4",
            },
            _gz(PLANE, "<f4"),
            {},
        ),
    ],
)
def test_a_plane_however_it_is_written(tmp_path, entries, pixels, options):
    image = read_image(_ics(tmp_path / "x.tif", entries, pixels, **options))  # by content, not by name
    assert image.pixels.dtype.isnative
    np.testing.assert_array_equal(image.pixels, PLANE[..., None])
    assert image.pixel_size_um is None


def test_planes_and_channels_with_their_scale(tmp_path):
    both = np.stack([STACK, STACK + 1])  # channels, z, y, x
    entries = {
        "layout\torder": "bits\tx\ty\tz\tprobe",
        "layout\tsizes": "16\t6\t4\t3\t2",
        "parameter\tscale": "1.0\t0.5\t0.5\t4.0\t1.0",
        "parameter\tunits": "relative\tmicrometers\tmicrometers\tmicrometers\tundefined",
    }
    path = _ics(tmp_path / "x.ics", entries, _gz(both))
    stack = read_stack(path)
    np.testing.assert_array_equal(stack.pixels, both)
    assert (stack.pixel_size_um, stack.z_um) == (0.5, (0.0, 4.0, 8.0))
    image = read_image(path)
    assert image.channels == tuple(f"channel_{c}_z{z}" for c in range(2) for z in range(3))
    np.testing.assert_array_equal(image.pixels[..., 4], STACK[1] + 1)


@pytest.mark.parametrize(("name", "pixels"), [("x.ids", _gz(PLANE)), ("x.ids.gz", _gz(PLANE))])
def test_version_1_has_its_pixels_beside_it(tmp_path, name, pixels):
    path = _ics(tmp_path / "x.ics", {"ics_version": "1.0"}, b"")
    with pytest.raises(UserError, match=r"x\.ics: no x\.ids with its pixels"):
        read_image(path)
    (tmp_path / name).write_bytes(pixels)
    np.testing.assert_array_equal(read_image(path).pixels[..., 0], PLANE)


@pytest.mark.parametrize(
    ("entries", "pixels", "message"),
    [
        ({"layout\torder": None}, _gz(PLANE), "no layout order"),
        ({"layout\tsizes": ""}, _gz(PLANE), "no layout sizes"),
        ({"layout\torder": "x\ty\tz"}, _gz(PLANE), "lacks bits, x or y"),
        ({"layout\tsizes": "16\t6"}, _gz(PLANE), "sizes 16 6 do not fit"),
        ({"layout\tsizes": "16\t6\tfour"}, _gz(PLANE), "sizes 16 6 four do not fit"),
        ({"layout\tsizes": "16\t6\t-4"}, _gz(PLANE), "sizes 16 6 -4 do not fit"),
        ({"layout\tsizes": "12\t6\t4"}, _gz(PLANE), r"12 bits \(integer unsigned\) are not supported"),
        ({"representation\tformat": "complex"}, _gz(PLANE), r"complex unsigned\) are not supported"),
        ({"representation\tcompression": "compress"}, _gz(PLANE), "compress compression is not supported"),
        ({"layout\torder": "bits\tx\ty\tt", "layout\tsizes": "16\t6\t2\t2"}, _gz(PLANE), "2 planes along t"),
        ({"source\tfile": "other.ids"}, _gz(PLANE), "in another file, other.ids"),
        ({"layout\tsizes": "16\t6\t5"}, _gz(PLANE), "48 bytes of pixels instead of 60"),
        ({"layout\tsizes": "16\t2000000000\t2000000000"}, _gz(PLANE), "declares 8000000000000000000 bytes of pixels"),
        ({}, _gz(PLANE)[:9], "incomplete"),
        ({}, b"no gzip at all", "damaged or incomplete"),
        (
            {"parameter\tscale": "1\t0.5\t0.6", "parameter\tunits": "relative\tum\tum"},
            _gz(PLANE),
            "pixels are 0.5 x 0.6 um",
        ),
    ],
)
def test_defects_are_told_in_one_line(tmp_path, entries, pixels, message):
    with pytest.raises(UserError, match=message) as error:
        read_image(_ics(tmp_path / "bad.ics", entries, pixels))
    assert str(error.value).startswith(f"{tmp_path / 'bad.ics'}: ")
    assert "\n" not in str(error.value)


def test_a_header_without_end(tmp_path):
    (tmp_path / "x.ics").write_bytes(b"\t\nics_version\t2.0\nlayout\torder\tbits\tx\ty\n")
    with pytest.raises(UserError, match="header has no end"):
        read_image(tmp_path / "x.ics")


@pytest.mark.real_data
def test_public_bright_field_plane(data_root):
    path = data_root / "brightfield_zstack/set1/fine_Point0001_empty-Time3s-Z1352.25.ics"
    image = read_image(path)
    payload = path.read_bytes().partition(b"\nend\t\n")[2]
    expected = np.frombuffer(gzip.decompress(payload), np.uint8).reshape(1024, 1344)
    np.testing.assert_array_equal(image.pixels[..., 0], expected)
    assert image.pixel_size_um == pytest.approx(269.4 / 1344)  # the extents in its history
