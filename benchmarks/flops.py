"""Operations of a network, counted from its convolutions and matrix products, and how fast a device can do any."""

import time
from collections.abc import Callable
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr

# Dense products, TFLOP/s, by NVIDIA's data sheets (those with structured sparsity are twice as high).
_OF_DATA_SHEETS = {
    "H100": {"float32": 67, "tensorfloat32": 495, "bfloat16": 989},
    "H200": {"float32": 67, "tensorfloat32": 495, "bfloat16": 989},
    "A100": {"float32": 19.5, "tensorfloat32": 156, "bfloat16": 312},
}


def forward_flops(function: Callable[..., Any], *arguments: Any) -> float:
    """Multiplications and additions of the convolutions and products of a function; sums by FFT are not counted."""
    return _flops(jax.make_jaxpr(function)(*arguments).jaxpr)


def _flops(jaxpr: Jaxpr) -> float:
    total = 0.0
    for equation in jaxpr.eqns:
        shapes = [getattr(variable.aval, "shape", ()) for variable in equation.invars]
        result = equation.outvars[0].aval.shape if equation.outvars else ()
        match equation.primitive.name:
            case "conv_general_dilated":
                numbers = equation.params["dimension_numbers"]
                total += 2.0 * prod(result) * prod(shapes[1]) / shapes[1][numbers.rhs_spec[0]]
            case "dot_general":
                (contracted, _), _ = equation.params["dimension_numbers"]
                total += 2.0 * prod(result) * prod(shapes[0][axis] for axis in contracted)
            case "scan":
                total += equation.params["length"] * _flops(equation.params["jaxpr"].jaxpr)
            case _:
                total += sum(map(_flops, _inside(equation.params)))
    return total


def _inside(params: dict[str, Any]) -> list[Jaxpr]:
    """The functions that an operation calls."""
    found = [value.jaxpr if isinstance(value, ClosedJaxpr) else value for value in params.values()]
    return [value for value in found if isinstance(value, Jaxpr)]


def peak_tflops(precision: str, edge: int) -> tuple[float, str]:
    """The most that the device does: by its data sheet or, where that is not known here, of one matrix product.

    Args:
        precision: float32, tensorfloat32 or bfloat16, as `set_up_jax` was given.
        edge: edge of the matrices that are multiplied, if need be.

    Returns:
        TFLOP/s, and where the number comes from.
    """
    kind = jax.devices()[0].device_kind
    for name, peaks in _OF_DATA_SHEETS.items():
        if name in kind:
            return peaks[precision], "data sheet"
    matrix = jnp.ones((edge, edge), jnp.bfloat16 if precision == "bfloat16" else jnp.float32)
    product = jax.jit(jnp.matmul)
    jax.block_until_ready(product(matrix, matrix))
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        jax.block_until_ready(product(matrix, matrix))
        best = min(best, time.perf_counter() - start)
    return 2 * edge**3 / best / 1e12, f"product of {edge} x {edge}"
