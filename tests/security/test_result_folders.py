"""Result folders from elsewhere: what they hold never makes a run write, empty or remove anything outside of them."""

import json
import os
from pathlib import Path

import pytest

from cellflax.errors import UserError
from cellflax.io import results
from cellflax.io.journal import Journal, state_of
from cellflax.io.result_set import result_set
from cellflax.io.resuming import RESUME

RUN = {"settings": {"channels": ["phase"]}}
TABLE = "image,label\na,1\n"


def resume(output: Path) -> None:
    """A run that is resumed in a folder, and stopped before it has written anything."""
    with (
        pytest.raises(RuntimeError, match="stopped"),
        result_set(output, overwrite=False, command="predict", run=RUN, resume=True),
    ):
        raise RuntimeError("stopped")


def entry(rows: int = 1, **changes: object) -> dict[str, object]:
    """A finished image without files, as `provenance.json` lists it."""
    return {"inputs": {}, "files": {}, "rows": rows, "columns": 0, "blank": {}, "failed": {}} | changes


def publish(output: Path, images: dict[str, object], table: str = results.CELLS, folder: Path | None = None) -> None:
    """A published set with a record of finished images."""
    output.mkdir(exist_ok=True)
    file = (folder or output) / table
    file.write_text(TABLE)
    recorded = {"run": RUN, "table": {table: state_of(file)}, "columns": [["image", "label"]], "done": images}
    record = {"cellflax": "1", "command": "predict", "files": [results.CELLS], RESUME: recorded}
    (output / results.PROVENANCE).write_text(json.dumps(record))


def leave_unfinished(output: Path, images: dict[str, object]) -> Path:
    """The hidden folder of a killed run, with a journal of finished images."""
    hidden = output / ".unfinished.abc"
    hidden.mkdir(parents=True)
    (hidden / "run.lock").write_bytes(b"cellflax predict\n")
    lines = [{"run": RUN}, *({"image": image, **content} for image, content in images.items())]
    (hidden / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return hidden


@pytest.fixture
def precious(tmp_path):
    """A folder of the user's, which must stay as it is."""
    folder = tmp_path / "precious"
    (folder / "deep").mkdir(parents=True)
    for name in ("thesis.txt", "deep/data.csv", "run.lock"):
        (folder / name).write_text("mine")
    yield folder
    found = {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert found == dict.fromkeys(("thesis.txt", "deep/data.csv", "run.lock"), "mine")


def test_a_whole_set_is_resumed(tmp_path):
    """What follows would prove nothing if a set like these could not be resumed at all."""
    publish(tmp_path / "out", {"a": entry()})
    with result_set(tmp_path / "out", overwrite=False, command="predict", run=RUN, resume=True) as made:
        assert list(made.journal.done) == ["a"]
        assert made.journal.cells("a").read_text() == TABLE
        made.publish({"cellflax": "1"})


@pytest.mark.parametrize("image", ["../../../precious/evil", "/PRECIOUS/evil", "..", "", "a/b", "a\0b"])
def test_an_image_of_a_record_is_no_path(tmp_path, precious, image):
    publish(tmp_path / "out", {image.replace("/PRECIOUS", str(precious)): entry()})
    with pytest.raises(UserError, match="does not say which images are finished"):
        resume(tmp_path / "out")


@pytest.mark.parametrize("table", ["../precious/thesis.csv", "/PRECIOUS/thesis.csv"])
def test_a_table_of_a_record_is_no_path(tmp_path, table):
    (tmp_path / "precious").mkdir()
    name = table.replace("/PRECIOUS", str(tmp_path / "precious"))
    publish(tmp_path / "out", {"a": entry()}, name, tmp_path / "out")
    with pytest.raises(UserError, match="does not say which images are finished"):
        resume(tmp_path / "out")


@pytest.mark.parametrize("image", ["../../../precious/evil", "..", "a/b"])
def test_an_image_of_a_journal_is_no_path(tmp_path, precious, image):
    leave_unfinished(tmp_path / "out", {image: entry(columns=["image"], cells=[0, 0])})
    journal = Journal.read(tmp_path / "out/.unfinished.abc")
    assert journal is not None
    assert not journal.done
    resume(tmp_path / "out")


@pytest.mark.parametrize("link", ["results", "cells", "room", "journal.jsonl", "results/deep"])
def test_links_in_a_folder_left_behind_are_not_followed(tmp_path, precious, link):
    hidden = leave_unfinished(tmp_path / "out", {})
    (hidden / "results").mkdir()
    place = hidden / link
    if place.exists():
        place.rmdir() if place.is_dir() else place.unlink()
    place.symlink_to(precious / "thesis.txt" if link in ("room", "journal.jsonl") else precious)
    resume(tmp_path / "out")
    assert os.path.lexists(place)  # not ours: it stays as it is


def test_a_folder_left_behind_that_is_a_link_is_not_taken(tmp_path, precious):
    (tmp_path / "out").mkdir()
    (precious / "run.lock").write_bytes(b"cellflax predict\n")
    (tmp_path / "out/.unfinished.abc").symlink_to(precious)
    resume(tmp_path / "out")
    (precious / "run.lock").write_text("mine")


def test_a_result_that_is_a_link_is_replaced_and_not_written_through(tmp_path, precious):
    publish(tmp_path / "out", {"a": entry()})
    (tmp_path / "out" / results.CELLS).unlink()
    (tmp_path / "out" / results.CELLS).symlink_to(precious / "thesis.txt")
    with result_set(tmp_path / "out", overwrite=True, command="predict") as made:
        (made.folder / results.CELLS).write_text("new")
        made.publish({"cellflax": "1"})
    assert (tmp_path / "out" / results.CELLS).read_text() == "new"
    assert not (tmp_path / "out" / results.CELLS).is_symlink()
