"""Counts that add up: what tasks return, so that results are one sum whatever the tasks were and whoever did them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Sums = dict[str, Any]
"""Names to numbers, to lists of numbers (added place by place), or to further sums."""


def added(all_sums: Iterable[Sums]) -> Sums:
    """Names that some lack count as nothing."""
    total: Sums = {}
    for sums in all_sums:
        for name, value in sums.items():
            total[name] = _plus(total[name], value) if name in total else value
    return total


def _plus(a: Any, b: Any) -> Any:
    if isinstance(a, dict):
        return added((a, b))
    if isinstance(a, list):
        return [x + y for x, y in zip(a, b, strict=True)]
    return a + b
