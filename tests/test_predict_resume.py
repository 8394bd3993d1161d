"""`cellflax.predict` that was ended early: what it leaves, and that `resume=true` completes it without repeating it."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from cellflax import predict
from cellflax.io import images as io_images
from cellflax.prediction import batch, files
from tests.commands import Result, finish_command, run_command, start_command
from tests.predictions import one_file
from tests.test_predict import full_disk

NAMES = [f"i{index:02d}" for index in range(20)]
BAD = ["i03", "i11", "i17"]


def many(fields: Path, folder: Path, names: list[str] = NAMES, bad: list[str] = BAD) -> Path:
    """Images that all differ, some of them damaged."""
    first = tifffile.imread(one_file(fields, folder / f"{names[0]}.tif"))
    for index, name in enumerate(names):
        pixels = np.roll(first, 5 * index, axis=-1)
        tifffile.imwrite(folder / f"{name}.tif", pixels, metadata={"axes": "CYX"}, photometric="minisblack")
    for name in bad:
        spoil(folder / f"{name}.tif")
    return folder


def spoil(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-5000])


@pytest.fixture
def run(trained, tmp_path) -> Callable[..., Result]:
    """Predict tmp_path/in into tmp_path/out."""

    def predicted(*options: str, output: str = "out") -> Result:
        given = (f"checkpoint={trained.path}", f"input={tmp_path / 'in'}", f"output={tmp_path / output}")
        return run_command(predict.main, *given, *options)

    return predicted


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def record(folder: Path) -> dict:
    return json.loads((folder / "provenance.json").read_text())


def assert_same_results(one: Path, other: Path) -> None:
    assert names_in(one) == names_in(other)
    for name in names_in(one):
        if name.endswith(".tif"):
            np.testing.assert_array_equal(tifffile.imread(one / name), tifffile.imread(other / name), name)
        elif name not in ("provenance.json", "report.html"):  # which hold the time and the files of their run
            assert (one / name).read_bytes() == (other / name).read_bytes(), name


def segmented(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the images that are opened to be segmented from now on."""
    names: list[str] = []
    segment = batch.ImageBatch.segment

    def noted(self, source):
        names.append(source.files.name)
        segment(self, source)

    monkeypatch.setattr(batch.ImageBatch, "segment", noted)
    return names


def hidden(folder: Path) -> list[Path]:
    return sorted(folder.glob(".*")) if folder.exists() else []


def finished(folder: Path) -> int:
    """How many images the journal of a running command has."""
    journals = [path / "journal.jsonl" for path in hidden(folder)]
    return sum(len(path.read_text().splitlines()) - 1 for path in journals if path.exists())


def killed_half_way(trained: Path, tmp_path: Path, number: signal.Signals) -> Result:
    """A command in a process of its own, which gets a signal when seven images are finished."""
    given = (f"checkpoint={trained}", f"input={tmp_path / 'in'}", f"output={tmp_path / 'out'}")
    process = start_command("cellflax.predict", *given, cwd=tmp_path)
    deadline = time.monotonic() + 120
    while process.poll() is None and finished(tmp_path / "out") < 7 and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(number)
    return finish_command(process)


OTHER_SIGNALS = [pytest.param(*end, marks=pytest.mark.slow) for end in ((signal.SIGTERM, 143), (signal.SIGINT, 130))]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, -9), *OTHER_SIGNALS])
def test_killed_half_way_and_completed(run, trained, fields, tmp_path, monkeypatch, number, status):
    many(fields, tmp_path / "in")
    out = tmp_path / "out"
    result = killed_half_way(trained.path, tmp_path, number)
    assert result.status == status, result.err
    if number is signal.SIGKILL:
        lock, left = hidden(out)
        assert lock.name == ".provenance.lock"
        done = {json.loads(line)["image"] for line in (left / "journal.jsonl").read_text().splitlines()[1:]}
        assert names_in(out) == [lock.name, left.name]
    else:
        assert result.error == ("ended by SIGTERM" if number is signal.SIGTERM else "interrupted")
        assert "resume=true completes them" in result.err
        done = set(record(out)["images"])
        assert record(out)["complete"] is False
        assert names_in(out) == [
            "cells.partial.csv",
            *(f"{name}_labels.tif" for name in sorted(done)),
            "provenance.json",
        ]
        assert set(pd.read_csv(out / "cells.partial.csv")["image"]) == done
    assert 7 <= len(done) < 17

    again = segmented(monkeypatch)
    completed = run("resume=true")
    assert completed.status == 1  # three images are bad
    assert f"resume: {len(done)} of 20 images are finished already" in completed.err, completed.err
    assert set(again) == set(NAMES) - done
    assert hidden(out) == []
    assert list(record(out)["failed"]) == BAD
    assert record(out)["complete"] is False
    assert run(output="whole").status == 1
    assert_same_results(out, tmp_path / "whole")


def test_bad_images_alone_are_tried_again(run, fields, tmp_path, monkeypatch):
    names, bad = ["a", "b", "c", "d"], ["b"]
    good = many(fields, tmp_path / "good", names, [])
    many(fields, tmp_path / "in", names, bad)
    assert run().status == 1
    again = segmented(monkeypatch)
    assert run("resume=true").status == 1
    assert again == bad
    shutil.copy(good / "b.tif", tmp_path / "in")
    one_file(fields, tmp_path / "in" / "aa.tif", "field_0008")
    again.clear()
    assert run("resume=true").status == 0
    assert again == ["aa", "b"]
    assert record(tmp_path / "out")["complete"] is True
    assert record(tmp_path / "out")["images"] == ["a", "aa", "b", "c", "d"]
    assert run(output="whole").status == 0
    assert_same_results(tmp_path / "out", tmp_path / "whole")


def test_what_changed_is_done_again(run, fields, tmp_path, monkeypatch):
    many(fields, tmp_path / "in", ["a", "b", "c"], [])
    assert run().status == 0
    changed = tmp_path / "in" / "b.tif"
    os.utime(changed, ns=(0, changed.stat().st_mtime_ns + 1))
    (tmp_path / "out" / "c_labels.tif").unlink()
    again = segmented(monkeypatch)
    table = (tmp_path / "out" / "cells.csv").read_bytes()
    result = run("resume=true")
    assert result.status == 0
    assert "b: its file was changed since" in result.err
    assert again == ["b", "c"]
    assert (tmp_path / "out" / "cells.csv").read_bytes() == table


def test_a_full_disk_and_then_room(run, fields, tmp_path, monkeypatch):
    many(fields, tmp_path / "in", ["a", "b", "c"], [])
    out = tmp_path / "out"
    monkeypatch.setattr(files, "write_labels", full_disk(2))
    assert run("resume=true").status == 1  # nothing to continue from is no mistake
    assert names_in(out) == ["a_labels.tif", "b_labels.tif", "cells.partial.csv", "provenance.json"]
    monkeypatch.setattr(files, "write_labels", full_disk(0))
    assert run("resume=true").status == 1  # without a step further, nothing is lost
    assert names_in(out) == ["a_labels.tif", "b_labels.tif", "cells.partial.csv", "provenance.json"]
    monkeypatch.setattr(files, "write_labels", io_images.write_labels)
    again = segmented(monkeypatch)
    assert run("resume=true").status == 0
    assert again == ["c"]
    assert names_in(out) == [
        "a_labels.tif",
        "b_labels.tif",
        "c_labels.tif",
        "cells.csv",
        "overlay.png",
        "provenance.json",
        "report.html",
    ]


def test_no_room_for_the_table_either(run, fields, tmp_path, monkeypatch):
    """Then the finished images stay hidden, and are found again."""
    many(fields, tmp_path / "in", ["a", "b", "c"], [])
    full = OSError(28, "No space left on device")

    def cannot(*_):
        raise full

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_labels", full_disk(2))
        patch.setattr(predict, "join_tables", cannot)
        result = run()
        assert result.status == 1
    assert "2 finished images are kept" in result.err
    assert len(names_in(tmp_path / "out")) == len(hidden(tmp_path / "out")) == 1
    again = segmented(monkeypatch)
    assert run("resume=true").status == 0
    assert again == ["c"]
    assert hidden(tmp_path / "out") == []


@pytest.mark.parametrize("publish", [True, False])
def test_another_run_is_not_resumed(run, trained, fields, tmp_path, monkeypatch, publish):
    many(fields, tmp_path / "in", ["a", "b"], [])
    with monkeypatch.context() as patch:
        patch.setattr(files, "write_labels", full_disk(1))
        if not publish:
            patch.setattr(predict, "join_tables", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                run()
        else:
            assert run().status == 1
    before = sorted(str(path) for path in (tmp_path / "out").rglob("*"))
    result = run("resume=true", "block=1024")
    assert result.status == 1
    assert "the run there had block=2048, this one has 1024; resume=true needs the same" in result.error
    assert sorted(str(path) for path in (tmp_path / "out").rglob("*")) == before
    shutil.copytree(trained.path, tmp_path / "moved")
    assert run("resume=true", f"checkpoint={tmp_path / 'moved'}").status == 0  # the same weights elsewhere


def test_images_that_are_gone_and_results_that_were_changed(run, fields, tmp_path):
    many(fields, tmp_path / "in", ["a", "b"], [])
    assert run().status == 0
    (tmp_path / "in" / "b.tif").rename(tmp_path / "b.tif")
    assert "lacks b, which the run in" in run("resume=true").error
    (tmp_path / "b.tif").rename(tmp_path / "in" / "b.tif")
    labels = tmp_path / "out" / "a_labels.tif"
    labels.write_bytes(labels.read_bytes() + b"mine")
    assert "a_labels.tif was changed since cellflax wrote it" in run("resume=true").error
    assert labels.read_bytes().endswith(b"mine")


def test_a_file_cut_off_by_the_kill_is_done_again(run, trained, fields, tmp_path, monkeypatch):
    many(fields, tmp_path / "in")
    assert killed_half_way(trained.path, tmp_path, signal.SIGKILL).status == -9
    _, left = hidden(tmp_path / "out")
    spoil(left / "results" / "i02_labels.tif")
    (left / "cells" / "i04.csv").write_text("image\n")
    with (left / "journal.jsonl").open("a") as journal:
        journal.write('{"image": "i19", "inp')
    again = segmented(monkeypatch)
    assert run("resume=true").status == 1
    assert {"i02", "i04", "i19"} <= set(again)
    assert run(output="whole").status == 1
    assert_same_results(tmp_path / "out", tmp_path / "whole")


def test_without_resume_what_is_left_is_named_and_removed(run, trained, fields, tmp_path):
    many(fields, tmp_path / "in")
    assert killed_half_way(trained.path, tmp_path, signal.SIGKILL).status == -9
    result = run()
    assert result.status == 1
    (line,) = (line for line in result.err.splitlines() if "a run that was killed left" in line)
    assert "add resume=true" in line
    assert hidden(tmp_path / "out") == []


def test_killed_while_results_are_moved_in(run, fields, tmp_path, monkeypatch):
    many(fields, tmp_path / "in", ["a", "b", "c"], [])
    move, moved = os.replace, []

    def killed(source, target):
        if Path(target).parent == tmp_path / "out" and Path(target).name != "provenance.json":
            moved.append(target)
            if len(moved) == 2:
                raise SystemExit(9)
        move(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        run()
    assert record(tmp_path / "out")["complete"] is False
    again = segmented(monkeypatch)
    assert run("resume=true").status == 0
    assert again == []
    assert run(output="whole").status == 0
    assert_same_results(tmp_path / "out", tmp_path / "whole")
