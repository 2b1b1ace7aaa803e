"""The view as it goes to the pages: at most ten changes a second, encoded once, to every viewer through a queue of its own.

A viewer that does not read fills nothing but its queue; when that is full it is emptied, and the viewer gets a whole
view as soon as it reads again.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import msgspec

from edgechess_console.fold import fold
from edgechess_console.settings import Settings
from edgechess_console.showing import show
from edgechess_console.state import State
from edgechess_console.view import EvaluationPart, Part, View, patch
from edgechess_kit.clock import Clock
from edgechess_kit.messages import Message

GATHER_S = 0.04  # messages come in bursts: pages get one at once, and do not slow down whoever is in it
FLUSH_S = 0.1  # arms are drawn at this rate; an eye follows, and 50 pages are still cheap
BEAT_S = 1.0  # a page that hears nothing for two and a half of these says so
OPERATORS_RESERVE = 10  # pages beyond the limit on viewers that only operators may open
QUEUE_LIMIT = 50  # frames of a viewer: five seconds of the busiest table


class TooManyViewers(Exception):
    """As many pages watch as may."""


class Viewer:
    """One page's queue. `next` is awaited by the one task that writes to it."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._frames: deque[bytes] = deque()
        self._stale = True
        self._news = anyio.Event()
        self.resyncs = -1  # the first whole view is no repair

    def push(self, frame: bytes) -> None:
        if self._stale:
            return  # the whole view that it gets next says all that there is to say
        if len(self._frames) >= QUEUE_LIMIT:
            self._frames.clear()
            self._stale = True
        else:
            self._frames.append(frame)
        self._news.set()

    async def next(self) -> bytes:
        """The next frame of the event stream."""
        while not self._stale and not self._frames:
            self._news = anyio.Event()
            await self._news.wait()
        if not self._stale:
            return self._frames.popleft()
        whole = frame("view", self._hub.snapshot())  # what led to it is not told to this one
        self._stale = False
        self.resyncs += 1
        return whole


class Hub:
    """What is known, and who watches it."""

    def __init__(self, settings: Settings, clock: Clock, epoch: str) -> None:
        self._settings = settings
        self._clock = clock
        self._viewers: set[Viewer] = set()
        self._dirty = False
        self._news = anyio.Event()
        self._watched = anyio.Event()
        self.state = State()
        self.view = View(epoch=epoch)

    # -- what comes in ---------------------------------------------------------------------------------------------

    def hear(self, message: Message) -> None:
        self.state = fold(self.state, message, self._clock.unix_s())
        self._mark()

    def change(self, **changes: Any) -> None:
        """Of the state, by what is no message: the link, the evaluation."""
        self.state = dataclasses.replace(self.state, **changes)
        self._mark()

    def _mark(self) -> None:
        self._dirty = True
        self._news.set()

    def judged(self, evaluation: EvaluationPart | None) -> None:
        self.change(evaluation=evaluation)

    # -- what goes out ---------------------------------------------------------------------------------------------

    @property
    def watched(self) -> bool:
        return bool(self._viewers)

    async def until_watched(self) -> None:
        while not self._viewers:
            if self._watched.is_set():
                self._watched = anyio.Event()  # never one that somebody waits for
            await self._watched.wait()

    @contextmanager
    def viewer(self, *, operator: bool = False) -> Iterator[Viewer]:
        """Raises TooManyViewers. However many watch, an operator finds a place."""
        if len(self._viewers) >= self._settings.viewers + (OPERATORS_RESERVE if operator else 0):
            raise TooManyViewers
        viewer = Viewer(self)
        self._viewers.add(viewer)
        self._watched.set()
        try:
            yield viewer
        finally:
            self._viewers.discard(viewer)

    def snapshot(self) -> View:
        """The whole view, and everything that led to it sent to the others first."""
        self.flush()
        return self.view

    def flush(self) -> None:
        """Sends what has changed, if anything has."""
        self._dirty = False
        new = show(self.state, self._settings)
        change = patch(self.view, new)
        if change is None:
            self.view = msgspec.structs.replace(self.view, at=new.at)
            return
        self.view = msgspec.structs.replace(new, epoch=self.view.epoch, seq=change.seq)
        if self._viewers:
            self._tell(frame("patch", change))

    async def run(self) -> None:
        """Until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._flushes, name="console flush")
            tasks.start_soon(self._beats, name="console beat")

    async def _flushes(self) -> None:
        while True:
            await self.until_watched()
            while not self._dirty:
                self._news = anyio.Event()
                await self._news.wait()
            await anyio.sleep(GATHER_S)
            self.flush()
            await anyio.sleep(FLUSH_S - GATHER_S)

    async def _beats(self) -> None:
        while True:
            await anyio.sleep(BEAT_S)
            self.change(at=self._clock.unix_s())  # silence has to be noticed too
            if self._viewers:
                beat = {"seq": self.view.seq, "at": self._clock.unix_s()}
                self._tell(b"event: beat\ndata: " + msgspec.json.encode(beat) + b"\n\n")

    def bye(self, reason: str) -> None:
        """The server ends."""
        self._tell(b"event: bye\ndata: " + msgspec.json.encode({"reason": reason}) + b"\n\n")

    def _tell(self, frame: bytes) -> None:
        for viewer in list(self._viewers):
            viewer.push(frame)


def frame(kind: str, part: Part) -> bytes:
    """One event of the stream. JSON has no line ends of its own."""
    return b"event: " + kind.encode() + b"\ndata: " + msgspec.json.encode(part) + b"\n\n"
