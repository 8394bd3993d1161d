"""An ONNX graph that grows node by node, and the values that flow in it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

# Operators of 2022, in a file of that age: old runtimes in Fiji and ilastik read both.
OPSET, IR_VERSION = 17, 8


@dataclass(frozen=True)
class Value:
    """An array in the graph.

    Attributes:
        shape: its shape in JAX; a dimension may be symbolic.
        stored: its shape in the graph: 1 stands for a longer dimension along which the values repeat. What needs
            all of them calls `Graph.whole`.
        name: its name in the graph; None for a constant that no node has needed yet.
        constant: its values, (stored), where they are known before the graph runs.
    """

    shape: tuple[Any, ...]
    stored: tuple[Any, ...]
    name: str | None = None
    constant: np.ndarray | None = None


def constant(array: Any, shape: tuple[Any, ...] | None = None) -> Value:
    """A value that is known; `shape` is that in JAX where the array repeats along a dimension."""
    array = np.asarray(array)
    return Value(array.shape if shape is None else shape, array.shape, constant=array)


class Graph:
    """Nodes, weights and inputs of an ONNX graph under construction."""

    def __init__(self):
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._names: dict[tuple[Any, ...], str] = {}

    def input(self, name: str, shape: Sequence[Any], default: np.ndarray | None = None) -> Value:
        """A new float32 input of the graph; one with a default may be left out by who runs the graph."""
        dimensions = [size if isinstance(size, int) else str(size) for size in shape]
        self._inputs.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, dimensions))
        if default is not None:
            self._weights.append(numpy_helper.from_array(default.astype(np.float32), name))
        return Value(tuple(shape), tuple(shape), name)

    def name(self, value: Value) -> str:
        """The name of a value; a constant is stored in the file when it is first asked for."""
        if value.name is not None:
            return value.name
        assert value.constant is not None
        array = np.ascontiguousarray(value.constant)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._names:
            self._names[key] = f"c{len(self._names)}"
            self._weights.append(numpy_helper.from_array(array, self._names[key]))
        return self._names[key]

    def add(
        self, operator: str, inputs: Sequence[Value | np.ndarray], shape: Sequence[Any], **attributes: Any
    ) -> Value:
        """A new node with one output, which has this shape in the graph and in JAX."""
        return self.split(operator, inputs, shape, outputs=1, **attributes)

    def split(
        self, operator: str, inputs: Sequence[Value | np.ndarray], shape: Sequence[Any], outputs: int, **attributes: Any
    ) -> Value:
        """A new node with several outputs, of which the first is used."""
        values = [each if isinstance(each, Value) else constant(each) for each in inputs]
        names = [f"v{len(self._nodes)}_{i}" for i in range(outputs)]
        self._nodes.append(helper.make_node(operator, [self.name(each) for each in values], names, **attributes))
        return Value(tuple(shape), tuple(shape), names[0])

    def reshape(self, value: Value, stored: Sequence[Any], shape: Sequence[Any] | None = None) -> Value:
        """The same values in another shape; `shape` is that in JAX where they repeat."""
        stored, shape = tuple(stored), tuple(stored if shape is None else shape)
        if value.constant is not None:
            return Value(shape, stored, constant=value.constant.reshape(stored))
        if stored == value.stored:
            return Value(shape, stored, value.name)
        sizes = [size if isinstance(size, int) else -1 for size in stored]
        if sizes.count(-1) > 1:
            raise NotImplementedError("a shape with two symbolic dimensions")
        made = self.add("Reshape", [value, np.array(sizes, np.int64)], stored)
        return Value(shape, stored, made.name)

    def transpose(self, value: Value, order: Sequence[int]) -> Value:
        """`value` with its dimensions in another order; it must be whole."""
        if list(order) == sorted(order):
            return value
        if value.constant is not None:
            return constant(value.constant.transpose(order))
        return self.add("Transpose", [value], [value.shape[axis] for axis in order], perm=list(order))

    def whole(self, value: Value) -> Value:
        """`value` with all its values, none of them standing for several."""
        if value.stored == value.shape:
            return value
        if value.constant is not None:
            return constant(np.broadcast_to(value.constant, value.shape))
        pairs = list(zip(value.stored, value.shape, strict=True))
        if any(not isinstance(size, int) for stored, size in pairs if stored != size):
            raise NotImplementedError("values that repeat along the batch")
        sizes = [1 if stored == size else size for stored, size in pairs]
        return self.add("Expand", [value, np.array(sizes, np.int64)], value.shape)

    def model(self, name: str, output: Value, metadata: dict[str, str]) -> onnx.ModelProto:
        """The finished graph, checked.

        Args:
            name: name of the output.
            output: its value.
            metadata: texts that go into the file.
        """
        output = self.whole(output)
        self._nodes.append(helper.make_node("Identity", [self.name(output)], [name]))
        dimensions = [size if isinstance(size, int) else str(size) for size in output.shape]
        described = helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, dimensions)
        graph = helper.make_graph(self._nodes, "cellflax", self._inputs, [described], self._weights)
        opset = helper.make_opsetid("", OPSET)
        made = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="cellflax")
        helper.set_model_props(made, metadata)
        onnx.checker.check_model(made, full_check=True)
        return made


def static(sizes: Sequence[Any]) -> list[int]:
    """Sizes that must be whole numbers."""
    if not all(isinstance(size, int | np.integer) for size in sizes):
        raise NotImplementedError("a symbolic size")
    return [int(size) for size in sizes]


def count(sizes: Sequence[int]) -> int:
    """Number of elements."""
    return math.prod(sizes)
