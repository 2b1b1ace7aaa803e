"""The checkpoint of `edgechess bench stream`: TinyLlama's tensors (1.1 billion parameters, bf16), as many layers as fit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from edgechess_inference.weights.manifest import Manifest
from edgechess_inference.weights.safetensors_file import header_bytes
from edgechess_inference.weights.tensor_order import layer_of

WIDTH, INNER, KEYS, WORDS = 2048, 5632, 256, 32_000
BLOCK_BYTES = 16 << 20
LAYER = {
    "input_layernorm.weight": (WIDTH,),
    "self_attn.q_proj.weight": (WIDTH, WIDTH),
    "self_attn.k_proj.weight": (KEYS, WIDTH),
    "self_attn.v_proj.weight": (KEYS, WIDTH),
    "self_attn.o_proj.weight": (WIDTH, WIDTH),
    "post_attention_layernorm.weight": (WIDTH,),
    "mlp.gate_proj.weight": (INNER, WIDTH),
    "mlp.up_proj.weight": (INNER, WIDTH),
    "mlp.down_proj.weight": (WIDTH, INNER),
}


def shapes(size_bytes: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of about so many bytes: a smaller size has a smaller vocabulary and fewer layers."""
    share = min(1.0, size_bytes / 2_200_000_000)
    words = max(64, int(WORDS * share))
    yield "lm_head.weight", (words, WIDTH)
    yield "model.embed_tokens.weight", (words, WIDTH)
    layer_bytes = sum(2 * _elements(shape) for shape in LAYER.values())
    for number in range(max(1, round((size_bytes - 4 * words * WIDTH) / layer_bytes))):
        for name, shape in LAYER.items():
            yield f"model.layers.{number}.{name}", shape
    yield "model.norm.weight", (WIDTH,)


def write_checkpoint(path: Path, size_bytes: int) -> None:
    """Bytes that nobody can compress or share: each block of random bytes begins with its number."""
    rows = [(name, "BF16", shape) for name, shape in shapes(size_bytes)]
    block, number = os.urandom(BLOCK_BYTES), 0
    with path.open("wb") as file:
        file.write(header_bytes(rows, {"format": "pt"}))
        for _, _, shape in rows:
            left = 2 * _elements(shape)
            while left:
                part = min(left, BLOCK_BYTES)
                file.write(number.to_bytes(8, "little") + block[8:part])
                number, left = number + 1, left - part


def first_layer(manifest: Manifest) -> list[str]:
    """What a first layer needs: the embeddings and everything of layer 0."""
    return [tensor.name for tensor in manifest.tensors if layer_of(tensor.name) == 0 or "embed" in tensor.name]


def _elements(shape: tuple[int, ...]) -> int:
    count = 1
    for extent in shape:
        count *= extent
    return count
