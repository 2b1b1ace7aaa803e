"""How deep a value from a client is nested, asked without recursion: whoever sends it chooses the depth."""

from __future__ import annotations

from typing import Any


def deeper_than(value: Any, levels: int) -> bool:
    """Whether objects and arrays are nested in each other in more than `levels` levels. A plain value has none."""
    layer = [value]
    for _ in range(levels + 1):
        inner: list[Any] = []
        for one in layer:
            if isinstance(one, dict):
                inner.extend(one.values())
            elif isinstance(one, list):
                inner.extend(one)
            else:
                continue
            inner.append(None)  # an empty object is a level too
        if not inner:
            return False
        layer = inner
    return True
