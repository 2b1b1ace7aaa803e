"""`open_stream`: one image from its sources into one buffer, every chunk verified before it counts.

    async with open_stream(model, buffer) as stream:
        await stream.ready(names_of_the_first_layer)   # usable now, while the rest is on its way
        await stream.done()

The buffer belongs to the caller and outlives the stream. Leaving the block early ends the threads and closes the
sockets before it returns; what had landed stays valid.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from edgechess_inference.weights.errors import ManifestError
from edgechess_inference.weights.host_buffer import Destination
from edgechess_inference.weights.manifest import CHUNK_BYTES
from edgechess_inference.weights.model import Model
from edgechess_inference.weights.progress import Progress
from edgechess_inference.weights.transfer import PROGRESS_S, StreamSettings, Transfer, open_transfer


class Stream:
    """Made by `open_stream`."""

    def __init__(self, model: Model, destination: Destination, shard: int, transfer: Transfer) -> None:
        self.manifest = model.manifest
        self.destination = destination
        self.tensors = {tensor.name: tensor for tensor in model.manifest.of_shard(shard)}
        """In the order in which they come."""
        self._transfer = transfer

    async def ready(self, names: Iterable[str]) -> None:
        """Returns when these tensors' bytes are at their place, verified. They come before the others from now on.

        Raises ManifestError (no such tensor), SourceError, DamageError, WeightsError, StreamStopped.
        """
        await self._transfer.wait_for(sorted({chunk for name in names for chunk in self._chunks_of(name)}))

    async def done(self) -> None:
        """Returns when everything is at its place, verified. Raises like `ready`."""
        await self._transfer.done()

    def is_ready(self, name: str) -> bool:
        """Without waiting. Raises ManifestError for no such tensor."""
        return self._transfer.has(self._chunks_of(name))

    def snapshot(self) -> Progress:
        """The progress now, with the mean rate so far."""
        return self._transfer.snapshot()

    def progress(self, interval_s: float = PROGRESS_S) -> AsyncIterator[Progress]:
        """Moments until everything has landed; the last one says so. Raises like `ready`."""
        return self._transfer.progress(interval_s)

    def _chunks_of(self, name: str) -> range:
        tensor = self.tensors.get(name)
        if tensor is None:
            raise ManifestError(f"{self.manifest.card.name} has no tensor {name!r}")
        if not tensor.length:
            return range(0)
        return range(tensor.offset // CHUNK_BYTES, (tensor.offset + tensor.length - 1) // CHUNK_BYTES + 1)


@asynccontextmanager
async def open_stream(
    model: Model,
    destination: Destination,
    *,
    shard: int = 0,
    settings: StreamSettings = StreamSettings(),  # noqa: B008 — frozen
) -> AsyncIterator[Stream]:
    """Starts at once. Raises ManifestError (no such shard) or WeightsError (it cannot fit) before anything is fetched."""
    model.manifest.of_shard(shard)
    async with open_transfer(model, model.manifest.shards[shard].chunks, destination, settings) as transfer:
        yield Stream(model, destination, shard, transfer)
