"""The room's errors. One root: `TwinError`."""

from __future__ import annotations


class TwinError(Exception):
    """Root of every error that the twin raises to those who ask it for something."""


class HandError(TwinError):
    """The person cannot do that: nothing stands there, no such move, no such arm. The text says which."""


class TwinNotFound(TwinError):
    """No running twin was found, or it went away. The text says where it was looked for."""
