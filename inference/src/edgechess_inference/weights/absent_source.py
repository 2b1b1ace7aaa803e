"""A place that cannot be asked: it stands among a model's sources, and tells whoever comes to it why there is nothing.

Where a cache or a mirror has what is wanted, nobody comes.
"""

from __future__ import annotations

from typing import NoReturn

from edgechess_inference.weights.errors import SourceError
from edgechess_inference.weights.fetch_plan import Fault
from edgechess_inference.weights.source import FetchFailed


class AbsentSource:
    """`error`: why the source that should stand here could not be made."""

    def __init__(self, name: str, error: SourceError) -> None:
        self.name = name
        self.error = error

    def connect(self) -> AbsentConnection:
        return AbsentConnection(str(self.error))

    def discard(self, key: str) -> None:
        """It has nothing."""


class AbsentConnection:
    """Every question is denied."""

    def __init__(self, text: str) -> None:
        self._text = text

    def fetch(self, key: str, into: memoryview, start: int = 0) -> NoReturn:
        raise FetchFailed(Fault.DENIED, self._text, received=start)

    def read(self, key: str) -> NoReturn:
        raise FetchFailed(Fault.DENIED, self._text)

    def interrupt(self) -> None:
        """Nothing is under way."""

    def close(self) -> None:
        """Nothing is open."""
