"""`cellflax.simulate` as a command: images, exact truth, and a folder that training accepts."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from cellflax import evaluate, simulate
from cellflax.data.datasets import load_dataset
from cellflax.data.folder import FolderData
from cellflax.data.images import read_image
from cellflax.data.simulation import HelaFieldConfig, simulate_hela_field
from tests.commands import run_command

SMALL = ("field.height=96", "field.width=120", "field.pixel_size_um=1.3")


def files_below(path: Path) -> list[str]:
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())


def test_files_hold_the_simulated_fields(tmp_path):
    result = run_command(simulate.main, f"output={tmp_path}", "fields=2", "seed=5", *SMALL)
    assert (result.status, result.out) == (0, "")
    assert result.err.endswith(f"SIMULATED DATA in {tmp_path}\n")
    assert files_below(tmp_path) == sorted(
        [
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
        ("field.height=8", "field.height must be in [32, "),
        ("field.polarity=sideways", "field.polarity must be one of"),
        ("field.hight=64", "unknown key field.hight: did you mean field.height?"),
        ("output=/proc/nowhere", "/proc/nowhere"),
    ],
)
def test_mistakes_are_one_line(argument, message):
    result = run_command(simulate.main, argument)
    assert result.status == 1
    assert message in result.error
