"""In which order a model needs its tensors: embeddings, the layers by number, the last norm, the head.

A stream brings them in this order, so that the first layer can compute while the last is still on its way. The order
decides only about speed: names that we do not know come behind the layers, as they stood in the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_NUMBER = re.compile(r"(?:^|\.)(\d+)(?=\.|$)")
_FIRST = re.compile(r"embed|(?:^|\.)(?:wte|wpe)(?:\.|$)|(?:^|\.)(?:stem|input)", re.IGNORECASE)
_LAST = re.compile(r"head|(?:^|\.)(?:ln_f|final_layer_norm|norm)\.|(?:^|\.)output", re.IGNORECASE)


def in_order(names: Iterable[str]) -> list[str]:
    """Sorted by need; stable for equals."""
    return sorted(names, key=_rank)


def layer_of(name: str) -> int | None:
    """The number of the layer a tensor belongs to, from its name ("model.layers.3.mlp.up_proj.weight" → 3)."""
    found = _NUMBER.search(name)
    return int(found.group(1)) if found else None


def _rank(name: str) -> tuple[int, int]:
    layer = layer_of(name)
    if layer is not None:
        return (1, layer)
    if _FIRST.search(name):
        return (0, 0)
    return (3, 0) if _LAST.search(name) else (2, 0)
