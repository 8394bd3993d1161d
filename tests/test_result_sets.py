"""What each command leaves is one set: refused where an earlier one is, replaced alone, whole or said not to be."""

import errno
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cellflax import annotate, convert, evaluate, export, quantify, simulate, summarize, track
from cellflax.io import result_set, results
from cellflax.io.unfinished import Unfinished
from tests.commands import Result, run_command
from tests.conversion.keras1_files import BATCH_NORM, Published
from tests.evaluation.fields import write_fields
from tests.exporting.stored import write_predicted
from tests.run_directories import write_run


def _labels(folder: Path) -> Path:
    """A label movie of two cells in three frames, as one file per frame."""
    (folder / "movie").mkdir()
    frame = np.zeros((40, 60), np.uint16)
    frame[5:20, 5:20], frame[22:35, 30:50] = 1, 2
    for t in range(3):
        tifffile.imwrite(folder / "movie" / f"t{t}_labels.tif", np.roll(frame, t, axis=1))
    return folder / "movie"


@dataclass(frozen=True)
class Command:
    """A command, its arguments for inputs that it makes below a folder, and one of its results."""

    name: str
    main: Callable[[], None]
    arguments: Callable[[Path, Path], list[str]]
    result: str


COMMANDS = (
    Command(
        "evaluate", evaluate.main,
        lambda folder, _: [f"predicted={write_fields(folder) / 'predicted'}", f"reference={folder / 'reference'}"],
        results.PER_CELL,
    ),
    Command("track", track.main, lambda folder, _: [f"input={_labels(folder)}", "overlay=false"], "mask001.tif"),
    Command(
        "quantify", quantify.main, lambda folder, _: ["method=cells", f"predicted={_labels(folder)}"], results.CELLS
    ),
    Command(
        "annotate", annotate.main,
        lambda _, fields: [
            f"input={fields}/images", "pattern=field_{site}_{channel}.tif", "nuclear=nuclear", "images=[phase]"
        ],
        "labels/0007.tif",
    ),
    Command(
        "simulate", simulate.main, lambda *_: ["fields=1", "hela.height=64", "hela.width=64"],
        "images/field_0001_phase.tif",
    ),
    Command(
        "convert", convert.main,
        lambda folder, _: [f"source={Published(BATCH_NORM, classes=3).write(folder / 'published.h5')}"],
        "checkpoints/0/_CHECKPOINT_METADATA",
    ),
    Command(
        "export", export.main, lambda folder, _: [f"input={write_predicted(folder)}", "format=[geojson]"],
        "geojson/movie.geojson",
    ),
    Command("summarize", summarize.main, lambda folder, _: [str(write_run(folder / "runs/a"))], results.RUNS_TABLE),
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A command with its inputs, which can run."""

    command: Command
    arguments: list[str]
    output: Path

    def run(self, *more: str) -> Result:
        return run_command(self.command.main, *self.arguments, f"output={self.output}", *more)

    @property
    def record(self) -> Path:
        return self.output / results.RECORDS[self.command.name]

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.output)) for path in self.output.rglob("*") if path.is_file())

    def assert_whole(self, *strangers: str) -> None:
        """The record lists all that is there, but for itself and other people's files."""
        record = json.loads(self.record.read_text())
        assert record["complete"], record
        assert (record["command"], record["files"]) == (self.command.name, sorted(record["files"]))
        assert sorted([*record["files"], self.record.name, *strangers]) == self.files()
        assert self.command.result in record["files"]


@pytest.fixture(params=COMMANDS, ids=lambda command: command.name)
def case(request, tmp_path, fields) -> Case:
    (tmp_path / "in").mkdir()
    return Case(request.param, request.param.arguments(tmp_path / "in", fields), tmp_path / "out")


def test_a_second_run_is_refused_and_replaces_its_own_files_alone(case):
    first = case.run()
    assert first.status == 0, first.err
    case.assert_whole()
    before = case.record.read_bytes()
    again = case.run("overwrite=false")
    assert again.status == 1
    assert "holds the results of an earlier run; give another directory, or add overwrite=true" in again.error
    assert case.record.read_bytes() == before
    (case.output / "mine.txt").write_text("mine")
    (case.output / case.command.result).unlink()
    earlier = json.loads(before)
    (case.output / "old.csv").write_text("of an earlier run that wrote more")
    case.record.write_text(json.dumps(earlier | {"files": [*earlier["files"], "old.csv"]}))
    over = case.run("overwrite=true")
    assert over.status == 0, over.err
    case.assert_whole("mine.txt")
    assert (case.output / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_what_is_quick_to_make_again_is_replaced_unasked(command, tmp_path, fields):
    (tmp_path / "in").mkdir()
    case = Case(command, command.arguments(tmp_path / "in", fields), tmp_path / "out")
    assert case.run().status == 0
    again = case.run()
    assert again.status == (0 if command.name in ("evaluate", "quantify", "summarize") else 1)
    case.assert_whole()


def test_another_quantification_is_not_replaced_unasked(tmp_path):
    movie, out = _labels(tmp_path), tmp_path / "out"
    assert run_command(quantify.main, "method=cells", f"predicted={movie}", f"output={out}").status == 0
    other = ("method=ktr", f"predicted={movie}", f"reporter={movie}", f"nuclei={movie}", f"output={out}")
    assert "holds the results of an earlier run" in run_command(quantify.main, *other).error
    assert (out / results.CELLS).is_file()


@pytest.mark.parametrize("overwrite", ["false", "true"])
def test_a_quantification_leaves_the_table_of_a_prediction(tmp_path, overwrite):
    predicted = write_predicted(tmp_path)
    table = (predicted / results.CELLS).read_bytes()
    given = ("method=cells", f"predicted={predicted}", f"output={predicted}", f"overwrite={overwrite}")
    result = run_command(quantify.main, *given)
    assert result.error == f"output={predicted}: {results.CELLS} of cellflax predict is there; give another directory"
    assert (predicted / results.CELLS).read_bytes() == table


@pytest.mark.parametrize("overwrite", ["false", "true"])
def test_a_strangers_file_is_refused_before_the_work(case, overwrite, monkeypatch):
    stranger = case.output / case.command.result
    stranger.parent.mkdir(parents=True)
    stranger.write_text("mine")
    monkeypatch.setattr(Unfinished, "make", lambda *_: pytest.fail("it began to work"))
    result = case.run(f"overwrite={overwrite}")
    assert result.status == 1
    assert result.error.startswith(f"output={case.output}: ")
    assert "already" in result.error
    assert case.files() == [case.command.result]
    assert stranger.read_text() == "mine"


@pytest.fixture(params=["killed", "disk full"])
def stop(request) -> Callable[..., None]:
    """What ends a command early."""

    def end(*_: object, **__: object) -> None:
        if request.param == "killed":
            raise KeyboardInterrupt
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return end


@pytest.mark.parametrize("earlier", [False, True])
def test_a_run_that_ends_early_leaves_nothing_or_the_earlier_set(case, stop, earlier, monkeypatch):
    before: list[str] = []
    if earlier:
        assert case.run().status == 0
        before = case.files()
    with monkeypatch.context() as patch:
        patch.setattr(result_set, "write_json", stop)
        result = case.run("overwrite=true")
    assert result.status in (1, 130)
    full = f"output={case.output}: cannot be written (No space left on device); make room, or give another"
    assert result.error in ("interrupted", full)
    assert case.output.exists() == earlier
    if earlier:
        assert case.files() == before
        case.assert_whole()


def test_a_run_that_ends_while_files_move_in_says_so_and_is_repaired(case, stop, monkeypatch):
    """No process can move many files at once: the record is there first, and says that they are not all."""
    moves = _first_only(os.replace, stop)
    with monkeypatch.context() as patch:
        patch.setattr(result_set.ResultSet, "_move_in", lambda found, names: _move_one(found, names, moves))
        result = case.run()
    assert result.status in (1, 130)
    record = json.loads(case.record.read_text())
    assert not record["complete"]
    assert set(case.files()) - {case.record.name} < set(record["files"])
    assert "holds the results of an earlier run" in case.run("overwrite=false").error
    repaired = case.run("overwrite=true")
    assert repaired.status == 0, repaired.err
    case.assert_whole()


def _move_one(found: result_set.ResultSet, names: list[str], moves: Iterator[Callable[..., None]]) -> None:
    for name in names:
        target = found._output / name
        target.parent.mkdir(parents=True, exist_ok=True)
        next(moves)(found.folder / name, target)


def _first_only(first: Callable[..., None], then: Callable[..., None]) -> Iterator[Callable[..., None]]:
    yield first
    while True:
        yield then


def test_commands_share_a_directory_with_a_set_each(tmp_path):
    movie, out = _labels(tmp_path), tmp_path / "out"
    given = (f"output={out}", "overwrite=false")
    tracked = run_command(track.main, f"input={movie}", "overlay=false", *given)
    assert tracked.status == 0, tracked.err
    measured = run_command(quantify.main, "method=cells", f"predicted={movie}", *given)
    assert measured.status == 0, measured.err
    again = run_command(track.main, f"input={movie}", "overlay=false", "ctc=false", *given[:1], "overwrite=true")
    assert again.status == 0, again.err
    lists = [json.loads((out / results.RECORDS[name]).read_text())["files"] for name in ("track", "quantify")]
    assert not set(lists[0]) & set(lists[1])
    names = {results.RECORDS["track"], results.RECORDS["quantify"]}
    assert {path.name for path in out.iterdir()} == {*lists[0], *lists[1], *names}
    write_fields(tmp_path)
    sides = (f"predicted={tmp_path / 'predicted'}", f"reference={tmp_path / 'reference'}")
    scored = run_command(evaluate.main, *sides, *given)
    assert f"output={out}: metrics.json of cellflax quantify is there; give another directory" in scored.error


def test_corrections_by_hand_are_never_replaced(tmp_path, fields):
    annotation = next(command for command in COMMANDS if command.name == "annotate")
    case = Case(annotation, annotation.arguments(tmp_path, fields), tmp_path / "out")
    assert case.run().status == 0
    labels = tifffile.imread(case.output / "labels/0007.tif")
    tifffile.imwrite(case.output / "labels/0007.tif", labels * (labels != 1))
    corrected = (case.output / "labels/0007.tif").read_bytes()
    result = case.run("overwrite=true")
    assert "labels/0007.tif was changed since cellflax wrote it, and would be lost" in result.error
    assert (case.output / "labels/0007.tif").read_bytes() == corrected
    review = case.output / "review.csv"
    accepted = (f"review={review}", f"output={tmp_path / 'accepted'}")
    for more, status in (((), 0), ((), 1), (("overwrite=true",), 0)):
        assert run_command(annotate.main, *accepted, *more).status == status
    assert (tmp_path / "accepted/labels/0007.tif").read_bytes() == corrected
    own = run_command(annotate.main, f"review={review}", f"output={case.output}", "overwrite=true")
    assert "is the folder of the review itself" in own.error
