"""Which scene, focal planes and time axis of a file are read."""

import numpy as np
import pytest
import tifffile

from cellflax import predict
from cellflax.errors import UserError
from cellflax.io.files import find_images
from cellflax.io.frames import open_frames
from cellflax.io.images import read_image, read_labels
from cellflax.io.reading import Reading, ReadingOptions, TimeFrom
from tests.commands import run_command

PIXELS = np.random.default_rng(0).integers(1, 60000, (2, 3, 4, 14, 18)).astype(np.uint16)  # TZCYX


@pytest.fixture
def stack(tmp_path):
    """Four focal planes of two channels."""
    path = tmp_path / "a.ome.tif"
    metadata = {"axes": "CZYX", "Channel": {"Name": ["phase", "gfp"]}, "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(path, PIXELS[0, :2].copy(), ome=True, photometric="minisblack", metadata=metadata)
    return path


@pytest.fixture
def positions(tmp_path):
    """Two positions of different sizes and pixel sizes in one file."""
    path = tmp_path / "plate.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        for name, size, um in (("B2", 14, 0.5), ("B3", 12, 0.25)):
            metadata = {"axes": "YX", "Name": name, "PhysicalSizeX": um, "PhysicalSizeY": um}
            writer.write(PIXELS[0, 0, 0, :size], metadata=metadata)
    return path


@pytest.mark.parametrize(
    ("z", "names", "expected"),
    [
        ("all", tuple(f"{c}_z{z}" for c in ("phase", "gfp") for z in range(4)), PIXELS[0, :2].reshape(8, 14, 18)),
        ("max", ("phase", "gfp"), PIXELS[0, :2].max(1)),
        ("mean", ("phase", "gfp"), PIXELS[0, :2].mean(1, dtype=np.float64).astype(np.float32)),
        ("2", ("phase", "gfp"), PIXELS[0, :2, 2]),
    ],
)
def test_focal_planes(stack, z, names, expected):
    image = read_image(stack, reading=Reading(z=z))
    assert image.channels == names
    assert image.pixels.dtype == expected.dtype
    np.testing.assert_array_equal(np.moveaxis(image.pixels, -1, 0), expected)


def test_focal_planes_that_are_not_there(stack):
    with pytest.raises(UserError, match=r"has 4 focal planes, from 0; there is no z=4"):
        read_image(stack, reading=Reading(z="4"))
    with pytest.raises(UserError, match=r"z=best: must be all, max, mean or the number"):
        ReadingOptions(z="best")


@pytest.mark.parametrize(("axes", "axis"), [("ZYX", TimeFrom.Z), ("CYX", TimeFrom.C), ("TYX", TimeFrom.T)])
def test_time_under_another_name(tmp_path, axes, axis):
    movie = PIXELS[0, :, 0]
    metadata = {"axes": axes, "finterval": 60.0} if axes == "TYX" else {"axes": axes}
    tifffile.imwrite(tmp_path / "m.tif", movie, imagej=True, metadata=metadata)
    (files,) = find_images([tmp_path / "m.tif"], (), Reading(time_axis=axis))
    with open_frames(files, 30.0) as frames:
        assert frames.count == 3
        for t in range(3):
            np.testing.assert_array_equal(frames.read(t).pixels[..., 0], movie[t])


def test_time_that_is_focus(tmp_path):
    tifffile.imwrite(tmp_path / "m.tif", PIXELS[0, :, 0], imagej=True, metadata={"axes": "TYX"})
    image = read_image(tmp_path / "m.tif", reading=Reading(time_axis=TimeFrom.none, z="max"))
    np.testing.assert_array_equal(image.pixels[..., 0], PIXELS[0, :, 0].max(0))
    with pytest.raises(UserError, match=r"a movie of 3 frames.*add data.time_axis=none"):
        read_image(tmp_path / "m.tif", reading=Reading(prefix="data."))
    with pytest.raises(UserError, match=r"has 3 frames along T; leave time_axis=Z out"):
        read_image(tmp_path / "m.tif", reading=Reading(time_axis=TimeFrom.Z))


def test_every_position_is_an_image(positions):
    images = find_images([positions])
    assert [image.name for image in images] == ["plate_B2", "plate_B3"]
    sizes = []
    for image, rows in zip(images, (14, 12), strict=True):
        with open_frames(image) as frames:
            read = frames.read(0)
        np.testing.assert_array_equal(read.pixels[..., 0], PIXELS[0, 0, 0, :rows])
        sizes.append(read.pixel_size_um)
    assert sizes == [0.5, 0.25]


@pytest.mark.parametrize("scene", ["B3", "1"])
def test_one_position_is_chosen(positions, scene):
    (image,) = find_images([positions], (), Reading(scene=scene))
    assert image.name == "plate_B3"
    assert read_image(positions, reading=Reading(scene=scene)).pixels.shape == (12, 18, 1)


def test_positions_are_not_mixed_up(positions):
    message = r"plate.ome.tif: holds 2 images .*: B2 \(14, 18\), B3 \(12, 18\); choose one with scene=\.\.\."
    with pytest.raises(UserError, match=message):
        read_image(positions, reading=Reading(prefix=""))
    with pytest.raises(UserError, match="save each as a file of its own"):
        read_labels(positions)
    with pytest.raises(UserError, match=r"no scene C1 among 2 images"):
        read_image(positions, reading=Reading(scene="C1"))


def test_predict_reads_every_position(trained, fields, tmp_path):
    both = [tifffile.imread(fields / f"images/field_0007_{channel}.tif") for channel in ("phase", "nuclear")]
    with tifffile.TiffWriter(tmp_path / "plate.ome.tif", ome=True) as writer:
        for name, part in (("B/2", np.stack(both)), ("B/3", np.stack(both)[:, ::-1])):
            metadata = {"axes": "CYX", "Name": name, "Channel": {"Name": ["phase", "nuclear"]}}
            writer.write(part, photometric="minisblack", metadata=metadata)
    given = (f"checkpoint={trained.path}", f"input={tmp_path / 'plate.ome.tif'}")
    result = run_command(predict.main, *given, f"output={tmp_path / 'all'}")
    assert result.status == 0, result.err
    assert sorted(file.name for file in (tmp_path / "all").glob("*_labels.tif")) == [
        "plate_B_2_labels.tif",
        "plate_B_3_labels.tif",
    ]
    result = run_command(predict.main, *given, f"output={tmp_path / 'one'}", "scene=B/3")
    assert result.status == 0, result.err
    (one,) = (tmp_path / "one").glob("*_labels.tif")
    np.testing.assert_array_equal(tifffile.imread(one), tifffile.imread(tmp_path / "all" / one.name))
    assert tifffile.imread(one).max() > 5


def test_what_is_stored_together_is_decoded_once(tmp_path, monkeypatch):
    """Red, green and blue of a focal plane are one page: a frame reads each page once."""
    stack = np.moveaxis(PIXELS[0], 0, -1)
    tifffile.imwrite(tmp_path / "rgb.tif", stack, photometric="rgb", compression="zlib", metadata={"axes": "ZYXS"})
    pages = []
    decode = tifffile.TiffPage.asarray
    monkeypatch.setattr(tifffile.TiffPage, "asarray", lambda page, *given: pages.append(page) or decode(page, *given))
    monkeypatch.setattr(tifffile.TiffFrame, "asarray", lambda page, *given: pages.append(page) or decode(page, *given))
    image = read_image(tmp_path / "rgb.tif")
    np.testing.assert_array_equal(np.moveaxis(image.pixels, -1, 0).reshape(PIXELS[0].shape), PIXELS[0])
    assert len(pages) == 4
