"""`cellflax.simulate` as a command: images, exact truth, and a folder that training accepts."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from cellflax import evaluate, simulate
from cellflax.data.datasets import load_dataset
from cellflax.data.folder import FolderData
from cellflax.io.images import read_image
from cellflax.simulation import (
    BrightfieldConfig,
    HelaFieldConfig,
    NucleiFieldConfig,
    Well,
    simulate_brightfield_site,
    simulate_hela_field,
    simulate_nuclei_field,
)
from tests.commands import run_command

SMALL = ("hela.height=96", "hela.width=120", "hela.pixel_size_um=1.3")


def files_below(path: Path) -> list[str]:
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())


def test_files_hold_the_simulated_fields(tmp_path):
    result = run_command(simulate.main, f"output={tmp_path}", "fields=2", "seed=5", *SMALL)
    assert (result.status, result.out) == (0, "")
    assert result.err.endswith(f"SIMULATED DATA in {tmp_path}\n")
    assert files_below(tmp_path) == sorted(
        [
            "provenance.simulate.json",
            *(f"{folder}/SIMULATED.txt" for folder in ("images", "labels", "nuclei")),
            *(f"images/field_000{n}_{channel}.tif" for n in (5, 6) for channel in ("phase", "nuclear")),
            *(f"{folder}/field_000{n}.tif" for n in (5, 6) for folder in ("labels", "nuclei")),
        ]
    )
    config = HelaFieldConfig(height=96, width=120, pixel_size_um=1.3)
    for seed in (5, 6):
        field = simulate_hela_field(config, seed)
        for index, channel in enumerate(field.channels):
            image = read_image(tmp_path / "images" / f"field_000{seed}_{channel}.tif")
            assert image.pixel_size_um == pytest.approx(1.3)
            np.testing.assert_array_equal(image.pixels[..., 0], field.image[..., index])  # counts, none clipped
        for folder, expected in (("labels", field.cells), ("nuclei", field.nuclei)):
            np.testing.assert_array_equal(tifffile.imread(tmp_path / folder / f"field_000{seed}.tif"), expected)
        assert f"field_000{seed}: {field.cells.max()} cells" in result.err


def test_same_seed_same_files_and_fields_differ(tmp_path):
    for name in ("a", "b"):
        assert run_command(simulate.main, f"output={tmp_path / name}", "fields=2", *SMALL).status == 0
    a, b = tmp_path / "a" / "images", tmp_path / "b" / "images"
    first, second = (read_image(a / f"field_000{n}_phase.tif").pixels for n in (1, 2))
    assert (first != second).any()
    for file in a.glob("*.tif"):
        np.testing.assert_array_equal(read_image(file).pixels, read_image(b / file.name).pixels)


def test_brightfield_files_are_named_by_well_site_channel_and_plane(tmp_path):
    size = ("brightfield.height=64", "brightfield.width=48", "brightfield.wells=[well1,well3]")
    result = run_command(simulate.main, f"output={tmp_path}", "specimen=brightfield", "fields=1", "seed=3", *size)
    assert result.status == 0, result.err
    sites = ("well1_0003", "well3_0003")
    planes = [f"{channel}_z{z}" for channel in ("brightfield", "nuclear", "cytoplasm") for z in range(3)]
    assert files_below(tmp_path) == sorted(
        [
            "provenance.simulate.json",
            *(f"{folder}/SIMULATED.txt" for folder in ("images", "labels", "nuclei")),
            *(f"images/{site}_{plane}.tif" for site in sites for plane in planes),
            *(f"{folder}/{site}.tif" for site in sites for folder in ("labels", "nuclei")),
        ]
    )
    config = BrightfieldConfig(height=64, width=48)
    site = simulate_brightfield_site(config, Well.well3, 3)
    for index, channel in enumerate(site.channels):
        image = read_image(tmp_path / "images" / f"well3_0003_{channel}.tif")
        np.testing.assert_array_equal(image.pixels[..., 0], site.image[..., index])
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "labels" / "well3_0003.tif"), site.cells)


def test_cytoplasm_files_tell_their_pixel_size(tmp_path):
    keys = ("cytoplasm.height=64", "cytoplasm.width=64", "cytoplasm.pixel_size_um=0.325", "cytoplasm.stain=rna")
    result = run_command(simulate.main, f"output={tmp_path}", "specimen=cytoplasm", "fields=1", *keys)
    assert result.status == 0, result.err
    for channel in ("cytoplasm", "nuclear"):
        assert read_image(tmp_path / "images" / f"field_0001_{channel}.tif").pixel_size_um == pytest.approx(0.325)


def test_nuclei_are_their_own_labels(tmp_path):
    keys = ("nuclei.height=64", "nuclei.width=64", "nuclei.nuclei_per_mm2=3000")
    result = run_command(simulate.main, f"output={tmp_path}", "specimen=nuclei", "fields=1", "seed=4", *keys)
    assert result.status == 0, result.err
    field = simulate_nuclei_field(NucleiFieldConfig(height=64, width=64, nuclei_per_mm2=3000), 4)
    image = read_image(tmp_path / "images" / "field_0004_nuclear.tif")
    np.testing.assert_array_equal(image.pixels, field.image)
    for kind in ("labels", "nuclei"):
        np.testing.assert_array_equal(tifffile.imread(tmp_path / kind / "field_0004.tif"), field.cells)


def test_movies_are_in_the_layout_of_the_cell_tracking_challenge(tmp_path):
    keys = ("colony.height=192", "colony.width=192", "colony.frames=8", "colony.frame_interval_s=360")
    result = run_command(simulate.main, f"output={tmp_path}", "specimen=colony", "fields=1", "colony.founders=1", *keys)
    assert result.status == 0, result.err
    movie = tmp_path / "movie_0001"
    frames = range(8)
    assert files_below(movie) == sorted(
        [
            *("images/SIMULATED.txt", "labels/SIMULATED.txt", "labels/man_track.txt", "truth.csv"),
            *(f"images/t{t:03d}_phase.tif" for t in frames),
            *(f"labels/man_track{t:03d}.tif" for t in frames),
        ]
    )
    truth = pd.read_csv(movie / "truth.csv")
    labels = [tifffile.imread(movie / "labels" / f"man_track{t:03d}.tif") for t in frames]
    seen = {(t, track) for t in frames for track in np.unique(labels[t][labels[t] > 0])}
    assert seen == set(zip(truth["frame"], truth["track"], strict=True))
    for track, begin, end, parent in np.loadtxt(movie / "labels" / "man_track.txt", dtype=int, ndmin=2):
        rows = truth[truth["track"] == track]
        assert (rows["frame"].min(), rows["frame"].max(), rows["parent"].iloc[0]) == (begin, end, parent)
    assert truth["parent"].max() > 0
    assert f"movie_0001: 8 frames, {truth['track'].nunique()} tracks" in result.err


def test_crawling_cells_come_with_nuclei_and_ratios(tmp_path):
    keys = ("migration.height=64", "migration.width=64", "migration.frames=2")
    result = run_command(simulate.main, f"output={tmp_path}", "specimen=migration", "fields=1", *keys)
    assert result.status == 0, result.err
    movie = tmp_path / "movie_0001"
    assert {path.name for path in (movie / "images").glob("t001_*.tif")} == {
        *("t001_phase.tif", "t001_nuclear.tif", "t001_reporter.tif")
    }
    cells, nuclei = (tifffile.imread(movie / file) for file in ("labels/man_track001.tif", "nuclei/t001.tif"))
    np.testing.assert_array_equal(nuclei[nuclei > 0], cells[nuclei > 0])
    assert (pd.read_csv(movie / "truth.csv")["nucleus_to_cytoplasm"] > 0).all()


def test_training_accepts_the_folder(fields):
    dataset = load_dataset(FolderData(root=str(fields), channels=["phase", "nuclear"]))
    assert dataset.channels == ("phase", "nuclear")
    assert len(dataset.train) == len(dataset.validation) == 1
    assert dataset.train[0].pixel_size_um == pytest.approx(1.3)
    names = {dataset.train[0].name, dataset.validation[0].example.name}
    assert names == {"field_0007", "field_0008"}
    assert dataset.simulated  # the note beside the images says so
    assert dataset.source.endswith("2 images simulated")
    truth = tifffile.imread(fields / "labels" / f"{dataset.train[0].name}.tif")
    np.testing.assert_array_equal(dataset.train[0].cells, truth)


def test_the_truth_scores_one(fields, tmp_path):
    labels = fields / "labels"
    result = run_command(evaluate.main, f"predicted={labels}", f"reference={labels}", f"output={tmp_path}")
    assert result.status == 0
    assert "1.000" in result.out.splitlines()[-1] or "1.000" in result.out
    assert "simulated" in result.out


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("fields=0", "fields must be 1 or more, got 0"),
        ("seed=-1", "seed must be 0 or more, got -1"),
        ("hela.height=8", "height must be in [32, "),
        ("hela.polarity=sideways", "hela.polarity must be one of"),
        ("hela.hight=64", "unknown key hela.hight: did you mean hela.height?"),
        ("specimen=yeast", "specimen must be one of hela, brightfield, cytoplasm, nuclei, colony, migration"),
        ("brightfield.well2.focus_um=90", "brightfield.well2.focus_um must be in [-20, 20], got 90"),
        ("brightfield.wells=[well1,well9]", "brightfield.wells"),
        ("cytoplasm.stain=ink", "cytoplasm.stain must be one of reticulum, rna, mitochondria, whole_cell"),
        ("output=/proc/nowhere", "/proc/nowhere"),
    ],
)
def test_mistakes_are_one_line(argument, message):
    result = run_command(simulate.main, argument)
    assert result.status == 1
    assert message in result.error
