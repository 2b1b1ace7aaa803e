"""What can go wrong here; every text is one sentence for a person."""

from __future__ import annotations

from edgechess_kit.errors import SettingsError


class ConsoleError(Exception):
    """Root of this room."""


class ServerFailed(ConsoleError, SettingsError):
    """The page cannot be served: its port, its certificate or its key. No restart makes that better."""


class EngineFailed(ConsoleError):
    """The engine of the evaluation does not answer. Nothing else depends on it."""


class HistoryError(ConsoleError):
    """The history's file cannot be used."""
