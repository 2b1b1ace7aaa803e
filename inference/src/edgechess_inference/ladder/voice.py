"""Who is asked on the ladder: anything that answers a position with text, once per rung."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import chess

from edgechess_inference.errors import InferenceError
from edgechess_inference.ladder.account import Attempt, Failure


class VoiceFailed(InferenceError):
    """No answer. `failure` says of what kind; `again`: another attempt may fare better. The text is for people."""

    def __init__(self, failure: Failure, text: str, *, again: bool) -> None:
        super().__init__(text)
        self.failure: Failure = failure
        self.again = again


@dataclasses.dataclass(frozen=True, slots=True)
class Rung:
    """One attempt: the position with its game so far, the failures before it, until when (`anyio.current_time()`)."""

    board: chess.Board
    number: int
    failures: tuple[Attempt, ...]
    attempts: int
    until: float
    seed: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Said:
    """What was answered, as it was written. `constrained`: it could name nothing but legal moves. `instead`: the legal
    move that the model likes best, for the case that `text` names none. `weights`: digest of what computed it."""

    text: str
    constrained: bool = False
    instead: str | None = None
    adapter: str | None = None
    weights: str | None = None


class Voice(Protocol):
    """Calls may overlap: several tables, several positions."""

    @property
    def name(self) -> str:
        """How the account names it."""

    async def say(self, rung: Rung) -> Said:
        """Raises VoiceFailed. May be cancelled at any moment."""

    async def close(self) -> None:
        """Afterwards nothing of it is left running."""
