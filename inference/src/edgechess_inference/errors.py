"""The room's errors, named by whose fault they are. One root: `InferenceError`."""

from __future__ import annotations


class InferenceError(Exception):
    """Root of every error that a player or model raises."""


class PlayerWordError(InferenceError):
    """A player word (`stockfish:elo=1350`) that cannot be understood. The text names the part and lists what is possible."""


class PlayerFailed(InferenceError):
    """The player gave no usable move: its engine died, was too slow, or answered illegally. Asking again is safe."""


class ReplayEnded(PlayerFailed):
    """A replayed game has no further move here (it ended in resignation, agreement or on time, or took another course)."""
