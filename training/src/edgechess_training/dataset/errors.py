"""What goes wrong with sources and with single games."""

from __future__ import annotations

from edgechess_training.errors import TrainingError


class DatasetError(TrainingError):
    """A source, an option or a folder that makes no dataset. The text names it and the cure."""


class MalformedGame(Exception):
    """One game that cannot be read to its end. `offset`: where in its text; the build goes on without the rest of it."""

    def __init__(self, text: str, offset: int = 0) -> None:
        super().__init__(text)
        self.offset = offset
