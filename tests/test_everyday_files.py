"""Commands on files as labs have them: what a file says of its channels, focal planes and pixels is used."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from cellflax import predict, quantify, train
from cellflax.data.folder import FolderData, load_folder
from tests.commands import Result, run_command
from tests.test_cross_validation import NETWORK


@pytest.fixture
def field(fields) -> dict[str, np.ndarray]:
    """The channels of a field."""
    return {name: tifffile.imread(fields / f"images/field_0007_{name}.tif") for name in ("phase", "nuclear")}


def write_channels(path: Path, channels: dict[str, np.ndarray], axes: str = "CYX", **metadata: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    named = {"axes": axes, "Channel": {"Name": list(channels)}, **metadata}
    tifffile.imwrite(path, np.stack([*channels.values()]), ome=True, photometric="minisblack", metadata=named)
    return path


def predicted(trained, path: Path, output: Path, *options: str) -> Result:
    return run_command(predict.main, f"checkpoint={trained.path}", f"input={path}", f"output={output}", *options)


@pytest.mark.parametrize("order", [("nuclear", "phase"), ("NUCLEAR", "gfp", "Phase")])
def test_channels_are_found_by_their_names(trained, field, tmp_path, order):
    write_channels(tmp_path / "right/a.ome.tif", field)
    other = {name: field.get(name.lower(), field["phase"][::-1]) for name in order}
    write_channels(tmp_path / "other/a.ome.tif", other)
    for folder in ("right", "other"):
        result = predicted(trained, tmp_path / folder, tmp_path / f"out_{folder}")
        assert result.status == 0, result.err
    tables = [pd.read_csv(tmp_path / f"out_{folder}/cells.csv") for folder in ("right", "other")]
    assert len(tables[0]) > 5
    pd.testing.assert_frame_equal(*tables)


@pytest.mark.parametrize("options", [(), ("channels=[gfp,dapi]",), ("channels=[dapi,gfp]",)])
def test_other_names_are_chosen_by_the_user(trained, field, tmp_path, options):
    path = write_channels(
        tmp_path / "a.ome.tif", {"dapi": field["nuclear"], "x": field["phase"], "gfp": field["phase"]}
    )
    result = predicted(trained, path, tmp_path / "out", *options)
    if not options:
        assert "has 3 channels, the checkpoint needs 2 (phase, nuclear); name those in this order" in result.error
        return
    assert result.status == 0, result.err
    table = pd.read_csv(tmp_path / "out/cells.csv")
    reference = predicted(trained, write_channels(tmp_path / "b.ome.tif", field), tmp_path / "reference")
    assert reference.status == 0
    same = table["label"].equals(pd.read_csv(tmp_path / "reference/cells.csv")["label"])
    assert same == (options == ("channels=[gfp,dapi]",))


def test_focal_planes_are_no_channels(trained, field, tmp_path):
    tifffile.imwrite(tmp_path / "z.tif", np.stack([*field.values()]), imagej=True, metadata={"axes": "ZYX"})
    error = predicted(trained, tmp_path / "z.tif", tmp_path / "out").error
    assert "its focal planes z0, z1 are not the channels that the checkpoint needs (phase, nuclear)" in error


def test_a_network_of_projections_projects(fields, field, tmp_path):
    """z=max in training is z=max in prediction, unless the user says otherwise."""
    for name in ("field_0007", "field_0008"):
        plane = tifffile.imread(fields / f"images/{name}_phase.tif")
        dim = plane // 2
        stack = np.stack([dim, plane, dim]) if name == "field_0007" else np.stack([plane, dim, dim])
        path = tmp_path / f"mine/images/{name}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "ZYX"})
        labels = tmp_path / f"mine/labels/{name}.tif"
        labels.parent.mkdir(exist_ok=True)
        labels.write_bytes((fields / f"labels/{name}.tif").read_bytes())
    given = (
        "scale.pixel_size_um=null",
        "data=folder",
        f"data.root={tmp_path / 'mine'}",
        f"run={tmp_path / 'run'}",
        "seed_channel=null",
        "plan=false",
    )
    result = run_command(train.main, *NETWORK, *given, "data.z=max", "trainer.steps=4", "trainer.validate_every=2")
    assert result.status == 0, result.err
    image = tmp_path / "mine/images/field_0007.tif"
    flat = tmp_path / "flat/field_0007.tif"
    flat.parent.mkdir()
    tifffile.imwrite(flat, field["phase"])
    tables = []
    for number, (path, options) in enumerate([(image, ()), (flat, ()), (image, ("z=1",))]):
        words = (f"checkpoint={tmp_path / 'run'}", f"input={path}", f"output={tmp_path / str(number)}", *options)
        result = run_command(predict.main, *words, "save_probability=true")
        assert result.status == 0, result.err
        tables.append(tifffile.imread(tmp_path / f"{number}/field_0007_probability.tif"))
    np.testing.assert_array_equal(tables[0], tables[1])
    np.testing.assert_array_equal(tables[0], tables[2])


def test_what_predict_wrote_is_quantified(trained, field, tmp_path):
    """Names of images that end as names of labels do (w1, w1_nuclei) stay apart."""
    for name in ("w1", "w1_nuclei"):
        write_channels(tmp_path / f"in/{name}.ome.tif", field)
    assert predicted(trained, tmp_path / "in", tmp_path / "out").status == 0
    words = ("method=cells", f"predicted={tmp_path / 'out'}", f"output={tmp_path / 'q'}")
    result = run_command(quantify.main, *words)
    assert result.status == 0, result.err
    counts = pd.read_csv(tmp_path / "q/cells.csv").groupby("image").size()
    assert counts.index.tolist() == ["w1", "w1_nuclei"]
    assert counts["w1"] == counts["w1_nuclei"] > 5


def test_each_label_image_has_its_own_pixel_size(fields, tmp_path):
    labels = tifffile.imread(fields / "labels/field_0007.tif")
    for name, um in (("a_10x", 0.65), ("b_20x", 0.325)):
        write_channels(tmp_path / f"lab/{name}_labels.ome.tif", {"x": labels}, PhysicalSizeX=um, PhysicalSizeY=um)
    words = ("method=cells", f"predicted={tmp_path / 'lab'}", f"output={tmp_path / 'q'}")
    result = run_command(quantify.main, *words)
    assert result.status == 0, result.err
    cells = pd.read_csv(tmp_path / "q/cells.csv")
    for name, um in (("a_10x", 0.65), ("b_20x", 0.325)):
        mine = cells[cells["image"] == name]
        np.testing.assert_allclose(mine["area_um2"], mine["area_px"] * um**2)


@pytest.mark.parametrize(("channel", "expected"), [("gfp", "gfp"), ("1", "gfp"), ("dapi", "dapi")])
def test_one_channel_of_a_file_is_measured(fields, field, tmp_path, channel, expected):
    pixels = {"dapi": field["nuclear"], "gfp": field["phase"]}
    write_channels(tmp_path / "a.ome.tif", pixels)
    (tmp_path / "a_labels.tif").write_bytes((fields / "labels/field_0007.tif").read_bytes())
    words = ("method=cells", f"predicted={tmp_path / 'a_labels.tif'}", f"image={tmp_path / 'a.ome.tif'}")
    error = run_command(quantify.main, *words, f"output={tmp_path / 'none'}").error
    assert "a.ome.tif: has 2 channels (dapi, gfp); choose one with image_channel=..." in error
    result = run_command(quantify.main, *words, f"image_channel={channel}", f"output={tmp_path / 'q'}")
    assert result.status == 0, result.err
    cells = pd.read_csv(tmp_path / "q/cells.csv")
    labels = tifffile.imread(tmp_path / "a_labels.tif")
    first = int(cells["label"][0])
    measured = cells[next(name for name in cells if name.startswith("intensity_mean"))][0]
    np.testing.assert_allclose(measured, pixels[expected][labels == first].mean(), rtol=1e-5)


@pytest.mark.parametrize(
    ("image", "labels"),
    [
        ("{}.ome.tif", "{}_masks.ome.tif"),
        ("images/{}.ome.tif", "labels/{}.tif"),
        ("{}.TIF", "{}_Masks.TIF"),
        ("Images/{}.tif", "Masks/{}.tif"),
        ("imgs/{}.tiff", "Ground_Truth/{}_gt.tif"),
    ],
)
def test_usual_names_of_training_folders(fields, tmp_path, image, labels):
    for name, source in (("a", "field_0007"), ("b", "field_0008")):
        for pattern, kind in ((image, f"images/{source}_phase.tif"), (labels, f"labels/{source}.tif")):
            path = tmp_path / pattern.format(name)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes((fields / kind).read_bytes())
    data = load_folder(FolderData(root=str(tmp_path)))
    assert sorted([*(one.name for one in data.train), *(one.example.name for one in data.validation)]) == ["a", "b"]


def test_labels_of_another_scale_are_noted(fields, tmp_path, capsys):
    for name, source in (("a", "field_0007"), ("b", "field_0008")):
        for kind, array, um in (("", "images/{}_phase.tif", 0.65), ("_masks", "labels/{}.tif", 1.3)):
            pixels = {"x": tifffile.imread(fields / array.format(source))}
            write_channels(tmp_path / f"{name}{kind}.ome.tif", pixels, PhysicalSizeX=um, PhysicalSizeY=um)
    load_folder(FolderData(root=str(tmp_path)))
    assert "a_masks.ome.tif has pixels of 1.3 um and " in capsys.readouterr().err
