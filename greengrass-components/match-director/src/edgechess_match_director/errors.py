"""The director's errors. One root: `DirectorError`."""

from __future__ import annotations


class DirectorError(Exception):
    """Root of every error that the director raises."""


class ControlRefused(DirectorError):
    """A session control cannot be obeyed. The text is one sentence for whoever sent it (status 400)."""


class JournalDamaged(DirectorError):
    """The journal tells of a match that cannot have been: it was edited, or written by another program."""
