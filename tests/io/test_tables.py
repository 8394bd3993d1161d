"""Tables as other programs spoil them, and text that a spreadsheet would compute."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellflax.errors import UserError
from cellflax.io.tables import read_table, write_table

COLUMNS = {"image": str, "label": int}


@pytest.mark.parametrize(
    "text", ["=1+1", "+a", "-2", "@x", "'=1", "''=1", "'quoted", "NA", "007", "", "1e5", "a,b;c", 'a"b']
)
def test_text_survives_and_is_no_formula(tmp_path, text):
    write_table(tmp_path / "a.csv", pd.DataFrame({"image": [text], "label": [3]}))
    cell = pd.read_csv(tmp_path / "a.csv", dtype=str, keep_default_na=False)["image"][0]
    assert not cell.startswith(("=", "+", "-", "@"))
    assert read_table(tmp_path / "a.csv", COLUMNS, "again")["image"].tolist() == [text]


@given(st.lists(st.text(st.characters(exclude_categories=("C", "Z"))), min_size=1, max_size=4))
def test_any_text_survives(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("t") / "a.csv"
    write_table(path, pd.DataFrame({"image": texts, "label": range(len(texts))}))
    assert read_table(path, COLUMNS, "again")["image"].tolist() == texts


def test_parquet_is_not_escaped(tmp_path):
    pytest.importorskip("pyarrow")
    table = pd.DataFrame({"image": ["=a"], "label": [-3], "flag": [True]})
    write_table(tmp_path / "a.parquet", table)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "a.parquet"), table)


def test_numbers_and_types_are_not_escaped(tmp_path):
    table = pd.DataFrame({"image": ["=a"], "label": [-3], "x": [-1.5], "flag": [True]})
    write_table(tmp_path / "a.csv", table)
    assert (tmp_path / "a.csv").read_text() == "image,label,x,flag\n'=a,-3,-1.5,True\n"
    read = read_table(tmp_path / "a.csv", COLUMNS, "again")
    assert read["x"].tolist() == [-1.5]
    assert read["flag"].dtype == bool


def test_tables_of_spreadsheets(tmp_path):
    (tmp_path / "a.csv").write_bytes("\ufeffimage;label;x\r\nzellä;3;\r\n".encode())
    table = read_table(tmp_path / "a.csv", COLUMNS, "again", {"x|y": float})
    assert table["image"].tolist() == ["zellä"]
    assert table["label"].dtype == np.int64
    assert table["x"].isna().all()


def test_a_table_without_rows_has_its_types(tmp_path):
    (tmp_path / "a.csv").write_text("image,label,x\n")
    table = read_table(tmp_path / "a.csv", COLUMNS, "again", {"x": float})
    assert (len(table), table["label"].dtype, table["x"].dtype) == (0, np.int64, np.float64)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as a table"),
        (b"image\na\n", "line 1 has no column label"),
        (b"image,label\na,1\na,one\n", "line 3, label must be a whole number, got 'one'"),
        (b"image,label\na,1.5\n", "line 2, label must be a whole number, got '1.5'"),
        (b"image,label\na,\n", "line 2, label must be a whole number, got ''"),
        (b"image,label\na,99999999999999999999\n", "line 2, label must be a whole number, got '99999999999999999999'"),
        (b"image,label\na,1e999\n", "line 2, label must be a whole number"),
        (b"image,label,x\na,1,soon\n", "line 2, x must be a number, got 'soon'"),
        (b"image,label\na,1\n\xff\xfe,2\n", "line 3 is not UTF-8"),
        (b"image,label\na,1\nb,2,3,4\n", "cannot be read as a table .*line 3"),
        (b'image,label\n"a,1\n', "cannot be read as a table"),
        (bytes(200), "line 1 holds a NUL byte"),
        (b"image,label,label\na,1,2\n", "line 1 has the column label twice"),
        (b"image,label" + b",x" * 20_000, "line 1 has 20002 columns"),
    ],
)
def test_damaged_tables_are_refused_in_one_line(tmp_path, content, message):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read_table(tmp_path / "a.csv", COLUMNS, "write it again", {"x": float})
    line = str(caught.value)
    assert "\n" not in line
    assert str(tmp_path / "a.csv") in line
    assert line.endswith("write it again")


@pytest.mark.parametrize("make", ["folder", "missing"])
def test_what_is_no_file(tmp_path, make):
    if make == "folder":
        (tmp_path / "a.csv").mkdir()
    with pytest.raises(UserError, match=r"a\.csv: cannot be opened"):
        read_table(tmp_path / "a.csv", COLUMNS, "again")
