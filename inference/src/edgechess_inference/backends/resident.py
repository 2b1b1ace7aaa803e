"""Weights that are loaded already, as a source for those that replace them: what both share is copied, not fetched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgechess_inference.weights.fetch_plan import Fault
from edgechess_inference.weights.local_store import chunk_key
from edgechess_inference.weights.manifest import CHUNK_BYTES, Manifest
from edgechess_inference.weights.source import FetchFailed

Read = Callable[[int, memoryview], None]
"""(offset in the image, place) → fills the place. Called by several threads."""


def reader_of(destination: Any) -> Read:
    """Of a stream's destination: host memory, or a torch device's, from which it is copied back."""

    def from_host(offset: int, into: memoryview) -> None:
        into[:] = destination.view(offset, len(into))

    def from_device(offset: int, into: memoryview) -> None:
        into[:] = memoryview(destination.memory[offset : offset + len(into)].cpu().numpy())

    return from_device if hasattr(destination, "memory") else from_host


class ResidentSource:
    """Only as long as the model it reads from stays loaded. Everything in its image must have arrived."""

    name = "resident"

    def __init__(self, manifest: Manifest, read: Read) -> None:
        chunks = manifest.shards[0].chunks
        self._places = {chunk_key(chunk.address): number * CHUNK_BYTES for number, chunk in enumerate(chunks)}
        self._read = read

    def connect(self) -> ResidentConnection:
        return ResidentConnection(self._places, self._read)

    def discard(self, key: str) -> None:
        """Damaged in memory: it is fetched from elsewhere, and not asked for here again."""
        self._places.pop(key, None)


class ResidentConnection:
    """A copy of memory takes no time that would have to be interrupted."""

    def __init__(self, places: dict[str, int], read: Read) -> None:
        self._places = places
        self._read = read

    def fetch(self, key: str, into: memoryview, start: int = 0) -> None:
        place = self._places.get(key)
        if place is None:
            raise FetchFailed(Fault.MISSING, f"{key} is not among the loaded weights")
        self._read(place + start, into[start:])

    def read(self, key: str) -> bytes:
        raise FetchFailed(Fault.MISSING, f"{key}: loaded weights are no store")

    def interrupt(self) -> None:
        """Nothing to interrupt."""

    def close(self) -> None:
        """Nothing is held."""
