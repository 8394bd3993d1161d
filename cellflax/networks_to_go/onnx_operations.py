"""What each operation of JAX is in ONNX: a table, one function for each kind."""

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import helper

from cellflax.networks_to_go.onnx_graph import Graph, Value, static

# From the graph, the operation's inputs, its parameters and the shape of its result, to the result.
Operation = Callable[[Graph, list[Value], dict[str, Any], tuple[Any, ...]], Value]

_LAST = np.iinfo(np.int64).max


def _elementwise(operator: str) -> Operation:
    """An operation on single values; those that repeat stay so."""

    def convert(graph: Graph, inputs: list[Value], parameters: dict[str, Any], shape: tuple[Any, ...]) -> Value:
        return _broadcast(graph, operator, inputs, shape)

    return convert


def _broadcast(graph: Graph, operator: str, inputs: list[Value], shape: tuple[Any, ...]) -> Value:
    rank = max(len(value.stored) for value in inputs)
    padded = [(1,) * (rank - len(value.stored)) + value.stored for value in inputs]
    stored = tuple(next((size for size in sizes if size != 1), 1) for sizes in zip(*padded, strict=True))
    return Value(shape, stored, graph.add(operator, inputs, stored).name)


def _not_equal(graph: Graph, inputs: list[Value], parameters: dict[str, Any], shape: tuple[Any, ...]) -> Value:
    return _broadcast(graph, "Not", [_broadcast(graph, "Equal", inputs, shape)], shape)


def _integer_power(graph: Graph, inputs: list[Value], parameters: dict[str, Any], shape: tuple[Any, ...]) -> Value:
    exponent = Value((), (), constant=np.array(parameters["y"], np.float32))
    return _broadcast(graph, "Pow", [inputs[0], exponent], shape)


def _reciprocal_root(graph: Graph, inputs: list[Value], parameters: dict[str, Any], shape: tuple[Any, ...]) -> Value:
    return _broadcast(graph, "Reciprocal", [_broadcast(graph, "Sqrt", inputs, shape)], shape)


def _square(graph: Graph, inputs: list[Value], parameters: dict[str, Any], shape: tuple[Any, ...]) -> Value:
    return _broadcast(graph, "Mul", [inputs[0], inputs[0]], shape)


def _select(graph: Graph, inputs: list[Value], parameters: dict[str, Any], shape: tuple[Any, ...]) -> Value:
    which, *cases = inputs
    if len(cases) != 2:
        raise NotImplementedError("a choice between more than two")
    return _broadcast(graph, "Where", [which, cases[1], cases[0]], shape)


def _convert_type(graph: Graph, inputs: list[Value], parameters: dict[str, Any], shape: tuple[Any, ...]) -> Value:
    to = helper.np_dtype_to_tensor_dtype(np.dtype(parameters["new_dtype"]))
    return Value(shape, inputs[0].stored, graph.add("Cast", inputs, inputs[0].stored, to=to).name)


def _same(graph: Graph, inputs: list[Value], parameters: dict[str, Any], shape: tuple[Any, ...]) -> Value:
    return inputs[0]


def _repeat(graph: Graph, inputs: list[Value], parameters: dict[str, Any], shape: tuple[Any, ...]) -> Value:
    """`broadcast_in_dim`: new dimensions of size 1, along which the values repeat."""
    stored: list[Any] = [1] * len(shape)
    for axis, size in zip(parameters["broadcast_dimensions"], inputs[0].stored, strict=True):
        stored[axis] = size
    return graph.reshape(inputs[0], stored, shape)


def _reshape(graph: Graph, inputs: list[Value], parameters: dict[str, Any], shape: tuple[Any, ...]) -> Value:
    return graph.reshape(graph.whole(inputs[0]), shape)


def _reshape_in_order(graph: Graph, inputs: list[Value], parameters: dict[str, Any], shape: tuple[Any, ...]) -> Value:
    if parameters["dimensions"] is not None:
        raise NotImplementedError("a new shape with a new order")
    return _reshape(graph, inputs, parameters, shape)


def _transpose(graph: Graph, inputs: list[Value], parameters: dict[str, Any], shape: tuple[Any, ...]) -> Value:
    return graph.transpose(graph.whole(inputs[0]), parameters["permutation"])


def _concatenate(graph: Graph, inputs: list[Value], parameters: dict[str, Any], shape: tuple[Any, ...]) -> Value:
    return graph.add("Concat", [graph.whole(value) for value in inputs], shape, axis=parameters["dimension"])


def _cut(graph: Graph, value: Value, spans: list[tuple[int, int, int, int]], shape: tuple[Any, ...]) -> Value:
    """A slice along some axes: (axis, start, stop, step) of each."""
    axes, starts, stops, steps = (np.array(column, np.int64) for column in zip(*spans, strict=True))
    return graph.add("Slice", [value, starts, stops, axes, steps], shape)


def _slice(graph: Graph, inputs: list[Value], parameters: dict[str, Any], shape: tuple[Any, ...]) -> Value:
    value = graph.whole(inputs[0])
    steps = parameters["strides"] or [1] * len(shape)
    spans = []
    for axis, (start, stop) in enumerate(zip(parameters["start_indices"], parameters["limit_indices"], strict=True)):
        if not (isinstance(start, int) and start == 0 and stop == value.shape[axis] and steps[axis] == 1):
            spans.append((axis, *static([start, stop, steps[axis]])))
    return _cut(graph, value, spans, shape) if spans else value


def _reverse(graph: Graph, inputs: list[Value], parameters: dict[str, Any], shape: tuple[Any, ...]) -> Value:
    return _cut(graph, graph.whole(inputs[0]), [(axis, -1, -_LAST, -1) for axis in parameters["dimensions"]], shape)


def _pad(graph: Graph, inputs: list[Value], parameters: dict[str, Any], shape: tuple[Any, ...]) -> Value:
    low, high, between = zip(*parameters["padding_config"], strict=True)
    if any(between) or min(static([*low, *high])) < 0:
        raise NotImplementedError("padding between pixels, or less than none")
    return graph.add("Pad", [graph.whole(inputs[0]), np.array([*low, *high], np.int64), inputs[1]], shape)


def _gather(graph: Graph, inputs: list[Value], parameters: dict[str, Any], shape: tuple[Any, ...]) -> Value:
    """Rows by their numbers along one axis, or one window: how JAX cuts arrays of symbolic shape."""
    value, index = graph.whole(inputs[0]), inputs[1].constant
    numbers, sizes = parameters["dimension_numbers"], parameters["slice_sizes"]
    if index is None or numbers.operand_batching_dims:
        raise NotImplementedError("indices that are computed")
    axes = numbers.start_index_map
    if index.ndim == 1 and numbers.offset_dims == tuple(range(len(shape))):
        starts = zip(axes, index.tolist(), strict=True)
        spans = [(axis, start, start + static([sizes[axis]])[0], 1) for axis, start in starts]
        return graph.reshape(_cut(graph, value, spans, sizes), shape)
    others = tuple(i for i in range(len(shape)) if i not in axes)
    whole = all(sizes[i] == value.shape[i] for i in others)
    if index.ndim != 2 or len(axes) != 1 or numbers.collapsed_slice_dims != axes or not whole:
        raise NotImplementedError("indices along several axes")
    if numbers.offset_dims != others:
        raise NotImplementedError("indices that change the order of axes")
    return graph.add("Gather", [value, index[:, 0].astype(np.int64)], shape, axis=axes[0])


def _reduce(operator: str) -> Operation:
    def convert(graph: Graph, inputs: list[Value], parameters: dict[str, Any], shape: tuple[Any, ...]) -> Value:
        axes, value = list(parameters["axes"]), graph.whole(inputs[0])
        if operator == "ReduceSum":  # alone among these, takes its axes as an input
            return graph.add(operator, [value, np.array(axes, np.int64)], shape, keepdims=0)
        return graph.add(operator, [value], shape, axes=axes, keepdims=0)

    return convert


def _window_sum(graph: Graph, inputs: list[Value], parameters: dict[str, Any], shape: tuple[Any, ...]) -> Value:
    """Sums over windows of (N, H, W, C)."""
    window, value = parameters["window_dimensions"], graph.whole(inputs[0])
    dilated = any(
        step != 1 for key in ("window_strides", "base_dilation", "window_dilation") for step in parameters[key]
    )
    if len(window) != 4 or window[0] != 1 or window[3] != 1 or dilated or np.any(parameters["padding"]):
        raise NotImplementedError("sums over other windows than of rows and columns")
    n, height, width, channels = shape
    planes = graph.transpose(value, (0, 3, 1, 2))
    mean = graph.add("AveragePool", [planes], (n, channels, height, width), kernel_shape=list(window[1:3]))
    pixels = np.array(window[1] * window[2], np.float32)
    return graph.transpose(graph.add("Mul", [mean, pixels], mean.shape), (0, 2, 3, 1))


def _sort(graph: Graph, inputs: list[Value], parameters: dict[str, Any], shape: tuple[Any, ...]) -> Value:
    if len(inputs) != 1:
        raise NotImplementedError("sorting several arrays together")
    axis = parameters["dimension"]
    size = np.array(static([shape[axis]]), np.int64)
    return graph.split("TopK", [graph.whole(inputs[0]), size], shape, outputs=2, axis=axis, largest=0)


def _product(graph: Graph, inputs: list[Value], parameters: dict[str, Any], shape: tuple[Any, ...]) -> Value:
    """A matrix product of the last axis with the rows of a matrix."""
    left, right = (graph.whole(value) for value in inputs)
    contracted, batch = parameters["dimension_numbers"]
    if contracted != ((len(left.shape) - 1,), (0,)) or len(right.shape) != 2 or any(batch):
        raise NotImplementedError("a product of other axes than the last with the first of a matrix")
    return graph.add("MatMul", [left, right], shape)


def _convolution(graph: Graph, inputs: list[Value], parameters: dict[str, Any], shape: tuple[Any, ...]) -> Value:
    numbers = parameters["dimension_numbers"]
    if any(step != 1 for step in parameters["lhs_dilation"]) or parameters["batch_group_count"] != 1:
        raise NotImplementedError("a transposed convolution")
    image, kernel = (graph.whole(value) for value in inputs)
    image = graph.transpose(image, numbers.lhs_spec)
    kernel = graph.transpose(kernel, numbers.rhs_spec)
    low, high = zip(*parameters["padding"], strict=True)
    made = graph.add(
        "Conv",
        [image, kernel],
        [shape[axis] for axis in numbers.out_spec],
        kernel_shape=static(kernel.shape[2:]),
        strides=static(parameters["window_strides"]),
        dilations=static(parameters["rhs_dilation"]),
        pads=static([*low, *high]),
        group=parameters["feature_group_count"],
    )
    return graph.transpose(made, np.argsort(numbers.out_spec).tolist())


def _large_kernel(graph: Graph, inputs: list[Value], parameters: dict[str, Any], shape: tuple[Any, ...]) -> Value:
    """`models.large_kernel.fourier_convolution` as the convolution that it computes; ONNX's transforms are slow."""
    image, kernel = (graph.whole(value) for value in inputs)
    n, height, width, channels = shape
    planes, weights = graph.transpose(image, (0, 3, 1, 2)), graph.transpose(kernel, (3, 2, 0, 1))
    made = graph.add("Conv", [planes, weights], (n, channels, height, width), kernel_shape=static(weights.shape[2:]))
    return graph.transpose(made, (0, 2, 3, 1))


OPERATIONS: dict[str, Operation] = {
    **{
        name: _elementwise(operator)
        for name, operator in {
            "abs": "Abs", "add": "Add", "add_any": "Add", "and": "And", "div": "Div", "eq": "Equal", "exp": "Exp",
            "ge": "GreaterOrEqual", "gt": "Greater", "le": "LessOrEqual", "log": "Log", "logistic": "Sigmoid",
            "lt": "Less", "max": "Max", "min": "Min", "mul": "Mul", "neg": "Neg", "not": "Not", "or": "Or",
            "pow": "Pow", "sqrt": "Sqrt", "sub": "Sub", "tanh": "Tanh",
        }.items()
    },
    "broadcast_in_dim": _repeat,
    "concatenate": _concatenate,
    "conv_general_dilated": _convolution,
    "convert_element_type": _convert_type,
    "copy": _same,
    "dot_general": _product,
    "expand_dims": _reshape,
    "gather": _gather,
    "integer_pow": _integer_power,
    "ne": _not_equal,
    "optimization_barrier": _same,
    "pad": _pad,
    "reduce_max": _reduce("ReduceMax"),
    "reduce_min": _reduce("ReduceMin"),
    "reduce_sum": _reduce("ReduceSum"),
    "reduce_window_sum": _window_sum,
    "reshape": _reshape_in_order,
    "rev": _reverse,
    "rsqrt": _reciprocal_root,
    "select_n": _select,
    "slice": _slice,
    "sort": _sort,
    "square": _square,
    "squeeze": _reshape,
    "stop_gradient": _same,
    "transpose": _transpose,
}  # fmt: skip

# Functions of cellflax that are one operation in ONNX, by their name.
FUNCTIONS: dict[str, Operation] = {"fourier_convolution": _large_kernel}
