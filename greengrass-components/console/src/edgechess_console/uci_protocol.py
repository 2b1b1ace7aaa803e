"""The lines of a chess engine (UCI) that an evaluation needs. Standard library only."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Judgement:
    """From the side to move: centipawns, or mate in so many moves (negative: it is mated)."""

    cp: int | None
    mate: int | None
    depth: int
    best: str | None


def read_info(line: str) -> Judgement | None:
    """An `info` line with an exact score; None for any other line."""
    fields = line.split()
    if not fields or fields[0] != "info" or "score" not in fields or "lowerbound" in fields or "upperbound" in fields:
        return None
    at = fields.index("score")
    kind, value = (fields[at + 1], _number(fields[at + 2])) if len(fields) > at + 2 else ("", None)
    if kind not in ("cp", "mate") or value is None:
        return None
    depth = _after(fields, "depth")
    best = _after(fields, "pv")
    return Judgement(
        value if kind == "cp" else None, value if kind == "mate" else None, _number(depth or "") or 0, best
    )


def read_name(line: str) -> str | None:
    """Of `id name Stockfish 16`."""
    return line[len("id name ") :].strip()[:60] if line.startswith("id name ") else None


def _after(fields: list[str], name: str) -> str | None:
    at = fields.index(name) + 1 if name in fields else len(fields)
    return fields[at] if at < len(fields) else None


def _number(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None
