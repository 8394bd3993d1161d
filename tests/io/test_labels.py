"""Label images as other programs write them: indexed, as grey RGB, with white as zero; still and moving."""

import io
import re

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image as Picture

from cellflax.errors import UserError
from cellflax.io.failures import Failures
from cellflax.io.files import ImageFiles
from cellflax.io.frames import open_labels
from cellflax.io.images import as_grey, read_channels, read_image, read_labels
from cellflax.io.movie_time import TimeAxis
from cellflax.io.movies import read_label_movie
from cellflax.io.pair_arrays import read_pair
from cellflax.io.pair_frames import pair_frames

LABELS = np.arange(12 * 10, dtype=np.uint8).reshape(12, 10) // 7


def _indexed(path, labels, bits=8):
    picture = Picture.fromarray(labels, "P")
    picture.putpalette(np.random.default_rng(0).integers(0, 256, 768).astype(np.uint8).tobytes())
    picture.save(path, bits=bits)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_numbers_of_an_indexed_png_are_the_labels(tmp_path, bits):
    labels = LABELS % np.uint8(2**bits - 1)
    _indexed(tmp_path / "a.png", labels, bits)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), labels)


def test_an_indexed_png_as_an_image_has_its_colours(tmp_path):
    _indexed(tmp_path / "a.png", LABELS)
    assert read_image(tmp_path / "a.png").channels == ("red", "green", "blue")


def test_a_damaged_indexed_png_is_refused_in_one_line(tmp_path):
    _indexed(tmp_path / "a.png", LABELS)
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[: len(content) // 2] + bytes(20))
    with pytest.raises(UserError, match=r"a\.png: damaged or incomplete"):
        read_labels(tmp_path / "a.png")


@pytest.mark.parametrize("planes", [3, 4], ids=["RGB", "RGB and alpha"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_grey_saved_as_rgb(tmp_path, planes, suffix):
    pixels = np.dstack([LABELS, LABELS, LABELS, np.full_like(LABELS, 255)][:planes])
    file = tmp_path / f"a{suffix}"
    if suffix == ".png":
        file.write_bytes(imagecodecs.png_encode(pixels))
    else:
        tifffile.imwrite(file, pixels, photometric="rgb", extrasamples=["unassalpha"][: planes - 3])
    np.testing.assert_array_equal(read_labels(file), LABELS)
    image = as_grey(read_image(file))
    assert image.channels == ("channel_0",)
    np.testing.assert_array_equal(image.pixels[..., 0], LABELS)
    both = read_channels(ImageFiles("a", (file, file), ("dapi", "gfp")))
    assert both.channels == ("dapi", "gfp")


def test_a_colour_picture_stays_one_and_the_line_says_so(tmp_path):
    pixels = np.dstack([LABELS, LABELS, LABELS + 1])
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb")
    assert as_grey(read_image(tmp_path / "a.tif")).channels == ("red", "green", "blue")
    with pytest.raises(UserError, match=r"colour picture .*save the label numbers as a grey or indexed image"):
        read_labels(tmp_path / "a.tif")
    with pytest.raises(UserError, match="it is a colour picture whose red, green and blue differ"):
        read_channels(ImageFiles("a", (tmp_path / "a.tif",), ("dapi",)))


@pytest.mark.parametrize("compression", ["group4", "group3", "tiff_lzw", None])
def test_a_bilevel_mask_whose_white_is_zero(tmp_path, compression):
    mask = LABELS > 4
    Picture.fromarray(mask).save(tmp_path / "a.tif", compression=compression, tiffinfo={262: 0})
    assert np.array_equal(np.asarray(Picture.open(tmp_path / "a.tif")), mask)  # as other programs see it
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), mask)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").pixels[..., 0], mask)


def test_a_bilevel_movie_whose_white_is_zero(tmp_path):
    masks = [level < LABELS for level in (4, 6)]
    pages = [Picture.fromarray(mask) for mask in masks]
    stored = io.BytesIO()
    pages[0].save(stored, "TIFF", save_all=True, append_images=pages[1:], compression="group4", tiffinfo={262: 0})
    (tmp_path / "a.tif").write_bytes(stored.getvalue())
    with open_labels(tmp_path / "a.tif", TimeAxis(2, None)) as read:
        np.testing.assert_array_equal([read(t) for t in range(2)], masks)


def test_stored_values_stay_where_a_look_up_table_is_inverted(tmp_path, capsys):
    tifffile.imwrite(tmp_path / "a.tif", LABELS, photometric="miniswhite")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), LABELS)
    assert f"warning: {tmp_path / 'a.tif'}: says that white is zero" in capsys.readouterr().err


def test_boolean_arrays_of_tifffile_are_as_they_were(tmp_path, capsys):
    for name in "ab":
        tifffile.imwrite(tmp_path / f"{name}.tif", LABELS > 4)  # tifffile marks them as white is zero
        np.testing.assert_array_equal(read_labels(tmp_path / f"{name}.tif"), LABELS > 4)
    assert capsys.readouterr().err.count("a boolean array that tifffile wrote") == 1


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int16, np.uint16, np.uint32, np.int64, np.uint64, np.float16, np.float32, np.float64]
)
@pytest.mark.parametrize("movie", [False, True], ids=["frames", "movie"])
def test_any_type_that_holds_whole_numbers(tmp_path, dtype, movie):
    labels = np.stack([LABELS, LABELS + 1])
    if movie:
        tifffile.imwrite(tmp_path / "m.tif", labels.astype(dtype), photometric="minisblack", metadata={"axes": "TYX"})
        found = read_label_movie(str(tmp_path / "m.tif")).labels
    else:
        for t, frame in enumerate(labels):
            tifffile.imwrite(tmp_path / f"t{t}.tif", frame.astype(dtype), photometric="minisblack")
        found = read_label_movie(str(tmp_path)).labels
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, labels)


@pytest.mark.parametrize("dtype", [np.uint32, np.int64, np.float32, np.float64])
def test_the_largest_number_is_a_label_and_the_next_is_refused(tmp_path, dtype):
    labels = np.zeros((4, 4), dtype)
    labels[0] = 2**31 - 1
    tifffile.imwrite(tmp_path / "a.tif", labels, photometric="minisblack")
    if dtype is not np.float32:  # which rounds it to 2^31
        assert read_labels(tmp_path / "a.tif").max() == 2**31 - 1
        labels[0] = 2**31
        tifffile.imwrite(tmp_path / "a.tif", labels, photometric="minisblack")
    with pytest.raises(UserError, match="number the cells from 1"):
        read_labels(tmp_path / "a.tif")


def test_a_movie_of_grey_colour_pictures(tmp_path):
    movie = np.stack([LABELS + t for t in range(6)])
    tifffile.imwrite(tmp_path / "m.tif", np.stack([movie] * 3, -1), photometric="rgb", metadata={"axes": "TYXS"})
    np.testing.assert_array_equal(read_label_movie(str(tmp_path / "m.tif")).labels, movie)


def _movie(path, frames):
    path.parent.mkdir(exist_ok=True)
    tifffile.imwrite(path, np.stack(frames), ome=True, metadata={"axes": "TYX"})


FRAMES = [LABELS + t for t in range(6)]


def test_movies_are_paired_frame_by_frame(tmp_path):
    _movie(tmp_path / "p/m_labels.tif", FRAMES)
    _movie(tmp_path / "r/m.tif", FRAMES[::-1])
    pairs = pair_frames(str(tmp_path / "p"), str(tmp_path / "r"), Failures())
    assert [pair.name for pair in pairs] == [f"m_{t}" for t in range(6)]
    for t, arrays in enumerate(map(read_pair, pairs)):
        np.testing.assert_array_equal(arrays.predicted, FRAMES[t])
        np.testing.assert_array_equal(arrays.reference, FRAMES[5 - t])


@pytest.mark.parametrize("swapped", [False, True])
def test_a_movie_and_one_file_per_frame(tmp_path, swapped):
    _movie(tmp_path / "p/m_labels.tif", FRAMES)
    (tmp_path / "r").mkdir()
    for t, frame in enumerate(FRAMES):
        tifffile.imwrite(tmp_path / f"r/t{t + 8}.tif", frame)  # t8, t9, t10: by number, not by letter
    sides = (str(tmp_path / "p"), str(tmp_path / "r"))[:: -1 if swapped else 1]
    for t, arrays in enumerate(map(read_pair, pair_frames(*sides, Failures()))):
        np.testing.assert_array_equal(arrays.predicted, FRAMES[t])
        np.testing.assert_array_equal(arrays.reference, FRAMES[t])


@pytest.mark.parametrize("count", [1, 5])
def test_movies_of_other_lengths_are_refused(tmp_path, count):
    _movie(tmp_path / "p/m_labels.tif", FRAMES)
    if count == 1:
        (tmp_path / "r").mkdir()
        tifffile.imwrite(tmp_path / "r/m.tif", LABELS)
    else:
        _movie(tmp_path / "r/m.tif", FRAMES[:count] if count > 5 else [*FRAMES, LABELS])
    failures = Failures()
    assert not pair_frames(str(tmp_path / "p"), str(tmp_path / "r"), failures)
    assert re.search(r"m\.tif: . frames, but .* has 6", failures.reasons["m"])
