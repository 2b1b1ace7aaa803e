"""The director's errors. One root: `DirectorError`."""

from __future__ import annotations

from edgechess_kit.errors import JournalError


class DirectorError(Exception):
    """Root of every error that the director raises."""


class ControlRefused(DirectorError):
    """A session control cannot be obeyed. The text is one sentence for whoever sent it (status 400)."""


class JournalDamaged(DirectorError, JournalError):
    """The journal tells of a match that cannot have been: it was edited, or written by another program.

    A JournalError too, because no restart makes it better.
    """
