"""The room's errors, named by whose fault they are. One root: `BoardError`."""

from __future__ import annotations


class BoardError(Exception):
    """Root of every error that a board raises."""


class BoardLost(BoardError):
    """The link to the board is down, or it does not answer."""


class BoardNotFound(BoardError):
    """No port has a board, or the named port cannot be opened. The text names the ports tried and the cure."""
