"""A network to go in ONNX, and ONNX Runtime that runs it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import onnx
import onnxruntime

from cellflax.atomic import replacing
from cellflax.networks_to_go.metadata import DIVISOR, IMAGE, OFFSET, ONNX, OUTPUTS
from cellflax.networks_to_go.onnx_graph import OPSET
from cellflax.networks_to_go.reference import Runner
from cellflax.networks_to_go.to_onnx import Input, to_onnx

__all__ = ["METADATA_KEY", "ONNX", "onnx_runner", "onnx_versions", "write_onnx"]

METADATA_KEY = "cellflax"  # key of the JSON within the file


def write_onnx(
    path: Path, function: Callable[..., jax.Array], channels: int, px: int, *, given: bool, metadata: dict[str, Any]
) -> Runner:
    """Write the function of a tile as an ONNX file.

    Args:
        path: the new file.
        function: result of `tile.tile_function`.
        channels: image channels.
        px: height and width; the batch is free.
        given: whether the function takes offset and divisor. In the file, they may be left out.
        metadata: what goes into the file besides.

    Returns:
        ONNX Runtime with the written file.

    Raises:
        UserError: as `to_onnx`.
    """
    (batch,) = jax.export.symbolic_shape("batch")
    inputs = [Input(IMAGE, (batch, channels, px, px))]
    if given:
        inputs += [Input(name, (channels,), np.full(channels, np.nan)) for name in (OFFSET, DIVISOR)]
    model = to_onnx(function, inputs, OUTPUTS, {METADATA_KEY: json.dumps(metadata, allow_nan=False)})
    with replacing(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
    return onnx_runner(path)


def onnx_runner(path: Path) -> Runner:
    """ONNX Runtime on the CPU with a file, which takes raw intensities alone."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of inputs with defaults, which cannot be folded
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda tiles: np.asarray(session.run([OUTPUTS], {IMAGE: tiles})[0])


def onnx_versions() -> dict[str, Any]:
    """Versions of the operators in the file, and of what writes and checks it."""
    return {"opset": OPSET, "onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__}
