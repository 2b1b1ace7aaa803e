"""`pull`: a model from anywhere into a store on disk, fetching only the chunks that are not there. Killed, it goes on.

Chunks appear whole or not at all and are named by their content, so that the store itself is the record of what has
been fetched; the manifest is written last.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anyio.to_thread

from edgechess_inference.weights.host_buffer import HostBuffer
from edgechess_inference.weights.local_store import LocalStore, write_whole
from edgechess_inference.weights.manifest import CHUNK_BYTES, Chunk, encode
from edgechess_inference.weights.model import Model
from edgechess_inference.weights.transfer import StreamSettings, Watch, open_transfer, silently


class StoreDestination:
    """A destination that keeps each chunk as an object of a store."""

    staging_bytes = CHUNK_BYTES

    def __init__(self, store: LocalStore, chunks: Sequence[Chunk]) -> None:
        self.bytes = len(chunks) * CHUNK_BYTES
        self._store = store
        self._chunks = chunks
        self._slots: dict[int, HostBuffer] = {}

    def slot(self, offset: int, length: int, receiver: int) -> memoryview:
        if receiver not in self._slots:
            self._slots[receiver] = HostBuffer(CHUNK_BYTES)
        return self._slots[receiver].view(0, length)

    def land(self, offset: int, length: int, receiver: int) -> None:
        chunk = self._chunks[offset // CHUNK_BYTES]
        self._store.put_chunk(chunk.address, self._slots[receiver].view(0, length))


async def pull(
    model: Model,
    address: Path,
    *,
    settings: StreamSettings = StreamSettings(),  # noqa: B008 — frozen
    watch: Watch = silently,
) -> int:
    """Copies the model to `address` (…/NAME.json). Returns the bytes fetched. Raises OSError, SourceError, DamageError."""
    store = LocalStore(address.parent)
    chunks = [chunk for key, chunk in model.manifest.chunks().items() if store.size_of(key) != chunk.bytes]
    if chunks:
        async with open_transfer(model, chunks, StoreDestination(store, chunks), settings) as transfer:
            await watch(transfer)
    address.parent.mkdir(parents=True, exist_ok=True)
    await anyio.to_thread.run_sync(write_whole, address, encode(model.manifest))
    return sum(chunk.bytes for chunk in chunks)
