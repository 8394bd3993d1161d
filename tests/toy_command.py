"""A small command, with its configuration files, on which the configuration mechanism is tested."""

import os
import signal
import sys
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from cellflax.config import GROUPS, entry
from cellflax.errors import UserError


class Padding(Enum):
    same = 1
    valid = 2


@dataclass
class PatchNet:
    width: int = 61
    filters: list[int] = field(default_factory=lambda: [64, 64])
    padding: Padding = Padding.same
    dropout: float | None = None

    def __post_init__(self):
        if self.width < 1:
            raise UserError(f"model.width must be positive, got {self.width}")


@dataclass
class UNet:
    depth: int = 4
    scale: float = 1.0


@dataclass
class Trainer:
    steps: int = 10
    resume: bool = False
    weights: dict[str, float] = field(default_factory=dict)


@dataclass
class Toy:
    model: Any = MISSING
    refine: Any = None
    trainer: Trainer = field(default_factory=Trainer)
    input: str = MISSING
    output: str = "out"
    fail_with: str = ""


TOY_GROUPS = {
    "model": {"patch_net": "tests.toy_command:PatchNet", "unet": "tests.toy_command:UNet"},
    "refine": {"patch_net": "tests.toy_command:PatchNet"},
}

FILES = {
    "toy.yaml": """
defaults:
  - toy_schema
  - model: patch_net
  - _self_
  - override hydra/job_logging: none
  - override hydra/hydra_logging: none
hydra:
  output_subdir: null
  run: {dir: .}
  sweep: {dir: ., subdir: .}
""",
    "model/patch_net.yaml": "defaults: [patch_net_schema, _self_]\n",
    "model/unet.yaml": "defaults: [unet_schema, _self_]\nscale: 2\n",
    "model/bare.yaml": "width: 3\n",
    "experiment/big.yaml": "# @package _global_\ndefaults: [override /model: unet]\ntrainer: {steps: 99}\n",
    "experiment/typo.yaml": "# @package _global_\nmodel: {widht: 3}\n",
    "experiment/type.yaml": "# @package _global_\nmodel: {width: wide}\n",
    "experiment/syntax.yaml": "# @package _global_\nmodel: {width: 3\n",
    "debug/quick.yaml": "# @package _global_\ntrainer: {steps: 1}\n",
}


def write_files(directory: Path) -> Path:
    """Write the configuration files below a directory."""
    for name, text in FILES.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


@entry("toy", Toy)
def main(config: Toy) -> float:
    """Print what came in; fail as asked."""
    if config.fail_with == "UserError":
        raise UserError(f"cannot read {config.input}:\n  it is empty")
    if config.fail_with == "RuntimeError":
        raise RuntimeError("a bug")
    if config.fail_with == "interrupt":
        raise KeyboardInterrupt
    if config.fail_with == "terminate":
        signal.raise_signal(signal.SIGTERM)
    if config.fail_with == "OSError":
        os.listdir("/no/such/directory")
    print(config)
    return config.trainer.steps / 2


if __name__ == "__main__":
    GROUPS.update(TOY_GROUPS)
    sys.modules["tests.toy_command"] = sys.modules["__main__"]  # one set of classes, not two
    main()
    print("jax imported:", "jax" in sys.modules)
