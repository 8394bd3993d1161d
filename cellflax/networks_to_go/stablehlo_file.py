"""A network to go in StableHLO, the portable programs of JAX.

The file is a flat buffer with the program as MLIR bytecode. To deserialise it builds that program; calling it lets XLA
compile and run it. Neither runs Python code from the file: it holds none, and `jax.export` knows no pickle. A program
computes arrays from arrays, and reads and writes no files.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export

from cellflax.atomic import replacing
from cellflax.networks_to_go.reference import Runner

STABLEHLO = "network.stablehlo"
PLATFORMS = ("cpu", "cuda")


def write_stablehlo(
    path: Path, function: Callable[..., jax.Array], channels: int, px: int
) -> tuple[Runner, dict[str, Any]]:
    """Write the function of a tile, with offset and divisor as inputs, for CPUs and CUDA.

    Args:
        path: the new file.
        function: result of `tile.tile_function`.
        channels: image channels.
        px: height and width; the batch is free.

    Returns:
        the program read back from the file; and what it needs of the JAX that runs it.
    """
    (batch,) = export.symbolic_shape("batch")
    shapes = [(batch, channels, px, px), (channels,), (channels,)]
    program = export.export(jax.jit(function), platforms=PLATFORMS)(
        *(jax.ShapeDtypeStruct(shape, np.float32) for shape in shapes)
    )
    with replacing(path) as temporary:
        temporary.write_bytes(program.serialize())
    needs = {"platforms": list(program.platforms), "calling_convention": program.calling_convention_version}
    return stablehlo_runner(path), needs


def stablehlo_runner(path: Path) -> Runner:
    """JAX with a file; it is given raw intensities alone, and takes their scale from the tile."""
    program = export.deserialize(bytearray(path.read_bytes()))
    channels = program.in_avals[1].shape[0]
    unknown = np.full(channels, np.nan, np.float32)
    return lambda tiles: np.asarray(program.call(tiles, unknown, unknown))
