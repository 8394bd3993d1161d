"""TIFF movies read, and label movies written, one frame at a time."""

import tracemalloc

import numpy as np
import pytest
import tifffile

from cellflax.errors import ContentError, UserError
from cellflax.io.files import ImageFiles
from cellflax.io.frames import is_movie, open_frames, open_label_movie, open_labels
from cellflax.io.images import frame_image
from cellflax.io.label_movie_file import LabelMovieWriter
from cellflax.io.movie_time import TimeAxis
from cellflax.io.movies import read_image_movie, read_label_movie
from cellflax.io.readers import open_scene

PIXELS = np.random.default_rng(0).integers(1, 60000, (6, 2, 3, 14, 18)).astype(np.uint16)  # TCZYX
ZLIB = {"compression": "zlib"}


@pytest.mark.parametrize("packed", [{}, ZLIB])
@pytest.mark.parametrize(
    ("axes", "array", "options"),
    [
        ("TCYX", PIXELS[:, :, 0], {"ome": True}),
        ("TCZYX", PIXELS, {"ome": True}),
        ("TZYX", PIXELS[:, 0], {"ome": True}),
        ("CTYX", PIXELS[:, :, 0].swapaxes(0, 1), {}),
        ("TYX", PIXELS[:, 0, 0], {"imagej": True, "byteorder": ">"}),
        ("TZCYX", PIXELS.swapaxes(1, 2), {"imagej": True}),
        ("TYXS", np.moveaxis(PIXELS[:, 0], 1, -1), {"photometric": "rgb"}),
        (None, PIXELS[:, 0, 0], {}),
    ],
)
def test_frames_one_by_one(tmp_path, axes, array, options, packed):
    path = tmp_path / "m.tif"
    metadata = {} if axes is None else {"metadata": {"axes": axes}}
    tifffile.imwrite(path, array, **{"photometric": "minisblack", **metadata, **options, **packed})
    assert is_movie(path)
    letters = axes or "TYX"
    channels = [letters.index(axis) for axis in "CSZ" if axis in letters]
    order = [letters.index("T"), letters.index("Y"), letters.index("X"), *channels]
    expected = array.transpose(order).reshape(6, 14, 18, -1)
    with open_scene(path) as movie:
        assert movie.n_frames == 6
        for t in (3, 0, 5):
            frame = frame_image(movie, t).pixels
            assert frame.dtype == np.uint16
            assert frame.dtype.isnative
            np.testing.assert_array_equal(frame, expected[t])
    np.testing.assert_array_equal(read_image_movie(str(path)).pixels, expected)


@pytest.mark.parametrize("packed", [{}, ZLIB])
def test_memory_is_that_of_a_frame(tmp_path, packed):
    movie = np.random.default_rng(0).integers(0, 9, (40, 200, 200)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "m.tif", movie, metadata={"axes": "TYX"}, photometric="minisblack", **packed)
    with open_scene(tmp_path / "m.tif") as movie_file:
        movie_file.frame(0)
        tracemalloc.start()
        for t in range(40):
            movie_file.frame(t)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 6 * movie[0].nbytes


def test_what_is_no_movie(tmp_path):
    metadata = {"metadata": {"axes": "TZCYX"}}
    tifffile.imwrite(tmp_path / "one.tif", PIXELS[:1], ome=True, **metadata)
    tifffile.imwrite(tmp_path / "channels.tif", PIXELS[0, :, 0], photometric="minisblack")
    assert not any(map(is_movie, tmp_path.iterdir()))


def test_channels_in_files_of_their_own(tmp_path):
    for channel, stem in enumerate(("phase", "nuclear")):
        tifffile.imwrite(tmp_path / f"{stem}.tif", PIXELS[:, channel, 0], imagej=True, metadata={"axes": "TYX"})
    tifffile.imwrite(tmp_path / "short.tif", PIXELS[:4, 0, 0], imagej=True, metadata={"axes": "TYX"})
    with open_frames(ImageFiles("m", (tmp_path / "phase.tif", tmp_path / "nuclear.tif"), ("a", "b")), 30.0) as frames:
        np.testing.assert_array_equal(frames.time.times_s, 30.0 * np.arange(6))
        image = frames.read(4)
    assert image.channels == ("a", "b")
    np.testing.assert_array_equal(image.pixels, np.moveaxis(PIXELS[4, :, 0], 0, -1))
    files = ImageFiles("m", (tmp_path / "phase.tif", tmp_path / "short.tif"), ("a", "b"))
    with pytest.raises(UserError, match=r"short.tif: 4 frames, but phase.tif has 6"), open_frames(files):
        pass
    with (
        pytest.raises(UserError, match=r"short.tif: 4 frames for a movie of 6"),
        open_labels(tmp_path / "short.tif", TimeAxis(6)),
    ):
        pass


def test_a_frame_that_cannot_be_analysed_is_named(tmp_path):
    blank = PIXELS[:, 0, 0].copy()
    blank[4] = 7
    tifffile.imwrite(tmp_path / "m.tif", blank, imagej=True, metadata={"axes": "TYX"})
    with open_frames(ImageFiles("m", (tmp_path / "m.tif",))) as frames:
        frames.read(3)
        with pytest.raises(UserError, match=r"m.tif, frame 4: channel channel_0 is constant \(7\)"):
            frames.read(4)


def test_a_movie_spread_over_files_is_a_file_per_frame(tmp_path):
    """As some microscopes save it: every file's metadata name all of them."""
    names = "".join(
        f'<TiffData FirstT="{t}" IFD="0"><UUID FileName="f{t}.ome.tif">urn:uuid:{t}</UUID></TiffData>' for t in range(2)
    )
    sizes = 'DimensionOrder="XYCZT" SizeX="18" SizeY="14" SizeC="1" SizeZ="1" SizeT="2" Type="uint16"'
    for t in range(2):
        xml = f'<OME UUID="urn:uuid:{t}"><Image><Pixels {sizes}><Channel/>{names}</Pixels></Image></OME>'
        tifffile.imwrite(tmp_path / f"f{t}.ome.tif", PIXELS[t, 0, 0], description=xml, metadata=None)
    path = tmp_path / "f1.ome.tif"
    message = "f1.ome.tif: has one frame"
    with pytest.raises(UserError, match=message), open_label_movie(path):
        pass


@pytest.mark.parametrize(
    ("largest", "times_s", "dtype"),
    [
        (65535, [0.0, 7.5, 15.0], np.uint16),
        (65536, [0.0, 10.0, 35.5], np.uint32),
        (3, None, np.uint16),
    ],
)
def test_label_movies_survive_writing(tmp_path, largest, times_s, dtype):
    labels = np.zeros((3, 9, 11), np.int32)
    labels[:, 1:3, 2:5] = 2
    labels[1, 5:7, 2:5] = largest
    path = tmp_path / "m_labels.tif"
    path.write_bytes(b"an older result")
    time = TimeAxis(3, None if times_s is None else np.array(times_s))
    with LabelMovieWriter(path, time, 0.325) as file:
        for frame in labels:
            file.write(frame)
        assert path.read_bytes() == b"an older result"
    with tifffile.TiffFile(path) as tiff:
        assert (tiff.series[0].axes, tiff.series[0].dtype) == ("TYX", dtype)
    movie = read_label_movie(str(path))
    np.testing.assert_array_equal(movie.labels, labels)
    assert movie.pixel_size_um == pytest.approx(0.325)
    np.testing.assert_equal(movie.times_s, times_s)
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_label_movie_leaves_nothing(tmp_path):
    def interrupted():
        with LabelMovieWriter(tmp_path / "a.tif", TimeAxis(2), None) as file:
            file.write(np.ones((4, 5), np.int32))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list(tmp_path.iterdir())
    with (
        pytest.raises(UserError, match=r"/nowhere/a.tif: cannot be written"),
        LabelMovieWriter(tmp_path / "nowhere" / "a.tif", TimeAxis(2), None),
    ):
        pass


def test_a_frame_that_is_damaged_leaves_the_others(tmp_path):
    path = tmp_path / "movie.tif"
    pixels = np.random.default_rng(0).integers(0, 9, (3, 40, 50)).astype(np.uint8)
    tifffile.imwrite(path, pixels, compression="zlib", metadata={"axes": "TYX"}, photometric="minisblack")
    with tifffile.TiffFile(path) as tiff:
        offset, count = tiff.pages[1].dataoffsets[0], tiff.pages[1].databytecounts[0]
    data = bytearray(path.read_bytes())
    data[offset : offset + count] = bytes(count)
    path.write_bytes(data)
    with open_frames(ImageFiles("movie", (path,))) as frames:
        with pytest.raises(ContentError, match=r"movie\.tif"):
            frames.read(1)
        for t in (0, 2):
            np.testing.assert_array_equal(frames.read(t).pixels[..., 0], pixels[t])
