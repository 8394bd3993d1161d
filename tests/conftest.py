"""Harsh settings for all tests: several devices, no broadcasting between ranks, no network, no display.

Warnings are errors by pyproject.toml.
"""

import os
from pathlib import Path

import pytest

os.environ["MPLBACKEND"] = "Agg"
os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_SILENT"] = "true"

import jax

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
