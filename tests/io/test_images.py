"""Reading and writing of images against files that other libraries wrote."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from cellflax.errors import UserError
from cellflax.io.images import (
    ImageFiles,
    read_channels,
    read_image,
    read_labels,
    write_labels,
    write_probability,
)

PLANE = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30) * 100
STACK = np.stack([PLANE, PLANE[::-1]])  # channels first


def _tiff(path: Path, array: np.ndarray, **options) -> Path:
    tifffile.imwrite(path, array, **options)
    return path


@pytest.mark.parametrize(
    ("array", "options", "channels", "pixel_size_um"),
    [
        (PLANE, {}, 1, None),
        (PLANE, {"byteorder": ">"}, 1, None),
        (PLANE, {"resolution": (72, 72), "resolutionunit": "INCH"}, 1, None),  # a screen's
        (
            PLANE,
            {"resolution": (1550.3, 1550.3), "resolutionunit": "CENTIMETER"},
            1,
            None,
        ),  # a camera's, 6.45 um
        (PLANE, {"resolution": (20000, 20000), "resolutionunit": "CENTIMETER"}, 1, 0.5),
        (PLANE, {"imagej": True, "resolution": (4, 4), "metadata": {"unit": "um"}}, 1, 0.25),
        (PLANE, {"imagej": True, "resolution": (4, 4), "metadata": {"unit": "pixel"}}, 1, None),
        (PLANE, {"imagej": True, "resolution": (72, 72), "metadata": {"unit": "inch"}}, 1, None),
        (STACK, {"imagej": True, "metadata": {"axes": "CYX"}}, 2, None),
        (
            STACK,
            {"ome": True, "metadata": {"axes": "CYX", "PhysicalSizeX": 0.65, "PhysicalSizeY": 0.65}},
            2,
            0.65,
        ),
        (
            STACK[None, None],
            {
                "ome": True,
                "metadata": {
                    "axes": "TZCYX",
                    "PhysicalSizeX": 650.0,
                    "PhysicalSizeXUnit": "nm",
                    "PhysicalSizeY": 650.0,
                    "PhysicalSizeYUnit": "nm",
                },
            },
            2,
            0.65,
        ),
        (STACK, {"photometric": "minisblack"}, 2, None),  # plain pages, axes not named
        (np.moveaxis(STACK, 0, -1).copy(), {"photometric": "minisblack"}, 2, None),
    ],
)
def test_reads_tiff_flavours(tmp_path, array, options, channels, pixel_size_um):
    image = read_image(_tiff(tmp_path / "x.tif", array, **options))
    assert image.pixels.shape == (20, 30, channels)
    assert image.pixels.dtype == np.uint16
    np.testing.assert_array_equal(image.pixels[..., 0], PLANE)
    np.testing.assert_array_equal(image.pixels[..., -1], PLANE if channels == 1 else PLANE[::-1])
    assert image.pixel_size_um == (None if pixel_size_um is None else pytest.approx(pixel_size_um))


def test_colour_and_alpha(tmp_path):
    rgba = np.random.default_rng(0).integers(0, 65536, (20, 30, 4), np.uint16)
    (tmp_path / "x.png").write_bytes(imagecodecs.png_encode(rgba))
    image = read_image(tmp_path / "x.png")
    assert image.channels == ("red", "green", "blue")
    np.testing.assert_array_equal(image.pixels, rgba[..., :3])
    options = {"photometric": "rgb", "extrasamples": ["unassalpha"]}
    np.testing.assert_array_equal(read_image(_tiff(tmp_path / "x.tif", rgba, **options)).pixels, rgba[..., :3])


def test_one_channel_by_name_or_index(tmp_path):
    metadata = {"axes": "CYX", "Channel": {"Name": ["phase", "nuclear"]}}
    path = _tiff(tmp_path / "x.ome.tif", STACK, ome=True, metadata=metadata)
    assert read_image(path).channels == ("phase", "nuclear")
    for channel in ("nuclear", 1):
        image = read_image(path, channel)
        assert image.channels == ("nuclear",)
        np.testing.assert_array_equal(image.pixels[..., 0], PLANE[::-1])
    with pytest.raises(UserError, match="no channel actin; it has phase, nuclear"):
        read_image(path, "actin")


def test_format_is_that_of_the_content(tmp_path):
    """validation_data/*/Masks/*.png of the public repository are TIFFs."""
    _tiff(tmp_path / "x.tif", PLANE.astype(np.float32)).rename(tmp_path / "x.png")
    np.testing.assert_array_equal(read_image(tmp_path / "x.png").pixels[..., 0], PLANE)


@pytest.mark.parametrize(("largest", "dtype"), [(65535, np.uint16), (65536, np.uint32)])
def test_labels_survive_writing(tmp_path, largest, dtype):
    labels = np.zeros((20, 30), np.int64)
    labels[3:5, 4:9] = largest
    write_labels(tmp_path / "new" / "x_labels.tif", labels, 0.325)
    with tifffile.TiffFile(tmp_path / "new" / "x_labels.tif") as tiff:
        assert tiff.pages.first.dtype == dtype
        assert tiff.pages.first.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        # What ImageJ reads: pixels per centimetre.
        numerator, denominator = tiff.pages.first.tags["XResolution"].value
        assert numerator / denominator == pytest.approx(1e4 / 0.325)
    np.testing.assert_array_equal(read_labels(tmp_path / "new" / "x_labels.tif"), labels)
    assert read_image(tmp_path / "new" / "x_labels.tif").pixel_size_um == pytest.approx(0.325)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["x_labels.tif"]


def test_probability_survives_writing(tmp_path):
    probability = np.random.default_rng(0).random((20, 30, 3), np.float32)
    write_probability(tmp_path / "p.tif", probability, ("edge", "interior", "background"), None)
    image = read_image(tmp_path / "p.tif")
    assert image.channels == ("edge", "interior", "background")
    assert image.pixel_size_um is None
    np.testing.assert_array_equal(image.pixels, probability)
    with tifffile.TiffFile(tmp_path / "p.tif") as tiff:
        assert tiff.series[0].axes == "CYX"


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.tif"
    write_labels(path, np.ones((4, 4), np.int32))

    def full_disk(file, *_, **__):
        Path(file).write_bytes(b"II")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tifffile, "imwrite", full_disk)
    with pytest.raises(UserError, match=r"cannot be written \(No space left"):
        write_labels(path, np.zeros((4, 4), np.int32))
    monkeypatch.undo()
    assert read_labels(path).all()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.eye(4, dtype=bool), np.eye(4)),
        (np.eye(4, dtype=np.float64) * 7, np.eye(4) * 7),
        (np.eye(4, dtype=np.int16), np.eye(4)),
        (np.eye(4, dtype=np.uint8) * 255, np.eye(4) * 255),
    ],
)
def test_labels_of_any_whole_type(tmp_path, values, expected):
    labels = read_labels(_tiff(tmp_path / "x.tif", values))
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (np.full((4, 4), np.nan, np.float32), {}, "NaN"),
        (np.full((4, 4), 0.5, np.float32), {}, "fractions"),
        (np.full((4, 4), -1, np.int16), {}, "-1"),
        (np.full((4, 4), 2**32 - 1, np.uint32), {}, "4294967295"),
        (
            np.arange(48, dtype=np.uint8).reshape(4, 4, 3),
            {"photometric": "rgb"},
            "colour picture .red, green and blue differ",
        ),
    ],
)
def test_bad_labels(tmp_path, array, options, message):
    with pytest.raises(UserError, match=message) as error:
        read_labels(_tiff(tmp_path / "bad.tif", array, **options))
    assert "bad.tif" in str(error.value)


def _movie(path: Path) -> Path:
    return _tiff(path, np.zeros((12, 20, 30), np.uint8), imagej=True, metadata={"axes": "TYX"})


def _positions(path: Path) -> Path:
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(PLANE)
        tiff.write(PLANE)
    return path


def _oblong(path: Path) -> Path:
    return _tiff(path, PLANE, ome=True, metadata={"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.6})


def _truncated(path: Path) -> Path:
    _tiff(path, np.random.default_rng(0).integers(0, 9999, (200, 300), np.uint16), compression="zlib")
    path.write_bytes(path.read_bytes()[:20000])
    return path


def _truncated_plain(path: Path) -> Path:
    _tiff(path, np.random.default_rng(0).integers(0, 9999, (200, 300), np.uint16))
    path.write_bytes(path.read_bytes()[:20000])
    return path


def _truncated_png(path: Path) -> Path:
    path.write_bytes(imagecodecs.png_encode(np.random.default_rng(0).integers(0, 255, (99, 99), np.uint8))[:4000])
    return path


def _bytes(content: bytes):
    def write(path: Path) -> Path:
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path, r"cannot be opened \(No such file"),
        (lambda path: path.parent, r"a folder, not an image file"),
        (_bytes(b""), r"empty \(0 bytes\)"),
        (_bytes(b"\xff\xd8\xff\xe0 JPEG"), "damaged or incomplete"),
        (_bytes(b"some text"), "its content is not TIFF, PNG, .*; convert it to one of them"),
        (_bytes(b"II*\0" + b"\xff" * 40), "damaged or incomplete"),
        (_truncated, "damaged or incomplete"),
        (_truncated_plain, "damaged or incomplete"),
        (_truncated_png, "damaged or incomplete"),
        (_movie, "a movie of 12 frames, where one"),
        (
            lambda path: _tiff(path, np.zeros((20, 20, 30), np.uint8)),
            "a movie of 20 frames, by an axis that the file leaves unnamed",
        ),
        (_positions, "2 images"),
        (_oblong, "0.5 x 0.6 um"),
        (lambda path: _tiff(path, np.zeros((4, 4), np.complex64)), "complex64"),
    ],
)
def test_bad_images(tmp_path, make, message, caplog):
    with pytest.raises(UserError, match=message) as error:
        read_image(make(tmp_path / "bad.tif"))
    assert "\n" not in str(error.value)
    assert not caplog.records


def test_channels_of_separate_files_are_stacked_in_order(tmp_path):
    a = _tiff(tmp_path / "a.tif", PLANE.astype(np.uint8), imagej=True, resolution=(2, 2), metadata={"unit": "um"})
    b = _tiff(tmp_path / "b.tif", PLANE[::-1])
    image = read_channels(ImageFiles("x", (b, a), ("phase", "nuclear")))
    assert image.channels == ("phase", "nuclear")
    assert image.pixel_size_um == 0.5
    np.testing.assert_array_equal(image.pixels[..., 0], PLANE[::-1])
    np.testing.assert_array_equal(image.pixels[..., 1], PLANE.astype(np.uint8))


@pytest.mark.parametrize(
    ("second", "options", "message"),
    [
        (PLANE[:10], {}, r"shape \(10, 30\) differs from \(20, 30\)"),
        (STACK, {"imagej": True, "metadata": {"axes": "CYX"}}, "it has 2"),
        (np.full((20, 30), 3, np.uint8), {}, "channel nuclear is constant"),
        (np.where(PLANE > 9, PLANE, np.nan).astype(np.float32), {}, "channel nuclear contains NaN"),
        (PLANE, {"imagej": True, "resolution": (3, 3), "metadata": {"unit": "um"}}, "pixel size"),
    ],
)
def test_channels_that_do_not_fit(tmp_path, second, options, message):
    first = _tiff(tmp_path / "a.tif", PLANE, imagej=True, resolution=(2, 2), metadata={"unit": "um"})
    files = ImageFiles("x", (first, _tiff(tmp_path / "b.tif", second, **options)), ("phase", "nuclear"))
    with pytest.raises(UserError, match=message) as error:
        read_channels(files)
    assert "b.tif" in str(error.value)
