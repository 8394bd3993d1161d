"""Harsh settings for all tests: several devices, no broadcasting between ranks, no network, no display.

Warnings are errors by pyproject.toml.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

os.environ["MPLBACKEND"] = "Agg"
os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_SILENT"] = "true"
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"  # trainings of a second: compiling is all of it

import jax

from tests.commands import Result, run_command

# By jax.config rather than the environment, so that commands run as subprocesses see a user's defaults.
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Directory of the public data sets; their tests are skipped where there is none."""
    root = os.environ.get("CELLFLAX_DATA")
    if not root:
        pytest.skip("CELLFLAX_DATA is not set: no public data sets")
    path = Path(root)
    if not path.is_dir():
        pytest.fail(f"CELLFLAX_DATA={root} is not a directory")
    return path


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of the tests' own, shared by the commands that they run."""
    path = tmp_path_factory.mktemp("cache")
    os.environ["CELLFLAX_CACHE"] = str(path)
    return path


@dataclass(frozen=True)
class TrainedRun:
    """A finished `+debug=quick` training: its directory, and how the command ended."""

    path: Path
    result: Result


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    """One small training that all tests share; they must not change its directory."""
    from cellflax import train  # here, because only tests that train should wait for it

    path = tmp_path_factory.mktemp("runs") / "quick"
    return TrainedRun(path, run_command(train.main, "+debug=quick", f"run={path}"))


@pytest.fixture(scope="session")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two simulated fields like those of `+debug=quick`, as files."""
    from cellflax import simulate

    path = tmp_path_factory.mktemp("fields") / "simulated"
    size = ("hela.height=128", "hela.width=128", "hela.pixel_size_um=1.3")
    result = run_command(simulate.main, f"output={path}", "fields=2", "seed=7", *size)
    assert result.status == 0, result.err
    return path
