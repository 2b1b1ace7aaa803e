"""What a match on the table is asked to be: one frozen value, made from the command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from edgechess_kit.broker import BrokerKind
from edgechess_kit.messages import EdgeEvent
from edgechess_twin.arm_device import Kind

TimeMode = Literal["real", "fast", "virtual"]

FAST_SPEED = 20.0  # the twin's motion in `fast`: a quiet move of 11 s takes half a second, wires keep true timing


@dataclasses.dataclass(frozen=True, slots=True)
class MatchOptions:
    """One match. `speed` scales the twin's motion only; `time` "virtual" runs everything in one process."""

    white: str
    black: str
    time: TimeMode = "fast"
    seed: int = 0
    faults: str = "none"
    robot: bool = True
    rotated: bool = False
    max_plies: int | None = None
    pgn: Path | None = None
    speed: float = FAST_SPEED
    arms: tuple[Kind, Kind] = ("dobot", "dobot")
    start_fen: str | None = None
    broker: BrokerKind = "auto"
    firmware: Literal["4.5", "4.6"] = "4.6"
    matches: int = 1
    """One after the other on the same table, which the arms set up in between; only in virtual time."""

    node_players: tuple[str, ...] = ()
    """Players whose words an inference node answers, over the bus; none: there is no node."""
    node: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Settings of that node beside the usual ones."""

    @property
    def motion_speed(self) -> float:
        """Factor on the twin's motion. Virtual time costs nothing, so motion there is true."""
        return self.speed if self.time == "fast" else 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class MatchSummary:
    """The end of a match, as scripts read it: the last line of `--json`."""

    result: str
    termination: str
    plies: int
    confirmed: int
    repaired: int
    helped: int
    final_fen: str
    seconds: float
    model_moves: int = 0
    fallback_moves: int = 0
    """Of the moves asked of models, those that the engine behind them made."""

    @classmethod
    def told_by(cls, event: EdgeEvent) -> MatchSummary | None:
        """From the director's last word on a match; None for every other event."""
        if event.component != "match-director" or event.kind != "summary":
            return None
        return cls(**{field.name: event.data[field.name] for field in dataclasses.fields(cls)})

    def as_event(self) -> dict[str, object]:
        return {"event": "summary", **dataclasses.asdict(self)}
