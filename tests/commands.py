"""Commands as a user types them, in this process or in one of their own, and small trainings to run them on."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

REPOSITORY = Path(__file__).parents[1]

# A network that compiles in seconds.
TINY_NETWORK = (
    "+debug=quick",
    "model.stages=[{kernels:[4],filters:[8]},{kernels:[3],filters:[8]}]",
    "model.dense=[8]",
    "sampler.size=32",
    "data.fields=1",
    "optimizer.warmup_steps=0",
)
# On one device, so that it computes the same in this process, which has four, as in one of its own.
TINY = (
    *TINY_NETWORK,
    "trainer.devices=1",
    "trainer.steps=12",
    "trainer.validate_every=4",
    "trainer.log_every=2",
)

# A U-Net that compiles in seconds.
TINY_UNET = (
    "model=unet_local",
    "model.down=[[4],[4],[4]]",
    "model.bottom=[4]",
    "model.up=[{upsample:4,filters:[4]},{upsample:4,filters:[4]},{upsample:4,filters:[4]}]",
    "sampler.size=64",
    "sampler.batch=1",
)


@dataclass(frozen=True)
class Result:
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line of a user's mistake."""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        assert self.err.endswith(lines[0] + "\n"), self.err
        assert "Traceback" not in self.err
        return lines[0].removeprefix("error: ")


def run_command(main: Callable[[], None], *arguments: Any) -> Result:
    """Run a command in this process."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    with (
        mock.patch.object(sys, "argv", ["cellflax", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 1
    return Result(status, out.getvalue(), err.getvalue())


def start_command(module: str, *arguments: Any, cwd: Path) -> subprocess.Popen[str]:
    """Start a command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish_command(process: subprocess.Popen[str], timeout: float = 240) -> Result:
    """Wait for a command to end."""
    try:
        out, err = process.communicate(timeout=timeout)
    finally:
        process.kill()
    return Result(process.returncode, out, err)


def checkpoint_steps(run: Path) -> list[int]:
    """Steps of the checkpoints in a run directory."""
    return sorted(int(path.name) for path in (run / "checkpoints").iterdir())


def record_of(run: Path, step: int) -> dict[str, Any]:
    """What a checkpoint says about itself."""
    path = run / "checkpoints" / str(step) / "_CHECKPOINT_METADATA"
    return json.loads(path.read_text())["custom_metadata"]


def set_record(path: Path, **changes: object) -> None:
    """Change what a checkpoint folder says about itself, as if it was written so; `...` removes a key."""
    file = path / "_CHECKPOINT_METADATA"
    content = json.loads(file.read_text())
    record = {**content["custom_metadata"], **changes, "record_crc32": ...}  # older versions wrote no checksum
    content["custom_metadata"] = {key: value for key, value in record.items() if value is not ...}
    file.write_text(json.dumps(content))


def heeding_rights() -> list[str]:
    """What begins a command that heeds the rights of files as everybody does, where root may write everywhere."""
    if os.geteuid() == 0 and shutil.which("setpriv"):
        return ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    return []


def arrays_of(run: Path, step: int) -> dict[str, np.ndarray]:
    """All arrays of a checkpoint, read by Orbax alone."""
    import jax  # here, because they take seconds
    from orbax.checkpoint import v1 as ocp

    path = run.resolve() / "checkpoints" / str(step)
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    stored = ocp.metadata(path, checkpointable_name="state").metadata
    shapes = {name: jax.ShapeDtypeStruct(m.shape, m.dtype, sharding=here) for name, m in stored.items()}
    arrays = ocp.load(path, shapes, checkpointable_name="state")
    return {name: np.asarray(value) for name, value in arrays.items()}


def assert_same_arrays(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    """Equal bit for bit."""
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype, name
        assert a[name].tobytes() == b[name].tobytes(), name


def metrics_of(run: Path) -> list[dict[str, Any]]:
    """Lines of metrics.jsonl."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
