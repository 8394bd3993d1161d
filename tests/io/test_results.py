"""Names of results, and tables as files."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cellflax.errors import UserError
from cellflax.io import results
from cellflax.io.tables import write_table


@pytest.mark.parametrize("name", ["a", "a_labels", "well_1.site_2", "labels"])
@pytest.mark.parametrize("kind", [results.LABELS, results.PROBABILITY, results.SEEDS, results.UNCERTAINTY])
def test_a_result_tells_its_input(name, kind):
    file = results.result_file(name, kind)
    assert file == f"{name}_{kind}.tif"
    assert results.input_name(Path("folder") / file, kind) == name


def test_other_files_stand_for_themselves():
    assert results.input_name(Path("a_masks.tif")) == "a_masks"
    assert results.input_name(Path("a_labels.tif"), results.PROBABILITY) == "a_labels"


@pytest.mark.parametrize(("suffix", "read"), [(".csv", pd.read_csv), (".parquet", pd.read_parquet)])
def test_tables_survive_writing(tmp_path, suffix, read):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    table = pd.DataFrame({"name": ["a", "b"], "n": [1, 2], "share": [1 / 3, np.nan]}, index=[7, 3])
    path = tmp_path / f"table{suffix}"
    path.write_text("an older result")
    write_table(path, table)
    pd.testing.assert_frame_equal(read(path), table.reset_index(drop=True))
    assert list(tmp_path.iterdir()) == [path]


def test_digits_can_be_cut(tmp_path):
    write_table(tmp_path / "table.csv", pd.DataFrame({"share": [1 / 3], "n": [1234567]}), float_format="%.3g")
    assert (tmp_path / "table.csv").read_text() == "share,n\n0.333,1234567\n"


def test_a_failed_write_leaves_the_old_table(tmp_path, monkeypatch):
    def full_disk(table, path, **_):
        Path(path).write_text("ha")
        raise OSError(28, "No space left on device")

    path = tmp_path / "table.csv"
    write_table(path, pd.DataFrame({"n": [1]}))
    monkeypatch.setattr(pd.DataFrame, "to_csv", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_table(path, pd.DataFrame({"n": [2]}))
    assert path.read_text() == "n\n1\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("dapi", "dapi"),
        ("DAPI/405", "DAPI_405"),
        ("../../precious/evil", ".._.._precious_evil"),
        ("a\\b:c", "a_b_c"),
        ("x\0y\n", "x_y_"),
        ("/etc/passwd", "_etc_passwd"),
        ("Größe µm", "Größe µm"),
    ],
)
def test_names_never_become_paths(tmp_path, name, safe):
    assert results.safe_name(name, "channel") == safe
    assert (tmp_path / f"a_{safe}.tif").parent == tmp_path


@pytest.mark.parametrize(("name", "message"), [("..", "rename"), ("/", "rename"), ("", "rename"), ("x" * 300, "long")])
def test_names_that_cannot_be_part_of_a_file_name(name, message):
    with pytest.raises(UserError, match=f"channel .*{message}"):
        results.safe_name(name, "channel")


def test_two_names_for_one_file_are_refused():
    assert results.safe_names(["a/b", "c"], "channel") == {"a/b": "a_b", "c": "c"}
    with pytest.raises(UserError, match="'a/b' and 'A_B'"):
        results.safe_names(["a/b", "A_B"], "channel")


def test_the_name_of_a_result_is_no_path():
    with pytest.raises(UserError, match="cannot be part of a file name"):
        results.result_file("../a", results.LABELS)
