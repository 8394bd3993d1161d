"""What cellflax wrote beside a user's files is not taken for input."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from cellflax.data.folder import FolderData
from cellflax.errors import UserError
from cellflax.evaluate import evaluate
from cellflax.io.file_pattern import match_files
from cellflax.io.files import list_files
from cellflax.io.images import write_image
from cellflax.io.result_set import result_set
from cellflax.pictures.overlay import Panel, save_overlay
from cellflax.quantification.config import QuantifyConfig, QuantifyMethod
from cellflax.quantify import quantify
from tests.evaluation.fields import PREDICTED, REFERENCE, config

NAMES = ("a", "b")


@pytest.fixture
def folder(tmp_path) -> Path:
    """Images, and beside them what a prediction left: labels, probabilities, and a figure."""
    for i, name in enumerate(NAMES):
        write_image(tmp_path / f"{name}.tif", np.arange(20, dtype=np.uint16).reshape(4, 5) + 100 * i)
    with result_set(tmp_path, overwrite=False) as found:
        for name in NAMES:
            tifffile.imwrite(found.folder / f"{name}_labels.tif", PREDICTED.astype(np.uint16))
            write_image(found.folder / f"{name}_probability.tif", np.ones((4, 5), np.float32))
        save_overlay(found.folder / "overlay.png", [Panel("a", PREDICTED)])
        found.publish({"cellflax": "1", "simulated": False})
    return tmp_path


def test_predictions_are_no_reference_for_themselves(folder):
    """Labels by hand have the names of the images here, as in a folder of labels."""
    for name in NAMES:
        tifffile.imwrite(folder / f"{name}.tif", REFERENCE.astype(np.uint16))
    metrics = evaluate(config(folder, predicted=str(folder / "*_labels.tif"), reference=str(folder)))
    assert metrics["pooled"]["jaccard_index"] == pytest.approx((4 / 8 + 2 / 8 + 5 / 6) / 3)


def test_predictions_alone_are_compared_with_each_other(folder):
    (folder / "a.tif").unlink()
    (folder / "b.tif").unlink()
    metrics = evaluate(config(folder, predicted=str(folder / "*_labels.tif"), reference=str(folder / "*_labels.tif")))
    assert metrics["pooled"]["jaccard_index"] == 1


def test_predictions_are_not_trained_on(folder):
    with pytest.raises(UserError, match=r"a\.tif: no label image; a_labels\.tif is what cellflax predicted\. Copy it"):
        FolderData(root=str(folder)).load()
    for name in NAMES:
        tifffile.imwrite(folder / f"{name}_masks.tif", REFERENCE.astype(np.uint16))
    dataset = FolderData(root=str(folder), folds=None).load()
    examples = [*dataset.train, *(region.example for region in dataset.validation)]
    assert {example.name for example in examples} == set(NAMES)
    assert all(len(np.unique(example.cells)) == len(np.unique(REFERENCE)) for example in examples)


def test_predictions_are_not_annotated(folder):
    for place in (".unfinished.x", "plate"):  # the first was left by a process that was killed
        (folder / place).mkdir()
        write_image(folder / place / f"{place[-1]}.tif", np.ones((4, 5), np.uint16))
    assert [file.name for file, _ in match_files(folder, "{site}.tif")] == ["a.tif", "b.tif"]
    assert [file.name for file, _ in match_files(folder, "*/{site}.tif")] == ["e.tif"]


def test_predictions_are_not_measured_as_images(folder):
    labels, out = str(folder / "*_labels.tif"), str(folder / "out")
    metrics = quantify(QuantifyConfig(method=QuantifyMethod.cells, predicted=labels, image=str(folder), output=out))
    assert (metrics["n_images"], metrics["failed"]) == (2, {})


def test_figures_are_no_images_unless_they_are_named(folder):
    assert "overlay.png" not in [file.name for file in list_files(folder)]
    assert "overlay.png" not in [file.name for file in list_files(folder / "*")]
    assert [file.name for file in list_files(folder / "overlay.png")] == ["overlay.png"]
