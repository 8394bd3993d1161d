"""Set-up of JAX, the same for every command."""

import os
import platform
from pathlib import Path

import jax
import pooch


def set_up_jax(precision: str = "float32") -> str:
    """Choose the precision of matrix products, keep compiled programs on disk, and say what runs where.

    Args:
        precision: float32, tensorfloat32 or bfloat16; CPUs always compute in float32.

    Returns:
        One line for the screen.
    """
    jax.config.update("jax_default_matmul_precision", precision)
    jax.config.update("jax_compilation_cache_dir", str(cache_directory() / "compiled"))
    devices = jax.devices()
    kind = devices[0].device_kind if devices[0].platform != "cpu" else f"{platform.machine()} CPU"
    cores = f", {len(os.sched_getaffinity(0))} cores" if hasattr(os, "sched_getaffinity") else ""
    where = f"{len(devices)} x {kind}{cores if devices[0].platform == 'cpu' else ''}"
    return f"device: {where}; precision: {precision}; JAX {jax.__version__}"


def cache_directory() -> Path:
    """Folder of downloaded files and compiled programs: CELLFLAX_CACHE, or else the user's cache folder."""
    return Path(os.environ.get("CELLFLAX_CACHE") or pooch.os_cache("cellflax")).expanduser()
