import json
import subprocess
import sys

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import tifffile
from skimage.segmentation import find_boundaries

from cellflax.data.images import write_probability
from cellflax.data.pairs import common_stem, pair_files
from cellflax.errors import UserError
from cellflax.evaluate import EvaluateConfig, evaluate, format_table
from cellflax.evaluation.figures import f_score_figure
from cellflax.report import PREDICTED_COLOUR, REFERENCE_COLOUR, Panel, outline_overlay
from tests.metrics.drawing import grid

REFERENCE = grid("11.22 11.22 11... 33333")
PREDICTED = grid("55.5. 55.5. ..7.. 77777")  # Jaccard 4/8, 2/8, 5/6


@pytest.fixture
def folders(tmp_path):
    """Predicted and reference label images of two fields: `a` as drawn, `b` perfect."""
    write(tmp_path / "predicted" / "a_labels.tif", PREDICTED)
    write(tmp_path / "predicted" / "b_labels.tif", REFERENCE)
    write(tmp_path / "reference" / "a_masks.tif", REFERENCE)
    write(tmp_path / "reference" / "b_masks.tif", REFERENCE)
    return tmp_path


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, array)


def config(folders, **changes):
    paths = {key: str(folders / key) for key in ("predicted", "reference")}
    return EvaluateConfig(**{**paths, "output": str(folders / "out"), **changes})


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


def test_f_scores_and_sm(folders):
    """Cell 2 of `a` is left alone: its only overlap, 5, stands for cell 1."""
    metrics = evaluate(config(folders, sm_k=0.25, sm_min_jaccard=0.55))
    table = pd.read_csv(folders / "out" / "per_cell.csv")
    assert list(table["partner_label"]) == [5, 0, 7, 1, 2, 3]
    assert list(table["f_score"]) == pytest.approx([8 / 12, 0, 10 / 11, 1, 1, 1])
    assert list(table["sm_pair"]) == [False, False, True, True, True, True]  # the Jaccard index of 1 and 5 is 1/2
    a, pooled = metrics["images"]["a"], metrics["pooled"]
    assert (a["share_f_0.6"], pooled["share_f_0.6"]) == pytest.approx((2 / 3, 5 / 6))
    assert pooled["f_score_area"] == pytest.approx((8 / 12 + 10 / 11 + 3) / 6)
    outlines = (8 / 12 + 4 / 10 + 10 / 11) / 3
    assert (a["sm_outlines"], a["sm_detection"]) == pytest.approx((outlines, 2 / 5))
    assert a["sm"] == pytest.approx(0.25 * outlines + 0.75 * 2 / 5)
    assert pooled["sm"] == pytest.approx(0.25 * (outlines + 1) / 2 + 0.75 * 8 / 11)
    assert metrics["image_level"]["sm"] == pytest.approx((a["sm"] + 1) / 2)
    curve = pd.read_csv(folders / "out" / "f_score_curve.csv").set_index("f_score")
    assert set(curve["reference"]) == {"reference"}
    assert curve.loc[[0, 0.6, 0.7, 1], "share"].tolist() == pytest.approx([1, 5 / 6, 4 / 6, 3 / 6])
    assert curve.loc[0.7, "image_minimum"] == pytest.approx(1 / 3)
    assert matplotlib.image.imread(folders / "out" / "f_score.png").ndim == 3


def test_further_references_may_hold_a_part_of_the_images(folders):
    write(folders / "manual" / "a.tif", np.where(PREDICTED == 5, 3, 0))
    write(folders / "manual" / "unseen.tif", REFERENCE)
    references = {"manual": str(folders / "manual"), "same": str(folders / "reference")}
    metrics = evaluate(config(folders, references=references))
    manual, same = metrics["references"]["manual"], metrics["references"]["same"]
    assert manual == {
        "n_images": 1, "n_reference": 2, "share_f_0.6": 0.5, "f_score_area": pytest.approx(4 / 5 / 2),
        "images": {"a": {"share_f_0.6": 0.5, "f_score_area": pytest.approx(4 / 5 / 2)}},
    }  # fmt: skip
    assert same["f_score_area"] == metrics["pooled"]["f_score_area"]
    curve = pd.read_csv(folders / "out" / "f_score_curve.csv")
    assert list(curve["reference"].unique()) == ["reference", "manual", "same"]


def test_figure_shows_all_cells_and_the_spread_over_images():
    manual = {"a": np.array([0.9, 0.9]), "b": np.array([0.9, 0.2, 0.2, 0.2]), "empty": np.zeros(0)}
    curves, boxes = f_score_figure({"reference": {"a": np.array([0.5])}, "manual": manual}).axes
    legend = curves.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "reference: area 0.500, 1 cells in 1 images",
        "manual: area 0.550, 6 cells in 3 images",
    ]
    assert np.asarray(curves.lines[1].get_ydata())[[0, 50, 100]] == pytest.approx([100, 50, 0])
    medians = [np.asarray(line.get_ydata())[0] for line in boxes.lines if line.get_linewidth() == 2]
    assert medians == pytest.approx([100] * 5 + [0] * 4 + [100] * 2 + [(100 + 25) / 2] * 7)


def maps(folders, folder="predicted"):
    """Probability maps of both fields, foreground 0.9 in `b` and where `a` is predicted, and of nuclei."""
    for name, labels in (("a", PREDICTED), ("b", REFERENCE)):
        nucleus = np.where(labels == 5, 0.7, 0.05)
        background = np.where(labels > 0, 0.1, 0.8)
        probability = np.stack([nucleus, 1 - nucleus - background, background], axis=-1)
        write_probability(folders / folder / f"{name}_probability.tif", probability, ("nucleus", "cell", "background"))


def test_pixels_of_cells_and_nuclei(folders):
    maps(folders)
    for name in "ab":
        write(folders / "nuclei" / f"{name}_nuclei.tif", np.where(REFERENCE == 1, 4, 0))
    metrics = evaluate(config(folders, reference_nuclei=str(folders / "nuclei")))
    right = (PREDICTED > 0) == (REFERENCE > 0)
    cells, nuclei = metrics["pixels"]["pooled"]["cells"], metrics["pixels"]["pooled"]["nuclei"]
    assert metrics["pixels"]["images"]["a"]["cells"]["acc"] == pytest.approx(right.mean())
    assert metrics["pixels"]["images"]["b"]["cells"]["auc"] == 1
    assert (cells["n_pixels"], cells["n_foreground"]) == (40, 30)
    # Of a map with two values, the AUC is the mean of sensitivity and specificity.
    found = np.concatenate([PREDICTED > 0, REFERENCE > 0])
    truth = np.concatenate([REFERENCE > 0] * 2)
    assert cells["auc"] == pytest.approx((found[truth].mean() + (~found)[~truth].mean()) / 2)
    assert nuclei["acc"] == pytest.approx(((PREDICTED == 5) == (REFERENCE == 1)).mean() / 2 + (14 / 20) / 2)
    roc = pd.read_csv(folders / "out" / "roc.csv")
    assert list(roc["target"].unique()) == ["cells", "nuclei"]
    assert matplotlib.image.imread(folders / "out" / "roc.png").ndim == 3

    cropped = evaluate(config(folders, border=1))["pixels"]["pooled"]
    assert list(cropped) == ["cells"]
    assert cropped["cells"]["n_pixels"] == 2 * 2 * 3


def test_maps_elsewhere(folders):
    maps(folders, "maps")
    assert evaluate(config(folders, probability=str(folders / "maps")))["pixels"]["images"].keys() == {"a", "b"}


def test_maps_that_nobody_asked_for_are_no_mistake(folders):
    """One image without, and one of another program."""
    maps(folders)
    (folders / "predicted" / "b_probability.tif").unlink()
    metrics = evaluate(config(folders))
    assert "pixels" not in metrics
    assert metrics["notes"][0].startswith("pixels not scored: ")
    assert "b_labels.tif has no probability map beside it" in metrics["notes"][0]
    write(folders / "predicted" / "b_probability.tif", np.full(REFERENCE.shape, 0.5, np.float32))
    metrics = evaluate(config(folders))
    assert "pixels" not in metrics
    assert "b_probability.tif: no class is called background, it has channel_0" in metrics["notes"][0]
    assert not (folders / "out" / "roc.csv").exists()


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
    """One of another program, one without uncertainty, and one of labels that were corrected since."""
    for rows, column, note in (
        ([("a", 5, 1.0)], "area", None),
        ([("a", 5, 1.0)], "uncertainty", "uncertainty not scored"),
    ):
        cells_csv(folders, rows, column)
        metrics = evaluate(config(folders))
        assert "uncertainty" not in metrics
        assert [n for n in metrics["notes"] if "uncertainty" in n] == ([] if note is None else metrics["notes"][-1:])
        assert note is None or note in metrics["notes"][-1]
    (folders / "predicted" / "cells.csv").write_text("")
    assert "uncertainty not scored" in evaluate(config(folders))["notes"][-1]


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


def no_map_of_b(folders):
    maps(folders, "maps")
    (folders / "maps" / "b_probability.tif").unlink()


def map_of_another_shape(folders):
    maps(folders, "maps")
    write_probability(folders / "maps" / "a_probability.tif", np.ones((3, 3, 2)) / 2, ("cell", "background"))


def map_out_of_range(folders):
    write_probability(folders / "maps" / "a_probability.tif", np.full((4, 5, 2), 40.0), ("cell", "background"))
    write_probability(folders / "maps" / "b_probability.tif", np.full((4, 5, 2), 0.5), ("cell", "background"))


def map_of_nan(folders):
    maps(folders, "maps")
    write_probability(folders / "maps" / "a_probability.tif", np.full((4, 5, 2), np.nan), ("cell", "background"))


def no_class_of_nuclei(folders):
    for name in "ab":
        path = folders / "predicted" / f"{name}_probability.tif"
        write_probability(path, np.full((4, 5, 2), 0.5), ("interior", "background"))


def empty_manual(folders):
    write(folders / "manual" / "a.tif", np.zeros_like(REFERENCE))


def manual_of_others(folders):
    write(folders / "manual" / "x.tif", REFERENCE)
    write(folders / "manual" / "y.tif", REFERENCE)


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
        (empty_manual, {"references": {"manual": "manual"}}, "references.manual={}/manual: no cells inside the border"),
        (manual_of_others, {"references": {"manual": "manual"}}, "references.manual={}/manual: has no file named a"),
        (unchanged, {"references": {"manual": "nowhere"}}, "nowhere"),
        (no_map_of_b, {"probability": "{}/maps"}, "probability={}/maps has no file named b_probability.tif"),
        (map_of_another_shape, {"probability": "{}/maps"}, "a_probability.tif: shape (3, 3) differs from (4, 5)"),
        (map_out_of_range, {"probability": "{}/maps"}, "a_probability.tif: probabilities must be in [0, 1], got 40"),
        (map_of_nan, {"probability": "{}/maps"}, "a_probability.tif: probabilities must be in [0, 1], got nan"),
        (
            unchanged,
            {"reference_nuclei": "{}/reference"},
            "a_labels.tif has no probability map beside it",
        ),
        (no_class_of_nuclei, {"reference_nuclei": "{}/reference"}, "no class is called nucleus, it has interior"),
    ],
)
def test_mistakes_end_in_one_line(folders, spoil, changes, message):
    spoil(folders)
    fill = {key: value.format(folders) if isinstance(value, str) else value for key, value in changes.items()}
    if "references" in fill:
        fill["references"] = {name: str(folders / folder) for name, folder in fill["references"].items()}
    with pytest.raises(UserError) as caught:
        evaluate(config(folders, **fill))
    assert message.format(folders) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (folders / "out" / "metrics.json").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"border": -3}, "border must be >= 0 pixels, got -3"),
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


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a_labels.tif", "a"),
        ("a_cp_masks.png", "a"),
        ("a_cells_labels.tif", "a"),
        ("A-Mask.tiff", "A"),
        ("a_img.tif", "a"),
        ("field_12.tif", "field_12"),
        ("masks.tif", "masks"),
        ("unmasks.tif", "unmasks"),
    ],
)
def test_common_stem(tmp_path, name, stem):
    assert common_stem(tmp_path / name) == stem


def test_images_are_found_by_the_beginning_of_their_names(folders):
    for name in ("a_phase", "a_nuclear", "b_phase", "b_nuclear", "bb_phase"):
        write(folders / "image" / f"{name}.tif", REFERENCE)
    arguments = str(folders / "predicted"), str(folders / "reference"), None
    pairs = pair_files(*arguments, str(folders / "image" / "*_phase.tif"))
    assert [pair.image.name for pair in pairs if pair.image] == ["a_phase.tif", "b_phase.tif"]
    with pytest.raises(UserError, match="has 2 files named a_"):
        pair_files(*arguments, str(folders / "image"))


def test_overlay_colours_are_the_outlines():
    side = 800  # drawn pixel by pixel
    reference, predicted = np.zeros((2, side, side), int)
    reference[100:300, 100:300] = 1
    predicted[150:350, 100:300] = 4
    picture = outline_overlay(Panel("", predicted, reference, np.zeros((side, side))))
    drawn = np.round(picture * 255).astype(int)

    def has(colour):
        return (drawn == [int(colour[i : i + 2], 16) for i in (1, 3, 5)]).all(axis=-1)

    of_reference = find_boundaries(reference, mode="inner")
    of_predicted = find_boundaries(predicted, mode="inner")
    np.testing.assert_array_equal(has(REFERENCE_COLOUR), of_reference & ~of_predicted)
    np.testing.assert_array_equal(has(PREDICTED_COLOUR), of_predicted & ~of_reference)
    np.testing.assert_array_equal(has("#FFFFFF"), of_reference & of_predicted)


def test_command(folders):
    """The command line, from another directory, with a mistake and without."""

    def run(*arguments):
        command = [sys.executable, "-m", "cellflax.evaluate", *arguments]
        return subprocess.run(command, cwd=folders, capture_output=True, text=True, check=False)

    maps(folders)
    good = run("predicted=predicted", "reference=reference", "output=scores", "+references.manual=reference/a*")
    assert good.returncode == 0, good.stderr
    assert "all 2 images" in good.stdout
    assert "pixels of cells: AUC" in good.stdout
    assert sorted(p.name for p in (folders / "scores").iterdir()) == [
        "f_score.png", "f_score_curve.csv", "metrics.json", "overlay.png", "per_cell.csv", "roc.csv", "roc.png",
    ]  # fmt: skip
    assert sorted(p.name for p in folders.iterdir()) == ["predicted", "reference", "scores"]
    bad = run("predicted=predicted", "reference=nowhere")
    assert bad.returncode == 1
    assert bad.stderr.count("\n") == 1
    assert "nowhere" in bad.stderr


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
