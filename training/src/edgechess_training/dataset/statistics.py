"""What is in a training file, in numbers, gathered part by part."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgechess_inference.policy.moves import PAIRS
from edgechess_training.dataset.game_filter import ELO_MAX

PHASES = {"opening, plies 1-20": (0, 20), "middle game, plies 21-60": (20, 60), "plies 61 and later": (60, 2**16)}
OUTCOMES = ("loss", "draw", "win", "unknown")
ELO_STEP = 100


class Tally:
    """Counts of positions by what a user asks about."""

    def __init__(self) -> None:
        self._outcomes = np.zeros(4, np.int64)
        self._plies = np.zeros(2**16, np.int64)
        self._elos = np.zeros(ELO_MAX + 1, np.int64)
        self._underpromotions = 0

    def add(self, positions: NDArray[np.void]) -> None:
        self._outcomes += np.bincount(positions["outcome"], minlength=4)
        self._plies += np.bincount(positions["ply"], minlength=2**16)
        self._elos += np.bincount(positions["elo"], minlength=ELO_MAX + 1)
        self._underpromotions += int((positions["move"] >= PAIRS).sum())

    def statistics(self) -> dict[str, Any]:
        known = self._elos.copy()
        known[0] = 0
        return {
            "outcome_for_mover": dict(zip(OUTCOMES, self._outcomes.tolist(), strict=True)),
            "phase": {name: int(self._plies[low:high].sum()) for name, (low, high) in PHASES.items()},
            "elo_of_mover": {
                "unknown": int(self._elos[0]),
                "median": _median(known),
                "by_hundred": {
                    str(low): int(known[low : low + ELO_STEP].sum())
                    for low in range(0, ELO_MAX, ELO_STEP)
                    if known[low : low + ELO_STEP].any()
                },
            },
            "underpromotions": self._underpromotions,
        }


def _median(counts: NDArray[np.int64]) -> int | None:
    total = int(counts.sum())
    return int(np.searchsorted(np.cumsum(counts), (total + 1) // 2)) if total else None
