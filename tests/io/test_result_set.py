"""One set of results in a directory: whole, never mixed with others, never taken for input."""

import json
from pathlib import Path

import pytest

from cellflax.errors import UserError
from cellflax.io.result_set import result_set, without_results


def publish(output: Path, *names: str, overwrite: bool = False) -> None:
    with result_set(output, overwrite, names) as found:
        for name in names:
            (found.folder / name).parent.mkdir(exist_ok=True)
            (found.folder / name).write_text(name)
        found.publish({"cellflax": "1"})


def names_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_set_replaces_a_set_and_nothing_else(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    publish(tmp_path, "a.csv", "masks/1.tif")
    assert names_in(tmp_path) == ["a.csv", "masks/1.tif", "mine.txt", "provenance.json"]
    record = json.loads((tmp_path / "provenance.json").read_text())
    assert record == {"complete": True, "cellflax": "1", "command": "predict", "files": ["a.csv", "masks/1.tif"]}
    with pytest.raises(UserError, match=r"holds the results of an earlier run.*overwrite=true"):
        publish(tmp_path, "b.csv")
    publish(tmp_path, "b.csv", overwrite=True)
    assert names_in(tmp_path) == ["b.csv", "mine.txt", "provenance.json"]
    assert not (tmp_path / "masks").exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_of_another_origin_stays(tmp_path, overwrite):
    (tmp_path / "a.csv").write_text("mine")
    with pytest.raises(UserError, match=r"a\.csv is there already"):
        publish(tmp_path, "a.csv", overwrite=overwrite)
    with result_set(tmp_path, overwrite) as found:  # where the name was not known before
        (found.folder / "a.csv").write_text("new")
        with pytest.raises(UserError, match=r"a\.csv is there already"):
            found.publish({"cellflax": "1"})
    assert names_in(tmp_path) == ["a.csv"]
    assert (tmp_path / "a.csv").read_text() == "mine"


def test_what_is_not_published_leaves_no_trace(tmp_path):
    publish(tmp_path / "out", "a.csv")
    for output in (tmp_path / "out", tmp_path / "new"):
        with result_set(output, overwrite=True) as found:
            (found.folder / "b.csv").write_text("half")
    assert names_in(tmp_path) == ["out/a.csv", "out/provenance.json"]
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "record",
    ["[]", "{", '{"cellflax": "1"}', '{"files": ["a"]}', *(
        json.dumps({"cellflax": "1", "files": [name]}) for name in ("../precious", "/etc/passwd", "link/precious", 3)
    )],
)  # fmt: skip
def test_a_list_that_leads_elsewhere_removes_nothing(tmp_path, record):
    output = tmp_path / "out"
    output.mkdir()
    (tmp_path / "precious").write_text("precious")
    (output / "link").symlink_to(tmp_path)
    (output / "provenance.json").write_text(record)
    with pytest.raises(UserError, match="does not list the files"):
        publish(output, "b.csv", overwrite=True)
    assert (tmp_path / "precious").read_text() == "precious"


def test_results_are_not_input(tmp_path):
    for name in ("a.tif", "b.tif"):
        (tmp_path / name).write_text("image")
    publish(tmp_path, "a_labels.tif", "overlay.png")
    files = sorted(path for path in tmp_path.iterdir() if path.suffix in (".tif", ".png"))
    assert [file.name for file in without_results("input", files)] == ["a.tif", "b.tif"]
    with pytest.raises(UserError, match="input: all 1 images"):
        without_results("input", [tmp_path / "a_labels.tif"])
