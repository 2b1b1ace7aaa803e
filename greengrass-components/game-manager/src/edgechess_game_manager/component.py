"""The game manager on the bus: one queue of events, one machine, effects in their order."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, assert_never

import anyio
import anyio.abc
import msgspec
from anyio.streams.memory import MemoryObjectSendStream

from edgechess_game_manager import effects as do
from edgechess_game_manager.answers import earlier_answer, readable_token
from edgechess_game_manager.events import (
    ArmMoved,
    ArmsSeen,
    BoardAnswered,
    BoardSeen,
    BoardStarted,
    Event,
    JobEnded,
    MalformedSeen,
    ProcessedSeen,
    RequestSeen,
    Restored,
    TimerFired,
    VerdictSeen,
)
from edgechess_game_manager.lane import Lane
from edgechess_game_manager.machine import decide
from edgechess_game_manager.restore import restore
from edgechess_game_manager.rules import Verdict
from edgechess_game_manager.settings import Settings
from edgechess_game_manager.state import State, session_state
from edgechess_game_manager.timers import Fired, Timers
from edgechess_kit import messages as m
from edgechess_kit.bus import Delivery, Subscription
from edgechess_kit.component import Context
from edgechess_kit.errors import KitError, WireError
from edgechess_kit.events import announce
from edgechess_kit.health import Health
from edgechess_kit.shadow import Shadow

log = logging.getLogger(__name__)

REQUEST_LIMIT_BYTES = 5000  # of a request: it travels on with our fields, and comes back in an answer, under one limit
READABLE_LIMIT_BYTES = 65_536  # of an oversized payload that is still searched for its token
LANE_LIMIT = 64  # messages; one move makes about five
SHADOW_LIMIT = 8  # updates waiting for a slow shadow; older ones say nothing that newer ones do not
INBOX_LIMIT = 16  # events between the readers and the machine; more waits in the subscription, which is bounded

TERMINATIONS = {"resign": "resignation", "draw": "agreement"}  # of the commands that can end a game

Inbox: TypeAlias = Delivery | Fired
ShadowState: TypeAlias = dict[str, Any]


async def run(context: Context[Settings], shadow: Shadow | None = None) -> None:
    """Until it is cancelled. Raises JournalError when nothing can be made durable, LinkLost when the bus is closed.

    `shadow`: the core's named shadow, where the transport has shadows. It mirrors the request and its answer and
    decides nothing: an update that fails is logged.
    """
    async with Health(context) as health:
        state = restore(context.journal, context.settings, context.ids.new("life"))
        manager = _Manager(context, state, shadow)
        async with context.bus.subscribe(*manager.topics_heard) as deliveries:
            await health.set("ready")
            await manager.run(deliveries)


class _Manager:
    def __init__(self, context: Context[Settings], state: State, shadow: Shadow | None) -> None:
        self._context = context
        self._state = state
        self._shown: m.SessionState | None = None
        last = context.journal.last()
        self._seq = 0 if last is None else last.seq
        self._lane = Lane(context.bus, LANE_LIMIT)
        self._state_lane = Lane(context.bus, 1)
        self._answers = Lane(context.bus, LANE_LIMIT)  # a cloud that is away must not hold up board and arms
        self._shadow = _ShadowWriter(shadow) if shadow is not None else None
        topics = context.topics
        self._readers: dict[str, Callable[[Delivery], Event | None]] = {
            topics.cloud_request.name: self._read_request,
            topics.board_start_response.name: lambda d: BoardStarted(
                self._now(), d.decode(topics.board_start_response)
            ),
            topics.board_validate_response.name: lambda d: BoardAnswered(
                self._now(), d.decode(topics.board_validate_response)
            ),
            topics.board_processed.name: lambda d: ProcessedSeen(self._now(), d.decode(topics.board_processed)),
            topics.board_state.name: lambda d: BoardSeen(self._now(), d.decode(topics.board_state)),
            topics.arm_job_result.name: lambda d: JobEnded(self._now(), d.decode(topics.arm_job_result)),
            topics.arm_move_response.name: lambda d: ArmMoved(self._now(), d.decode(topics.arm_move_response)),
            topics.arm_state.name: lambda d: ArmsSeen(self._now(), d.decode(topics.arm_state)),
            topics.session_control.name: self._read_control,
        }
        self.topics_heard = (
            topics.cloud_request,
            topics.board_start_response,
            topics.board_validate_response,
            topics.board_processed,
            topics.board_state,
            topics.arm_job_result,
            topics.arm_move_response,
            topics.arm_state,
            topics.session_control,
        )

    async def run(self, deliveries: Subscription) -> None:
        send, receive = anyio.create_memory_object_stream[Inbox](INBOX_LIMIT)
        async with send, receive, anyio.create_task_group() as group:
            self._timers = Timers(group, send.send)
            group.start_soon(self._lane.run, name="manager sends")
            group.start_soon(self._state_lane.run, name="manager shows its state")
            group.start_soon(self._answers.run, name="manager answers")
            if self._shadow is not None:
                group.start_soon(self._shadow.run, name="manager writes the shadow")
            self._handle(Restored(self._now()))
            group.start_soon(_forward, deliveries, send, name="manager listens")
            async for item in receive:
                event = self._event(item)
                if event is not None:
                    self._handle(event)

    def _event(self, item: Inbox) -> Event | None:
        if isinstance(item, Fired):
            return TimerFired(self._now(), item.name) if self._timers.due(item) else None
        try:
            return self._readers[item.topic](item)
        except WireError as error:
            log.warning("ignored: %s", error)
            return None

    def _read_request(self, delivery: Delivery) -> Event:
        journal, topic = self._context.journal, self._context.topics.cloud_request
        oversized = len(delivery.payload) > m.SIZE_LIMIT_BYTES
        try:
            request = delivery.decode(topic)
            size = len(msgspec.json.encode(request))
            if size > REQUEST_LIMIT_BYTES:
                oversized = True
                raise WireError(topic.name, f"request of {size} bytes; the limit is {REQUEST_LIMIT_BYTES}")
        except WireError as error:
            token = readable_token(delivery.payload, READABLE_LIMIT_BYTES)
            reason = f"the request cannot be read: {error.reason}"
            code: Literal["malformed", "oversized"] = "oversized" if oversized else "malformed"
            return MalformedSeen(self._now(), code, reason, token, earlier_answer(journal, token))
        return RequestSeen(self._now(), request, earlier_answer(journal, request.task_token))

    def _read_control(self, delivery: Delivery) -> Event | None:
        """The word of whoever owns the match, which carries a `result`. What players and operators wish is theirs."""
        control = delivery.decode(self._context.topics.session_control)
        if control.result is None or control.session_id is None or control.command not in TERMINATIONS:
            return None
        termination = control.termination or TERMINATIONS[control.command]
        verdict = Verdict(control.request_id, control.session_id, control.result, termination)
        journal = self._context.journal
        known = any(journal.last(kind=kind, key=control.request_id) is not None for kind in ("ending", "ended"))
        return VerdictSeen(self._now(), verdict, known)

    def _handle(self, event: Event) -> None:
        """One decision and its effects. Nothing in here waits, except for the journal's disk."""
        self._state, wanted = decide(self._state, event)
        for effect in wanted:
            self._do(effect)
        shown = session_state(self._state)
        if shown != self._shown:
            self._shown = shown
            numbered = msgspec.structs.replace(shown, seq=self._seq)
            self._state_lane.put(self._context.topics.session_state, numbered)

    def _do(self, effect: do.Effect) -> None:
        topics, lane = self._context.topics, self._lane
        match effect:
            case do.Write(drafts):
                for entry in self._context.journal.append_all(drafts):
                    self._seq = entry.seq
                    announce(self._context, entry)
            case do.Answer(response):
                self._answers.put(topics.cloud_response, response)
            case do.AskBoardStart(request):
                lane.put(topics.board_start, request)
            case do.AskBoard(request):
                lane.put(topics.board_validate, request)
            case do.GiveJob(job):
                lane.put(topics.arm_job, job)
            case do.MoveSampleArm(request):
                lane.put(topics.arm_move, request)
            case do.StartTimer(name, after_s):
                self._timers.start(name, after_s)
            case do.CancelTimer(name):
                self._timers.cancel(name)
            case do.CancelTimers():
                self._timers.cancel_all()
            case do.Desire() | do.Report():
                if self._shadow is not None:
                    self._shadow.put(effect)
            case _:
                assert_never(effect)

    def _now(self) -> float:
        return self._context.clock.unix_s()


async def _forward(deliveries: Subscription, send: MemoryObjectSendStream[Inbox]) -> None:
    async for delivery in deliveries:
        await send.send(delivery)


class _ShadowWriter:
    """As the sample: the request is desired, and reported when it is answered, so that no delta remains."""

    def __init__(self, shadow: Shadow) -> None:
        self._shadow = shadow
        self._waiting: deque[do.Desire | do.Report] = deque(maxlen=SHADOW_LIMIT)
        self._changed = anyio.Event()

    def put(self, effect: do.Desire | do.Report) -> None:
        self._waiting.append(effect)
        self._changed.set()

    async def run(self) -> None:
        while True:
            while self._waiting:
                try:
                    await self._write(self._waiting.popleft())
                except KitError as error:
                    log.warning("the shadow was not updated: %s", error)
            self._changed = anyio.Event()
            await self._changed.wait()

    async def _write(self, effect: do.Desire | do.Report) -> None:
        request: ShadowState = {"gameRequest": msgspec.to_builtins(effect.request)}
        match effect:
            case do.Desire():
                await self._shadow.update(desired=request)
            case do.Report(response=response):
                answered = {"gameResponse": msgspec.to_builtins(response)}
                await self._shadow.update(reported={**request, **answered})
            case _:
                assert_never(effect)
