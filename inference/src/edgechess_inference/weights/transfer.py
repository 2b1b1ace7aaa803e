"""A list of chunks from a model's sources into a destination: verified, out of order, in threads that we can end.

What `open_stream`, unpacking and copying have in common. Chunk i of the list goes to byte i * CHUNK_BYTES.
"""

from __future__ import annotations

import dataclasses
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import anyio.to_thread

from edgechess_inference.weights.chunk_cache import ChunkCache
from edgechess_inference.weights.errors import StreamStopped, WeightsError
from edgechess_inference.weights.fetch_plan import Limits
from edgechess_inference.weights.host_buffer import Destination
from edgechess_inference.weights.manifest import CHUNK_BYTES, Chunk
from edgechess_inference.weights.model import Model
from edgechess_inference.weights.progress import Progress
from edgechess_inference.weights.receivers_adapter import Receivers

log = logging.getLogger(__name__)

HOST_BYTES = 64 << 20  # beside the destination, whatever the model's size
OWN_BYTES = 8 << 20  # of them for the books of the transfer and the heads of answers
RECEIVER_BYTES = 1 << 20  # a thread's stack and its TLS buffers
CONNECTIONS = 12  # fill 5 Gbit/s at 80 MB/s each with 20 ms to the first byte; more only put off the first layer
PROGRESS_S = 0.2


@dataclasses.dataclass(frozen=True, slots=True)
class StreamSettings:
    """How to stream. `host_bytes` bounds what is needed beside the destination; from less follow fewer connections."""

    connections: int = CONNECTIONS
    host_bytes: int = HOST_BYTES
    limits: Limits = dataclasses.field(default_factory=Limits)
    seed: int | None = None
    """Of the jitter; None: of the system."""

    def receivers(self, staging_bytes: int) -> int:
        """How many fit. Raises WeightsError where not one does."""
        hedges = self.limits.hedges_at_once * CHUNK_BYTES
        fit = (self.host_bytes - OWN_BYTES - hedges) // (staging_bytes + RECEIVER_BYTES)
        if fit < 1 or self.connections < 1:
            raise WeightsError(f"{self.connections} connections do not fit into {self.host_bytes} bytes of host memory")
        return min(self.connections, fit)


class Transfer:
    """Made by `open_transfer`."""

    def __init__(self, model: Model, chunks: Sequence[Chunk], receivers: Receivers) -> None:
        self.total_bytes = sum(chunk.bytes for chunk in chunks)
        self._cache = model.cache
        self._receivers = receivers
        self._landed = bytearray(len(chunks))
        self._missing = len(chunks)
        self._error: WeightsError | None = None
        self._changed = anyio.Event()
        self._began_s = anyio.current_time()

    def has(self, chunks: Iterable[int]) -> bool:
        """All of these have landed."""
        return all(self._landed[chunk] for chunk in chunks)

    async def wait_for(self, chunks: Sequence[int]) -> None:
        """Returns when these have landed; they come before the others. Raises SourceError, DamageError, StreamStopped."""
        self._receivers.want(tuple(chunk for chunk in chunks if not self._landed[chunk]))
        await anyio.lowlevel.checkpoint()
        while not self.has(chunks):
            await self._change()

    async def done(self) -> None:
        """Returns when everything has landed. Raises like `wait_for`."""
        await anyio.lowlevel.checkpoint()
        while self._missing:
            await self._change()

    def snapshot(self, before: Progress | None = None, after_s: float = 0.0) -> Progress:
        """The progress now; the rate since `before`, which was `after_s` ago, else since the beginning."""
        tally = self._receivers.tally()
        gained = tally.landed_bytes - (before.landed_bytes if before else 0)
        after_s = after_s if before else anyio.current_time() - self._began_s
        problem = self._cache.problem if self._cache else None
        return Progress(self.total_bytes, gained / after_s if after_s > 0 else 0.0, tally, problem)

    async def progress(self, interval_s: float = PROGRESS_S) -> AsyncIterator[Progress]:
        """Moments until everything has landed; the last one says so. Raises like `wait_for`."""
        before, at_s = self.snapshot(), anyio.current_time()
        while True:
            with anyio.move_on_after(interval_s):
                await self.done()
            now_s = anyio.current_time()
            before, at_s = self.snapshot(before, now_s - at_s), now_s
            yield before
            if before.finished:
                return

    async def _change(self) -> None:
        if self._error is not None:
            raise self._error
        await self._changed.wait()

    async def watch(self) -> None:
        """Carries news from the threads until all has landed or failed. Run once, by `open_transfer`."""
        while self._missing and self._error is None:
            await anyio.wait_readable(self._receivers.readable)
            landed, error = self._receivers.news()
            for chunk in landed:
                self._landed[chunk] = 1
            self._missing -= len(landed)
            self._tell(error if self._missing else None)

    def close(self) -> None:
        """Whoever still waits hears that nothing more will come."""
        self._tell(StreamStopped("the stream was closed before everything had come") if self._missing else None)

    def _tell(self, error: WeightsError | None) -> None:
        if self._error is None:
            self._error = error
        changed, self._changed = self._changed, anyio.Event()
        changed.set()


Watch = Callable[[Transfer], Awaitable[None]]
"""Waits until a transfer is done, and shows it to somebody or not."""


async def silently(transfer: Transfer) -> None:
    """The `Watch` of whoever wants no picture."""
    await transfer.done()


@asynccontextmanager
async def open_transfer(
    model: Model, chunks: Sequence[Chunk], destination: Destination, settings: StreamSettings
) -> AsyncIterator[Transfer]:
    """Starts at once. Leaving ends the threads and closes the sockets before it returns; what has landed stays.

    Raises WeightsError where the destination or the host memory is too small, before anything is fetched.
    """
    if destination.bytes < (len(chunks) - 1) * CHUNK_BYTES + (chunks[-1].bytes if chunks else 0):
        raise WeightsError(f"{len(chunks)} chunks do not fit into {destination.bytes} bytes")
    receivers = Receivers(
        chunks,
        model.sources,
        destination,
        count=min(settings.receivers(destination.staging_bytes), len(chunks)),
        rigour=model.rigour,
        limits=settings.limits,
        draw=random.Random(settings.seed),
        cache=model.cache,
    )
    transfer = Transfer(model, chunks, receivers)
    try:
        receivers.start()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(transfer.watch, name="weights-watch")
            try:
                yield transfer
            finally:
                tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None  # what the block raised: that there is a task beside it is our affair
        raise
    finally:
        transfer.close()
        receivers.stop()
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(receivers.join)
            if model.cache is not None:
                await anyio.to_thread.run_sync(_prune, model.cache, model)


def _prune(cache: ChunkCache, model: Model) -> None:
    try:
        cache.prune(model.manifest.chunks())
    except OSError as error:
        log.warning("the cache %s cannot be tidied: %s", cache.folder, error)
