"""A graph of ONNX that grows by Keras networks, and by what skl2onnx makes of an estimator.

Keras has the channels of a map last, ONNX has them first. Here every tensor of four dimensions is
(n, c, h, w), and its shape is noted as Keras has it, (n, h, w, c).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, compose, helper, numpy_helper

from pipeline.exporting.resizing import CUBIC, Resizing

OPSET, OPSET_OF_TREES = 18, 3  # the first with resizing that antialiases
_IR_VERSION = 8  # of that opset, so that runtimes of that age read the file
PIXELS, PROBABILITIES = "pixels", "probabilities"
_FIRST = {0: 0, 1: 2, 2: 3, 3: 1}  # from an axis of a map in Keras to that in ONNX
_MODES = {"bilinear": "linear", "bicubic": "cubic"}


@dataclass(frozen=True)
class Value:
    """A tensor of the graph.

    Attributes:
        name: its name there.
        shape: its shape in Keras, whose first dimension is None.
    """

    name: str
    shape: tuple[int | None, ...]

    @property
    def is_map(self) -> bool:
        """Whether its channels come first in ONNX, and last in Keras."""
        return len(self.shape) == 4


Input = Value | str | np.ndarray | np.floating


class Graph:
    """A graph of ONNX under construction."""

    def __init__(self) -> None:
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []
        self._inputs: list[Any] = []
        self.bytes = 0  # of all constants

    def pixels(self, size: tuple[int, int], resizing: Resizing) -> Value:
        """Return the input, uint8 pixels (n, h, w, 3), resized where a file can do that."""
        sides = ["height", "width"] if resizing.inside else [*size]
        shape = ["n", *sides, 3]
        self._inputs = [helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, shape)]
        name = PIXELS
        if resizing.inside:
            (name,) = self.node(
                "Resize", [name, "", "", np.array(size, np.int64)], axes=[1, 2], antialias=1,
                exclude_outside=1, mode=_MODES[resizing.interpolation], cubic_coeff_a=CUBIC,
            )  # fmt: skip
        return self.first(name, (None, *size, 3))

    def node(self, kind: str, inputs: Sequence[Input], outputs: int = 1, **attributes: Any) -> list:
        """Add an operator; return the names of its outputs. Arrays become constants."""
        names = [self._name(value) for value in inputs]
        made = [f"{kind}_{len(self._nodes)}_{number}" for number in range(outputs)]
        domain = attributes.pop("domain", "")
        self._nodes.append(helper.make_node(kind, names, made, domain=domain, **attributes))
        return made

    def add(
        self, kind: str, inputs: Sequence[Input], shape: tuple[int | None, ...], **attributes: Any
    ) -> Value:
        """Add an operator of one output, whose shape is as in Keras."""
        return Value(self.node(kind, inputs, **attributes)[0], tuple(shape))

    def first(self, name: str, shape: tuple[int | None, ...]) -> Value:
        """Return a tensor that has the order of Keras."""
        if len(shape) == 4:
            (name,) = self.node("Transpose", [name], perm=[0, 3, 1, 2])
        return Value(name, tuple(shape))

    def last(self, value: Value) -> str:
        """Return the name of a tensor in the order of Keras."""
        if not value.is_map:
            return value.name
        return str(self.node("Transpose", [value], perm=[0, 2, 3, 1])[0])

    def include(self, model: ModelProto, value: Value) -> Value:
        """Add what skl2onnx made of an estimator; return its probabilities, (n, k)."""
        prefixed = compose.add_prefix(model, "estimator/").graph
        self._nodes.append(helper.make_node("Identity", [value.name], [prefixed.input[0].name]))
        self._nodes.extend(prefixed.node)
        self._constants.extend(prefixed.initializer)
        self.bytes += prefixed.ByteSize()
        return Value(prefixed.output[1].name, (None, None))

    def finish(self, value: Value, name: str, properties: dict[str, str]) -> ModelProto:
        """Return the model that ends in a tensor, (n, K)."""
        self._nodes.append(helper.make_node("Identity", [value.name], [PROBABILITIES]))
        output = helper.make_tensor_value_info(
            PROBABILITIES, TensorProto.FLOAT, ["n", value.shape[1]]
        )
        graph = helper.make_graph(self._nodes, name, self._inputs, [output], self._constants)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", OPSET_OF_TREES)]
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="offshelf"
        )
        helper.set_model_props(model, properties)
        return model

    def _name(self, value: Input) -> str:
        if isinstance(value, Value):
            return value.name
        if isinstance(value, str):
            return value
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.array(value, order="C"), name))
        self.bytes += value.nbytes
        return name


def axis_of(axis: int, value: Value) -> int:
    """Return an axis of a tensor in ONNX."""
    axis %= len(value.shape)
    return _FIRST[axis] if value.is_map else axis
