"""Each training has a run directory of its own."""

import errno
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cellflax import train, validate
from cellflax.directory_lock import directory_lock
from cellflax.errors import OutputError
from cellflax.training.run_directory import claim_run_directory, holding_run
from tests.commands import TINY, run_command


def test_two_runs_of_one_second_take_two_directories(tmp_path):
    run = tmp_path / "quick" / "2026-01-02_03-04-05"
    run.mkdir(parents=True)  # as Hydra does, for both
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(claim_run_directory, [run] * 8))
    assert sorted(path.name.removeprefix(run.name) for path in taken) == ["", *(f"_{n}" for n in range(2, 9))]
    assert all(path.is_dir() for path in taken)


def test_a_run_in_use_is_refused_to_all_who_write_to_it(tiny, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tiny.path, run)
    before = contents(run)
    owner = f"cellflax train, process {os.getpid()} on {os.uname().nodename} is writing there; wait until it has ended"
    with directory_lock(run, "train", "run"):
        trained = run_command(train.main, *TINY, f"run={run}")
        tuned = run_command(validate.main, f"checkpoint={run}", "tune=true")
    assert trained.error == f"run={run}: {owner}, or give another directory"
    assert tuned.error == f"checkpoint={run}: {owner}, or give another directory"
    assert (trained.status, tuned.status) == (1, 1)
    assert contents(run) == before


def contents(run: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}


def test_the_jobs_of_two_sweeps_exclude_each_other(tmp_path, returned):
    """Each job has a lock of its own: one that is refused leaves the others."""
    (tmp_path / "1").mkdir()
    with directory_lock(tmp_path / "1", "train", "run"):
        result = run_command(train.main, "-m", *TINY, "trainer.steps=1", "seed=0,1", f"run={tmp_path}")
    assert result.status == 1
    assert f" seed=1 run={tmp_path}: run={tmp_path}/1: cellflax train, process {os.getpid()} on " in result.err
    assert [value == value for value in returned] == [True, False]
    assert (tmp_path / "0" / "summary.json").exists()


def test_what_a_killed_training_left_is_removed(tmp_path):
    for folder in (tmp_path, tmp_path / "checkpoints" / "4", tmp_path / "plan" / "experiment"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".config.json.123.tmp").touch()
    other = tmp_path / "another run" / ".config.json.123.tmp"
    other.parent.mkdir()
    other.touch()
    with holding_run(tmp_path, "train"):
        assert list(tmp_path.rglob("*.tmp")) == [other]  # which may be in use


def test_a_full_disk_is_told_with_a_way_on(tmp_path):
    def write(number: int) -> None:
        with holding_run(tmp_path, "train"):
            raise OSError(number, os.strerror(number), str(tmp_path / "report.html"))

    line = (
        f"{tmp_path}/report.html: cannot be written (No space left on device); make room, and run the same command "
        f"again with run={tmp_path}"
    )
    with pytest.raises(OutputError) as caught:
        write(errno.ENOSPC)
    assert str(caught.value) == line
    with pytest.raises(FileNotFoundError):
        write(errno.ENOENT)
