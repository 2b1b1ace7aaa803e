"""The shape of a policy network as a value: what a card carries, and the names and shapes of the weights it implies.

Every backend builds the same computation from it (`network.py` in torch, `backends/onnx_graph.py` for onnxruntime).
Weights are named in the order in which the computation needs them, so that a stream can be used while it arrives.
"""

from __future__ import annotations

import json
from typing import Literal

import msgspec

from edgechess_inference.errors import InferenceError
from edgechess_inference.policy.encoding import CODES, SQUARES
from edgechess_inference.policy.moves import UNDERPROMOTION_PIECES

ARCHITECTURE = "edgechess-policy"
CONFIG_KEY = "config"  # of `card.extra`

OFFSETS = 15 * 15  # differences of two squares, -7 to 7 in rank and in file
EPSILON = 1e-6  # of every normalisation

WIDTH_MAX = 4096
BLOCKS_MAX = 256

Shape = tuple[int, ...]


class ArchitectureError(InferenceError):
    """A network's description that means no network. The text names the field."""


class Architecture(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`trunk` "residual": convolutions of 3x3 with squeeze and excitation, for processors. "encoder": a transformer whose
    64 tokens are the squares, for accelerators. `width`: channels of a square."""

    trunk: Literal["residual", "encoder"]
    width: int
    blocks: int
    squeeze: int = 16
    """Residual: channels between squeeze and excitation."""
    heads: int = 8
    """Encoder: attention heads; they divide the width."""
    expansion: int = 2
    """Encoder: of the width, inside the feed-forward layers."""
    generated: int = 0
    """Encoder: size of the code from which each layer makes a bias of attention for this very position; 0: none."""
    policy_width: int = 32
    """Of the query and the key that name a move's two squares."""
    value_width: int = 64
    value_bins: int = 0
    """Beside win, draw and loss: classes of the expected score, 0 (none) to 128."""

    def __post_init__(self) -> None:
        """Raises ArchitectureError."""
        limits = {
            "width": (4, WIDTH_MAX), "blocks": (1, BLOCKS_MAX), "squeeze": (1, WIDTH_MAX), "heads": (1, 256),
            "expansion": (1, 16), "generated": (0, 1024), "policy_width": (1, WIDTH_MAX),
            "value_width": (1, WIDTH_MAX), "value_bins": (0, 128),
        }  # fmt: skip
        for field, (low, high) in limits.items():
            value = getattr(self, field)
            if not low <= value <= high:
                raise ArchitectureError(f"{field} is {value}; it goes from {low} to {high}")
        if self.trunk == "encoder" and self.width % self.heads:
            raise ArchitectureError(f"{self.heads} heads do not divide a width of {self.width}")


COMPRESSED = 8  # channels per square from which an encoder's layer reads the whole position for its generated bias


def parse(text: str) -> Architecture:
    """From a card. Raises ArchitectureError."""
    try:
        return msgspec.json.decode(text, type=Architecture)
    except msgspec.DecodeError as error:
        raise ArchitectureError(f"the network's description: {error}") from error


def text_of(architecture: Architecture) -> str:
    """For a card; `parse` reads it."""
    return json.dumps(msgspec.to_builtins(architecture), separators=(",", ":"))


def weights_of(architecture: Architecture) -> dict[str, Shape]:
    """Name and shape of every weight, in the order of the computation. Matrices are [out, in]."""
    a, w = architecture, architecture.width
    found: dict[str, Shape] = {"embed.pieces": (CODES, w), "embed.squares": (SQUARES, w), "embed.clock": (w,)}
    if a.trunk == "encoder" and a.generated:
        found["embed.templates"] = (SQUARES * SQUARES, a.generated)
    for number in range(a.blocks):
        block = _residual_block(a) if a.trunk == "residual" else _encoder_block(a)
        found |= {f"blocks.{number}.{name}": shape for name, shape in block.items()}
    return found | {"norm.weight": (w,)} | _heads(a)


def _residual_block(a: Architecture) -> dict[str, Shape]:
    w = a.width
    return {
        "norm1.weight": (w,),
        "conv1.weight": (w, 9 * w),
        "norm2.weight": (w,),
        "conv2.weight": (w, 9 * w),
        "squeeze.weight": (a.squeeze, w),
        "squeeze.bias": (a.squeeze,),
        "excite.weight": (2 * w, a.squeeze),
        "excite.bias": (2 * w,),
    }


def _encoder_block(a: Architecture) -> dict[str, Shape]:
    w = a.width
    generated: dict[str, Shape] = {
        "compress.weight": (COMPRESSED, w),
        "generate1.weight": (a.generated, COMPRESSED * SQUARES),
        "generate2.weight": (a.heads * a.generated, a.generated),
    }
    return {
        "norm1.weight": (w,),
        **(generated if a.generated else {}),
        "qkv.weight": (3 * w, w),
        "geometry.weight": (a.heads, OFFSETS),
        "out.weight": (w, w),
        "norm2.weight": (w,),
        "up.weight": (a.expansion * w, w),
        "down.weight": (w, a.expansion * w),
    }


def _heads(a: Architecture) -> dict[str, Shape]:
    w = a.width
    bins: dict[str, Shape] = {"value_head.bins.weight": (a.value_bins, a.value_width)} if a.value_bins else {}
    return {
        "policy_head.query.weight": (a.policy_width, w),
        "policy_head.key.weight": (a.policy_width, w),
        "policy_head.geometry.weight": (1, OFFSETS),
        "policy_head.underpromotion.weight": (len(UNDERPROMOTION_PIECES), w),
        "value_head.hidden.weight": (a.value_width, w),
        "value_head.hidden.bias": (a.value_width,),
        "value_head.outlook.weight": (3, a.value_width),
        "value_head.outlook.bias": (3,),
        **bins,
    }


def adaptable(architecture: Architecture) -> tuple[str, ...]:
    """The layers that a low-rank adapter may change, by name without `.weight`."""
    layers = ("conv1", "conv2", "qkv", "out", "up", "down", "query", "key", "hidden", "outlook", "underpromotion")
    names = (name.removesuffix(".weight") for name in weights_of(architecture) if name.endswith(".weight"))
    return tuple(name for name in names if name.rsplit(".", 1)[-1] in layers)


def parameters(architecture: Architecture) -> int:
    """How many numbers the weights are."""
    total = 0
    for shape in weights_of(architecture).values():
        count = 1
        for extent in shape:
            count *= extent
        total += count
    return total


def offset_index() -> list[int]:
    """For every pair of squares (from * 64 + to): which of the OFFSETS lies between them."""
    squares = range(SQUARES)
    return [((b // 8 - a // 8) + 7) * 15 + (b % 8 - a % 8) + 7 for a in squares for b in squares]
