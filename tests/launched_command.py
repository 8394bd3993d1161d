"""A small command whose jobs fail or die once, on which launchers are tested."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from cellflax.config import entry, job_directory
from cellflax.errors import UserError

FILES = {
    "launched.yaml": """
defaults:
  - launched_schema
  - _self_
  - override hydra/job_logging: none
  - override hydra/hydra_logging: none
run: out
hydra:
  output_subdir: null
  sweep: {dir: "${run}", subdir: "${hydra.job.num}"}
"""
}


@dataclass
class Launched:
    """Options of the command."""

    run: str = "out"
    value: float = 0.0
    fails: float | None = None
    dies: float | None = None


@entry("launched", Launched)
def main(config: Launched) -> float:
    """Count the starts of the job; the first one fails or dies if its value says so. A finished job stays as it is."""
    directory = job_directory()
    score, starts = directory / "score", directory / "starts"
    if score.exists():
        return float.fromhex(score.read_text())
    first = not starts.exists()
    with starts.open("a") as file:
        file.write(f"{os.getpid()}\n")
    if first and config.value == config.fails:
        raise UserError(f"value {config.value} cannot be used")
    if first and config.value == config.dies:
        os.kill(os.getpid(), signal.SIGKILL)
    score.write_text((config.value / 3).hex())
    return config.value / 3


def write_files(directory: Path) -> Path:
    """Write the configuration files below a directory, beside those of cellflax's launchers and sweepers."""
    for name, text in FILES.items():
        (directory / name).write_text(text)
    conf = Path(__file__).parents[1] / "conf/hydra"
    (directory / "hydra").symlink_to(conf)
    return directory


if __name__ == "__main__":
    main()
