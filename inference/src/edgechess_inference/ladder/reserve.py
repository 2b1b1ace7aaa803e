"""The engine behind the ladder: a few engines for many tables, each question's answer there when it is needed.

Whoever asks says how long the model may be waited for first: an engine that computes beside it takes the processor that
the model computes on, and most of its answers are needed by nobody.

A question that is answered before an engine is free for it leaves the queue: whoever needs an engine waits for nobody
who does not. A search under way is left to end by itself: an engine that is stopped in the middle of one is a process
to be started anew, and that takes longer than the search.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import anyio.abc
import chess

from edgechess_inference.embedded_engine import BuiltinPlayer
from edgechess_inference.errors import PlayerFailed
from edgechess_inference.player import Answer, Player, PlayerFactory, PlayerOptions, Question

LOG = logging.getLogger(__name__)

START_TIMEOUT_S = 5.0  # of an engine on a busy small machine
LATEST_SHARE = 0.05  # of a question's time the model is waited for; then an engine's answer is computed beside
FREE_SHARE = 0.3  # of a question's time is spent waiting for a free engine; then the built-in one answers
ENGINE_SHARE = 0.45  # of a question's time for the engine itself
SPARE_NODES = 150  # of the built-in engine where it stands in: about 0.05 s
SPARE_SHARE = 0.15  # of a question's time for that; it answers with what it has


@dataclasses.dataclass(slots=True)
class Reserved:
    """An answer to come. `answer` or `failure` is set once `ready` is."""

    ready: anyio.Event = dataclasses.field(default_factory=anyio.Event)
    answer: Answer | None = None
    failure: str | None = None
    took_s: float = 0.0
    dropped: bool = False
    needed: anyio.Event = dataclasses.field(default_factory=anyio.Event)
    _leaving: anyio.CancelScope = dataclasses.field(default_factory=anyio.CancelScope)

    def hurry(self) -> None:
        """The model has failed: the search begins now."""
        self.needed.set()

    def drop(self) -> None:
        """Nobody needs the answer any more."""
        self.dropped = True
        self._leaving.cancel()

    @contextmanager
    def may_leave(self) -> Iterator[None]:
        """Around what is left at once by `drop`: waiting, and the built-in engine's search."""
        self._leaving = anyio.CancelScope()
        if self.dropped:
            self._leaving.cancel()
        with self._leaving:
            yield


class EngineReserve:
    """At most `size` engines, started when first needed (or by `start`), all of one word."""

    def __init__(
        self, factory: PlayerFactory, rest: str, options: PlayerOptions, tasks: anyio.abc.TaskGroup, *, size: int = 1
    ) -> None:
        """`factory` and `rest`: of the engine's word. `tasks`: where the searches run, until it is cancelled."""
        self._factory = factory
        self._rest = rest
        self._options = options
        self._tasks = tasks
        self._free = anyio.Semaphore(size)
        self._idle: list[Player] = []
        self._closed = False
        self._spare = BuiltinPlayer("builtin", seed=options.seed, nodes=SPARE_NODES, inline=options.inline)

    async def start(self) -> str | None:
        """Opens one engine now and has it search once, so that the first question waits for neither its start nor its
        network file; why it cannot be, or None."""
        try:
            player = await self._factory(self._rest, self._options)
            self._idle.append(player)
            await player.choose(Question(chess.STARTING_FEN, (), START_TIMEOUT_S))
        except PlayerFailed as error:
            return str(error)
        return None

    def begin(self, question: Question, after_s: float = 0.0) -> Reserved:
        """The search begins after so long (or `LATEST_SHARE` of the question's time), or when it is needed. What it finds is
        there before the question's time is up, if anything moves at all."""
        reserved, wait_s = Reserved(), min(after_s, LATEST_SHARE * question.timeout_s)
        self._tasks.start_soon(self._work, question, reserved, wait_s, name="engine in reserve")
        return reserved

    async def close(self) -> None:
        """Ends the engines that are idle; one that is searching ends with its search."""
        self._closed = True
        idle, self._idle = self._idle, []
        for player in idle:
            await player.close()

    async def _work(self, question: Question, reserved: Reserved, wait_s: float) -> None:
        if wait_s > 0.0:
            with reserved.may_leave(), anyio.move_on_after(wait_s):
                await reserved.needed.wait()
        began = anyio.current_time()
        try:
            reserved.answer = await self._answer(question, reserved)
        except PlayerFailed as error:
            reserved.failure = str(error)
        finally:
            reserved.took_s = anyio.current_time() - began
            reserved.ready.set()

    async def _answer(self, question: Question, reserved: Reserved) -> Answer:
        """Raises PlayerFailed where the game is over, or nobody needs the answer any more."""
        acquired = False
        try:
            with reserved.may_leave(), anyio.move_on_after(FREE_SHARE * question.timeout_s):
                await self._free.acquire()
                acquired = True
            if acquired and not reserved.dropped:
                return await self._search(question)
        except PlayerFailed as error:
            LOG.warning("the engine in reserve failed: %s", error)
        finally:
            if acquired:
                self._free.release()
        with reserved.may_leave():
            short = dataclasses.replace(question, timeout_s=SPARE_SHARE * question.timeout_s)
            return await self._spare.choose(short)
        raise PlayerFailed("nobody needs the answer any more")

    async def _search(self, question: Question) -> Answer:
        player = self._idle.pop() if self._idle else await self._open(question.timeout_s)
        try:
            return await player.choose(dataclasses.replace(question, timeout_s=ENGINE_SHARE * question.timeout_s))
        finally:
            if self._closed:
                with anyio.CancelScope(shield=True):  # bounded by the engine's own timeouts; no process may stay
                    await player.close()
            else:
                self._idle.append(player)

    async def _open(self, timeout_s: float) -> Player:
        if self._options.inline:
            return await self._factory(self._rest, self._options)
        with anyio.move_on_after(ENGINE_SHARE * timeout_s):
            return await self._factory(self._rest, self._options)
        raise PlayerFailed("the engine did not start in time")
