"""`open_stream`: one image from its sources into one buffer, out of order, every chunk verified before it counts.

    async with open_stream(model, buffer) as stream:
        await stream.ready(names_of_the_first_layer)   # usable now, while the rest is on its way
        await stream.done()

The buffer belongs to the caller and outlives the stream. Leaving the block early ends the threads and closes the
sockets before it returns; what had landed stays valid.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import anyio.to_thread

from edgechess_inference.weights.errors import ManifestError, StreamStopped, WeightsError
from edgechess_inference.weights.fetch_plan import Limits, Tally
from edgechess_inference.weights.host_buffer import Destination
from edgechess_inference.weights.manifest import CHUNK_BYTES, Tensor
from edgechess_inference.weights.model import Model
from edgechess_inference.weights.receivers_adapter import Receivers

HOST_BYTES = 64 << 20  # beside the destination, whatever the model's size
INTERPRETER_BYTES = 8 << 20  # of them for threads, heads of answers and a hedge's books
CONNECTIONS = 8  # measured: fewer do not fill a link of 20 Gbit/s, more cost memory in the kernel
RECEIVER_BYTES = 1 << 20  # a thread's stack and its TLS buffers
PROGRESS_S = 0.2


@dataclasses.dataclass(frozen=True, slots=True)
class StreamSettings:
    """How to stream. `host_bytes` bounds what is needed beside the destination; fewer connections follow from less."""

    connections: int = CONNECTIONS
    host_bytes: int = HOST_BYTES
    limits: Limits = dataclasses.field(default_factory=Limits)
    seed: int | None = None
    """Of the jitter; None: of the system."""

    def receivers(self, staging_bytes: int) -> int:
        """How many fit. Raises WeightsError where not one does."""
        free = self.host_bytes - INTERPRETER_BYTES - CHUNK_BYTES
        fit = free // (staging_bytes + RECEIVER_BYTES)
        if fit < 1 or self.connections < 1:
            raise WeightsError(
                f"{self.connections} connections within {self.host_bytes} bytes of host memory do not fit"
            )
        return min(self.connections, fit)


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """How far a stream is. `rate_bytes_s` over the time since the progress before."""

    total_bytes: int
    rate_bytes_s: float
    tally: Tally
    problem: str | None = None
    """What does not work but does not stop it either: a cache that is full."""

    @property
    def landed_bytes(self) -> int:
        return self.tally.landed_bytes

    @property
    def finished(self) -> bool:
        return self.tally.landed_bytes == self.total_bytes


class Stream:
    """Made by `open_stream`."""

    def __init__(self, model: Model, destination: Destination, shard: int, receivers: Receivers) -> None:
        self.manifest = model.manifest
        self.destination = destination
        self.tensors = {tensor.name: tensor for tensor in model.manifest.of_shard(shard)}
        """In the order in which they come."""
        self._model = model
        self._total = model.manifest.shards[shard].bytes
        self._receivers = receivers
        self._landed = bytearray(len(model.manifest.shards[shard].chunks))
        self._missing = len(self._landed)
        self._error: WeightsError | None = None
        self._changed = anyio.Event()

    # ------------------------------------------------------------ for whoever uses the weights

    async def ready(self, names: Iterable[str]) -> None:
        """Returns when these tensors' bytes are at their place, verified. They come before the others from now on.

        Raises ManifestError (no such tensor), SourceError, DamageError, WeightsError, StreamStopped.
        """
        needed = sorted({chunk for name in names for chunk in self._chunks_of(name)})
        self._receivers.want(tuple(chunk for chunk in needed if not self._landed[chunk]))
        await anyio.lowlevel.checkpoint()
        while any(not self._landed[chunk] for chunk in needed):
            await self._change()

    async def done(self) -> None:
        """Returns when everything is at its place, verified. Raises like `ready`."""
        await anyio.lowlevel.checkpoint()
        while self._missing:
            await self._change()

    def is_ready(self, name: str) -> bool:
        """Without waiting. Raises ManifestError for no such tensor."""
        return all(self._landed[chunk] for chunk in self._chunks_of(name))

    def snapshot(self, before: Progress | None = None, after_s: float = 0.0) -> Progress:
        """The progress now; the rate from `before`, `after_s` ago."""
        tally = self._receivers.tally()
        gained = tally.landed_bytes - (before.landed_bytes if before else 0)
        cache = self._model.cache
        return Progress(self._total, gained / after_s if after_s > 0 else 0.0, tally, cache.problem if cache else None)

    async def progress(self, interval_s: float = PROGRESS_S) -> AsyncIterator[Progress]:
        """Snapshots until everything has landed; the last one says so. Raises like `ready`."""
        before, at_s = self.snapshot(), anyio.current_time()
        while self._missing:
            with anyio.move_on_after(interval_s):
                await self.done()
            now_s = anyio.current_time()
            before, at_s = self.snapshot(before, now_s - at_s), now_s
            yield before
        if not before.finished:
            yield self.snapshot(before)

    # ------------------------------------------------------------ inside

    def _chunks_of(self, name: str) -> range:
        tensor = self._tensor(name)
        if not tensor.length:
            return range(0)
        return range(tensor.offset // CHUNK_BYTES, (tensor.offset + tensor.length - 1) // CHUNK_BYTES + 1)

    def _tensor(self, name: str) -> Tensor:
        tensor = self.tensors.get(name)
        if tensor is None:
            raise ManifestError(f"{self.manifest.card.name} has no tensor {name!r}")
        return tensor

    async def _change(self) -> None:
        if self._error is not None:
            raise self._error
        await self._changed.wait()

    async def watch(self) -> None:
        """Carries news from the threads until all has landed or failed. Run once, by `open_stream`."""
        while self._missing and self._error is None:
            await anyio.wait_readable(self._receivers.readable)
            landed, error = self._receivers.news()
            for chunk in landed:
                self._landed[chunk] = 1
            self._missing -= len(landed)
            self._tell(error if self._missing else None)

    def close(self) -> None:
        """Whoever still waits hears that nothing more will come."""
        self._tell(StreamStopped("the stream was closed") if self._missing else None)

    def _tell(self, error: WeightsError | None) -> None:
        if self._error is None:
            self._error = error
        changed, self._changed = self._changed, anyio.Event()
        changed.set()


@asynccontextmanager
async def open_stream(
    model: Model,
    destination: Destination,
    *,
    shard: int = 0,
    settings: StreamSettings = StreamSettings(),
) -> AsyncIterator[Stream]:
    """Starts at once. Raises ManifestError (no such shard) or WeightsError (it cannot fit) before anything is fetched."""
    manifest = model.manifest
    manifest.of_shard(shard)
    image = manifest.shards[shard]
    if destination.bytes < image.bytes:
        raise WeightsError(f"{image.bytes} bytes of weights do not fit into {destination.bytes}")
    receivers = Receivers(
        image.chunks,
        model.sources,
        destination,
        count=min(settings.receivers(destination.staging_bytes), len(image.chunks)),
        rigour=model.rigour,
        limits=settings.limits,
        draw=random.Random(settings.seed),
        cache=model.cache,
    )
    stream = Stream(model, destination, shard, receivers)
    try:
        receivers.start()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stream.watch, name="weights-watch")
            try:
                yield stream
            finally:
                tasks.cancel_scope.cancel()
    finally:
        stream.close()
        receivers.stop()
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(receivers.join)
