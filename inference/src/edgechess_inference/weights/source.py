"""The port of a chunk source: where objects are read from by key, by many threads, each with a connection of its own."""

from __future__ import annotations

from typing import Protocol

from edgechess_inference.weights.fetch_plan import Fault

OBJECT_BYTES_MAX = 64 << 20  # of an object that is read whole: a manifest


class FetchFailed(Exception):
    """The bytes did not all come. `received` of them, from the front, did."""

    def __init__(self, fault: Fault, text: str, *, received: int = 0, retry_after_s: float = 0.0) -> None:
        super().__init__(text)
        self.fault = fault
        self.text = text
        self.received = received
        self.retry_after_s = retry_after_s


class Connection(Protocol):
    """Used by one thread; only `interrupt` may be called by others."""

    def fetch(self, key: str, into: memoryview, start: int = 0) -> None:
        """Fills `into[start:]` with the object's bytes from `start` on; the object must be exactly as long as `into`.

        Raises FetchFailed (RESET, THROTTLED, MISSING, DENIED, CANCELLED).
        """
        ...

    def read(self, key: str) -> bytes:
        """A whole small object. Raises FetchFailed."""
        ...

    def interrupt(self) -> None:
        """The fetch under way, or the next one, ends soon with CANCELLED; then it can be used again. Never raises."""
        ...

    def close(self) -> None:
        """Never raises."""
        ...


class Source(Protocol):
    """`name` says where, for people and for counting. Keys are relative to the source's own place."""

    name: str

    def connect(self) -> Connection:
        """Costs nothing: a real connection is made when it is first needed."""
        ...

    def discard(self, key: str) -> None:
        """The object was found damaged here: whoever can forget it, does."""
        ...
