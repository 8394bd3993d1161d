"""Several processes train one network: losses, lost processes, resumption on another number, and what is refused."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cellflax import train
from cellflax.training import lost_process
from tests.commands import (
    REPOSITORY,
    TINY,
    Result,
    arrays_of,
    checkpoint_steps,
    finish_command,
    metrics_of,
    record_of,
    run_command,
)

LOST = f"error: process {{}}: {lost_process.LOST}\n"
SHARED = tuple(argument for argument in TINY if argument != "trainer.devices=1")


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("localhost", 0))
        return listening.getsockname()[1]


def started(
    run: Path,
    count: int,
    *arguments: str,
    devices: Callable[[int], int] = lambda _: 1,
    own: Callable[[int], list[str]] = lambda _: [],
) -> list:
    """The processes of one training, each with a number of CPU devices and arguments of its own."""
    keys = (f"trainer.coordinator=localhost:{free_port()}", f"trainer.process_count={count}", f"run={run}")
    return [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "cellflax.train",
                *SHARED,
                *arguments,
                *keys,
                *own(index),
                f"trainer.process_id={index}",
            ],
            cwd=run.parent,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "JAX_NUM_CPU_DEVICES": str(devices(index))},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(count)
    ]


def finished(processes: list) -> list[Result]:
    return [finish_command(process) for process in processes]


def losses_of(run: Path) -> dict[tuple[int, str], float]:
    names = ("train_loss", "validation_loss")
    return {(line["step"], name): line[name] for line in metrics_of(run) for name in names if name in line}


def assert_same_losses(run: Path, other: Path) -> None:
    ours, others = losses_of(run), losses_of(other)
    assert ours.keys() == others.keys()
    np.testing.assert_allclose(list(ours.values()), list(others.values()), atol=1e-5)


def wait_for(path: Path, processes: list, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert all(process.poll() is None for process in processes), [process.communicate() for process in processes]
        assert time.monotonic() < end, f"{path} did not come"
        time.sleep(0.05)


def test_two_processes_train_as_one_does(tiny, tmp_path):
    run = tmp_path / "run"
    first, second = finished(started(run, 2))
    assert (first.status, second.status) == (0, 0), first.err + second.err
    assert "training 1 network on 2 of 2 devices of 2 processes" in first.err
    assert first.out.endswith(f"run: {run}\n")
    assert second.err == ""  # one writes
    assert "run:" not in second.out
    assert_same_losses(run, tiny.path)
    assert sorted(path.name for path in run.iterdir()) == sorted(path.name for path in tiny.path.iterdir())
    assert checkpoint_steps(run)[-1] == 12
    ours, alone = (arrays_of(path, 12) for path in (run, tiny.path))
    assert ours.keys() == alone.keys()
    for name in ours:
        np.testing.assert_allclose(ours[name], alone[name], atol=1e-4, err_msg=name)
    assert record_of(run, 12)["training"]["reason"] == "all steps done"


@pytest.mark.slow
def test_lost_processes_and_another_number_of_them(tmp_path):
    """Killed with two processes, killed with four, ended by one: the losses of an uninterrupted training."""
    longer = ("trainer.steps=40", "sampler.batch=4")
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert run_command(train.main, *SHARED, *longer, f"run={whole}", "trainer.devices=1").status == 0
    for count, victim, step in ((2, 1, 4), (4, 0, 16)):
        processes = started(run, count, *longer)
        wait_for(run / "checkpoints" / str(step), processes)
        processes[victim].kill()
        killed = time.monotonic()
        results = finished(processes)
        assert time.monotonic() - killed < 60
        assert results[victim].status == -signal.SIGKILL
        for index, result in enumerate(results):
            if index != victim:
                assert result.status != 0
                assert result.err.endswith(LOST.format(index))
                assert result.err.count("error") == 1
                assert "Traceback" not in result.err
        assert not (run / "checkpoints" / "40").exists()
    (last,) = finished(started(run, 1, *longer))
    assert last.status == 0, last.err
    assert int(re.search(r"resuming at step (\d+) of 40", last.err)[1]) >= 16  # pyright: ignore[reportOptionalSubscript]
    assert_same_losses(run, whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("sampler.stored_crops=8", "sampler.store=store", "trainer.ensemble=2"), id="store-ensemble"),
        pytest.param(("optimizer.average=0.9", "trainer.validate_regions=1"), id="average"),
    ],
)
def test_two_processes_with_two_devices_each(tmp_path, arguments):
    alone, run = tmp_path / "alone", tmp_path / "run"
    arguments = ("sampler.batch=4", *arguments)
    for path, count, devices in ((alone, 1, 4), (run, 2, 2)):
        results = finished(started(path, count, *arguments, devices=lambda _, number=devices: number))
        assert [result.status for result in results] == [0] * count, results[0].err
        if "sampler.store=store" in arguments:
            (tmp_path / "store").rename(tmp_path / f"store_of_{count}")  # each makes its own
    assert_same_losses(run, alone)


@pytest.mark.slow
def test_time_budget_ends_all_processes_at_the_same_step(tmp_path):
    run = tmp_path / "run"
    budget = ("trainer.max_minutes=0.3", "trainer.steps=null", "trainer.validate_every=null")
    first, second = finished(started(run, 2, *budget))
    assert (first.status, second.status) == (0, 0), first.err + second.err
    assert "trainer.max_minutes=0.3 are over" in first.err
    assert record_of(run, checkpoint_steps(run)[-1])["training"]["reason"] is not None


@pytest.mark.slow
def test_a_signal_to_any_process_stops_all_and_saves(tmp_path):
    run = tmp_path / "run"
    processes = started(run, 2, "trainer.steps=100000", "trainer.validate_every=50000")
    wait_for(run / "metrics.jsonl", processes)
    processes[1].terminate()
    first, second = finished(processes)
    assert (first.status, second.status) == (143, 143), first.err + second.err
    assert "stopped by SIGTERM and saved" in first.err
    assert second.err == ""
    assert len(checkpoint_steps(run)) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "devices", "words"),
    [
        pytest.param(
            ("sampler.batch=3",),
            lambda _: 1,
            "sampler.batch=3 cannot be split over 2 devices of 2 processes; give sampler.batch=4, or fewer",
            id="batch",
        ),
        pytest.param(
            (), lambda index: 1 + index, "the processes have 1, 2 devices; start each with as many", id="uneven"
        ),
    ],
)
def test_what_cannot_be_shared_is_refused(tmp_path, arguments, devices, words):
    results = finished(started(tmp_path / "run", 2, *arguments, devices=devices))
    assert all(result.status != 0 for result in results)
    assert words in results[0].error
    assert results[1].err.count("\n") == 1
    assert results[1].err.startswith("error: ")


@pytest.mark.slow
def test_processes_of_different_trainings_are_refused(tmp_path):
    run = tmp_path / "run"
    processes = started(run, 2, own=lambda index: [f"seed={index}"])
    first, second = finished(processes)
    assert "process 1 was given another command line than process 0 (seed=0 seed=1)" in second.error
    assert first.error == LOST.format(0).removeprefix("error: ").removesuffix("\n")
    assert not list((run / "checkpoints").glob("[0-9]*"))


def test_a_sweep_is_for_one_process(tmp_path):
    keys = ("trainer.coordinator=localhost:1", "trainer.process_count=2", "trainer.process_id=0")
    result = run_command(train.main, *TINY, *keys, f"run={tmp_path}", "-m", "seed=0,1")
    assert result.status == 1
    assert result.err.count("a sweep (-m) is for one process, and this is one of several; give trainer.dist") == 2
