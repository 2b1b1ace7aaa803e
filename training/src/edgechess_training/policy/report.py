"""What a run tells of itself."""

from __future__ import annotations

from dataclasses import dataclass

from edgechess_training.policy.scoring import Score


@dataclass(frozen=True, slots=True)
class Report:
    """One line of a run's figures. Losses are means since the line before; `factor`: of the full learning rate.

    `rate`: positions per second of compute. `spent_s`: compute so far; `wall_s`: since the run was last started.
    """

    positions: int
    step: int
    loss: float
    outlook_loss: float
    factor: float
    rate: float
    spent_s: float
    wall_s: float
    score: Score | None
