"""Which images are chosen for correction, what is written, and what training takes of it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from skimage.morphology import dilation

from cellflax import correct, predict
from cellflax.correction.ranking import RankBy, ranked_candidates
from cellflax.data.folder import FolderData, load_folder, read_folder
from cellflax.errors import UserError
from cellflax.io import results
from cellflax.io.corrections import content_checksum, read_correction, save_correction
from cellflax.io.images import read_image
from cellflax.labels import renumber_away
from tests.commands import run_command
from tests.predictions import one_file


def cells(rows: dict[str, list[float]]) -> pd.DataFrame:
    """A table of cells with these uncertainties, by image."""
    return pd.DataFrame(
        [
            {"image": image, "label": i + 1, "centroid-0_px": 1.0, "centroid-1_px": 2.0, "uncertainty": value}
            for image, values in rows.items()
            for i, value in enumerate(values)
        ]
    )


def test_images_are_ranked_by_the_mean_or_the_sum():
    table = cells({"a": [0.1, 0.2], "b": [0.9], "c": [0.4] * 5, "d": [np.nan]})
    assert [c.name for c in ranked_candidates(table, RankBy.mean, 0)] == [
        "b",
        "c",
        "a",
    ]  # means 0.9, 0.4, 0.15; d has none
    assert [c.name for c in ranked_candidates(table, RankBy.total, 0)] == ["c", "b", "a"]  # sums 2.0, 0.9, 0.3
    first = ranked_candidates(table, RankBy.mean, 0)[0]
    assert first.why == "mean uncertainty 0.9 of 1 cell, 1 above 0.5"
    assert sorted(c.name for c in ranked_candidates(table, RankBy.random, 0)) == ["a", "b", "c", "d"]
    assert len({tuple(c.name for c in ranked_candidates(table, RankBy.random, seed)) for seed in range(9)}) > 1


def test_frames_of_a_movie_are_ranked_by_themselves():
    table = cells({"a": [0.1, 0.2, 0.9]}).assign(frame=[0, 0, 12])
    assert [(c.name, c.image, c.frame) for c in ranked_candidates(table, RankBy.mean, 0)] == [
        ("a_t0012", "a", 12),
        ("a_t0000", "a", 0),
    ]


def test_cells_are_numbered_away_from_values_that_mean_something_else():
    labels = np.array([[0, 1], [200, 255]], np.int32)
    found, numbers = renumber_away(labels, [255, 200, 7])
    assert found.tolist() == [[0, 1], [256, 257]]
    assert numbers == {200: 256, 255: 257}
    assert renumber_away(labels, [7]) == (labels, {})


def test_what_counts_is_the_numbers_of_the_pixels():
    labels = np.arange(6, dtype=np.uint16).reshape(2, 3)
    assert content_checksum(labels) == content_checksum(labels.astype(np.float64)[:, ::1])
    assert content_checksum(labels) == content_checksum(np.asfortranarray(labels))
    assert content_checksum(labels) != content_checksum(labels.reshape(3, 2))
    assert content_checksum(labels) != content_checksum(labels + 1)


@pytest.fixture(scope="module")
def predicted(trained, fields, tmp_path_factory) -> Path:
    """Both fields, each in one file with a pixel size, segmented by four views."""
    root = tmp_path_factory.mktemp("correct")
    for name in ("field_0007", "field_0008"):
        one_file(fields, root / f"images/{name}.tif", name, resolution=(1e4 / 1.3,) * 2, resolutionunit="CENTIMETER")
    shutil.copy(fields / "images/SIMULATED.txt", root / "images")
    arguments = (f"checkpoint={trained.path}", f"input={root}/images", "test_time_augmentation=4")
    result = run_command(predict.main, *arguments, f"output={root}/predicted")
    assert result.status == 0, result.err
    return root / "predicted"


@pytest.fixture(scope="module")
def written(predicted) -> Path:
    """What the command writes: both images."""
    output = predicted.parent / "written"
    result = run_command(correct.main, f"predictions={predicted}", f"output={output}", "cells=2")
    assert result.status == 0, result.err
    assert "cellflax train data=folder data.root=" in result.err  # what to do next
    return output


@pytest.fixture
def folder(written, tmp_path) -> Path:
    """A copy of that."""
    return Path(shutil.copytree(written, tmp_path / "corrected"))


def folder_data(folder: Path, **options: object) -> FolderData:
    return FolderData(root=str(folder), **options)  # type: ignore[arg-type]


def test_images_labels_and_lists_are_written(predicted, folder):
    table = pd.read_csv(predicted / results.CELLS)
    means = table.groupby("image")["uncertainty"].mean().sort_values(ascending=False)
    listed = pd.read_csv(folder / "to_correct.csv")
    assert list(listed["image"]) == list(means.index)
    assert listed["done"].isna().all()
    for name in means.index:
        image = read_image(folder / f"images/{name}.tif")
        assert image.channels == ("phase", "nuclear")
        assert image.pixel_size_um == pytest.approx(1.3, rel=1e-4)
        source = tifffile.imread(predicted.parent / f"images/{name}.tif")
        np.testing.assert_array_equal(np.moveaxis(image.pixels, -1, 0), source)
        np.testing.assert_array_equal(
            tifffile.imread(folder / f"labels/{name}.tif"), tifffile.imread(predicted / f"{name}_labels.tif")
        )
        named = pd.read_csv(folder / "uncertain_cells.csv").query("image == @name")
        worst = table.query("image == @name").nlargest(2, "uncertainty")
        assert list(named["label"]) == list(worst["label"])
        np.testing.assert_allclose(named["centroid-1_px"], worst["centroid-1_px"], rtol=1e-5)
        row = listed.set_index("image").loc[name]
        assert str(row["look_at"]).startswith(
            f"cell {worst['label'].iloc[0]} at row {worst['centroid-0_px'].iloc[0]:.0f}"
        )
    assert (folder / "images/SIMULATED.txt").is_file()
    assert json.loads((folder / "provenance.correct.json").read_text())["simulated"] is True


def test_spread_compares_all_images(predicted, tmp_path):
    output = tmp_path / "corrected"
    result = run_command(correct.main, f"predictions={predicted}", f"output={output}", "by=spread", "count=1")
    assert result.status == 0, result.err
    assert "comparing 2 images" in result.err
    listed = pd.read_csv(output / "to_correct.csv")
    worst = pd.read_csv(predicted / results.CELLS).groupby("image")["uncertainty"].mean().idxmax()
    assert list(listed["image"]) == [worst]
    assert "group of 2 that look alike" in listed["why"].item()


def test_predictions_that_nobody_corrected_are_not_truth(folder, capsys):
    with pytest.raises(UserError, match=r"2 of 2 images are not corrected yet.*done=yes"):
        read_folder(folder_data(folder))
    file = folder / "labels/field_0007.tif"
    tifffile.imwrite(file, tifffile.imread(file).astype(np.float32))  # an editor saved it, and nothing was changed
    with pytest.raises(UserError, match="2 of 2 images"):
        read_folder(folder_data(folder))
    tifffile.imwrite(file, dilation(tifffile.imread(file)))
    assert [example.name for example in read_folder(folder_data(folder)).examples] == ["field_0007"]
    assert "1 of 2 images are not corrected yet (field_0008)" in capsys.readouterr().err


@pytest.mark.parametrize(("answers", "taken"), [(["yes", ""], 1), (["YES ", "yes"], 2), (["no", "yes"], 1)])
def test_the_answers_count_before_the_files(folder, answers, taken):
    table = pd.read_csv(folder / "to_correct.csv").assign(done=answers)
    table.to_csv(folder / "to_correct.csv", index=False)
    tifffile.imwrite(folder / f"labels/{table['image'][0]}.tif", np.ones((128, 128), np.uint8))
    assert len(read_folder(folder_data(folder)).examples) == taken


def test_own_images_and_outlines_in_the_folder_count(folder):
    for kind in ("images", "labels"):
        shutil.copy(folder / kind / "field_0007.tif", folder / kind / "mine.tif")
    (folder / "labels/field_0008.tif").unlink()
    square = {"type": "Polygon", "coordinates": [[[5, 5], [40, 5], [40, 40], [5, 40], [5, 5]]]}
    collection = {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": square, "properties": {}}]}
    (folder / "labels/field_0008.geojson").write_text(json.dumps(collection))
    assert {example.name for example in read_folder(folder_data(folder)).examples} == {"field_0008", "mine"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "provenance.correct.json").unlink(), "beside it is missing"),
        (lambda folder: (folder / "provenance.correct.json").write_text('{"contents": {"../a": {}}}'), "not what"),
        (lambda folder: (folder / "to_correct.csv").write_text("image,done\na,\n"), "image a is not in"),
        (lambda folder: (folder / "to_correct.csv").write_text("image,done\nfield_0007,maybe\n"), "yes, no or empty"),
    ],
)
def test_a_damaged_folder_is_refused(folder, change, message):
    change(folder)
    with pytest.raises(UserError, match=message):
        read_folder(folder_data(folder))


def test_corrections_are_never_replaced(predicted, folder):
    again = (f"predictions={predicted}", f"output={folder}")
    assert "add overwrite=true" in run_command(correct.main, *again).error
    assert run_command(correct.main, *again, "overwrite=true").status == 0  # nothing was corrected yet
    save_correction(folder, "field_0007", np.ones((128, 128), np.int32))
    error = run_command(correct.main, *again, "overwrite=true").error
    assert "field_0007.tif was changed since cellflax wrote it" in error or "to_correct.csv was changed" in error
    assert tifffile.imread(folder / "labels/field_0007.tif").all()


def test_saving_a_correction_keeps_the_pixel_size_and_notes_it(folder):
    labels = np.zeros((128, 128), np.int32)
    labels[4:20, 4:20] = 3
    file = save_correction(folder, "field_0007", labels)
    assert read_image(file).pixel_size_um == pytest.approx(1.3, rel=1e-4)
    np.testing.assert_array_equal(tifffile.imread(file), labels)
    found = read_correction(folder)
    assert found is not None
    assert found.answers == {"field_0007": True, "field_0008": None}
    save_correction(folder, "field_0007", labels, done=False)
    assert not read_correction(folder).state("field_0007")  # type: ignore[union-attr]
    with pytest.raises(UserError, match="no image x to correct"):
        save_correction(folder, "x", labels)
    with pytest.raises(UserError, match=r"labels of \(5, 5\)"):
        save_correction(folder, "field_0007", labels[:5, :5])


def test_predictions_without_uncertainty_name_the_command_that_makes_it(predicted, tmp_path):
    copy = tmp_path / "predicted"
    shutil.copytree(predicted, copy)
    pd.read_csv(copy / results.CELLS).drop(columns="uncertainty").to_csv(copy / results.CELLS, index=False)
    error = run_command(correct.main, f"predictions={copy}", f"output={tmp_path}/corrected").error
    assert "has no column uncertainty" in error
    assert "test_time_augmentation=4" in error
    assert f"output={copy}" in error
    by_chance = run_command(correct.main, f"predictions={copy}", f"output={tmp_path}/corrected", "by=random")
    assert by_chance.status == 0, by_chance.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("count=0",), "count must be 1 or more"),
        (("predictions=",), "predictions is not given"),
        (("predictions=nowhere",), "nowhere/provenance.json"),
        (("images=nowhere.tif",), "the images of"),
        (("checkpoint=nowhere",), "the network of"),
    ],
)
def test_mistakes_are_one_line(predicted, tmp_path, arguments, message):
    result = run_command(correct.main, f"predictions={predicted}", f"output={tmp_path}/corrected", *arguments)
    assert message in result.error
    assert not (tmp_path / "corrected").exists()


def test_a_folder_with_other_files_is_refused(predicted, tmp_path):
    (tmp_path / "mine.tif").touch()
    assert "already exists" in run_command(correct.main, f"predictions={predicted}", f"output={tmp_path}").error


def write_squares(folder: Path, count: int, seed: int) -> Path:
    """Images of two squares, with labels."""
    rng = np.random.default_rng(seed)
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    labels = np.zeros((40, 40), np.uint8)
    labels[4:14, 4:14], labels[20:32, 20:32] = 1, 2
    for i in range(count):
        tifffile.imwrite(folder / f"images/{i}.tif", (rng.normal(10, 1, labels.shape) + labels).astype(np.float32))
        tifffile.imwrite(folder / f"labels/{i}.tif", labels)
    return folder


def test_further_folders_are_for_training_alone(tmp_path):
    old, more = write_squares(tmp_path / "old", 8, 0), write_squares(tmp_path / "corrected", 3, 1)
    without = load_folder(folder_data(old))
    found = load_folder(folder_data(old, more=[str(more)]))
    assert [region.example.name for region in found.validation] == [r.example.name for r in without.validation]
    assert [example.name for example in found.train] == [
        *(example.name for example in without.train), "corrected/0", "corrected/1", "corrected/2"
    ]  # fmt: skip
    folds = load_folder(folder_data(old, more=[str(more)], folds=4, fold=0))
    assert len(folds.train) == 4 + 3
    assert not any(example.name.startswith("corrected") for example in folds.test)


def test_an_image_that_is_held_out_is_not_trained_on(tmp_path):
    old, more = write_squares(tmp_path / "old", 8, 0), write_squares(tmp_path / "corrected", 1, 1)
    held_out = load_folder(folder_data(old)).validation[0].example.name
    shutil.copy(old / f"images/{held_out}.tif", more / "images/0.tif")
    with pytest.raises(UserError, match=f"corrected/0 is the same image as {held_out}, which is held out"):
        load_folder(folder_data(old, more=[str(more)]))


def test_folders_of_one_name_are_refused(tmp_path):
    old, more = write_squares(tmp_path / "a/mine", 2, 0), write_squares(tmp_path / "b/mine", 2, 1)
    with pytest.raises(UserError, match="another data set called mine"):
        load_folder(folder_data(old, more=[str(more)]))
    with pytest.raises(UserError, match=r"data.more=nowhere: no such folder"):
        load_folder(folder_data(old, more=["nowhere"]))
