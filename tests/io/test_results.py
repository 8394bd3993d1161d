"""Names of results, and tables as files."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

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
