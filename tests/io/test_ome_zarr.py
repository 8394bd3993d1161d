"""OME-Zarr 0.4 and 0.5 as `ome-zarr` writes them: axes, names, sizes, scenes, single planes."""

import shutil

import numpy as np
import pytest
import tifffile
import zarr
from ome_zarr.writer import write_image, write_labels, write_plate_metadata, write_well_metadata

from cellflax import predict
from cellflax.errors import UserError
from cellflax.io.files import find_images, images_in, list_files
from cellflax.io.frames import open_label_movie
from cellflax.io.images import read_channels, read_image, read_labels
from cellflax.io.names import common_stem
from cellflax.io.notices import warn
from cellflax.io.readers import open_file
from cellflax.io.zarr_metadata import VERSIONS
from tests.commands import run_command
from tests.io.zarr_files import FORMATS, change, chunks_of, omero, pixels, scene, write
from tests.predictions import CHANNELS, labels_of

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # the writer says which defaults it takes


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


@pytest.fixture(autouse=True)
def all_warnings():
    """Warnings are printed once; each test sees its own."""
    warn.cache_clear()


@pytest.mark.parametrize("axes", ["tczyx", "tcyx", "czyx", "tzyx", "tyx", "cyx", "zyx", "yx"])
def test_axes(axes, version, tmp_path):
    shape = {"t": 2, "c": 3, "z": 4, "y": 30, "x": 20}
    array = pixels(*(shape[axis] for axis in axes))
    opened = scene(write(tmp_path / "a.zarr", array, axes, version))
    assert opened.sizes == {axis.upper(): length if axis in axes else 1 for axis, length in shape.items()}
    assert (opened.dtype, opened.pixel_size_um, opened.source) == (np.uint16, 0.2, "OME-Zarr")
    full = array.reshape([length if axis in axes else 1 for axis, length in shape.items()])
    for t, c, z in np.ndindex(full.shape[:3]):
        np.testing.assert_array_equal(opened.plane(t, c, z), full[t, c, z])
    assert opened.z_um == ((0, 0.5, 1, 1.5) if "z" in axes else None)
    times = opened.times_s()
    assert times.tolist() == [0, 180] if "t" in axes else times is None


def test_columns_before_rows(tmp_path):
    array = pixels(2, 30, 20)
    path = write(tmp_path / "a.zarr", array, "cyx")
    change(path, lambda ome: ome["multiscales"][0]["axes"].append(ome["multiscales"][0]["axes"].pop(1)))
    np.testing.assert_array_equal(read_image(path).pixels, array.transpose(2, 1, 0))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint16", ">u2", "int32", "uint64", "float32", "float64"])
def test_dtype(dtype, version, tmp_path):
    array = (pixels(30, 20) % 2 if dtype == "bool" else pixels(30, 20)).astype(dtype)
    found = read_image(write(tmp_path / "a.zarr", array, "yx", version, scale_factors=[])).pixels[..., 0]
    assert found.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    ("names", "channels", "origin"),
    [
        (("phase", "DAPI"), ("phase", "DAPI"), "file"),
        (("phase", ""), ("phase", "channel_1"), "file"),
        (("a", "a"), ("channel_0", "channel_1"), "default"),
        (("a", "b", "c"), ("channel_0", "channel_1"), "default"),
        ((), ("channel_0", "channel_1"), "default"),
    ],
)
def test_channel_names(names, channels, origin, version, tmp_path):
    opened = scene(write(tmp_path / "a.zarr", pixels(2, 30, 20), "cyx", version, omero=omero(*names)))
    assert (opened.channels, opened.origin) == (channels, origin)


@pytest.mark.parametrize(
    ("unit", "scale", "size"),
    [("nanometer", 650, 0.65), ("micrometer", 1, 1), ("millimeter", 1e-4, 0.1), ("angstrom", 650, 0.065)],
)
def test_units_of_length(unit, scale, size, tmp_path):
    options = {"scale": {"y": scale, "x": scale}, "axes_units": {"y": unit, "x": unit}}
    assert scene(write(tmp_path / "a.zarr", pixels(30, 20), "yx", **options)).pixel_size_um == pytest.approx(size)


@pytest.mark.parametrize(
    ("unit", "interval"), [("millisecond", 0.18), ("minute", 10_800), ("hour", 648_000), ("", None)]
)
def test_units_of_time(unit, interval, tmp_path):
    units = {"t": unit} if unit else {}
    times = scene(write(tmp_path / "a.zarr", pixels(3, 30, 20), "tyx", axes_units=units)).times_s()
    assert times is None if interval is None else times == pytest.approx([0, interval, 2 * interval])


def test_a_size_without_unit_is_unknown(tmp_path, capsys):
    one = write(tmp_path / "one.zarr", pixels(30, 20), "yx", axes_units={}, scale={"y": 1, "x": 1})
    assert (scene(one).pixel_size_um, capsys.readouterr().err) == (None, "")
    other = write(tmp_path / "other.zarr", pixels(30, 20), "yx", axes_units={}, scale={"y": 0.2, "x": 0.2})
    assert scene(other).pixel_size_um is None
    assert "gives a step of 0.2 along x, without a unit: its size is unknown" in capsys.readouterr().err


def test_scales_of_all_arrays_and_of_each_multiply(version, tmp_path):
    path = write(tmp_path / "a.zarr", pixels(2, 3, 30, 20), "tzyx", version)
    step = [{"type": "scale", "scale": [2, 3, 0.5, 0.5]}]
    change(path, lambda ome: ome["multiscales"][0].update(coordinateTransformations=step))
    opened = scene(path)
    assert (opened.pixel_size_um, opened.z_um, list(opened.times_s())) == (0.1, (0, 1.5, 3), [0, 360])


def test_oblong_pixels_are_refused(tmp_path):
    path = write(tmp_path / "a.zarr", pixels(30, 20), "yx", scale={"y": 0.2, "x": 0.3})
    with pytest.raises(UserError, match=r"pixels are 0.3 x 0.2 um"):
        scene(path)


def test_metadata_that_cannot_be_read_do_not_spoil_the_pixels(version, tmp_path, capsys):
    array = pixels(2, 30, 20)
    path = write(tmp_path / "a.zarr", array, "cyx", version, omero=omero("a", "b"))
    change(path, lambda ome: ome["multiscales"][0]["datasets"][0].update(coordinateTransformations=[{"scale": "x"}]))
    change(path, lambda ome: ome.update(omero={"channels": [7, None]}))
    image = read_image(path)
    assert (image.channels, image.pixel_size_um) == (("channel_0", "channel_1"), None)
    np.testing.assert_array_equal(image.pixels, np.moveaxis(array, 0, -1))
    assert "its scales are not those of a valid OME-Zarr" in capsys.readouterr().err


def test_plates_wells_and_fields(version, tmp_path):
    path, kind = tmp_path / "p.ome.zarr", 2 if version == "0.4" else 3
    plate = zarr.open_group(str(path), mode="w", zarr_format=kind)
    fields = {"A1_0": (30, 20), "A1_1": (30, 20), "B2_0": (24, 20)}
    arrays = {name: pixels(2, *shape) + i for i, (name, shape) in enumerate(fields.items())}
    write_plate_metadata(plate, ["A", "B"], ["1", "2"], ["A/1", "B/2"], fmt=FORMATS[version])
    for well, names in (("A/1", ["0", "1"]), ("B/2", ["0"])):
        group = plate.require_group(well)
        write_well_metadata(group, names, fmt=FORMATS[version])
        for name in names:
            array = arrays[f"{well.replace('/', '')}_{name}"]
            write_image(array, group.require_group(name), axes="cyx", fmt=FORMATS[version], scale_factors=[])
    with open_file(path) as scenes:
        assert [opened.name for opened in scenes] == list(fields)
        for opened in scenes:
            np.testing.assert_array_equal(opened.plane(0, 1, 0), arrays[opened.name][1])
    images = find_images(list_files(path))
    assert [image.name for image in images] == [f"p_{name}" for name in fields]
    for image, array in zip(images, arrays.values(), strict=True):
        np.testing.assert_array_equal(read_channels(image).pixels, np.moveaxis(array, 0, -1))
    with open_file(path / "A/1") as scenes:
        assert [opened.name for opened in scenes] == ["0", "1"]
    assert list_files(f"{tmp_path}/**") == [path]


@pytest.mark.parametrize("listed", [True, False])
def test_series_of_bioformats2raw(listed, version, tmp_path):
    path = tmp_path / "s.zarr"
    group = zarr.open_group(str(path), mode="w", zarr_format=2 if version == "0.4" else 3)
    marks = {"bioformats2raw.layout": 3}
    group.attrs.update(marks if version == "0.4" else {"ome": {"version": "0.5", **marks}})
    if listed:
        series = {"series": ["1", "0"]}
        group.create_group("OME").attrs.update(series if version == "0.4" else {"ome": {"version": "0.5", **series}})
    arrays = [pixels(30, 20), pixels(24, 20)]
    for name, array in zip("01", arrays, strict=True):
        write_image(array, group.create_group(name), axes="yx", fmt=FORMATS[version], scale_factors=[])
    with open_file(path) as scenes:
        assert [opened.name for opened in scenes] == (["1", "0"] if listed else ["0", "1"])
        for opened in scenes:
            np.testing.assert_array_equal(opened.plane(0, 0, 0), arrays[int(opened.name)])


def test_several_multiscales_are_scenes(version, tmp_path):
    path = write(tmp_path / "a.zarr", pixels(30, 20), "yx", version)
    shutil.copytree(path / "s1", path / "half")

    def add(ome):
        first = ome["multiscales"][0]
        other = first | {"name": "half", "datasets": [first["datasets"][0] | {"path": "half"}]}
        ome["multiscales"] = [first | {"name": "whole"}, other]

    with open_file(change(path, add)) as scenes:
        assert [(opened.name, opened.shape) for opened in scenes] == [("whole", (30, 20)), ("half", (15, 10))]


def test_labels_within_an_image(version, tmp_path):
    path = write(tmp_path / "a.ome.zarr", pixels(2, 30, 20), "cyx", version)
    labels = np.zeros((2, 30, 20), np.int32)
    labels[:, 5:9, 5:9] = 70_000
    labels[1, 20:25, 10:15] = 2
    group = zarr.open_group(str(path), mode="a")
    write_labels(labels[1], group, name="cells", axes="yx", fmt=FORMATS[version], scale_factors=[2])
    np.testing.assert_array_equal(read_labels(path / "labels/cells"), labels[1])
    np.testing.assert_array_equal(read_labels(path / "labels"), labels[1])  # the only ones
    assert list_files(f"{tmp_path}/*.zarr/labels/cells") == [path / "labels/cells"]
    assert common_stem(path / "labels/cells") == "a"  # they are paired with a.tif
    write_labels(labels, group, name="film", axes="tyx", fmt=FORMATS[version], scale_factors=[])
    with open_label_movie(path / "labels/film") as movie:
        np.testing.assert_array_equal(movie.plane(1, 0, 0), labels[1])
    with pytest.raises(UserError, match="holds 2 images"):
        read_labels(path / "labels")


def test_folders_are_images_and_not_searched(version, tmp_path):
    for name in ("a.zarr", "b.ome.zarr", "plain", "sub/c.zarr"):
        write(tmp_path / name, pixels(30, 20), "yx", version, storage_options={"chunks": (4, 4)})
        (tmp_path / name / "s0/x.tif").touch()
        (tmp_path / name / "y.tif").touch()
    (tmp_path / "z.tif").touch()
    names = ["a.zarr", "b.ome.zarr", "plain", "z.tif"]
    assert [path.name for path in images_in(tmp_path)] == names
    assert [path.name for path in list_files(tmp_path)] == names
    assert [path.name for path in list_files(f"{tmp_path}/**")] == [*names[:3], "c.zarr", "z.tif"]
    assert [path.name for path in list_files(f"{tmp_path}/**/*")] == [*names[:3], "c.zarr", "z.tif"]
    assert [path.name for path in list_files(f"{tmp_path}/**/*.zarr")] == ["a.zarr", "b.ome.zarr", "c.zarr"]
    assert list_files(f"{tmp_path}/a.zarr/**") == [tmp_path / "a.zarr"]
    assert list_files(tmp_path / "plain") == [tmp_path / "plain"]
    assert [image.name for image in find_images(images_in(tmp_path)[:3])] == ["a", "b", "plain"]


def test_a_plane_costs_its_own_chunks(version, tmp_path):
    array = pixels(4, 64, 48)
    path = write(tmp_path / "a.zarr", array, "tyx", version, storage_options={"chunks": (1, 16, 16)})
    chunks = chunks_of(path)
    assert len(chunks) == 4 * 4 * 3
    for chunk in chunks:
        if chunk not in chunks[12:24]:
            chunk.write_bytes(b"damaged")
    opened = scene(path)
    np.testing.assert_array_equal(opened.plane(1, 0, 0), array[1])
    for t in (0, 2, 3):
        with pytest.raises(UserError, match="damaged or incomplete"):
            opened.plane(t, 0, 0)


def test_chunks_of_several_planes_are_decoded_once(version, tmp_path, monkeypatch):
    array = pixels(20, 30, 20)
    path = write(tmp_path / "a.zarr", array, "tyx", version, scale_factors=[], storage_options={"chunks": (20, 16, 16)})
    opened = scene(path)
    opened.plane(0, 0, 0)
    for chunk in chunks_of(path):
        chunk.write_bytes(b"damaged" * 10)
    for t in range(20):
        np.testing.assert_array_equal(opened.plane(t, 0, 0), array[t])
    with pytest.raises(UserError, match="damaged or incomplete"):
        scene(path).plane(0, 0, 0)


def test_shards(tmp_path):
    array = pixels(3, 64, 48)
    options = {"storage_options": {"chunks": (1, 16, 16), "shards": (1, 64, 48)}, "scale_factors": []}
    path = write(tmp_path / "a.zarr", array, "cyx", **options)
    assert len(chunks_of(path)) == 3
    np.testing.assert_array_equal(read_image(path).pixels, np.moveaxis(array, 0, -1))


def test_predict_equals_that_of_the_same_pixels_in_tiff(trained, fields, version, tmp_path):
    names = ("field_0007", "field_0008")
    for name in names:
        planes = [tifffile.imread(fields / f"images/{name}_{channel}.tif") for channel in ("phase", "nuclear")]
        options = {"omero": omero("phase", "nuclear"), "scale": {"c": 1, "y": 1.3, "x": 1.3}}
        write(tmp_path / f"images/{name}.zarr", np.stack(planes), "cyx", version, **options)
    given = (f"checkpoint={trained.path}", f"input={tmp_path / 'images'}", f"output={tmp_path / 'zarr'}")
    result = run_command(predict.main, *given)
    assert result.status == 0, result.err
    given = (f"checkpoint={trained.path}", f"input={fields / 'images'}", f"output={tmp_path / 'tiff'}", CHANNELS)
    assert run_command(predict.main, *given).status == 0
    for name in names:
        labels = labels_of(tmp_path / f"zarr/{name}_labels.tif")
        assert labels.max() > 5
        np.testing.assert_array_equal(labels, labels_of(tmp_path / f"tiff/{name}_labels.tif"))
    assert (tmp_path / "zarr/cells.csv").read_text() == (tmp_path / "tiff/cells.csv").read_text()
