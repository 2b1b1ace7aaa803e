"""The threads that receive: each asks the plan, fetches a chunk into its place, verifies it while it is hot, reports.

Threads, because a blocking receive of 8 MiB straight into place holds no interpreter lock and costs the processor
only the kernel's copy; the event loop hears of chunks through a socket that becomes readable. `stop` ends them at any
moment: what waits in a socket is woken by shutting the socket down.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
import socket
import threading
import time
from collections.abc import Sequence

from edgechess_inference.weights import fetch_plan as p
from edgechess_inference.weights.chunk_cache import ChunkCache
from edgechess_inference.weights.digests import Rigour, intact
from edgechess_inference.weights.errors import WeightsError
from edgechess_inference.weights.host_buffer import Destination, HostBuffer
from edgechess_inference.weights.local_store import chunk_key
from edgechess_inference.weights.manifest import CHUNK_BYTES, Chunk
from edgechess_inference.weights.source import Connection, FetchFailed, Source


class Receivers:
    """`count` threads over one plan. One stream; then thrown away."""

    def __init__(
        self,
        chunks: Sequence[Chunk],
        sources: Sequence[Source],
        destination: Destination,
        *,
        count: int,
        rigour: Rigour,
        limits: p.Limits,
        draw: random.Random,
        cache: ChunkCache | None,
    ) -> None:
        self._chunks = chunks
        self._sources = sources
        self._destination = destination
        self._rigour = rigour
        self._cache = cache
        self._plan = p.FetchPlan(
            [chunk.bytes for chunk in chunks],
            [source.name for source in sources],
            count,
            draw,
            limits,
            keeps_parts=destination.staging_bytes == 0,
        )
        self._changed = threading.Condition()
        self._stopping = False
        self._error: WeightsError | None = None
        self._landed: list[int] = []
        self._active: dict[int, Connection] = {}
        self._told: dict[int, p.Effect] = {}
        self._scratch: HostBuffer | None = None
        self._wake, self.readable = socket.socketpair()
        self._wake.setblocking(False)
        self.readable.setblocking(False)
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"weights-{number}", daemon=True)
            for number in range(count)
        ]

    # ------------------------------------------------------------ from the event loop

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def news(self) -> tuple[list[int], WeightsError | None]:
        """Chunks that have landed since the last call, and why the stream cannot be completed, if it cannot."""
        with contextlib.suppress(BlockingIOError):
            while self.readable.recv(4096):
                pass
        with self._changed:
            landed, self._landed = self._landed, []
            return landed, self._error

    def tally(self) -> p.Tally:
        """A copy."""
        with self._changed:
            tally = self._plan.tally
            return dataclasses.replace(tally, by_source=dict(tally.by_source))

    def want(self, chunks: tuple[int, ...]) -> None:
        with self._changed:
            self._plan.decide(p.Wanted(chunks), time.monotonic())

    def stop(self) -> None:
        """Every thread ends soon. Does not wait."""
        with self._changed:
            self._stopping = True
            for connection in self._active.values():
                connection.interrupt()
            self._changed.notify_all()

    def join(self) -> None:
        """Waits for the threads and closes what is left. Blocks; after `stop` for milliseconds."""
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        self._wake.close()
        self.readable.close()
        if self._scratch is not None:
            self._scratch.close()
            self._scratch = None

    # ------------------------------------------------------------ a receiver's thread

    def _run(self, number: int) -> None:
        connections = [source.connect() for source in self._sources]
        try:
            while (fetch := self._ask(number)) is not None:
                self._serve(number, fetch, connections[fetch.source])
        except (OSError, RuntimeError, ValueError, MemoryError) as error:  # of the destination: a device that failed
            self._fail(WeightsError(f"a receiver failed: {error}"))
        finally:
            for connection in connections:
                connection.close()

    def _ask(self, number: int) -> p.Fetch | None:
        with self._changed:
            while not self._stopping and self._error is None:
                (effect,) = self._plan.decide(p.Idle(number), time.monotonic())
                if isinstance(effect, p.Fetch):
                    return effect
                if not isinstance(effect, p.Wait):
                    break
                self._changed.wait(effect.seconds)
        return None

    def _serve(self, number: int, fetch: p.Fetch, connection: Connection) -> None:
        chunk, source = self._chunks[fetch.chunk], self._sources[fetch.source]
        place = self._destination.slot(fetch.chunk * CHUNK_BYTES, chunk.bytes, number)
        view = self._apart(chunk.bytes) if fetch.hedge else place
        if not self._begin(number, connection):
            return
        try:
            connection.fetch(chunk_key(chunk.address), view, fetch.start)
        except FetchFailed as failed:
            self._report(number, p.Broken(number, failed.fault, failed.text, failed.received, failed.retry_after_s))
            return
        finally:
            with self._changed:  # somebody may be interrupting them all
                self._active.pop(number, None)
        if not intact(view, chunk.address, chunk.check, self._rigour):
            source.discard(chunk_key(chunk.address))
            self._report(number, p.Damaged(number))
            return
        if fetch.hedge and not self._won(number):
            return
        if fetch.hedge:
            place[:] = view
        self._destination.land(fetch.chunk * CHUNK_BYTES, chunk.bytes, number)
        self._report(number, p.Received(number))
        if self._cache is not None and source.name != "cache":
            self._cache.put(chunk.address, place)

    def _begin(self, number: int, connection: Connection) -> bool:
        """The connection can be interrupted from now on; False where the stream is being stopped."""
        with self._changed:
            self._active[number] = connection
            return not self._stopping

    def _won(self, number: int) -> bool:
        """Of a hedge whose bytes are good: waits until nobody else writes to their place, or they are not needed."""
        self._report(number, p.Received(number))
        with self._changed:
            while not self._stopping and self._error is None:
                told = self._told.pop(number, None)
                if told is not None:
                    return isinstance(told, p.Adopt)
                self._changed.wait()
        return False

    def _apart(self, length: int) -> memoryview:
        """Memory for the one hedge at a time."""
        with self._changed:
            if self._scratch is None:
                self._scratch = HostBuffer(CHUNK_BYTES)
            return self._scratch.view(0, length)

    def _report(self, number: int, event: p.Event) -> None:
        with self._changed:
            for effect in self._plan.decide(event, time.monotonic()):
                self._apply(effect)
            self._changed.notify_all()

    def _apply(self, effect: p.Effect) -> None:
        match effect:
            case p.Landed(chunk):
                self._landed.append(chunk)
                self._call()
            case p.Cancel(receiver):
                connection = self._active.get(receiver)
                if connection is not None:
                    connection.interrupt()
            case p.Adopt(receiver) | p.Drop(receiver):
                self._told[receiver] = effect
            case p.GaveUp(error):
                self._give_up(error)
            case _:
                pass  # Hold: its receiver waits for the word that follows

    def _fail(self, error: WeightsError) -> None:
        with self._changed:
            self._give_up(error)
            self._changed.notify_all()

    def _give_up(self, error: WeightsError) -> None:
        if self._error is None:
            self._error = error
        for connection in self._active.values():
            connection.interrupt()
        self._call()

    def _call(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake.send(b"\0")
