"""`cellflax.export`, and `export=[...]` of predict, track and quantify: what is written equals the label images."""

import json
from xml.etree import ElementTree

import anndata
import numpy as np
import pandas as pd
import pytest
import tifffile
import yaozarrs
import zarr

from cellflax import evaluate, export, predict, quantify, track
from cellflax.io.images import list_files, read_labels
from cellflax.io.outlines import read_outlines
from cellflax.io.result_set import without_results
from tests.commands import run_command
from tests.exporting.drawing import hard_cells
from tests.exporting.stored import MOVIE, STILL, write_predicted
from tests.predictions import CHANNELS
from tests.tracking.drawing import colony, scrambled


def run(main, *arguments):
    result = run_command(main, *arguments)
    assert result.status == 0, result.err
    return result


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_a_prediction(tmp_path, version):
    results, out = write_predicted(tmp_path), tmp_path / "out"
    formats = "format=[rois,geojson,ome_zarr,anndata]"
    result = run(export.main, f"input={results}", formats, f"output={out}", f"ome_zarr_version={version}")
    assert result.out == f"exports: {out}\n"
    labels = hard_cells()
    for file in (f"rois/{STILL}_rois.zip", f"geojson/{STILL}.geojson"):
        np.testing.assert_array_equal(read_outlines(out / file, labels.shape), labels)
    for file in ("rois/movie_rois.zip", "geojson/movie.geojson"):
        for t, frame in enumerate(MOVIE):
            np.testing.assert_array_equal(read_outlines(out / file, frame.shape, t), frame)
    table = pd.read_csv(results / "cells.csv")
    features = json.loads((out / "geojson/movie.geojson").read_text())["features"]
    cells = table[table["image"] == "movie"]
    assert len(features) == len(cells)
    for feature, (_, row) in zip(features, cells.iterrows(), strict=True):
        assert feature["properties"]["name"] == f"cell {row['label']}"
        assert feature["geometry"]["plane"]["t"] == row["frame"]
        assert feature["properties"]["measurements"]["area_px"] == row["area_px"]

    still, movie = (out / f"ome_zarr/{name}.ome.zarr" for name in (STILL, "movie"))
    for path in (still, movie):
        yaozarrs.validate_zarr_store(str(path))
    np.testing.assert_array_equal(read_labels(still / "labels/cells"), labels)
    np.testing.assert_array_equal(zarr.open_group(still, mode="r")["0"], (labels % 251)[None])
    group = zarr.open_group(movie, mode="r")
    np.testing.assert_array_equal(np.asarray(group["labels/cells/0"])[:, 0], MOVIE)
    np.testing.assert_array_equal(np.asarray(group["0"])[:, 0], np.stack(MOVIE) % 199)

    data = anndata.read_h5ad(out / "cells.h5ad")
    assert list(data.obs["label"]) == list(table["label"])
    np.testing.assert_array_equal(data.X[:, list(data.var_names).index("area_px")], table["area_px"])
    record = json.loads((out / "provenance.export.json").read_text())
    assert set(record["files"]) == files(out) - {"provenance.export.json"}
    assert (record["simulated"], record["complete"]) == (True, True)
    assert json.loads(data.uns["cellflax"]["provenance"])["of_predict"]["simulated"]


def test_exports_beside_the_results_are_replaced_when_asked_and_taken_for_no_labels(tmp_path):
    results = write_predicted(tmp_path)
    given = (f"input={results}", "format=[rois,geojson,ome_zarr]")
    run(export.main, *given)
    assert "add overwrite=true" in run_command(export.main, *given).error
    before = files(results)
    (results / "rois/mine.txt").write_text("mine")
    run(export.main, *given[:1], "format=[geojson]", "overwrite=true")
    gone = {name for name in before if name.startswith(("rois/", "ome_zarr/"))}
    assert files(results) == (before - gone) | {"rois/mine.txt"}
    run(export.main, *given, "overwrite=true")
    assert files(results) == before | {"rois/mine.txt"}
    images = list_files(f"{tmp_path}/**")
    assert len(images) == 6  # two images, their labels, and their OME-Zarrs, which are results like the labels
    assert {image.parent.name for image in without_results("input", images)} == {"images"}
    scores = run(evaluate.main, f"predicted={results}", f"reference={results}", f"output={tmp_path}/scores")
    assert "failed" not in scores.err


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["format=[rois]"], "input is not given"),
        (["input={}/predicted"], "format is not given"),
        (["input={}/predicted", "format=[tiff]"], "format=[tiff]: must be among rois, geojson"),
        (["input={}/predicted", "format=[geff]"], "holds the results of predict, which have none"),
        (["input={}/images", "format=[rois]"], "has no results that can be exported; give a directory that"),
        (["input={}/predicted", "format=[ome_zarr]", "images={}/images/movie.ome.tif"], "add images=FILE|DIR|GLOB"),
        (["input={}/predicted", "format=[ome_zarr]", "images={}/nothing"], "no such"),
    ],
)
def test_mistakes(tmp_path, arguments, error):
    write_predicted(tmp_path)
    before = files(tmp_path)
    result = run_command(export.main, *(argument.format(tmp_path) for argument in arguments))
    assert result.status == 1
    assert error in result.error
    assert files(tmp_path) == before


def test_labels_that_are_missing_and_images_that_have_gone(tmp_path):
    results = write_predicted(tmp_path)
    (tmp_path / "images").rename(tmp_path / "moved")
    given = (f"input={results}", "format=[ome_zarr]", f"output={tmp_path}/out")
    assert "OME-Zarr needs the image that was segmented" in run_command(export.main, *given).error
    assert not (tmp_path / "out").exists()
    run(export.main, *given, f"images={tmp_path}/moved")
    (results / "movie_labels.tif").unlink()
    assert "movie_labels.tif: is missing" in run_command(export.main, f"input={results}", "format=[rois]").error


def test_predict(tiny, fields, tmp_path):
    out = tmp_path / "out"
    given = (f"checkpoint={tiny.path}", f"input={fields}/images", CHANNELS, f"output={out}")
    run(predict.main, *given, "export=[rois,geojson,ome_zarr,anndata]")
    names = json.loads((out / "provenance.json").read_text())["images"]
    for name in names:
        labels = tifffile.imread(out / f"{name}_labels.tif")
        for file in (f"rois/{name}_rois.zip", f"geojson/{name}.geojson"):
            np.testing.assert_array_equal(read_outlines(out / file, labels.shape), labels)
        path = out / f"ome_zarr/{name}.ome.zarr"
        group = zarr.open_group(path, mode="r")
        np.testing.assert_array_equal(group["labels/cells/0"], labels[None])
        planes = [tifffile.imread(fields / f"images/{name}_{channel}.tif") for channel in ("phase", "nuclear")]
        np.testing.assert_array_equal(group["0"], planes)
    whole = files(out)
    assert set(json.loads((out / "provenance.json").read_text())["files"]) == whole - {"provenance.json"}
    assert "add overwrite=true" in run_command(predict.main, *given, "export=[rois]").error
    again = run(predict.main, *given, "resume=true", "export=[geojson]")
    assert f"resume: {len(names)} of {len(names)} images are finished already" in again.err
    assert files(out) == {name for name in whole if not name.startswith(("rois/", "ome_zarr/")) and "h5ad" not in name}


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    """A tracking with all exports, its images, and the tracks at every pixel."""
    folder = tmp_path_factory.mktemp("tracked")
    labels = scrambled(colony(0).labels).astype(np.uint16)
    labels[4] = 0  # a gap
    metadata = {"axes": "TYX", "TimeIncrement": 5.0, "TimeIncrementUnit": "min"}
    tifffile.imwrite(folder / "labels.ome.tif", labels, ome=True, metadata=metadata)
    pixels = np.random.default_rng(0).integers(0, 255, (len(labels), 2, *labels.shape[1:])).astype(np.uint8)
    tifffile.imwrite(folder / "images.tif", pixels, imagej=True, metadata={"axes": "TCYX"})
    formats = "export=[rois,geojson,ome_zarr,geff,trackmate,anndata]"
    run(
        track.main, f"input={folder}/labels.ome.tif", f"images={folder}/images.tif", f"output={folder}/tracks",
        "pixel_size_um=0.5", "overlay=false", formats,
    )  # fmt: skip
    image = np.zeros(labels.shape, np.int32)
    for row in pd.read_csv(folder / "tracks/nodes.csv").itertuples():
        image[row.frame][labels[row.frame] == row.label] = row.track
    return folder, pixels, image


def test_track(tracked):
    folder, pixels, image = tracked
    out = folder / "tracks"
    for file in ("rois/tracks_rois.zip", "geojson/tracks.geojson"):
        for t, frame in enumerate(image):
            np.testing.assert_array_equal(read_outlines(out / file, frame.shape, t), frame)
    group = zarr.open_group(out / "ome_zarr/tracks.ome.zarr", mode="r")
    np.testing.assert_array_equal(np.asarray(group["labels/cells/0"])[:, 0], image)
    np.testing.assert_array_equal(group["0"], pixels)
    assert group.attrs["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"] == [
        300,
        1,
        0.5,
        0.5,
    ]
    data = anndata.read_h5ad(out / "tracks.h5ad")
    assert data.n_obs == len(pd.read_csv(out / "tracks.csv"))
    assert {"track", "parent", "frame"} <= set(data.obs)
    assert ElementTree.parse(out / "tracks_trackmate.xml").find("Model").get("spatialunits") == "micron"
    record = json.loads((out / "provenance.track.json").read_text())
    assert set(record["files"]) == files(out) - {"provenance.track.json"}


def test_a_tracking_that_is_stored_gives_the_same(tracked, tmp_path):
    folder = tracked[0]
    run(
        export.main, f"input={folder}/tracks", "format=[rois,geojson,ome_zarr,geff,trackmate]", f"output={tmp_path}/out"
    )  # fmt: skip
    same = files(tmp_path / "out") - {"provenance.export.json"}
    assert {name.split("/")[0] for name in same} == {
        "rois",
        "geojson",
        "ome_zarr",
        "tracks.geff",
        "tracks_trackmate.xml",
    }
    for name in same:
        before, after = ((root / name).read_bytes() for root in (folder / "tracks", tmp_path / "out"))
        assert before == after, name


def test_without_masks_or_images(tracked, tmp_path):
    folder = tracked[0]
    given = (f"input={folder}/labels.ome.tif", f"output={tmp_path}/out", "overlay=false", "ctc=false")
    assert "add images=FILE|DIR|GLOB" in run_command(track.main, *given, "export=[ome_zarr]").error
    run(track.main, *given)
    stored = (f"input={tmp_path}/out", f"output={tmp_path}/exports")
    assert "track again with ctc=true" in run_command(export.main, *stored, "format=[rois]").error
    run(export.main, *stored, "format=[geff,trackmate]")
    spots = list(ElementTree.parse(tmp_path / "exports/tracks_trackmate.xml").iter("Spot"))
    assert len(spots) == len(pd.read_csv(tmp_path / "out/nodes.csv"))
    assert not any(spot.text for spot in spots)


def test_quantify(tmp_path):
    results, out = write_predicted(tmp_path), tmp_path / "out"
    table = pd.read_csv(results / "cells.csv")
    table[table["image"] == STILL].drop(columns="frame").to_csv(results / "cells.csv", index=False)
    given = ("method=cells", f"predicted={results}/{STILL}_labels.tif", f"output={out}")
    run(quantify.main, *given)
    plain = files(out)
    assert plain == {"cells.csv", "cells.png", "metrics.json", "provenance.quantify.json", "report.html"}
    run(quantify.main, *given, "export=[anndata]")
    assert files(out) == plain | {"cells.h5ad"}
    assert "must be among parquet, anndata" in run_command(quantify.main, *given, "export=[rois]").error
    run(export.main, f"input={out}", "format=[anndata]", f"output={tmp_path}/exports")
    one, two = (anndata.read_h5ad(folder / "cells.h5ad") for folder in (out, tmp_path / "exports"))
    np.testing.assert_array_equal(one.X, two.X)
