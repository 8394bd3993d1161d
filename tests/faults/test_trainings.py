"""Faults at random moments of trainings; `python -m tests.faults.kill_trainings` tries more of them."""

import os
import random
import signal

import pytest

from cellflax import train
from tests.commands import TINY, arrays_of, assert_same_arrays, checkpoint_steps, metrics_of, run_command
from tests.faults.kill_trainings import FAULTS, campaign_of, table
from tests.faults.trainings import Running


def test_killed_while_a_checkpoint_is_written(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "4")  # as in this process: threads round differently
    run = tmp_path / "run"
    running = Running.start(run, *TINY)
    assert running.wait(random.Random(0), "saving", 0)
    running.signal(signal.SIGKILL)
    assert running.finish().status == -9
    assert (run / ".cellflax.lock").exists()
    result = run_command(train.main, *TINY, f"run={run}")
    assert result.status == 0, result.err
    assert checkpoint_steps(run) == checkpoint_steps(tiny.path)
    assert_same_arrays(arrays_of(run, 12), arrays_of(tiny.path, 12))
    assert metrics_of(run) == metrics_of(tiny.path)
    assert not [path for path in run.rglob(".*") if path.is_file()]


@pytest.mark.slow
def test_every_fault(tmp_path):
    count, seed = int(os.environ.get("CELLFLAX_KILLS", "24")), random.randrange(1 << 16)
    campaign, wrong = campaign_of(tmp_path, count, seed, list(FAULTS))
    print(f"seed {seed}\n{table(campaign)}")
    assert not wrong, (seed, wrong)
    assert campaign.met.total() == count
    assert campaign.resumed >= 2
