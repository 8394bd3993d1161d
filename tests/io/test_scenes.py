"""Files with several images: positions of OME-TIFF, and several series of a TIFF."""

import json

import numpy as np
import pandas as pd
import pytest
import tifffile

from cellflax import evaluate, predict
from cellflax.errors import UserError
from cellflax.io.files import find_images
from cellflax.io.images import read_image, read_labels
from cellflax.io.readers import open_file
from cellflax.io.scene import Reading
from tests.commands import run_command
from tests.io.czi_files import czi_xml, tile, write_czi
from tests.io.vendor_files import cuts, frames_of, outcomes, peak_of_a_plane, random_pixels

MOVIE, STILL = random_pixels(3, 2, 20, 30), random_pixels(4, 16, 18)
WELLS = {
    "B2": {
        "axes": "TCYX",
        "PhysicalSizeX": 0.5,
        "PhysicalSizeY": 0.5,
        "TimeIncrement": 60.0,
        "Channel": {"Name": ["phase", "nuclear"]},
    },
    "B3": {"axes": "ZYX", "PhysicalSizeX": 1.3, "PhysicalSizeY": 1.3, "PhysicalSizeZ": 2.0, "Channel": {"Name": "gfp"}},
}


def _positions(path, **options):
    with tifffile.TiffWriter(path, ome=True) as tiff:
        for (name, metadata), pixels in zip(WELLS.items(), (MOVIE, STILL), strict=True):
            tiff.write(pixels, photometric="minisblack", metadata={"Name": name, **metadata}, **options)
    return path


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}])
def test_positions_of_ome_have_their_own_metadata(tmp_path, options):
    path = _positions(tmp_path / "a.ome.tif", **options)
    with open_file(path) as (movie, still):
        assert (movie.name, dict(movie.sizes)) == ("B2", {"T": 3, "C": 2, "Z": 1, "Y": 20, "X": 30})
        assert (movie.channels, movie.pixel_size_um, movie.z_um) == (("phase", "nuclear"), 0.5, None)
        assert movie.times_s().tolist() == [0, 60, 120]
        assert (still.name, dict(still.sizes)) == ("B3", {"T": 1, "C": 1, "Z": 4, "Y": 16, "X": 18})
        assert (still.channels, still.pixel_size_um, still.z_um) == (("gfp",), 1.3, (0, 2, 4, 6))
        assert still.times_s() is None
    np.testing.assert_array_equal(frames_of(path, 0)[:, :, 0], MOVIE)
    np.testing.assert_array_equal(frames_of(path, 1)[0, 0], STILL)
    images = find_images([path])
    assert [image.name for image in images] == ["a_B2", "a_B3"]
    assert read_image(path, reading=images[1].reading).pixel_size_um == 1.3
    assert [image.name for image in find_images([path], reading=Reading(scene="B3"))] == ["a_B3"]
    assert [image.name for image in find_images([path], reading=Reading(scene="1"))] == ["a_B3"]
    with pytest.raises(UserError, match=r"holds 2 images .*: B2 \(20, 30\), B3 \(16, 18\); save each"):
        read_image(path)
    with pytest.raises(UserError, match=r"no scene B4 among 2 images"):
        read_image(path, reading=Reading(scene="B4"))


def test_series_of_a_tiff_have_their_own_tags(tmp_path):
    path = tmp_path / "a.tif"
    sizes = {"B": (20, 30, 0.5), "C": (16, 18, 1.25)}
    planes = {name: random_pixels(height, width) for name, (height, width, _) in sizes.items()}
    with tifffile.TiffWriter(path) as tiff:
        for name, (_, _, um) in sizes.items():
            tiff.write(planes[name], resolution=(1e4 / um, 1e4 / um), resolutionunit="CENTIMETER", metadata=None)
    with open_file(path) as scenes:
        assert [scene.name for scene in scenes] == ["0", "1"]
        assert [scene.pixel_size_um for scene in scenes] == pytest.approx([0.5, 1.25])
    assert [image.name for image in find_images([path])] == ["a_0", "a_1"]
    np.testing.assert_array_equal(read_image(path, reading=Reading(scene="1")).pixels[..., 0], planes["C"])


def test_pictures_beside_the_image_do_not_move_its_metadata(tmp_path):
    """As slide scanners write them: the second picture is a label."""
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tiff:
        for name, pixels, um in (("B2", MOVIE[0], 0.5), ("label", STILL[:1], 4.0), ("B3", STILL[:2], 1.3)):
            size = {"PhysicalSizeX": um, "PhysicalSizeY": um}
            tiff.write(pixels, photometric="minisblack", metadata={"axes": "CYX", "Name": name, **size})
    with open_file(tmp_path / "a.ome.tif") as scenes:
        assert [(scene.name, scene.pixel_size_um) for scene in scenes] == [("B2", 0.5), ("B3", 1.3)]


def test_names_that_repeat_or_are_paths(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tiff:
        for plane in STILL[:2]:
            tiff.write(plane, metadata={"axes": "YX", "Name": "same"})
    assert [image.name for image in find_images([tmp_path / "a.ome.tif"])] == ["a_0", "a_1"]
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tiff:
        for name, plane in zip(("../B2", "B3"), STILL[:2], strict=True):
            tiff.write(plane, metadata={"axes": "YX", "Name": name})
    images = find_images([tmp_path / "a.ome.tif"])
    assert not any("/" in image.name for image in images)
    for image, plane in zip(images, STILL, strict=False):
        np.testing.assert_array_equal(read_image(image.paths[0], reading=image.reading).pixels[..., 0], plane)


def test_cut_files(tmp_path):
    content = _positions(tmp_path / "a.ome.tif").read_bytes()
    found = outcomes(tmp_path / "m.ome.tif", cuts(content), [MOVIE[:, :, None], STILL[None, None]])
    assert "wrong" not in found
    assert found.count("refused") > 50


def test_a_plane_costs_a_plane(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tiff:
        for name in ("B2", "B3"):
            pixels = random_pixels(20, 500, 600)
            tiff.write(pixels, metadata={"axes": "TYX", "Name": name}, compression="zlib")
    assert peak_of_a_plane(tmp_path / "a.ome.tif") < 4 * 500 * 600 * 2


def test_labels_with_several_scenes_are_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "l.ome.tif", ome=True) as tiff:
        for name in ("B2", "B3"):
            tiff.write(np.eye(16, dtype="u2"), metadata={"axes": "YX", "Name": name})
    with pytest.raises(UserError, match=r"l.ome.tif: holds 2 images .*: B2 .*, B3 .*; save each as a file of its own"):
        read_labels(tmp_path / "l.ome.tif")
    tifffile.imwrite(tmp_path / "r.tif", np.eye(16, dtype="u2"))
    given = (f"predicted={tmp_path / 'l.ome.tif'}", f"reference={tmp_path / 'r.tif'}", f"output={tmp_path / 'out'}")
    result = run_command(evaluate.main, *given)
    assert result.status == 1
    assert "l.ome.tif: holds 2 images" in result.err


@pytest.mark.parametrize("kind", ["ome.tif", pytest.param("czi", marks=pytest.mark.slow)])
def test_predict_gives_a_result_for_each_scene(trained, fields, tmp_path, kind):
    pixels = {
        well: np.stack([tifffile.imread(fields / f"images/{field}_{c}.tif") for c in ("phase", "nuclear")])
        for well, field in (("B2", "field_0007"), ("B3", "field_0008"))
    }
    path = tmp_path / f"plate.{kind}"
    if kind == "czi":
        tiles = [tile(plane, C=c, S=s) for s, planes in enumerate(pixels.values()) for c, plane in enumerate(planes)]
        write_czi(path, tiles, czi_xml(["phase", "nuclear"], (1.3, 1.3), scenes=list(pixels)))
    else:
        size = {"PhysicalSizeX": 1.3, "PhysicalSizeY": 1.3, "Channel": {"Name": ["phase", "nuclear"]}}
        with tifffile.TiffWriter(path, ome=True) as tiff:
            for well, planes in pixels.items():
                tiff.write(planes, photometric="minisblack", metadata={"axes": "CYX", "Name": well, **size})
    checkpoint = f"checkpoint={trained.path}"
    result = run_command(predict.main, checkpoint, f"input={path}", f"output={tmp_path / 'out'}")
    assert result.status == 0, result.err
    given = (f"input={fields / 'images'}", f"output={tmp_path / 'single'}", "channels=[phase,nuclear]")
    assert run_command(predict.main, checkpoint, *given).status == 0
    for well, field in (("B2", "field_0007"), ("B3", "field_0008")):
        labels = tifffile.imread(tmp_path / f"out/plate_{well}_labels.tif")
        assert labels.max() > 5
        np.testing.assert_array_equal(labels, tifffile.imread(tmp_path / f"single/{field}_labels.tif"))
    assert sorted(set(pd.read_csv(tmp_path / "out/cells.csv")["image"])) == ["plate_B2", "plate_B3"]
    assert json.loads((tmp_path / "out/provenance.json").read_text())["images"] == ["plate_B2", "plate_B3"]
    result = run_command(predict.main, checkpoint, f"input={path}", "scene=B3", f"output={tmp_path / 'one'}")
    assert result.status == 0, result.err
    assert [file.name for file in (tmp_path / "one").glob("*_labels.tif")] == ["plate_B3_labels.tif"]
