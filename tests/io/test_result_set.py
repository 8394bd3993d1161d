"""One set of results in a directory: whole, never mixed with others, never taken for input."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cellflax.errors import OutputError, UserError
from cellflax.io.journal import Journal
from cellflax.io.result_set import result_set, without_results
from cellflax.io.table_parts import columns_of, join_tables, split_table
from cellflax.io.unfinished import Unfinished
from tests.commands import REPOSITORY


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


@pytest.fixture
def left(tmp_path):
    """The hidden folder of a run that was killed."""
    code = (
        "import os, sys; from cellflax.io.result_set import result_set\n"
        "with result_set(sys.argv[1], False) as found:\n"
        "    (found.folder / 'a.csv').write_text('half'); print(found.folder, flush=True); os.kill(os.getpid(), 9)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "out")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    return Path(done.stdout.strip()).parent


def test_what_a_killed_run_left_is_named_and_removed(left, capsys):
    assert names_in(left) == ["results/a.csv", "run.lock"]
    publish(left.parent, "b.csv")
    assert "removed what a run that was killed left there" in capsys.readouterr().err
    assert names_in(left.parent) == ["b.csv", "provenance.json"]


def test_what_others_use_or_wrote_stays(left):
    foreign = left.with_name(".unfinished.mine")
    foreign.mkdir()
    (foreign / "notes.txt").write_text("mine")
    used = Unfinished.claim(left)
    assert used is not None  # as a living run has it
    assert used.command == "predict"
    publish(left.parent, "b.csv")
    assert (left / "results" / "a.csv").exists()
    used.release()
    publish(left.parent, "c.csv", overwrite=True)
    assert not left.exists()
    assert (foreign / "notes.txt").exists()


def test_the_next_command_removes_what_another_left(left, capsys):
    assert (left.parent / ".provenance.lock").exists()
    with result_set(left.parent, False, command="quantify") as found:
        (found.folder / "c.csv").write_text("c")
        found.publish({"cellflax": "1"})
    assert names_in(left.parent) == ["c.csv", "provenance.quantify.json"]
    assert "removed what a run that was killed left there" in capsys.readouterr().err


def test_finished_images_of_another_command_stay(tmp_path):
    left = Unfinished.make(tmp_path, "predict")
    (left.path / "cells").mkdir()
    (left.path / "cells" / "a.csv").write_text("image,label\n")
    Journal(left.path, {}).start({})
    Journal(left.path, {}).add("a", {}, [], {}, {})
    left.release()
    with result_set(tmp_path, False, command="track") as found:
        found.publish({"cellflax": "1"})
    again = Unfinished.claim(left.path)
    assert again is not None
    again.release()


def test_an_error_names_the_place_that_the_user_knows(tmp_path):
    out = tmp_path / "out"
    full = OSError(errno.ENOSPC, "full")
    for raised, line in (
        (full, f"output={out}: cannot be written (full); make room, or give another"),
        (OutputError("HIDDEN/a.csv: cannot be written (full)"), f"{out}/a.csv: cannot be written (full)"),
        (OutputError("PARENT/room: cannot be written (full)"), f"{out}: cannot be written (full)"),
        (PermissionError(errno.EACCES, "no", "HIDDEN/a"), f"output={out}: cannot be written (no); give another"),
    ):
        with pytest.raises(OutputError) as error, result_set(out, False) as found:
            raise _below(raised, found.folder)
        assert str(error.value) == line
    other = PermissionError(errno.EACCES, "no", str(out / "image.tif"))  # of an input beside the results
    with pytest.raises(PermissionError) as same, result_set(out, False):
        raise other
    assert same.value is other
    assert not out.exists()


def _below(error: Exception, hidden: Path) -> Exception:
    parts = [
        part.replace("HIDDEN", str(hidden)).replace("PARENT", str(hidden.parent)) if isinstance(part, str) else part
        for part in error.args
    ]
    if isinstance(error, OSError) and error.filename:
        parts.append(error.filename.replace("HIDDEN", str(hidden)))
    return type(error)(*parts)


def test_two_at_once_are_refused_by_name(tmp_path):
    with result_set(tmp_path, False, command="track") as found:
        (found.folder / "a.csv").write_text("a")
        named = rf"output={tmp_path}: cellflax track, process {os.getpid()} on \S+ is writing there"
        with pytest.raises(UserError, match=named), result_set(tmp_path, True, command="track"):
            pass
        with result_set(tmp_path, False, command="quantify") as other:  # a set of its own
            (other.folder / "b.csv").write_text("b")
            other.publish({"cellflax": "1"})
        found.publish({"cellflax": "1"})
    assert names_in(tmp_path) == ["a.csv", "b.csv", "provenance.quantify.json", "provenance.track.json"]
    with result_set(tmp_path / "new", False, command="annotate"), pytest.raises(UserError, match="annotate, process"):
        publish(tmp_path / "new", "b.csv")  # predict has the same record


def test_parts_of_a_table(tmp_path):
    parts = [tmp_path / name for name in ("1.csv", "2.csv", "3.csv")]
    parts[0].write_text("image,label,area_px\na,1,0.30000000000000004\n")
    parts[1].write_text('image,frame,label,area_px,area_um2\n"b,c",0,1,5,1e-07\n')
    parts[2].write_text("image,label,area_px\n")
    for order in (parts, parts[::-1]):
        join_tables(tmp_path / "all.csv", order)
        head = (tmp_path / "all.csv").read_text().splitlines()[0]
        assert head == "image,frame,label,area_px,area_um2"
    join_tables(tmp_path / "all.csv", parts)
    assert (tmp_path / "all.csv").read_text().splitlines()[1:] == ["a,,1,0.30000000000000004,", '"b,c",0,1,5,1e-07']
    texts = [part.read_text() for part in parts]
    again = [(part, *columns_of(part)) for part in parts]
    split_table(tmp_path / "all.csv", again)
    assert [part.read_text() for part in parts] == texts
    with pytest.raises(ValueError, match="too many rows"):
        split_table(tmp_path / "all.csv", again[:1])


def test_the_report_leaves_the_pages_of_others(tmp_path):
    names = []
    for _ in range(2):  # the second run replaces its own
        with result_set(tmp_path, overwrite=True, command="evaluate") as found:
            path = found.report()
            assert path is not None
            names.append(path.name)
            path.write_text("scores")
            found.publish({"cellflax": "0"})
    with result_set(tmp_path, overwrite=True, command="track") as found:
        path = found.report()
        assert path is not None
        names.append(path.name)
    (tmp_path / "report.quantify.html").write_text("mine")
    with result_set(tmp_path, overwrite=True, command="quantify") as found:
        assert found.report() is None
    assert names == ["report.html", "report.html", "report.track.html"]
