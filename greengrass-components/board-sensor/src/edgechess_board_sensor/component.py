"""The board sensor: one smart board on the bus. Decisions are `sensor.decide`; here are the tasks around it.

Serves `board/start` and `board/validate` with a settled reading that was asked for after the question came; keeps
`board/state` (retained); announces people's moves on `board/moved`; tells the sample's manager on `board/processed`.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.abc
import chess

from edgechess_board import smart_board
from edgechess_board.errors import BoardLost
from edgechess_board.placement import Placement, square_name
from edgechess_board.smart_board import SmartBoard
from edgechess_board_sensor import sensor
from edgechess_board_sensor.answers import (
    differences_of,
    expected_fen,
    expected_placement,
    start_answer,
    validate_answer,
)
from edgechess_board_sensor.settings import Settings
from edgechess_kit.bus import Delivery
from edgechess_kit.component import Context
from edgechess_kit.errors import WireError
from edgechess_kit.events import journal_event
from edgechess_kit.health import Health
from edgechess_kit.messages import (
    BoardMoved,
    BoardProcessed,
    BoardStartResponse,
    BoardState,
    BoardValidateRequest,
    BoardValidateResponse,
    GameRequest,
)
from edgechess_kit.session_order import SessionOrder

log = logging.getLogger(__name__)

EVENT_LIMIT = 256  # events between the tasks; whoever brings one waits while the decider is behind
OUTBOX_LIMIT = 256  # announcements that wait for the broker
QUESTION_LIMIT = 16  # questions answered at once; a manager asks one at a time, three times at most
LOOK_AGAIN_S = 0.25  # while the link is down and the question's time is not over
REASON_LIMIT = 2000


async def run(context: Context[Settings], board: SmartBoard) -> None:
    """Serve until cancelled. Raises LinkLost when the bus is closed, JournalError when the journal is."""
    async with Health(context) as health:
        await BoardSensor(context, board, health).run()


class BoardSensor:
    """The tasks of one sensor process, and what they share."""

    def __init__(self, context: Context[Settings], board: SmartBoard, health: Health) -> None:
        self._context = context
        self._topics = context.topics
        self._settings = context.settings
        self._board = board
        self._health = health
        self._state = sensor.State(waits=context.settings.waits)
        self._events, self._event_queue = anyio.create_memory_object_stream[sensor.Event](EVENT_LIMIT)
        self._outbox, self._outbox_queue = anyio.create_memory_object_stream[sensor.Announce | sensor.Processed](
            OUTBOX_LIMIT
        )
        self._to_show: sensor.Show | None = None
        self._show_changed = anyio.Event()
        self._seq = 0
        self._sessions = SessionOrder()
        self._questions: set[tuple[str, str, str]] = set()

    async def run(self) -> None:
        events = self._board.events()
        with self._events, self._event_queue, self._outbox, self._outbox_queue:
            await self._run(events)

    async def _run(self, events: AsyncIterator[smart_board.BoardEvent]) -> None:
        t = self._topics
        async with (
            self._context.bus.subscribe(t.board_start, t.board_validate, t.session_state) as deliveries,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(self._board.run, name="board-sensor: board")
            tasks.start_soon(self._watch, events, name="board-sensor: events of the board")
            tasks.start_soon(self._decide, name="board-sensor: decisions")
            tasks.start_soon(self._publish_state, name="board-sensor: state")
            tasks.start_soon(self._publish_outbox, name="board-sensor: announcements")
            async for delivery in deliveries:
                await self._serve(delivery, tasks)

    # -------------------------------------------------------------------------------------------- the board

    async def _watch(self, events: AsyncIterator[smart_board.BoardEvent]) -> None:
        async for event in events:
            now_s = anyio.current_time()
            match event:
                case smart_board.Connected():
                    await self._health.set("ready")
                    data = {"serialNumber": event.serial_number, "version": event.version, "port": event.port}
                    await journal_event(self._context, "board.connected", data)
                    await self._events.send(sensor.BoardConnected(now_s, event.serial_number))
                case smart_board.Lost():
                    await self._health.set("degraded", event.reason[:REASON_LIMIT])
                    await journal_event(self._context, "board.lost", {"reason": event.reason[:REASON_LIMIT]})
                    await self._events.send(sensor.BoardLost(now_s, event.reason[:REASON_LIMIT]))
                case smart_board.Reading():
                    await self._events.send(sensor.BoardRead(now_s, event, self._board.rotated))

    async def _decide(self) -> None:
        event: sensor.Event | None = None  # at first: what an earlier process said of the board no longer holds
        while True:
            self._state, effects = sensor.decide(self._state, event or sensor.Woken(anyio.current_time()))
            for effect in effects:
                await self._effect(effect)
            event, wake_s = None, self._state.wake_at_s
            with anyio.move_on_after(None if wake_s is None else max(0.0, wake_s - anyio.current_time())):
                event = await self._event_queue.receive()

    async def _effect(self, effect: sensor.Effect) -> None:
        match effect:
            case sensor.Show():
                self._to_show = effect
                self._show_changed.set()
            case sensor.Expect(placement):
                self._board.expect(placement)
            case sensor.Announce():
                data = {"kind": effect.kind, "lan": effect.lan, "ply": effect.longer.ply, "fen": effect.longer.fen}
                await journal_event(self._context, "moved", data, session_id=effect.session_id)
                await self._outbox.send(effect)
            case sensor.Processed():
                await self._outbox.send(effect)

    # -------------------------------------------------------------------------------------------- saying

    async def _publish_state(self) -> None:
        """The newest state only: a broker that is behind, or away, is not fed with what was."""
        while True:
            await self._show_changed.wait()
            self._show_changed = anyio.Event()
            if self._to_show is not None:
                self._seq += 1
                await self._context.bus.publish(self._topics.board_state, self._state_message(self._to_show))

    def _state_message(self, show: sensor.Show) -> BoardState:
        return BoardState(
            connected=show.connected,
            settled=show.settled,
            placement=show.placement.fen if show.placement is not None else None,
            seq=self._seq,
            at=self._context.clock.unix_s(),
            rotated=show.rotated,
            board_id=show.board_id,
            differences=differences_of(show.differences),
            reason=show.reason[:REASON_LIMIT] if show.reason else None,
        )

    async def _publish_outbox(self) -> None:
        async for effect in self._outbox_queue:
            if isinstance(effect, sensor.Announce):
                await self._context.bus.publish(self._topics.board_moved, self._moved_message(effect))
            else:
                message = BoardProcessed(status=effect.status, lan=effect.lan, reason=effect.reason)
                await self._context.bus.publish(self._topics.board_processed, message)

    def _moved_message(self, announced: sensor.Announce) -> BoardMoved:
        shorter, longer = announced.shorter, announced.longer
        before, after = (shorter, longer) if announced.kind == "move" else (longer, shorter)
        return BoardMoved(
            kind=announced.kind,
            session_id=announced.session_id,
            lan=announced.lan,
            san=shorter.board.san(chess.Move.from_uci(announced.lan)),
            before=before.fen,
            after=after.fen,
            at=self._context.clock.unix_s(),
            ply=longer.ply,
        )

    # -------------------------------------------------------------------------------------------- answering

    async def _serve(self, delivery: Delivery, tasks: anyio.abc.TaskGroup) -> None:
        t = self._topics
        try:
            if delivery.topic == t.session_state.name:
                session = delivery.decode(t.session_state)
                if self._sessions.overtaken(session):
                    return
                await self._events.send(sensor.SessionShown(anyio.current_time(), session))
            elif delivery.topic == t.board_start.name:
                tasks.start_soon(self._answer_start, delivery.decode(t.board_start), name="board-sensor: start")
            elif delivery.topic == t.board_validate.name:
                tasks.start_soon(
                    self._answer_validate, delivery.decode(t.board_validate), name="board-sensor: validate"
                )
        except WireError as error:
            log.warning("%s", error)
            await self._refuse(delivery.topic, error.reason[:REASON_LIMIT])

    async def _refuse(self, topic: str, reason: str) -> None:
        t = self._topics
        if topic == t.board_start.name:
            await self._context.bus.publish(t.board_start_response, BoardStartResponse(status=500, reason=reason))
        elif topic == t.board_validate.name:
            await self._context.bus.publish(t.board_validate_response, BoardValidateResponse(status=500, reason=reason))

    async def _answer_start(self, request: GameRequest) -> None:
        key = ("start", request.request_id or request.task_token, "")
        async with self._question(key) as fresh:
            if fresh:
                answer = start_answer(request, await self._look(request.before))
                await self._context.bus.publish(self._topics.board_start_response, answer)

    async def _answer_validate(self, request: BoardValidateRequest) -> None:
        key = ("validate", request.request_id or request.task_token, request.expect)
        async with self._question(key) as fresh:
            if not fresh:
                return
            answer = validate_answer(request, await self._look(expected_fen(request)))
            await self._context.bus.publish(self._topics.board_validate_response, answer)
            after = expected_placement(request.after)
            if answer.status == 200 and request.request_id is None and request.expect == "before" and after is not None:
                now_s = anyio.current_time()  # no request id: the sample's manager, which waits for board/processed
                until_s = now_s + self._settings.processed_timeout_s
                await self._events.send(sensor.MoveAwaited(now_s, request.lan, after, until_s))

    @asynccontextmanager
    async def _question(self, key: tuple[str, str, str]) -> AsyncIterator[bool]:
        """False for a duplicate of a question that is being answered, and for one too many (it will be asked again)."""
        if key in self._questions or len(self._questions) >= QUESTION_LIMIT:
            yield False
            return
        self._questions.add(key)
        try:
            yield True
        finally:
            self._questions.discard(key)

    async def _look(self, fen: str) -> Placement | str:
        """What the board shows from now on, settled; or why that could not be seen in time."""
        expected = expected_placement(fen)
        if expected is not None:
            self._board.expect(expected)
        reason = ""
        with anyio.move_on_after(self._settings.read_timeout_s):
            while True:
                try:
                    return (await self._board.read()).placement
                except BoardLost as lost:
                    reason = f"the board is not seen: {lost}"
                await anyio.sleep(LOOK_AGAIN_S)
        return reason or self._unsettled()

    def _unsettled(self) -> str:
        reading = self._state.reading
        text = f"the board did not come to rest within {self._settings.read_timeout_s} s"
        if reading is not None and reading.flickering:
            names = ", ".join(square_name(square) for square in reading.flickering)
            text += f": {names} keeps changing, perhaps a piece off its centre"
        return text
