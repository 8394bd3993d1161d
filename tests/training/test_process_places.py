"""Which process of a training this is, what each draws, and what is printed of a lost one."""

import re
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from cellflax.data.sampler import CropsConfig, PatchesConfig, Sampler
from cellflax.errors import UserError
from cellflax.training import lost_process
from cellflax.training.cluster import ClusterPlace, place_in_cluster
from cellflax.training.config import Distributed, TrainerConfig
from cellflax.training.processes import ALONE
from cellflax.training.state import data_mesh
from tests.training.test_state import disc_example

SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_NODELIST": "node[3-4]",
    "SLURM_NTASKS": "2",
    "SLURM_LOCALID": "0",
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_PROCID": "1",
}
JAX = {"JAX_COORDINATOR_ADDRESS": "node3:12355", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "1"}


def test_each_device_draws_its_part_of_the_batch_only():
    """So do processes, whose devices these are: no whole batch of pixels anywhere, and none exchanged."""
    mesh = data_mesh(4)
    whole, split = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ("data",)))
    for config in (CropsConfig(batch=12, size=8, compose=0.5), PatchesConfig(batch=12)):
        sampler = Sampler(config, (disc_example(),), border=2, multiple=1, classes=3)
        draw = jax.jit(sampler.__call__, in_shardings=(whole, None, None), out_shardings=split)
        text = draw.lower(sampler.data, np.uint32(0), np.int32(3)).compile().as_text() or ""
        edge = sampler.size + 4
        assert f"f32[3,{edge},{edge},2]" in text
        assert not re.search(r"f32\[12,\d+,\d+", text)
        assert not re.search(r" (all-gather|all-to-all|collective-permute)\(", text)
        np.testing.assert_array_equal(draw(sampler.data, 0, 3).image, sampler(sampler.data, 0, 3).image)


@pytest.mark.parametrize(
    ("settings", "environment", "place"),
    [
        ({}, {}, None),
        ({}, SLURM, ClusterPlace(1, 2, None, "slurm")),
        ({}, {**SLURM, "SLURM_STEP_NUM_TASKS": "1"}, None),  # a shell on a node, or one job of a sweep
        ({"distributed": Distributed.off}, {**SLURM, **JAX}, None),
        ({"distributed": Distributed.slurm}, SLURM, ClusterPlace(1, 2, None, "slurm")),
        ({}, JAX, ClusterPlace(1, 2, "node3:12355", "deactivate")),
        ({}, {**SLURM, **JAX, "JAX_PROCESS_ID": "0"}, ClusterPlace(0, 2, "node3:12355", "deactivate")),
        ({"coordinator": "a:1", "process_count": 3, "process_id": 2}, JAX, ClusterPlace(2, 3, "a:1", "deactivate")),
        ({"coordinator": "a:1", "process_count": 1, "process_id": 0}, {}, None),
    ],
)
def test_place_of_a_process(settings, environment, place):
    assert place_in_cluster(TrainerConfig(**settings), environment) == place


@pytest.mark.parametrize(
    ("settings", "environment", "words"),
    [
        ({"distributed": Distributed.slurm}, {}, "start it with srun"),
        ({"coordinator": "a:1"}, {}, "give all three"),
        ({"process_id": 1}, {}, "give all three"),
        ({"coordinator": "a", "process_count": 2, "process_id": 0}, {}, "give HOST:PORT"),
        ({"coordinator": "a:1", "process_count": 2, "process_id": 2}, {}, "have the numbers 0 to 1"),
        ({}, {**JAX, "JAX_NUM_PROCESSES": "two"}, "JAX_NUM_PROCESSES=two is no number"),
    ],
)
def test_half_a_place_is_refused(settings, environment, words):
    with pytest.raises(UserError, match=words):
        place_in_cluster(TrainerConfig(**settings), environment)


def test_alone_nothing_is_asked_of_anybody():
    value = object()
    assert ALONE.agree(value) is value
    assert ALONE.leads
    assert not jax.distributed.is_initialized()


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("a warning\n[Gloo] Rank 0\nanother\n", "a warning\nanother\n"),
        ("E1 coordination_service.cc:1 Polled\nmore\nF1 client.h:86 Terminating ... {end}.\n*** stack\n", "told\n"),
        ("{mark}gone\nF1 client.h:86 Terminating ... {end}.\n  @ 0x7f\n", "gone\n"),
        ("{mark}gone\n{mark}\nF1 client.h:86 Terminating ... {end}.\n", "gone\n"),
        ("terminate called after throwing\n", "terminate called after throwing\n"),
    ],
)
def test_one_line_in_the_place_of_a_report(printed, shown):
    mark = lost_process._MARK.decode()
    printed = mark + "told\n" + printed.format(mark=mark, end=lost_process._END.decode())
    helper = subprocess.run(
        [sys.executable, "-I", "-S", lost_process.__file__], input=printed, capture_output=True, text=True, check=True
    )
    assert (helper.stdout, helper.stderr) == ("", shown)
