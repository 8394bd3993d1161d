"""Harsh settings for all tests: several devices, no broadcasting between ranks, no network, no display.

Warnings are errors, and the tests run in one process for each core, by pyproject.toml.
What takes long to make (a training, compiled programs) is made by the first process that needs it, for all of them.
"""

import fcntl
import gc
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

os.environ["MPLBACKEND"] = "Agg"
os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_SILENT"] = "true"
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"  # trainings of a second: compiling is all of it
# Programs here run for moments, so that optimising them costs more than it saves. Commands that run in processes of
# their own inherit this: results are compared bit for bit.
os.environ["XLA_FLAGS"] = f"--xla_backend_optimization_level=0 {os.environ.get('XLA_FLAGS', '')}"

# What a shell starts in the background ignores Ctrl-C, and so would all that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import jax

from tests.commands import TINY, Result, run_command

# Between 5 and 10 % of the time is collecting garbage otherwise, most of it in what imports made and nothing frees.
gc.freeze()
gc.set_threshold(20_000, 10, 10)

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


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of this test run, the same in all its processes."""
    base = tmp_path_factory.getbasetemp()
    path = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    path.mkdir(exist_ok=True)
    return path


@pytest.fixture(scope="session", autouse=True)
def cache(shared: Path) -> Path:
    """A cache of the tests' own, shared by the commands that they run."""
    path = shared / "cache"
    os.environ["CELLFLAX_CACHE"] = str(path)
    jax.config.update("jax_compilation_cache_dir", str(path / "compiled"))  # where commands look, too
    return path


def made_once(path: Path, make: Callable[[], Result]) -> Result:
    """How a command ended that writes a directory; the first process that asks runs it, others wait.

    Args:
        path: directory that the command writes.
        make: runs it.
    """
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        record = path.with_suffix(".json")
        if not record.exists():
            record.write_text(json.dumps(asdict(make())))
    return Result(**json.loads(record.read_text()))


@dataclass(frozen=True)
class TrainedRun:
    """A finished training: its directory, and how the command ended."""

    path: Path
    result: Result


def trained_once(path: Path, *arguments: str) -> TrainedRun:
    from cellflax import train  # here, because only tests that train should wait for it

    return TrainedRun(path, made_once(path, lambda: run_command(train.main, *arguments, f"run={path}")))


@contextmanager
def unchanged(directory: Path) -> Iterator[None]:
    """Tests of other processes read the directory at the same time, so that even a lock that comes and goes is seen."""
    before = times_of_change(directory)
    yield
    after = times_of_change(directory)
    changed = sorted(str(path) for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    assert not changed, f"a test wrote to what all tests share, instead of to a copy: {changed}"


def times_of_change(directory: Path) -> dict[Path, int]:
    """Of the directory and all in it, in nanoseconds; that of a directory changes when a file comes or goes."""
    return {path: path.stat().st_mtime_ns for path in (directory, *directory.rglob("*"))}


@pytest.fixture(scope="session")
def trained(shared: Path) -> Iterator[TrainedRun]:
    """One `+debug=quick` training that all tests share; they must not change its directory."""
    run = trained_once(shared / "quick", "+debug=quick")
    with unchanged(run.path):
        yield run


@pytest.fixture(scope="session")
def tiny(shared: Path) -> Iterator[TrainedRun]:
    """One training of `TINY` that all tests share; they must not change its directory."""
    run = trained_once(shared / "tiny", *TINY)
    assert run.result.status == 0, run.result.err
    with unchanged(run.path):
        yield run


@pytest.fixture(scope="session")
def fields(shared: Path) -> Iterator[Path]:
    """Two simulated fields like those of `+debug=quick`, as files."""
    from cellflax import simulate

    path = shared / "fields"
    size = ("hela.height=128", "hela.width=128", "hela.pixel_size_um=1.3")
    result = made_once(path, lambda: run_command(simulate.main, f"output={path}", "fields=2", "seed=7", *size))
    assert result.status == 0, result.err
    with unchanged(path):
        yield path


@pytest.fixture
def toy_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups of options of the toy command instead of cellflax's."""
    from cellflax.schemas import GROUPS
    from tests.toy_command import TOY_GROUPS

    for group, kinds in TOY_GROUPS.items():
        monkeypatch.setitem(GROUPS, group, kinds)


@pytest.fixture
def returned(monkeypatch):
    """What Hydra hands to the sweeper, job by job."""
    from hydra.core.plugins import Plugins  # here, because only sweeps should wait for it

    values: list[float] = []
    launcher: Any = Plugins.instance().class_name_to_class["hydra._internal.core_plugins.basic_launcher.BasicLauncher"]
    launch = launcher.launch

    def record(*arguments: Any, **named: Any) -> Any:
        jobs = launch(*arguments, **named)
        values.extend(job.return_value for job in jobs)
        return jobs

    monkeypatch.setattr(launcher, "launch", record)
    return values
