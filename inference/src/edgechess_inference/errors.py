"""The room's errors, named by whose fault they are. One root: `InferenceError`."""

from __future__ import annotations


class InferenceError(Exception):
    """Root of every error that a player or model raises."""


class PlayerWordError(InferenceError):
    """A player word (`stockfish:elo=1350`) that cannot be understood. The text names the part and lists what is possible."""


class PlayerFailed(InferenceError):
    """The player gave no usable move: its engine died, was too slow, or answered illegally. Asking again is safe."""


class ReplayEnded(PlayerFailed):
    """A replayed game has no further move here (it ended in resignation, agreement or on time, or took another course).

    `result` is the record's ("1-0", "0-1", "1/2-1/2") where the game so far is the whole record, and then
    `termination` says how it ended as far as the record knows. `result` None: the record does not say, or does not fit.
    """

    def __init__(self, text: str, *, result: str | None = None, termination: str | None = None) -> None:
        super().__init__(text)
        self.result = result
        self.termination = termination
