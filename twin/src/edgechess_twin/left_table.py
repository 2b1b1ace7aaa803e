"""A table as it was left, read back: what the control socket's `status` said, so that a match goes on where it stood."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgechess_board.placement import PIECES
from edgechess_twin.errors import TwinError
from edgechess_twin.world import PieceLeft


def read_left_table(path: Path) -> tuple[PieceLeft, ...]:
    """Every piece of the status in that file. Raises TwinError for a file that is none."""
    try:
        status = json.loads(path.read_text(encoding="utf-8"))
        return tuple(_piece(*row) for row in status["pieces"])
    except OSError as error:
        raise TwinError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise TwinError(f"{path}: not the status of a table: {error}") from error


def _piece(letter: Any, x_mm: Any, y_mm: Any, _z_mm: Any, upright: Any, held_by: Any, steadiness: Any) -> PieceLeft:
    if letter not in tuple(PIECES):
        raise ValueError(f"piece {letter!r}: expected one letter of {PIECES}")
    holder = None if held_by is None else str(held_by)
    return PieceLeft(letter, float(x_mm), float(y_mm), bool(upright), holder, float(steadiness))
