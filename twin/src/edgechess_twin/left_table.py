"""A table as it was left, read back: what the control socket's `status` said, so that a match goes on where it stood."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgechess_board.placement import PIECES
from edgechess_twin.errors import TwinError
from edgechess_twin.world import PieceLeft

Joints = tuple[float, float, float, float, float, float]


@dataclasses.dataclass(frozen=True, slots=True)
class TableLeft:
    """Every piece, and the joints in degrees of each arm (none: where arms stand when they are delivered)."""

    pieces: tuple[PieceLeft, ...]
    joints: Mapping[str, Joints] = dataclasses.field(default_factory=dict)
    kinds: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """What each arm was; one that is not named here was a Dobot. Joints mean nothing to an arm of another kind."""


def read_left_table(path: Path) -> TableLeft:
    """The status in that file. Raises TwinError for a file that holds none."""
    try:
        status = json.loads(path.read_text(encoding="utf-8"))
        pieces = tuple(_piece(*row) for row in status["pieces"])
        joints = {str(name): _joints(*angles) for name, angles in status["joints_deg"].items()}
        return TableLeft(pieces, joints, {str(name): str(kind) for name, kind in status.get("kinds", {}).items()})
    except OSError as error:
        raise TwinError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TwinError(f"{path}: not the status of a table: {error}") from error


def _piece(letter: Any, x_mm: Any, y_mm: Any, _z_mm: Any, upright: Any, held_by: Any, steadiness: Any) -> PieceLeft:
    if letter not in tuple(PIECES):
        raise ValueError(f"piece {letter!r}: expected one letter of {PIECES}")
    holder = None if held_by is None else str(held_by)
    return PieceLeft(letter, _finite(x_mm), _finite(y_mm), bool(upright), holder, _finite(steadiness))


def _joints(j1: Any, j2: Any, j3: Any, j4: Any, j5: Any, j6: Any) -> Joints:
    return _finite(j1), _finite(j2), _finite(j3), _finite(j4), _finite(j5), _finite(j6)


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value!r}: expected a finite number")
    return number
