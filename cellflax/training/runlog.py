"""The record of a run: `metrics.jsonl` always, Weights & Biases unless disabled."""

import json
import math
import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from cellflax.atomic import naming, replacing
from cellflax.checks import above, check
from cellflax.errors import UserError
from cellflax.io import results
from cellflax.jsonfile import parse_json
from cellflax.progress import say
from cellflax.wholefile import read_content, read_utf8

_MOST_BYTES = 1 << 28
_REMEDY = "remove it; the run continues without the lines up to its last checkpoint"


class WandbMode(Enum):
    """Where Weights & Biases keeps the run."""

    offline = "offline"  # below the run directory; `wandb sync` uploads it later
    online = "online"
    disabled = "disabled"


# Values of WANDB_MODE, W&B's former names among them.
_MODES = {
    "": WandbMode.offline,
    "offline": WandbMode.offline,
    "dryrun": WandbMode.offline,
    "online": WandbMode.online,
    "run": WandbMode.online,
    "shared": WandbMode.online,
    "disabled": WandbMode.disabled,
}


@dataclass
class LoggerConfig:
    """What is recorded besides `metrics.jsonl`.

    Attributes:
        wandb: Weights & Biases (W&B): offline (no network), online or disabled; null is what WANDB_MODE says in the
            environment, offline if it is not set.
        project: W&B project; null is what WANDB_PROJECT says, cellflax if it is not set.
        entity: W&B user or team; null is what WANDB_ENTITY says, the account's default if it is not set.
        group: W&B group, to keep the runs of a sweep or ensemble together; null is what WANDB_RUN_GROUP says.
        tags: W&B tags; without any, those that WANDB_TAGS says.
        line_seconds: seconds between two progress lines, if there is no terminal.
    """

    wandb: WandbMode | None = None
    project: str | None = None
    entity: str | None = None
    group: str | None = None
    tags: list[str] = field(default_factory=list)
    line_seconds: float = 30.0

    def __post_init__(self):
        if self.project == "":
            raise UserError("logger.project must not be empty; logger.wandb=disabled turns W&B off")
        check(self, "logger", above(0), "line_seconds")

    @property
    def mode(self) -> WandbMode:
        """The mode of W&B: as configured, or else by the environment.

        Raises:
            UserError: if WANDB_MODE is none of W&B's modes.
        """
        if self.wandb is not None:
            return self.wandb
        named = os.environ.get("WANDB_MODE", "").strip().lower()
        if named not in _MODES:
            raise UserError(
                f"WANDB_MODE={named} is no mode of W&B; set it to offline, online or disabled, or give logger.wandb=..."
            )
        return _MODES[named]


class RunLog:
    """Scalars and pictures of one run, by step; a context manager.

    `metrics.jsonl` has one JSON object per line, `{"step": 10, "loss": 0.5}`, with null for values that are
    not finite. It is opened for each line, so that it is complete up to the last call, however the process
    ends.

    Args:
        directory: the run's directory, which exists.
        config: what else is recorded.
        run_config: the run's whole configuration as JSON types, for W&B.

    Raises:
        UserError: if W&B cannot start (no account, no network).
    """

    def __init__(self, directory: Path, config: LoggerConfig, run_config: Mapping[str, Any]):
        self.metrics_path = directory / results.METRICS_LOG
        self._wandb = None if config.mode is WandbMode.disabled else _start_wandb(directory, config, run_config)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish(failed=error is not None)

    def log(self, step: int, scalars: Mapping[str, Any]) -> None:
        """Record scalars (Python, NumPy or JAX) at a step."""
        values = {name: _number(value) for name, value in scalars.items()}
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        with naming(self.metrics_path), self.metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": int(step), **finite}, allow_nan=False) + "\n")
        if self._wandb is not None:
            self._wandb.log({"step": int(step), **values})

    @property
    def takes_images(self) -> bool:
        """Whether pictures are recorded."""
        return self._wandb is not None

    def log_image(self, step: int, name: str, image: np.ndarray) -> None:
        """Record a picture, (H, W, 3) uint8; it goes to W&B only."""
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"expected a picture (H, W, 3) of uint8, got {image.shape} of {image.dtype}")
        if self._wandb is not None:
            import wandb

            self._wandb.log({"step": int(step), name: wandb.Image(image)})

    def truncate(self, step: int) -> None:
        """Drop the lines after a step, and a line torn by a kill with all that follows; they are written again.

        Where others follow a torn line, something else damaged the file, and a line says so.
        """
        if not self.metrics_path.exists():
            self._say_lost(0, step)
            return
        lines = read_content(self.metrics_path, _REMEDY, _MOST_BYTES).removesuffix(b"\n").split(b"\n")
        steps = [_step_of(line) for line in lines]
        torn = steps.index(None) if None in steps else len(steps)
        if any(lines[torn + 1 :]):
            say(f"note: {self.metrics_path} is damaged in line {torn + 1}; that line and those after it are left out")
        kept = [line for line, at in zip(lines[:torn], steps[:torn], strict=True) if at is not None and at <= step]
        with replacing(self.metrics_path) as temporary:
            temporary.write_bytes(b"".join(line + b"\n" for line in kept))
        self._say_lost(max((at for at in steps[:torn] if at is not None and at <= step), default=0), step)

    def _say_lost(self, last: int, step: int) -> None:
        """Say that lines are missing: before a checkpoint is saved, its step has a line."""
        if last < step:
            say(f"note: {self.metrics_path} has lost its lines between step {last} and step {step}, where it resumes")

    def finish(self, failed: bool = False) -> None:
        """End the W&B run; calling again does nothing."""
        if self._wandb is not None:
            run, self._wandb = self._wandb, None
            run.finish(exit_code=int(failed))


class SilentLog(RunLog):
    """The log of a process that does not write, beside one that does."""

    def __init__(self) -> None:
        self._wandb = None

    def log(self, step: int, scalars: Mapping[str, Any]) -> None:
        """Record nothing."""

    def truncate(self, step: int) -> None:
        """Leave the file to the other process."""


def _start_wandb(directory: Path, config: LoggerConfig, run_config: Mapping[str, Any]) -> Any:
    import wandb  # half a second, and not needed when disabled
    from wandb.errors import Error as WandbError

    try:
        run = wandb.init(
            dir=str(directory),  # the lowest version takes no Path
            id=_wandb_id(directory),
            resume="allow" if config.mode is WandbMode.online else None,
            name=directory.name,
            project=config.project or os.environ.get("WANDB_PROJECT") or "cellflax",
            entity=config.entity or os.environ.get("WANDB_ENTITY") or None,
            group=config.group or os.environ.get("WANDB_RUN_GROUP") or None,
            tags=config.tags or [tag for tag in os.environ.get("WANDB_TAGS", "").split(",") if tag],
            config=dict(run_config),
            mode=config.mode.value,
            reinit="create_new",  # the jobs of a sweep share one process
            settings=wandb.Settings(silent=True, console="off"),
        )
    except (WandbError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"W&B cannot start: {reason} (set up with `wandb login`, or use logger.wandb=offline)"
        ) from error
    # A step axis of our own: W&B's must not decrease, but that of a resumed run does.
    run.define_metric("*", step_metric="step")
    return run


def _wandb_id(directory: Path) -> str:
    """The run's W&B identity, the same whenever the run is resumed; a new one if it was lost."""
    path = directory / results.WANDB_ID
    if path.exists():
        try:
            identity = read_utf8(path, "remove it", 1 << 10).strip()
            if re.fullmatch(r"[\w-]{1,64}", identity, re.ASCII):
                return identity
        except UserError:
            if not path.is_file():
                raise
        say(f"note: {path} holds no identity of a W&B run, so that W&B begins a new run")
    identity = uuid.uuid4().hex[:12]
    with replacing(path) as temporary:
        temporary.write_text(identity + "\n", encoding="utf-8")
    return identity


def _step_of(line: bytes | bytearray) -> int | None:
    """The step of a line of metrics; None of a line that is torn or damaged."""
    try:
        content = parse_json(line.decode())
    except ValueError:
        return None
    step = content.get("step") if isinstance(content, dict) else None
    return step if type(step) is int else None


def _number(value: Any) -> int | float:
    number = value.item() if hasattr(value, "item") else value
    return number if isinstance(number, int) else float(number)
