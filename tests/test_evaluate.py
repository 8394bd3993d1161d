import json

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import tifffile

from cellflax.errors import UserError
from cellflax.evaluate import EvaluateConfig, evaluate, format_table, main
from cellflax.io.images import write_labels
from tests.commands import finish_command, run_command, start_command
from tests.evaluation.fields import PREDICTED, REFERENCE, config, maps, write, write_fields
from tests.metrics.drawing import grid


@pytest.fixture
def folders(tmp_path):
    return write_fields(tmp_path)


def test_two_fields(folders):
    metrics = evaluate(config(folders))
    assert json.loads((folders / "out" / "metrics.json").read_text()) == metrics
    assert list(metrics["images"]) == ["a", "b"]
    a, pooled = metrics["images"]["a"], metrics["pooled"]
    assert a["jaccard_index"] == pytest.approx((4 / 8 + 2 / 8 + 5 / 6) / 3)
    assert pooled["jaccard_index"] == pytest.approx((4 / 8 + 2 / 8 + 5 / 6 + 3) / 6)
    assert pooled["n_reference"] == 6
    assert pooled["n_predicted"] == 5
    assert pooled["by_iou"][0]["true_positives"] == 2 + 3
    assert (pooled["precision"], pooled["recall"]) == pytest.approx((5 / 5, 5 / 6))
    # Cell 2 lies half in prediction 5, not mostly; its IoU is 1/4.
    assert pooled["cells"] == {"missed": 0, "merged": 0, "split": 0, "correct": 5, "inaccurate": 1}
    assert pooled["spurious"] == 0
    assert metrics["notes"] == []
    assert "pixels" not in metrics
    assert "references" not in metrics

    table = pd.read_csv(folders / "out" / "per_cell.csv")
    assert list(table["image"]) == ["a"] * 3 + ["b"] * 3
    assert list(table["reference_label"]) == [1, 2, 3] * 2
    assert list(table["matched_label"]) == [5, 5, 7, 1, 2, 3]
    assert list(table["reference_area_px"]) == [6, 4, 5] * 2
    assert list(table["matched_area_px"]) == [6, 6, 6, 6, 4, 5]
    assert list(table["error_class"])[:3] == ["correct", "inaccurate", "correct"]
    assert table["jaccard"].mean() == pytest.approx(pooled["jaccard_index"])

    lines = format_table(metrics).splitlines()
    assert [line.split()[0] for line in lines] == ["cells", "a", "b", "all"]
    assert "0.764" in lines[-1]
    assert "1 more" in format_table(metrics, max_images=1)
    assert matplotlib.image.imread(folders / "out" / "overlay.png").ndim == 3


def test_nuclei_border_and_erosion_reach_the_metrics(folders):
    nuclei = np.zeros((6, 7), np.uint8)
    nuclei[2, 2] = 255
    reference = np.pad(grid("111222 111222 111222 111222"), 1)[:, :7]
    write(folders / "p.tif", reference)
    write(folders / "r.tif", reference)
    write(folders / "n.tif", nuclei)
    changes = {"predicted": str(folders / "p.tif"), "reference": str(folders / "r.tif")}
    metrics = evaluate(config(folders, **changes, nuclei=str(folders / "n.tif"), border=1, erode_reference=True))
    # Of the left cell (4 x 3 px), touching its neighbour, 2 x 1 px remain.
    assert metrics["pooled"]["n_reference"] == 2
    assert metrics["pooled"]["n_cells_in_index"] == 1
    assert metrics["pooled"]["jaccard_index"] == pytest.approx(2 / 12)
    assert metrics["settings"]["erode_reference"] is True
    assert list(metrics["images"]) == ["p"]  # single files need no common name


def test_masks_and_simulated_images_are_said(folders):
    write(folders / "predicted" / "b_labels.tif", (REFERENCE > 0).astype(np.uint8) * 255)
    (folders / "predicted" / "provenance.json").write_text('{"simulated": true}')
    (folders / "reference" / "SIMULATED.txt").touch()
    metrics = evaluate(config(folders))
    trained, made, masks = metrics["notes"]
    assert trained.startswith("simulated: the model")
    assert made.startswith("simulated: the reference")
    assert masks.startswith("predicted: images with a single non-zero value were taken as masks")
    # Of the mask, 1 and 3 touch: two components.
    assert metrics["images"]["b"]["n_predicted"] == 2


def cells_csv(folders, rows: list[tuple], column: str = "uncertainty") -> None:
    pd.DataFrame(rows, columns=["image", "label", column]).to_csv(folders / "predicted" / "cells.csv", index=False)


def test_uncertainty_is_scored_where_the_table_has_it(tmp_path):
    """Also of an image whose name looks like a number."""
    write(tmp_path / "predicted" / "007_labels.tif", PREDICTED)
    write(tmp_path / "reference" / "007.tif", REFERENCE)
    cells_csv(tmp_path, [("007", 5, 0.3), ("007", 7, 0.1)])
    metrics = evaluate(config(tmp_path))
    table = pd.read_csv(tmp_path / "out" / "uncertainty.csv", dtype={"image": str})
    jaccard = dict(zip(table["label"], table["jaccard"], strict=True))
    assert set(table["image"]) == {"007"}
    assert jaccard == pytest.approx({5: 4 / 8, 7: 5 / 6})
    at_06 = next(row for row in metrics["uncertainty"]["auroc"] if row["wrong_below"] == 0.6)
    assert (at_06["n_wrong"], at_06["auroc"]) == (1, 1.0)


def test_other_tables_beside_the_labels_are_no_mistake(folders):
    """One without uncertainty, one of labels that were corrected since, and one of another program."""
    cells_csv(folders, [("a", 5, 1.0)], "area")
    metrics = evaluate(config(folders))
    assert "uncertainty" not in metrics
    assert metrics["notes"] == []
    cells_csv(folders, [("a", 5, 1.0)])
    metrics = evaluate(config(folders, overwrite=True))
    assert "uncertainty" not in metrics
    assert len(metrics["notes"]) == 1
    assert "uncertainty not scored: " in metrics["notes"][0]
    assert "does not hold the cells of a_labels.tif" in metrics["notes"][0]
    (folders / "predicted" / "cells.csv").write_text("")
    assert "uncertainty not scored" in evaluate(config(folders, overwrite=True))["notes"][-1]


def test_nothing_predicted_scores_zero(folders):
    write(folders / "predicted" / "a_labels.tif", np.zeros_like(REFERENCE))
    a = evaluate(config(folders))["images"]["a"]
    assert a["jaccard_index"] == 0
    assert a["precision"] is None
    assert a["cells"]["missed"] == 3


def fraction(folders):
    write(folders / "predicted" / "a_labels.tif", PREDICTED + np.float32(0.25))


def not_a_number(folders):
    write(folders / "reference" / "a_masks.tif", np.where(REFERENCE > 2, np.nan, 1).astype(np.float32))


def other_shape(folders):
    write(folders / "reference" / "a_masks.tif", REFERENCE[:3])


def no_partner(folders):
    (folders / "reference" / "b_masks.tif").rename(folders / "reference" / "c_masks.tif")


def reference_left_over(folders):
    write(folders / "reference" / "c_masks.tif", REFERENCE)


def two_of_one_name(folders):
    write(folders / "reference" / "a_nuclei.tif", REFERENCE)


def damaged(folders):
    (folders / "predicted" / "a_labels.tif").write_bytes(b"II*\0 and no more")


def all_background(folders):
    for name in "ab":
        write(folders / "reference" / f"{name}_masks.tif", np.zeros_like(REFERENCE))


def nuclei_elsewhere(folders):
    for name in "ab":
        write(folders / "nuclei" / f"{name}_nuclei.tif", np.where(REFERENCE == 0, 1, 0).astype(np.uint8))


def one_nucleus_image(folders):
    write(folders / "nuclei" / "a_nuclei.tif", REFERENCE)


def wrong_image(folders):
    for name in "ab":
        write(folders / "image" / f"{name}.tif", np.arange(12.0, dtype=np.float32).reshape(3, 4))


def broken_provenance(folders):
    (folders / "predicted" / "provenance.json").write_text("[1, 2")


def output_is_a_file(folders):
    (folders / "out").write_text("")


def unchanged(folders):
    pass


@pytest.mark.parametrize(
    ("spoil", "changes", "message"),
    [
        (unchanged, {"predicted": ""}, "predicted is not given; add predicted="),
        (unchanged, {"reference": "{}/nowhere"}, "nowhere"),
        (unchanged, {"border": 2}, "border=2 leaves nothing of a 4 x 5 image"),
        (fraction, {}, "a_labels.tif: labels must be whole numbers"),
        (not_a_number, {}, "a_masks.tif: labels contain NaN"),
        (other_shape, {}, "a_masks.tif: shape (3, 5) differs from (4, 5) of "),
        (no_partner, {}, "b_labels.tif: reference={}/reference has no file named b"),
        (reference_left_over, {}, "c_masks.tif: predicted={}/predicted has no file named c"),
        (two_of_one_name, {}, "both stand for a; give a pattern such as '*_nuclei.tif'"),
        (damaged, {}, "a_labels.tif: damaged or incomplete"),
        (all_background, {}, "reference: no cells inside the border of 0 px"),
        (nuclei_elsewhere, {"nuclei": "{}/nuclei"}, "nuclei: no reference cell holds a nucleus"),
        (one_nucleus_image, {"nuclei": "{}/nuclei"}, "b_labels.tif: nuclei={}/nuclei has no file named b"),
        (wrong_image, {"image": "{}/image"}, "a.tif: shape (3, 4) differs from (4, 5)"),
        (broken_provenance, {}, "provenance.json: not a provenance record"),
        (output_is_a_file, {}, "cannot make this directory"),
    ],
)
def test_mistakes_end_in_one_line(folders, spoil, changes, message):
    spoil(folders)
    fill = {key: value.format(folders) if isinstance(value, str) else value for key, value in changes.items()}
    with pytest.raises(UserError) as caught:
        evaluate(config(folders, **fill))
    assert message.format(folders) in str(caught.value)
    assert "\n" not in str(caught.value)
    some = spoil in (fraction, not_a_number, other_shape, damaged, wrong_image)  # the other image is scored
    assert (folders / "out" / "metrics.json").exists() == some
    if some:
        record = json.loads((folders / "out" / "provenance.evaluate.json").read_text())
        assert not record["complete"]
        assert record["failed"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"border": -3}, "border must be 0 or more, got -3"),
        ({"sm_k": 60.0}, "sm_k must be in [0, 1], got 60"),
        ({"sm_min_jaccard": -0.5}, "sm_min_jaccard must be in [0, 1], got -0.5"),
        ({"references": {"reference": "folder"}}, "references.reference: this name stands for reference=...; choose"),
        ({"references": {"manual": ""}}, "references.manual is not given; add +references.manual=FILE"),
    ],
)
def test_values_out_of_range(changes, message):
    with pytest.raises(UserError) as caught:
        EvaluateConfig(**changes)
    assert message in str(caught.value)


def test_command(folders, monkeypatch):
    """The command line, from another directory, with a mistake and without."""

    maps(folders)
    monkeypatch.chdir(folders)
    arguments = ("predicted=predicted", "reference=reference", "output=scores", "+references.manual=reference/a*")
    good = finish_command(start_command("cellflax.evaluate", *arguments, cwd=folders))
    assert good.status == 0, good.err
    assert "all 2 images" in good.out
    assert "pixels of cells: AUC" in good.out
    assert sorted(p.name for p in (folders / "scores").iterdir()) == [
        "f_score.png", "f_score_curve.csv", "metrics.json", "overlay.png", "per_cell.csv", "provenance.evaluate.json",
        "report.html", "roc.csv", "roc.png",
    ]  # fmt: skip
    assert sorted(p.name for p in folders.iterdir()) == ["predicted", "reference", "scores"]
    bad = run_command(main, "predicted=predicted", "reference=nowhere")
    assert bad.status == 1
    assert bad.err.count("\n") == 1
    assert "nowhere" in bad.err


@pytest.mark.real_data
def test_published_hela_masks(data_root, tmp_path):
    folder = data_root / "deepcell" / "validation_data" / "HeLa"
    metrics = evaluate(
        EvaluateConfig(
            predicted=str(folder / "Masks" / "cytoplasm_mask_0.png"),
            reference=str(folder / "Validation" / "hela_validation_interior.tif"),
            nuclei=str(folder / "Masks" / "nuclear_mask_0.png"),
            image=str(folder / "RawImages" / "phase.tif"),
            border=30,
            erode_reference=True,
            output=str(tmp_path),
        )
    )
    assert metrics["pooled"]["jaccard_index"] == pytest.approx(0.834, abs=1e-3)
    assert metrics["pooled"]["dice_index"] == pytest.approx(0.907, abs=1e-3)
    assert metrics["pooled"]["n_cells_in_index"] == 28


def test_files_that_say_different_scales_are_noted(folders):
    labels = tifffile.imread(folders / "reference/a_masks.tif")
    write_labels(folders / "reference/a_masks.tif", labels, 0.65)
    write_labels(folders / "predicted/a_labels.tif", labels, 0.325)
    assert any("a_labels.tif has pixels of 0.325 um" in note for note in evaluate(config(folders))["notes"])
    write_labels(folders / "predicted/a_labels.tif", labels, 0.652)
    assert not any("has pixels of" in note for note in evaluate(config(folders))["notes"])
