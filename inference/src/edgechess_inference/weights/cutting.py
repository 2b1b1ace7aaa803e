"""Cutting tensors for tensor parallelism before deployment: which axis, and the bytes of one part.

The default rules are those of Megatron-style parallelism for the usual names: what fans out is cut along its rows
(axis 0 of a [out, in] weight), what gathers along its columns (axis 1); norms and row-parallel biases are whole in
every shard.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from edgechess_inference.weights.element_types import BITS, byte_length
from edgechess_inference.weights.errors import ManifestError

Rule = tuple[re.Pattern[str], int | None]

DEFAULT_RULES: tuple[Rule, ...] = (
    (re.compile(r"norm|(?:^|\.)ln_"), None),
    (re.compile(r"(?:o_proj|down_proj|out_proj|fc2|dense_4h_to_h)\.weight$"), 1),
    (re.compile(r"(?:o_proj|down_proj|out_proj|fc2|dense_4h_to_h)\.bias$"), None),
    (re.compile(r"(?:[qkv]_proj|gate_proj|up_proj|fc1|dense_h_to_4h|embed_tokens|lm_head)\.(?:weight|bias)$"), 0),
)


def parse_rule(word: str) -> Rule:
    """`PATTERN=AXIS`, AXIS a number or `whole`. Raises ManifestError."""
    pattern, sign, axis = word.rpartition("=")
    try:
        number = None if axis == "whole" else int(axis)
        if not sign or (number is not None and number < 0):
            raise ValueError("PATTERN=AXIS is expected, AXIS a number from 0 or `whole`")
        return re.compile(pattern), number
    except (ValueError, re.error) as error:
        raise ManifestError(f"cut {word!r}: {error}") from error


def axis_of(name: str, shape: Sequence[int], shards: int, rules: Sequence[Rule]) -> int | None:
    """Where to cut; None: not at all. Raises ManifestError where the rule's axis does not divide."""
    if shards == 1:
        return None
    axis = next((axis for pattern, axis in rules if pattern.search(name)), None)
    if axis is None:
        return None
    if axis >= len(shape) or shape[axis] % shards or not shape[axis]:
        raise ManifestError(f"tensor {name!r} {list(shape)} cannot be cut into {shards} along axis {axis}")
    return axis


def part_shape(shape: tuple[int, ...], axis: int | None, shards: int) -> tuple[int, ...]:
    """The shape of one of `shards` equal parts."""
    if axis is None:
        return shape
    return (*shape[:axis], shape[axis] // shards, *shape[axis + 1 :])


def pieces(
    data: memoryview, dtype: str, shape: tuple[int, ...], axis: int | None, part: int, of: int
) -> Iterator[memoryview]:
    """The bytes of one part, as slices of the whole, in order. Raises ManifestError where a slice ends within a byte."""
    for begin, end in spans(dtype, shape, axis, part, of):
        yield data[begin:end]


def spans(dtype: str, shape: tuple[int, ...], axis: int | None, part: int, of: int) -> Iterator[tuple[int, int]]:
    """Where the bytes of one part lie in the whole tensor."""
    whole = byte_length(dtype, shape)
    if axis is None:
        yield 0, whole
        return
    inner_bits = BITS[dtype]
    for extent in shape[axis + 1 :]:
        inner_bits *= extent
    row_bits = inner_bits * shape[axis]
    part_bits = row_bits // of
    if part_bits % 8 or row_bits % 8:
        raise ManifestError(
            f"a tensor of {dtype} {list(shape)} cannot be cut along axis {axis}: parts end within a byte"
        )
    row, length = row_bits // 8, part_bits // 8
    if row:
        for start in range(part * length, whole, row):
            yield start, start + length
