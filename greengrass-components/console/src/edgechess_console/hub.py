"""The view as it goes to the pages: at most ten changes a second, encoded once for all viewers, who read them from one
short list, each at its own pace.

A viewer that does not read costs nothing. When what it has not read has left the list, it gets a whole view as soon as
it reads again. The more watch, the fewer changes they are told: the work in a second is the same for five hundred as
for fifty, so that watching never slows down what is watched.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
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
FLUSH_S = 0.1  # arms are drawn at this rate; an eye follows
VIEWER_S = 0.004  # between changes, for each viewer: telling one takes some 60 µs, so all of them 1.5 % of a core
BEAT_S = 1.0  # a page that hears nothing for two and a half of these says so
OPERATORS_RESERVE = 10  # pages beyond the limit on viewers that only operators may open
FRAMES_KEPT = 50  # five seconds of the busiest table


class TooManyViewers(Exception):
    """As many pages watch as may."""


class Viewer:
    """One page's place in what the hub tells. `next` is awaited by the one task that writes to it."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._read: int | None = None
        """How many frames of the hub it has; None: it needs a whole view."""
        self.resyncs = -1  # the first whole view is no repair

    async def next(self) -> bytes:
        """All that was told since the last time, or a whole view."""
        hub = self._hub
        while self._read == hub.told:
            await hub.until_told()
        frames = hub.frames_after(self._read) if self._read is not None else None
        if frames is None:
            self.resyncs += 1
            frames = hub.whole()  # what led to it is not told to this one
        self._read = hub.told
        return frames


class Hub:
    """What is known, and who watches it."""

    def __init__(self, settings: Settings, clock: Clock, epoch: str) -> None:
        self._settings = settings
        self._clock = clock
        self._viewers: set[Viewer] = set()
        self._dirty = True  # that nothing is known yet has to be told, too
        self._news = anyio.Event()
        self._watched = anyio.Event()
        self._frames: deque[bytes] = deque(maxlen=FRAMES_KEPT)
        self._telling = anyio.Event()
        self._whole: tuple[int, bytes] | None = None
        self.told = 0
        """Frames since the start."""
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

    async def until_told(self) -> None:
        """The next frame."""
        await self._telling.wait()

    def frames_after(self, told: int) -> bytes | None:
        """Those since the first `told` ones; None where they are not kept any more."""
        behind = self.told - told
        if behind > len(self._frames):
            return None
        return b"".join(islice(self._frames, len(self._frames) - behind, None))

    def whole(self) -> bytes:
        """The whole view as a frame: of one change it is encoded once, however many ask."""
        view = self.snapshot()
        if self._whole is None or self._whole[0] != view.seq:
            self._whole = view.seq, frame("view", view)
        return self._whole[1]

    def snapshot(self) -> View:
        """The whole view, and everything that led to it sent to the others first."""
        if self._dirty:
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
            await anyio.sleep(max(FLUSH_S, VIEWER_S * len(self._viewers)) - GATHER_S)

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
        self._frames.append(frame)
        self.told += 1
        telling, self._telling = self._telling, anyio.Event()
        telling.set()


def frame(kind: str, part: Part) -> bytes:
    """One event of the stream. JSON has no line ends of its own."""
    return b"event: " + kind.encode() + b"\ndata: " + msgspec.json.encode(part) + b"\n\n"
