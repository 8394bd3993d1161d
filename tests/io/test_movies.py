"""Label and image movies from files, with their times."""

import numpy as np
import pytest
import tifffile

from cellflax.errors import UserError
from cellflax.io.images import write_labels
from cellflax.io.movies import read_image_movie, read_label_movie
from cellflax.io.names import natural_key
from cellflax.io.pairs import PairBy

LABELS = np.zeros((3, 12, 16), np.uint16)
LABELS[:, 2:5, 2:6] = 1
LABELS[:, 7:10, 8:12] = 900
GREY = {"photometric": "minisblack"}
OME = {"axes": "TYX", "TimeIncrement": 2.5, "TimeIncrementUnit": "min", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm"}


def _stamps(*seconds):
    return {"axes": "TYX", "Plane": {"DeltaT": list(seconds), "DeltaTUnit": ["s"] * len(seconds)}}


@pytest.mark.parametrize(
    ("options", "times_s", "pixel_size_um"),
    [
        (GREY, None, None),
        ({"photometric": "rgb", "planarconfig": "separate"}, None, None),  # as a movie of three frames easily is
        ({**GREY, "metadata": {"axes": "TYX"}}, None, None),
        ({"ome": True, "metadata": OME}, [0, 150, 300], 0.5),
        ({"ome": True, "metadata": _stamps(3.0, 13.5, 20.0)}, [0, 10.5, 17], None),
        (
            {"imagej": True, "metadata": {"axes": "TYX", "finterval": 30.0, "unit": "um"}, "resolution": (4, 4)},
            [0, 30, 60],
            0.25,
        ),
    ],
)
def test_tiff_movies(tmp_path, options, times_s, pixel_size_um):
    tifffile.imwrite(tmp_path / "movie.ome.tif" if "ome" in options else tmp_path / "movie.tif", LABELS, **options)
    (path,) = tmp_path.iterdir()
    movie = read_label_movie(str(path))
    np.testing.assert_array_equal(movie.labels, LABELS)
    assert movie.labels.dtype == np.int32
    assert (movie.times_s is None) == (times_s is None)
    if times_s is not None:
        np.testing.assert_allclose(movie.times_s, times_s)
    assert movie.pixel_size_um == (None if pixel_size_um is None else pytest.approx(pixel_size_um))


def test_frames_of_a_folder_follow_their_numbers(tmp_path):
    for number in (1, 2, 10):
        tifffile.imwrite(tmp_path / f"t{number}_labels.tif", LABELS[0] * number)
        tifffile.imwrite(tmp_path / f"t{number}_probability.tif", np.zeros((12, 16), np.float32))
    movie = read_label_movie(str(tmp_path))
    assert [int(frame.max()) for frame in movie.labels] == [900, 1800, *[0] * 7, 9000]  # t3 to t9 are missing
    assert sorted(["a10b2", "a2b10", "a2b9", "b"], key=natural_key) == ["a2b9", "a2b10", "a10b2", "b"]


def test_pixel_size_and_interval_of_a_folder(tmp_path):
    for number in range(3):
        write_labels(tmp_path / f"t{number}_labels.tif", LABELS[number], 0.5)
    movie = read_label_movie(str(tmp_path), frame_interval_s=20.0)
    assert movie.pixel_size_um == pytest.approx(0.5)
    np.testing.assert_array_equal(movie.times_s, [0, 20, 40])


@pytest.mark.parametrize(("increment", "expected"), [(300.0, [0, 300, 600]), (None, None)])
@pytest.mark.parametrize("stamps", [(0.0, 0.0, 0.0), (0.0, 9.0, 5.0)])
def test_time_stamps_that_say_nothing_give_way(tmp_path, capsys, stamps, increment, expected):
    metadata = _stamps(*stamps) | ({} if increment is None else {"TimeIncrement": increment, "TimeIncrementUnit": "s"})
    tifffile.imwrite(tmp_path / "m.ome.tif", LABELS, ome=True, metadata=metadata)
    times = read_label_movie(str(tmp_path / "m.ome.tif")).times_s
    assert (None if times is None else times.tolist()) == expected
    assert "DeltaT) do not rise" in capsys.readouterr().err


def test_a_gap_in_the_numbers_is_a_gap_in_time(tmp_path, capsys):
    for number in (1, 2, 5):
        write_labels(tmp_path / f"b_t{number:03}.tif", LABELS[0])
        tifffile.imwrite(tmp_path / f"phase_{number}.png.tif", LABELS[0] * number)
    movie = read_label_movie(str(tmp_path / "b*"), frame_interval_s=10.0)
    assert movie.missing == [2, 3]
    assert movie.frames is not None
    assert movie.frames.numbers == [1, 2, 5]
    assert "2 frames are missing, by the numbers in the files' names (3, 4)" in capsys.readouterr().err
    np.testing.assert_array_equal(movie.times_s, [0, 10, 20, 30, 40])
    images = read_image_movie(str(tmp_path / "phase*"), labels=movie).pixels
    assert images.reshape(5, -1).max(axis=1).tolist() == [900, 1800, 0, 0, 4500]
    in_order = read_label_movie(str(tmp_path / "b*"), frame_interval_s=10.0, pair=PairBy.order)
    np.testing.assert_array_equal(in_order.times_s, [0, 10, 20])


def test_numbers_that_cannot_count_frames_are_refused(tmp_path):
    for number in (1, 2, 400):
        write_labels(tmp_path / f"{number}.tif", LABELS[0])
    with pytest.raises(UserError, match=r"numbered from 1 to 400; .* add pair=order"):
        read_label_movie(str(tmp_path))
    assert len(read_label_movie(str(tmp_path), pair=PairBy.order).labels) == 3


@pytest.mark.parametrize("names", [("t0", "t1", "t3"), ("pos2_t0", "pos2_t1", "pos2_t2"), ("x", "y", "z")])
def test_images_of_other_frames_or_positions_are_refused(tmp_path, names):
    for t, name in enumerate(names):
        (tmp_path / "labels").mkdir(exist_ok=True)
        write_labels(tmp_path / f"labels/pos1_t{t}.tif", LABELS[0])
        tifffile.imwrite(tmp_path / f"{name}.tif", LABELS[0])
    movie = read_label_movie(str(tmp_path / "labels"))
    with pytest.raises(UserError, match=r"frame 2|another position|no file named"):
        read_image_movie(str(tmp_path), labels=movie)


def test_frames_of_different_pixel_sizes_are_refused(tmp_path):
    for number, size in enumerate((0.5, 0.5, 0.25)):
        write_labels(tmp_path / f"t{number}.tif", LABELS[number], size)
    with pytest.raises(UserError, match=r"t2.tif: pixel size 0.25 um differs from 0.5 um of t0.tif"):
        read_label_movie(str(tmp_path))
    assert read_label_movie(str(tmp_path), pixel_size_um=1.0).pixel_size_um == 1.0


def test_an_interval_replaces_time_stamps_that_do_not_rise(tmp_path):
    tifffile.imwrite(tmp_path / "m.ome.tif", LABELS, ome=True, metadata=_stamps(0.0, 9.0, 9.0))
    np.testing.assert_array_equal(
        read_label_movie(str(tmp_path / "m.ome.tif"), frame_interval_s=9.0).times_s, [0, 9, 18]
    )


def test_a_mask_movie_is_split_into_components(tmp_path):
    tifffile.imwrite(tmp_path / "mask.tif", (LABELS > 0).astype(np.uint8) * 255, **GREY)
    movie = read_label_movie(str(tmp_path / "mask.tif"))
    assert movie.from_mask
    assert np.unique(movie.labels).tolist() == [0, 1, 2]


def test_image_movies_with_channels(tmp_path):
    images = np.random.default_rng(0).integers(1, 100, (3, 2, 12, 16)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "tcyx.tif", images, imagej=True, metadata={"axes": "TCYX"})
    movie = read_image_movie(str(tmp_path / "tcyx.tif"))
    np.testing.assert_array_equal(movie.pixels, np.moveaxis(images, 1, -1))
    assert movie.channels == ("channel_0", "channel_1")
    for t in range(3):
        tifffile.imwrite(tmp_path / f"frames_{t}.tif", images[t])
    again = read_image_movie(str(tmp_path / "frames_*.tif"))
    np.testing.assert_array_equal(again.pixels, movie.pixels)


def _write(name, array, **options):
    return lambda folder: tifffile.imwrite(folder / name, array, **options)


def _two_shapes(folder):
    with tifffile.TiffWriter(folder / "m.tif") as tiff:
        tiff.write(LABELS[0])
        tiff.write(LABELS[0, :6])


def _other_frame(folder):
    tifffile.imwrite(folder / "a0.tif", LABELS[0])
    tifffile.imwrite(folder / "a1.tif", LABELS[0, :6])


def test_float_labels_that_are_whole_numbers(tmp_path):
    """Some programs save labels as 0.0, 1.0, 2.0."""
    _write("m.tif", LABELS.astype(np.float32), **GREY)(tmp_path)
    read = read_label_movie(str(tmp_path / "m.tif")).labels
    np.testing.assert_array_equal(read, LABELS)
    assert read.dtype == np.int32


def _two_movies(folder):
    for number in range(2):
        tifffile.imwrite(folder / f"m{number}.tif", LABELS, metadata={"axes": "TYX"}, **GREY)


@pytest.mark.parametrize(
    ("spoil", "name", "message"),
    [
        (lambda folder: None, "m.tif", "no such TIFF, PNG, "),
        (_write("m.tif", LABELS[0]), "m.tif", "m.tif: has one frame .* a movie has two or more"),
        (_write("m.tif", LABELS[:1], metadata={"axes": "TYX"}), "m.tif", "has one frame"),
        (_write("m.tif", LABELS, imagej=True, metadata={"axes": "ZYX"}), "m.tif", "not a movie of single planes"),
        (
            _write("m.tif", np.stack([LABELS] * 2), **GREY, metadata={"axes": "TZYX"}),
            "m.tif",
            "not a movie of single planes",
        ),
        (
            _write("m.tif", np.stack([LABELS] * 2, 1), **GREY, metadata={"axes": "TCYX"}),
            "m.tif",
            "labels must have one channel",
        ),
        (_write("m.tif", LABELS / np.float32(2), **GREY), "m.tif", "whole numbers, it holds fractions"),
        (_write("m.tif", LABELS.astype(np.int16) - 1, **GREY), "m.tif", "labels must be in 0 ... 2147483647, got -1"),
        (lambda folder: (folder / "m.tif").write_bytes(b"II*\0 no"), "m.tif", "damaged or incomplete"),
        (_two_shapes, "m.tif", r"holds 2 images .*: 0 \(12, 16\), 1 \(6, 16\); save each"),
        (_two_movies, "", "m0.tif is a movie, and there are 2 files; give one movie"),
        (_other_frame, "", r"a1.tif: shape \(6, 16\) differs from \(12, 16\) of a0.tif; all frames"),
    ],
)
def test_mistakes(tmp_path, spoil, name, message):
    spoil(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        read_label_movie(str(tmp_path / name))
    assert "\n" not in str(caught.value)
