"""The policy network as an ONNX graph (opset 17), made from its description alone: no torch, no export, no weights inside.

Every weight is an external initializer that the session is given as memory; two matrices per adaptable layer are inputs
where the graph is made for adapters. `policy/network.py` is the same computation in torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgechess_inference.policy.architecture import (
    COMPRESSED,
    EPSILON,
    Architecture,
    adaptable,
    offset_index,
    weights_of,
)
from edgechess_inference.policy.encoding import SQUARES
from edgechess_inference.policy.moves import UNDERPROMOTION_PIECES, UNDERPROMOTIONS

OPSET = 17  # what every onnxruntime since 1.13 runs
IR_VERSION = 8

TOKENS, CLOCKS = "tokens", "clocks"
MOVES, OUTLOOK = "moves", "outlook"


def is_convolution(layer: str) -> bool:
    return layer.rsplit(".", 1)[-1] in ("conv1", "conv2")


def stored_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape under which the graph takes a weight: convolutions unfolded from their matrices, the rest as stored."""
    if is_convolution(name.removesuffix(".weight")):
        return (shape[0], shape[1] // 9, 3, 3)
    return shape


def factor_names(layer: str) -> tuple[str, str]:
    """The two inputs of an adaptable layer."""
    return f"{layer}.A", f"{layer}.B"


class Graph:
    """Nodes, constants and weights on their way to a model."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[TensorProto] = []

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node with one output, and names that."""
        return self.ops(kind, 1, *inputs, **attributes)[0]

    def ops(self, kind: str, outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        names = [f"{kind}_{len(self.nodes)}_{number}" for number in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names

    def constant(self, values: NDArray[Any]) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def shape(self, *extents: int) -> str:
        return self.constant(np.array(extents, dtype=np.int64))

    def number(self, value: float) -> str:
        return self.constant(np.array(value, dtype=np.float32))

    def indices(self, values: Sequence[int]) -> str:
        return self.constant(np.array(values, dtype=np.int64))

    def reshape(self, x: str, *extents: int) -> str:
        return self.op("Reshape", x, self.shape(*extents))


class PolicyGraph(Graph):
    """`build` makes the model. Squares are [n, 64, channels] everywhere but inside of a convolution."""

    def __init__(self, a: Architecture, *, adapters: bool) -> None:
        super().__init__()
        self.a = a
        self.shapes = weights_of(a)
        self.layers = adaptable(a) if adapters else ()

    def build(self) -> bytes:
        """The serialized model."""
        x = self.embed()
        for number in range(self.a.blocks):
            block = self.residual if self.a.trunk == "residual" else self.encoder
            x = block(f"blocks.{number}", x)
        x = self.normalise("norm", x)
        self.policy(x)
        self.value(x)
        graph = helper.make_graph(self.nodes, "policy", self._inputs(), self._outputs(), self._initializers())
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        return bytes(model.SerializeToString())

    # ------------------------------------------------------------ parts of the network

    def embed(self) -> str:
        x = self.op("Add", self.op("Gather", "embed.pieces", TOKENS, axis=0), "embed.squares")
        clocks = self.reshape(CLOCKS, -1, 1, 1)
        return self.op("Add", x, self.op("Mul", clocks, "embed.clock"))

    def residual(self, block: str, x: str) -> str:
        a = self.a
        y = self.convolution(f"{block}.conv1", self.op("Relu", self.normalise(f"{block}.norm1", x)))
        y = self.convolution(f"{block}.conv2", self.op("Relu", self.normalise(f"{block}.norm2", y)))
        pooled = self.op("ReduceMean", y, axes=[1], keepdims=0)
        code = self.op("Relu", self.linear(f"{block}.squeeze", pooled, a.squeeze, bias=True, rows=()))
        both = self.linear(f"{block}.excite", code, 2 * a.width, bias=True, rows=())
        scale, shift = self.ops("Split", 2, self.reshape(both, -1, 1, 2 * a.width), axis=2)
        return self.op("Add", self.op("Add", x, self.op("Mul", y, self.op("Sigmoid", scale))), shift)

    def encoder(self, block: str, x: str) -> str:
        a, size = self.a, self.a.width // self.a.heads
        y = self.normalise(f"{block}.norm1", x)
        bias = self.geometry(f"{block}.geometry", a.heads)
        if a.generated:
            bias = self.op("Add", bias, self.generated_bias(block, y))
        qkv = self.reshape(self.linear(f"{block}.qkv", y, 3 * a.width), -1, SQUARES, 3, a.heads, size)
        parts = self.ops("Split", 3, self.op("Transpose", qkv, perm=[2, 0, 3, 1, 4]), axis=0)
        q, k, v = (self.reshape(part, -1, a.heads, SQUARES, size) for part in parts)
        scores = self.op("MatMul", q, self.op("Transpose", k, perm=[0, 1, 3, 2]))
        scores = self.op("Add", self.op("Mul", scores, self.number(1 / math.sqrt(size))), bias)
        y = self.op("MatMul", self.op("Softmax", scores, axis=-1), v)
        y = self.reshape(self.op("Transpose", y, perm=[0, 2, 1, 3]), -1, SQUARES, a.width)
        x = self.op("Add", x, self.linear(f"{block}.out", y, a.width))
        y = self.op("Relu", self.linear(f"{block}.up", self.normalise(f"{block}.norm2", x), a.expansion * a.width))
        return self.op("Add", x, self.linear(f"{block}.down", self.op("Mul", y, y), a.width))

    def generated_bias(self, block: str, y: str) -> str:
        a = self.a
        code = self.reshape(self.linear(f"{block}.compress", y, COMPRESSED), -1, SQUARES * COMPRESSED)
        code = self.op("Relu", self.linear(f"{block}.generate1", code, a.generated, rows=()))
        codes = self.reshape(self.linear(f"{block}.generate2", code, a.heads * a.generated, rows=()), -1, a.generated)
        return self.reshape(self.op("Gemm", codes, "embed.templates", transB=1), -1, a.heads, SQUARES, SQUARES)

    def policy(self, x: str) -> None:
        a = self.a
        query = self.linear("policy_head.query", x, a.policy_width)
        key = self.op("Transpose", self.linear("policy_head.key", x, a.policy_width), perm=[0, 2, 1])
        scores = self.op("Mul", self.op("MatMul", query, key), self.number(1 / math.sqrt(a.policy_width)))
        scores = self.op("Add", scores, self.geometry("policy_head.geometry", 1))
        pairs = self.reshape(scores, -1, SQUARES * SQUARES)
        last = self.op("Gather", x, self.indices(range(56, 64)), axis=1)
        pieces = len(UNDERPROMOTION_PIECES)
        last = self.reshape(self.linear("policy_head.underpromotion", last, pieces, rows=(8,)), -1, 8 * pieces)
        pair = self.indices([begin * 64 + end for begin, end, _ in UNDERPROMOTIONS])
        place = self.indices(
            [(end - 56) * pieces + UNDERPROMOTION_PIECES.index(kind) for _, end, kind in UNDERPROMOTIONS]
        )
        under = self.op("Add", self.op("Gather", pairs, pair, axis=1), self.op("Gather", last, place, axis=1))
        self.nodes.append(helper.make_node("Concat", [pairs, under], [MOVES], axis=1))

    def value(self, x: str) -> None:
        pooled = self.op("ReduceMean", x, axes=[1], keepdims=0)
        y = self.op("Relu", self.linear("value_head.hidden", pooled, self.a.value_width, bias=True, rows=()))
        y = self.linear("value_head.outlook", y, 3, bias=True, rows=())
        self.nodes.append(helper.make_node("Identity", [y], [OUTLOOK]))

    # ------------------------------------------------------------ layers

    def normalise(self, layer: str, x: str) -> str:
        mean = self.op("ReduceMean", self.op("Mul", x, x), axes=[-1], keepdims=1)
        root = self.op("Sqrt", self.op("Add", mean, self.number(EPSILON)))
        return self.op("Mul", self.op("Div", x, root), f"{layer}.weight")

    def linear(self, layer: str, x: str, out: int, *, bias: bool = False, rows: tuple[int, ...] = (SQUARES,)) -> str:
        """[n, *rows, in] → [n, *rows, out]."""
        flat = self.reshape(x, -1, self.shapes[f"{layer}.weight"][1]) if rows else x
        y = self.op("Gemm", flat, f"{layer}.weight", *([f"{layer}.bias"] if bias else []), transB=1)
        if layer in self.layers:
            a, b = factor_names(layer)
            y = self.op("Add", y, self.op("Gemm", self.op("Gemm", flat, a, transB=1), b, transB=1))
        return self.reshape(y, -1, *rows, out) if rows else y

    def convolution(self, layer: str, x: str) -> str:
        board = self.reshape(self.op("Transpose", x, perm=[0, 2, 1]), -1, self.a.width, 8, 8)
        y = self.op("Conv", board, f"{layer}.weight", pads=[1, 1, 1, 1])
        if layer in self.layers:
            a, b = factor_names(layer)
            y = self.op("Add", y, self.op("Conv", self.op("Conv", board, a, pads=[1, 1, 1, 1]), b))
        return self.op("Transpose", self.reshape(y, -1, self.a.width, SQUARES), perm=[0, 2, 1])

    def geometry(self, layer: str, heads: int) -> str:
        return self.reshape(
            self.op("Gather", f"{layer}.weight", self.indices(offset_index()), axis=1), heads, SQUARES, SQUARES
        )

    # ------------------------------------------------------------ the edges of the graph

    def _inputs(self) -> list[onnx.ValueInfoProto]:
        found = [
            helper.make_tensor_value_info(TOKENS, TensorProto.INT64, ["n", SQUARES]),
            helper.make_tensor_value_info(CLOCKS, TensorProto.FLOAT, ["n", 1]),
        ]
        for layer in self.layers:
            out, inward = self.shapes[f"{layer}.weight"]
            rank = f"rank of {layer}"
            a, b = factor_names(layer)
            convolution = is_convolution(layer)
            shapes: tuple[list[int | str], list[int | str]] = (
                ([rank, inward // 9, 3, 3], [out, rank, 1, 1]) if convolution else ([rank, inward], [out, rank])
            )
            for name, shape in zip((a, b), shapes, strict=True):
                found.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [*shape]))
        return found

    def _outputs(self) -> list[onnx.ValueInfoProto]:
        moves = SQUARES * SQUARES + len(UNDERPROMOTIONS)
        return [
            helper.make_tensor_value_info(MOVES, TensorProto.FLOAT, ["n", moves]),
            helper.make_tensor_value_info(OUTLOOK, TensorProto.FLOAT, ["n", 3]),
        ]

    def _initializers(self) -> list[TensorProto]:
        return [*self.constants, *(_external(name, self.shapes[name]) for name in used_weights(self.a))]


def used_weights(a: Architecture) -> list[str]:
    """All but the value's bins, which only training looks at."""
    return [name for name in weights_of(a) if not name.startswith("value_head.bins")]


def _external(name: str, shape: tuple[int, ...]) -> TensorProto:
    """A weight whose bytes the session is given beside the model."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    tensor.dims.extend(stored_shape(name, shape))
    tensor.external_data.add(key="location", value="memory")
    return tensor
