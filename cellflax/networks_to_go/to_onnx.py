"""A function of JAX as an ONNX graph, operation by operation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import onnx

from cellflax.errors import UserError
from cellflax.networks_to_go.onnx_graph import Graph, Value, constant
from cellflax.networks_to_go.onnx_operations import FUNCTIONS, OPERATIONS

# Parameters in which operations that call a function hold it: jit, custom_jvp_call, custom_vjp_call.
_CALLED = ("jaxpr", "call_jaxpr", "fun_jaxpr")


@dataclass(frozen=True)
class Input:
    """An input of the graph.

    Attributes:
        name: its name.
        shape: its shape; a dimension may be symbolic (`jax.export.symbolic_shape`).
        default: its values where who runs the graph gives none; None if they must be given.
    """

    name: str
    shape: tuple[Any, ...]
    default: np.ndarray | None = None


def to_onnx(
    function: Callable[..., jax.Array], inputs: Sequence[Input], output: str, metadata: dict[str, str]
) -> onnx.ModelProto:
    """Convert a function of float32 arrays, with the weights that it holds.

    Args:
        function: takes the inputs in this order and returns one array.
        inputs: names and shapes.
        output: name of the result.
        metadata: texts that go into the file.

    Raises:
        UserError: naming an operation that has no counterpart here.
    """
    traced = jax.make_jaxpr(function)(*(jax.ShapeDtypeStruct(each.shape, np.float32) for each in inputs))
    graph = Graph()
    values = [graph.input(each.name, each.shape, each.default) for each in inputs]
    (result,) = _run(graph, traced.jaxpr, traced.consts, values)
    return graph.model(output, result, metadata)


def _run(graph: Graph, jaxpr: Any, constants: Sequence[Any], arguments: Sequence[Value]) -> list[Value]:
    """Convert the operations of one function."""
    known: dict[Any, Value] = dict(zip(jaxpr.constvars, map(constant, constants), strict=True))
    known |= dict(zip(jaxpr.invars, arguments, strict=True))

    def read(variable: Any) -> Value:
        return constant(variable.val) if hasattr(variable, "val") else known[variable]

    for equation in jaxpr.eqns:
        results = _convert(graph, equation, [read(variable) for variable in equation.invars])
        known |= dict(zip(equation.outvars, results, strict=False))  # of a sort, only the values are used
    return [read(variable) for variable in jaxpr.outvars]


def _convert(graph: Graph, equation: Any, inputs: list[Value]) -> list[Value]:
    """The results of one operation."""
    name, parameters = equation.primitive.name, equation.params
    called = next((parameters[key] for key in _CALLED if key in parameters), None)
    shape = tuple(equation.outvars[0].aval.shape)
    convert = FUNCTIONS.get(parameters.get("name", "")) if called is not None else OPERATIONS.get(name)
    if called is not None and convert is None:
        return _run(graph, called.jaxpr, called.consts, inputs)
    known = all(value.constant is not None for value in inputs) and all(isinstance(size, int) for size in shape)
    if known and called is None and name != "broadcast_in_dim":  # which would only make a constant larger
        return _computed(equation, [graph.whole(value) for value in inputs])
    if convert is None:
        raise _unknown(name)
    try:
        return [convert(graph, inputs, parameters, shape)]
    except NotImplementedError as error:
        raise _unknown(f"{name} ({error})") from error


def _computed(equation: Any, inputs: list[Value]) -> list[Value]:
    """The results of an operation on constants, as of the statistics of a batch normalisation."""
    results = equation.primitive.bind(*(value.constant for value in inputs), **equation.params)
    return [constant(result) for result in (results if equation.primitive.multiple_results else [results])]


def _unknown(name: str) -> UserError:
    return UserError(f"this network computes {name}, which the export to ONNX does not know; take format=stablehlo")
