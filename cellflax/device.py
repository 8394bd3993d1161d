"""Set-up of JAX, the same for every command."""

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import pooch

from cellflax.errors import UserError


def set_up_jax(precision: str = "float32") -> str:
    """Choose the precision of float32 products, keep compiled programs on disk, and say what runs where.

    Args:
        precision: as `trainer.precision`: float32, tensorfloat32 or bfloat16. With bfloat16, networks compute in arrays
            of that type (`Precision.compute_type`); what is float32 is then computed as such.

    Returns:
        One line for the screen.

    Raises:
        UserError: if JAX cannot use the devices that its environment variables name.
    """
    products = "tensorfloat32" if precision == "tensorfloat32" else "float32"
    jax.config.update("jax_default_matmul_precision", products)
    jax.config.update("jax_compilation_cache_dir", str(cache_directory() / "compiled"))
    devices = devices_of_jax()
    kind = devices[0].device_kind if devices[0].platform != "cpu" else f"{platform.machine()} CPU"
    cores = f", {len(os.sched_getaffinity(0))} cores" if hasattr(os, "sched_getaffinity") else ""
    where = f"{len(devices)} x {kind}{cores if devices[0].platform == 'cpu' else ''}"
    return f"device: {where}; precision: {precision}; JAX {jax.__version__}"


def devices_of_jax() -> Sequence[Any]:
    """The devices that JAX computes on; asked for first, so that a fault of the environment ends in one line.

    Raises:
        UserError: if JAX cannot use the devices that its environment variables name.
    """
    try:
        return jax.devices()
    except (RuntimeError, AssertionError, ValueError) as error:  # JAX has no exception of its own for these
        asked = os.environ.get("JAX_PLATFORMS")
        reason = " ".join(str(error).split()) or "no such device"
        if asked:
            raise UserError(
                f"JAX_PLATFORMS={asked}: JAX cannot use this here ({reason}); "
                "unset JAX_PLATFORMS to take the best device there is, or set JAX_PLATFORMS=cpu"
            ) from error
        raise UserError(f"JAX finds no device ({reason}); set JAX_PLATFORMS=cpu to compute on the CPU") from error


def cache_directory() -> Path:
    """Folder of downloaded files and compiled programs: CELLFLAX_CACHE, or else the user's cache folder."""
    return Path(os.environ.get("CELLFLAX_CACHE") or pooch.os_cache("cellflax")).expanduser()
