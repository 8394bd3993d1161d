"""Focal planes in TIFF files that tifffile wrote: their order, names and focus positions."""

import numpy as np
import pytest
import tifffile

from cellflax.io.images import read_image, read_stack, write_image

CHANNELS, PLANES, HEIGHT, WIDTH = 2, 3, 8, 10
PIXELS = np.arange(CHANNELS * PLANES * HEIGHT * WIDTH, dtype=np.uint16).reshape(CHANNELS, PLANES, HEIGHT, WIDTH)
OME = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "Channel": {"Name": ["brightfield", "dapi"]}}


@pytest.mark.parametrize("axes", ["CZYX", "ZCYX", "TZCYX"])
def test_planes_of_each_channel_in_a_row(tmp_path, axes):
    order = ["CZYX".index(axis) for axis in axes if axis != "T"]
    array = PIXELS.transpose(order)
    tifffile.imwrite(
        tmp_path / "x.tif", array[None] if "T" in axes else array, ome=True, metadata={"axes": axes, **OME}
    )
    np.testing.assert_array_equal(read_stack(tmp_path / "x.tif").pixels, PIXELS)
    image = read_image(tmp_path / "x.tif")
    assert image.channels == tuple(f"{name}_z{z}" for name in ("brightfield", "dapi") for z in range(PLANES))
    np.testing.assert_array_equal(image.pixels, np.moveaxis(PIXELS.reshape(-1, HEIGHT, WIDTH), 0, -1))
    assert read_image(tmp_path / "x.tif", "dapi_z1").pixels.tolist() == PIXELS[1, 1][..., None].tolist()


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({}, None),
        ({"PhysicalSizeZ": 4.0, "PhysicalSizeZUnit": "µm"}, (0, 4, 8)),
        ({"PhysicalSizeZ": 500.0, "PhysicalSizeZUnit": "nm"}, (0, 0.5, 1)),
        ({"Plane": {"PositionZ": [-10.0, 0.0, 10.0], "PositionZUnit": ["µm"] * 3}}, (-10, 0, 10)),
        ({"Plane": {"PositionZ": [5.0] * 3, "PositionZUnit": ["µm"] * 3}, "PhysicalSizeZ": 2.0}, (0, 2, 4)),
    ],
)
def test_focus_of_ome_planes(tmp_path, metadata, expected):
    tifffile.imwrite(tmp_path / "x.tif", PIXELS[0], ome=True, metadata={"axes": "ZYX", **metadata})
    assert read_stack(tmp_path / "x.tif").z_um == expected
    assert read_image(tmp_path / "x.tif").channels == ("z0", "z1", "z2")


def test_a_position_of_unknown_unit_is_no_focus(tmp_path):
    tifffile.imwrite(tmp_path / "x.tif", PIXELS[0, 0], ome=True, metadata={"axes": "YX", "Plane": {"PositionZ": [7.0]}})
    assert read_stack(tmp_path / "x.tif").z_um is None


def test_focus_of_imagej_planes(tmp_path):
    metadata = {"axes": "ZYX", "spacing": 2.5, "unit": "um"}
    tifffile.imwrite(tmp_path / "x.tif", PIXELS[0], imagej=True, resolution=(2, 2), metadata=metadata)
    stack = read_stack(tmp_path / "x.tif")
    assert (stack.z_um, stack.pixel_size_um) == ((0, 2.5, 5), 0.5)


def test_focus_survives_writing(tmp_path):
    write_image(tmp_path / "x.tif", PIXELS[0, 0], 0.5, z_um=-10.0)
    stack = read_stack(tmp_path / "x.tif")
    assert (stack.z_um, stack.pixel_size_um, stack.pixels.dtype) == ((-10.0,), 0.5, np.uint16)
    np.testing.assert_array_equal(stack.pixels, PIXELS[:1, :1])
