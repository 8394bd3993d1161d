"""Shards of a prediction, and `cellflax.gather`, which makes of them what one process would have made."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cellflax import gather, predict, quantify
from cellflax.errors import UserError
from cellflax.io.result_set import lock_file
from cellflax.locks import Lock
from cellflax.report.page import render
from tests.commands import Result, run_command
from tests.test_predict import full_disk
from tests.test_predict_resume import assert_same_results, hidden, many, names_in, record, segmented, spoil

NAMES = ["a", "b", "c", "d", "e"]
SHARDS = 3


def predicted(trained: Path, root: Path, output: str, *options: str) -> Result:
    given = (f"checkpoint={trained}", f"input={root / 'in'}", f"output={root / output}")
    return run_command(predict.main, *given, *options)


def gathered(root: Path, *options: str, output: str = "out") -> Result:
    return run_command(gather.main, f"output={root / output}", *options)


@pytest.fixture(scope="module")
def reports() -> list:
    return []


@pytest.fixture(scope="module")
def root(trained, fields, tmp_path_factory, reports) -> Path:
    """Five images, one damaged, and a movie with a blank frame: `whole` by one process, and the shards of `out`."""
    root = tmp_path_factory.mktemp("shards")
    many(fields, root / "in", NAMES, ["d"])
    movie = np.stack([tifffile.imread(root / "in" / f"{name}.tif") for name in "abc"])
    movie[1] = 7
    tifffile.imwrite(root / "in" / "movie.tif", movie, metadata={"axes": "TCYX"}, photometric="minisblack")
    options = ("test_time_augmentation=4", "export=[geojson]")
    make = predict.prediction_report
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predict, "prediction_report", lambda *given: reports.append(make(*given)) or reports[-1])
        whole = predicted(trained.path, root, "whole", *options)
        shards = predicted(trained.path, root, "out", *options, "-m", f"shard=range({SHARDS})", f"shards={SHARDS}")
        assert len(reports) == 1 + SHARDS
        del reports[1:]
        shutil.copytree(root / "out", root / "kept")
        result = gathered(root)
        assert len(reports) == 2, result.err
    assert (whole.status, shards.status, result.status) == (1, 1, 1)  # one image is damaged
    assert "error: job" in shards.err
    assert result.error == whole.error.replace("whole", "out")
    return root


def test_gathered_shards_are_what_one_process_makes(root):
    files = [name for name in names_in(root / "out") if name != "shards"]
    assert files == names_in(root / "whole")
    for name in ("cells.csv", "overlay.png", "geojson/a.geojson"):
        assert (root / "out" / name).read_bytes() == (root / "whole" / name).read_bytes(), name
    for file in (root / "whole").glob("*.tif"):
        np.testing.assert_array_equal(tifffile.imread(file), tifffile.imread(root / "out" / file.name))
    one, other = record(root / "whole"), record(root / "out")
    assert other.pop("gathered") == {"shards": SHARDS, "devices": [_device(root)]}
    for each in (one, other):
        each["settings"].pop("output")
        for done in each["resume"]["done"].values():  # TIFFs hold an identifier of their own
            done["files"] = list(done["files"])
    assert one == other
    assert set(one["failed"]) == {"d", "movie, frame 1"}
    assert one["images"] == ["a", "b", "c", "e", "movie"]


def _device(root: Path) -> str:
    return record(root / "kept" / "shards" / f"0-of-{SHARDS}")["shard"]["device"]


def test_the_report_is_that_of_one_process(root, reports):
    whole, other = (replace(one, facts=(), tables=one.tables[:1]) for one in reports)
    assert [gallery.title for gallery in whole.galleries] == ["Images", "The most uncertain cells"]
    assert render(other) == render(whole)
    page = (root / "out" / "report.html").read_text()
    assert "cellflax gather output=" in page
    assert _device(root) in page


def test_shards_that_were_gathered_go_on_as_one_prediction(trained, root, tmp_path, fields, monkeypatch):
    shutil.copytree(root, tmp_path / "all")
    many(fields, tmp_path / "good", NAMES, [])
    shutil.copy(tmp_path / "good" / "d.tif", tmp_path / "all" / "in")
    for file in (root / "in").iterdir():
        if file.name != "d.tif":
            shutil.copystat(file, tmp_path / "all" / "in" / file.name)
    again = segmented(monkeypatch)
    result = predicted(trained.path, tmp_path / "all", "out", "test_time_augmentation=4", "resume=true")
    assert result.status == 0, result.err
    assert again == ["d"]
    assert record(tmp_path / "all" / "out")["complete"] is True


def test_gathering_again(root, tmp_path):
    """The same shards replace what was gathered from them, and nothing else."""
    out = tmp_path / "out"
    shutil.copytree(root / "out", out)
    (out / "mine.txt").write_text("mine")
    assert gathered(tmp_path).status == 1  # of the damaged image
    assert set(names_in(out)) == {*names_in(root / "out"), "mine.txt"}
    assert (out / "cells.csv").read_bytes() == (root / "out" / "cells.csv").read_bytes()
    assert "holds the results of an earlier run" in gathered(tmp_path, "overwrite=false").error
    shutil.copytree(root / "whole", tmp_path / "of_one")
    shutil.copytree(root / "kept" / "shards", tmp_path / "of_one" / "shards")
    assert "holds the results of an earlier run" in gathered(tmp_path, output="of_one").error
    shutil.copytree(root / "kept", tmp_path / "other")
    (tmp_path / "other" / "cells.csv").write_text("mine")
    assert "cells.csv is there already" in gathered(tmp_path, output="other").error
    assert (tmp_path / "other" / "cells.csv").read_text() == "mine"
    assert names_in(tmp_path / "other") == ["cells.csv", "shards"]


@pytest.fixture
def copied(root, tmp_path) -> Path:
    """Shards that are not gathered, to be spoiled; their images stay where they are."""
    shutil.copytree(root / "kept", tmp_path / "out")
    return tmp_path / "out" / "shards"


def change(folder: Path, edit: Callable[[dict], object]) -> None:
    """Change what a shard says of itself."""
    file = folder / "provenance.json"
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))


def hide_images(one: Path) -> None:
    """As a run leaves its folder that was ended in the middle of it."""
    change(one, lambda r: r["resume"].update(table={"cells.partial.csv": [1, 1]}, done={}))


def as_copy(of: Path, one: Path) -> None:
    shutil.rmtree(one)
    shutil.copytree(of, one)


SPOILED = {
    "removed": (shutil.rmtree, "shard 1 of 3 is missing; run cellflax predict with shards=3 and shard=1"),
    "killed": (lambda one: (one / "provenance.json").unlink(), "shard 1 of 3 has not ended; run it again with resume"),
    "ended early": (hide_images, "shard 1 of 3 was ended before b, e; run it again with resume=true"),
    "other settings": (
        lambda one: change(one, lambda r: r["resume"]["run"]["settings"].update(block=512)),
        "shard 0 of 3 had block=2048, shard 1 of 3 had 512",
    ),
    "other weights": (
        lambda one: change(one, lambda r: r["resume"]["run"]["checkpoint"].update(step=7)),
        "shard 1 of 3 had 7; run one of them again",
    ),
    "more images": (lambda one: change(one, lambda r: r["shard"].update(total=7)), "shard 1 of 3 7); run all again"),
    "an image of another": (
        lambda one: change(one, lambda r: r["shard"]["places"].update(a=1) or r["failed"].update(a="bad")),
        "a is in ",
    ),
    "an image lost": (
        lambda one: change(one, lambda r: r["shard"]["places"].pop("b")),
        "5 of 6 images are in them",
    ),
    "a copy": (lambda one: as_copy(one.parent / "0-of-3", one), "1-of-3: holds shard 0 of 3"),
    "two divisions": (lambda one: one.with_name("1-of-4").mkdir(), "shards of 3 and of 4 are there"),
    "two names": (lambda one: one.with_name("01-of-3").mkdir(), "4 folders for 3 shards"),
    "another's record": (lambda one: (one / "provenance.json").write_text("{}"), "is not the record of a shard"),
    "a changed table": (lambda one: (one / "cells.csv").write_text("image\n"), "cells.csv: was changed since"),
    "a changed image": (lambda one: spoil(one / "b_labels.tif"), "b_labels.tif: was changed since cellflax wrote it"),
    "an image removed": (lambda one: (one / "b_labels.tif").unlink(), "b_labels.tif: is missing"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_shards_that_do_not_make_one_set(copied, tmp_path, case):
    spoil_it, line = SPOILED[case]
    spoil_it(copied / "1-of-3")
    result = gathered(tmp_path)
    assert result.status == 1
    assert line in result.error
    assert names_in(tmp_path / "out") == ["shards"]


def test_a_shard_that_is_running(copied, tmp_path):
    with Lock.take(lock_file(copied / "2-of-3", "predict"), "predict"):
        assert "shard 2 of 3 is still running" in gathered(tmp_path).error


def test_images_that_are_not_those_of_the_shards(root, tmp_path):
    shutil.copytree(root / "kept", tmp_path / "out")
    shutil.copytree(root / "in", tmp_path / "in")
    for folder in (tmp_path / "out" / "shards").glob("*-of-*"):
        change(folder, lambda r: r["settings"].update(input=str(tmp_path / "in")))
    (tmp_path / "in" / "e.tif").rename(tmp_path / "e.tif")
    assert "lacks e, which the shards" in gathered(tmp_path).error
    (tmp_path / "e.tif").rename(tmp_path / "in" / "e.tif")
    shutil.copy2(tmp_path / "in" / "e.tif", tmp_path / "in" / "new.tif")
    assert "has new, which the shards" in gathered(tmp_path).error
    (tmp_path / "in" / "new.tif").unlink()
    os.utime(tmp_path / "in" / "e.tif")
    assert "e: its file was changed since; run shard 1 of 3 again with resume=true" in gathered(tmp_path).error
    shutil.rmtree(tmp_path / "in")
    assert "an option of the shards in" in gathered(tmp_path).error


@pytest.mark.slow
def test_a_killed_shard_is_resumed(trained, fields, tmp_path, monkeypatch):
    many(fields, tmp_path / "in", NAMES, [])
    shard = ("shards=2", "shard=0", "resume=true")
    with monkeypatch.context() as patch:  # a hidden folder is left, as by SIGKILL
        patch.setattr("cellflax.prediction.files.write_labels", full_disk(2))
        patch.setattr(predict, "join_tables", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            predicted(trained.path, tmp_path, "out", *shard)
    assert len(hidden(tmp_path / "out" / "shards" / "0-of-2")) == 1
    assert predicted(trained.path, tmp_path, "out", "shards=2", "shard=1").status == 0
    assert "shard 0 of 2 has not ended" in gathered(tmp_path).error
    again = segmented(monkeypatch)
    assert predicted(trained.path, tmp_path, "out", *shard).status == 0
    assert again == ["e"]
    assert gathered(tmp_path).status == 0
    assert predicted(trained.path, tmp_path, "whole").status == 0
    shutil.rmtree(tmp_path / "out" / "shards")
    assert_same_results(tmp_path / "out", tmp_path / "whole")
    result = run_command(quantify.main, "method=cells", f"predicted={tmp_path / 'out'}", f"output={tmp_path / 'cells'}")
    assert f"cells in {len(NAMES)} images" in result.out


@pytest.mark.slow
def test_more_images_change_the_parts(trained, fields, tmp_path, monkeypatch):
    many(fields, tmp_path / "in", ["b", "c"], [])
    every = ("-m", "shard=0,1", "shards=2", "resume=true")
    assert predicted(trained.path, tmp_path, "out", *every).status == 0
    many(fields, tmp_path / "in", ["a"], [])
    again = segmented(monkeypatch)
    result = predicted(trained.path, tmp_path, "out", *every)
    assert result.status == 0, result.err
    assert again == ["a", "c", "b"]  # c is now in the shard that had b
    assert "b: belongs to another shard now" in result.err
    assert names_in(tmp_path / "out" / "shards" / "1-of-2")[:2] == ["b_labels.tif", "cells.csv"]
    assert gathered(tmp_path).status == 0
    assert record(tmp_path / "out")["images"] == ["a", "b", "c"]


@pytest.mark.slow
def test_all_images_of_a_shard_are_bad(trained, fields, tmp_path):
    many(fields, tmp_path / "in", ["a", "b"], ["b"])
    assert predicted(trained.path, tmp_path, "out", "-m", "shard=0,1", "shards=2").status == 1
    result = gathered(tmp_path)
    assert "1 images or frames were not segmented, the others are in" in result.error
    assert record(tmp_path / "out")["images"] == ["a"]
    assert list(record(tmp_path / "out")["failed"]) == ["b"]
    spoil(tmp_path / "in" / "a.tif")
    assert predicted(trained.path, tmp_path, "none", "-m", "shard=0,1", "shards=2").status == 1
    assert "nothing is written" in gathered(tmp_path, output="none").error
    assert names_in(tmp_path / "none") == ["shards"]


def test_an_output_that_cannot_be_gathered_in_is_refused_at_once(trained, root, tmp_path):
    (tmp_path / "provenance.json").write_text("{}")
    given = (f"checkpoint={trained.path}", f"input={root / 'in'}", f"output={tmp_path}", "shards=2", "shard=0")
    assert "does not list the files of its run" in run_command(predict.main, *given).error
    assert names_in(tmp_path) == ["provenance.json"]


def test_without_shards(tmp_path):
    result = gathered(tmp_path)
    assert "no shards there" in result.error
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_files_are_copied_where_they_cannot_have_two_names(copied, tmp_path, monkeypatch):
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    one, other = copied / "0-of-3" / "a_labels.tif", tmp_path / "out" / "a_labels.tif"
    assert one.read_bytes() == other.read_bytes()
    assert not one.samefile(other)


def test_options_of_a_shard_that_cannot_be_read(copied, tmp_path):
    for folder in copied.glob("*-of-*"):
        change(folder, lambda r: r["settings"].update(tile="many"))
    with pytest.raises(UserError, match="tile"):
        gather.gather(gather.GatherConfig(output=str(tmp_path / "out")))
