"""The plugin within napari, without a screen; skipped where napari is not installed."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

os.environ.setdefault("QT_QPA_PLATFORM", "xcb" if os.environ.get("DISPLAY") else "offscreen")
napari = pytest.importorskip("napari")
npe2 = pytest.importorskip("npe2")
pytest.importorskip("pytestqt")

from cellflax.io.corrections import read_correction  # noqa: E402
from cellflax.napari_plugin import samples  # noqa: E402
from cellflax.napari_plugin.correct_widget import correct_widget  # noqa: E402
from cellflax.napari_plugin.reader import result_layers  # noqa: E402
from cellflax.napari_plugin.segment_widget import pixel_size_of_layer, segment_widget  # noqa: E402
from tests.napari_plugin.test_reader import MANIFEST  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def viewer(make_napari_viewer):
    if not os.environ.get("DISPLAY"):
        pytest.skip("no display: napari draws by OpenGL, which Qt's offscreen platform lacks; run by xvfb-run")
    return make_napari_viewer()


@pytest.fixture
def plugin(npe2pm):
    """A manager that knows this plugin alone."""
    with npe2pm.tmp_plugin(manifest=npe2.PluginManifest.from_file(MANIFEST)):
        yield npe2pm


def wait(qtbot, panel) -> None:
    """Wait for the work that a widget has begun."""
    qtbot.waitUntil(
        lambda: panel["status"].value != "working ..." and panel.worker.is_running is False, timeout=120_000
    )


def test_the_manifest_is_valid():
    manifest = npe2.PluginManifest.from_file(MANIFEST)
    manifest.validate_imports()
    assert manifest.name == "cellflax"


def test_napari_reads_directories_by_the_plugin(plugin, corrected, predicted, tmp_path):
    for folder in (corrected, predicted):
        layers = npe2.read([str(folder)], stack=False)
        assert {kind for _, _, kind in layers} == {"image", "labels", "points"}
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="No readers"):
        npe2.read([str(tmp_path / "empty")], stack=False)


def test_samples_open(plugin, viewer):
    for sample in plugin.get_manifest("cellflax").contributions.sample_data or ():
        for data, options, kind in sample.open() if sample.key != "colony" else samples.colony(frames=3):
            viewer.add_layer(napari.layers.Layer.create(data, options, kind))
    assert {type(layer).__name__ for layer in viewer.layers} == {"Image", "Labels", "Tracks"}
    assert viewer.layers["simulated nuclei"].scale[-1] == pytest.approx(0.65)


def test_all_layers_of_a_directory_can_be_shown(viewer, predicted, corrected, trained):
    for folder in (predicted, corrected, trained.path):
        for data, options, kind in result_layers(folder):
            viewer.add_layer(napari.layers.Layer.create(data, options, kind))
    cells = viewer.layers["field_0007 cells"]
    assert pixel_size_of_layer(viewer.layers["field_0007 phase"]) == pytest.approx(1.3)
    assert "area_px" in cells.features


def test_the_segment_widget(viewer, qtbot, trained, fields):
    for data, options, kind in result_layers(fields):
        viewer.add_layer(napari.layers.Layer.create(data, options, kind))
    panel = segment_widget(viewer)
    viewer.window.add_dock_widget(panel)
    assert "field_0007 labels" not in panel["channels"].choices
    panel["channels"].value = ["field_0007 phase", "field_0007 nuclear"]
    panel["checkpoint"].value = trained.path
    panel["views"].value = 4
    panel["segment"].changed.emit(True)
    wait(qtbot, panel)
    labels = viewer.layers["field_0007 cells"]
    assert panel["status"].value == f"{len(np.unique(labels.data)) - 1} cells"
    assert labels.scale == pytest.approx((1.3, 1.3))
    assert len(viewer.layers["field_0007 uncertain"].data) > 0
    panel["checkpoint"].value = fields
    panel["segment"].changed.emit(True)
    wait(qtbot, panel)
    assert str(fields) in panel["status"].value  # a mistake is one line
    assert panel["segment"].enabled


def test_labels_that_are_edited_are_saved_where_training_finds_them(viewer, qtbot, corrected, tmp_path):
    folder = Path(shutil.copytree(corrected, tmp_path / "corrected"))
    panel = correct_widget(viewer)
    viewer.window.add_dock_widget(panel)
    panel["save"].changed.emit(True)
    assert "not a folder that cellflax correct wrote" in panel["status"].value
    panel["folder"].value = folder
    assert panel["status"].value == "0 of 2 images are corrected"
    assert Path(panel["start"].value) == Path(read_correction(folder).training["start_from"])  # type: ignore
    panel["image"].value = "field_0008"
    panel["save"].changed.emit(True)
    assert "press Open first" in panel["status"].value
    panel["show"].changed.emit(True)
    layer = viewer.layers["field_0008 labels"]
    layer.fill((5, 5), 77)  # as the fill tool of napari
    panel["later"].changed.emit(True)
    assert panel["status"].value == "0 of 2 images are corrected"
    panel["save"].changed.emit(True)
    assert panel["status"].value == "1 of 2 images are corrected"
    saved = tifffile.imread(folder / "labels/field_0008.tif")
    assert saved[5, 5] == 77
    np.testing.assert_array_equal(saved, layer.data)
    assert read_correction(folder).answers == {"field_0008": True, "field_0007": None}  # type: ignore[union-attr]
    command = folder / "command"
    assert not command.exists()
    panel["minutes"].value = 0.1
    panel["old"].value = tmp_path / "nowhere"
    panel["train"].changed.emit(True)
    wait(qtbot, panel)
    assert "nowhere: no such folder" in panel["status"].value
