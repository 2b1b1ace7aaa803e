"""The match director on the bus: subscriptions into events, effects into deeds. The decisions are `machine`'s."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import chess
import msgspec
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from edgechess_inference.errors import PlayerWordError
from edgechess_inference.player import Player, PlayerOptions, Question
from edgechess_inference.registry import open_player
from edgechess_kit.bus import Delivery
from edgechess_kit.component import Context
from edgechess_kit.errors import KitError, SettingsError, WireError
from edgechess_kit.events import journal_event
from edgechess_kit.health import Health
from edgechess_kit.messages import (
    ArmState,
    BoardMoved,
    BoardState,
    SessionControl,
    SessionControlResponse,
    SessionState,
)
from edgechess_match_director import events as e
from edgechess_match_director.errors import ControlRefused
from edgechess_match_director.machine import TELL_PREFIX, decide, summary
from edgechess_match_director.match import ArmsView, BoardView, Created, Ended, Match, Plan, new_match
from edgechess_match_director.node_player import NodePlayer, is_of_the_node
from edgechess_match_director.record import pgn_text, write_atomically
from edgechess_match_director.resume import CREATED, last_match, plan_data
from edgechess_match_director.rules import ending
from edgechess_match_director.seats import Chair, Opener, is_person
from edgechess_match_director.settings import Settings

LOG = logging.getLogger(__name__)

INBOX_LIMIT = 100  # events waiting for the one task that decides; whoever brings more waits
OVERTAKEN_S = 30.0  # a state older than the last by up to this was overtaken on its way; by more, a clock was set
TELL_TIMEOUT_S = 5.0  # a courtesy to the manager, not worth holding up the end of a match

OnEvent = Callable[[str, Mapping[str, Any]], None]
AskPerson = Callable[[str], Awaitable[str]]


async def run(
    context: Context[Settings],
    ask: AskPerson | None = None,
    on_event: OnEvent | None = None,
    *,
    opener: Opener = open_player,
) -> None:
    """Plays matches until it is cancelled; with `exit_when_done`, until the match of its settings has ended.

    `ask`: how `human` is asked at a prompt, where there is one. `on_event`: called with every entry (kind, data) that
    the director writes, after it is durable. Raises SettingsError where the settings name players or a position that
    cannot be, or a match that goes on names players that can no longer be, and JournalError where nothing can be written any more.
    """
    async with Health(context, version=version("edgechess-match-director")) as health:
        await _Director(context, health, ask, on_event, opener).run()


class _Director:
    """The shell around the machine: one task decides, the others only bring it events."""

    def __init__(
        self,
        context: Context[Settings],
        health: Health,
        ask: AskPerson | None,
        on_event: OnEvent | None,
        opener: Opener,
    ) -> None:
        self._context = context
        self._health = health
        self._ask = ask
        self._on_event = on_event
        self._opener = opener
        self._match: Match | None = None
        self._chairs: dict[str, Chair] = {}
        self._board: BoardView | None = None
        self._arms: ArmsView | None = None
        self._newest: dict[str, float] = {}
        self._asking = anyio.CancelScope()
        self._timing = anyio.CancelScope()
        self._send: MemoryObjectSendStream[e.Event | SessionControl]
        self._tasks: anyio.abc.TaskGroup

    # ---------------------------------------------------------------- life

    async def run(self) -> None:
        topics = self._context.topics
        wanted = (
            topics.cloud_response,
            topics.session_state,
            topics.session_control,
            topics.board_state,
            topics.board_moved,
            topics.arm_state,
        )
        self._send, inbox = anyio.create_memory_object_stream[e.Event | SessionControl](INBOX_LIMIT)
        failure: KitError | None = None
        try:
            async with (
                self._send,
                inbox,
                self._context.bus.subscribe(*wanted) as deliveries,
                anyio.create_task_group() as self._tasks,
            ):
                self._tasks.start_soon(self._listen, deliveries, name="director-listen")
                try:
                    await self._work(inbox)
                except KitError as error:
                    failure = error  # raised below, so that it leaves the task group as itself and not in a group
                self._tasks.cancel_scope.cancel()
        finally:
            await self._leave_chairs()
        if failure is not None:
            raise failure

    async def _work(self, inbox: MemoryObjectReceiveStream[e.Event | SessionControl]) -> None:
        await self._begin()
        await self._health.set("ready")
        while not self._done():
            await self._handle(await inbox.receive())
            if self._next_due():
                await self._autostart(self._context.settings)

    async def _begin(self) -> None:
        """Takes up the match of the journal, or starts the one of the settings."""
        settings = self._context.settings
        match = last_match(self._context.journal)
        if match is not None and not isinstance(match.step, Ended):
            LOG.info("session %s goes on at ply %d", match.plan.session_id, len(match.plies) + 1)
            await self._seat(match.plan.white, match.plan.black, match.plan.number)
            self._match = match
            await self._apply(e.Restarted(self._now()))
            if match.paused and settings.unpause:
                await self._apply(e.Resume(self._now()))
            if isinstance(match.step, Created) and settings.autostart:
                await self._apply(e.Start(self._now()))
        elif settings.autostart:
            self._match = match
            if match is not None and settings.session_id == _first_id(match.plan) and not self._next_due():
                await self._show_again(match)
            else:
                await self._autostart(settings)

    async def _autostart(self, settings: Settings) -> None:
        before = self._match if self._next_due() else None
        session_id = settings.session_id or (_first_id(before.plan) if before is not None else None)
        if before is not None:
            session_id = f"{session_id}-{before.plan.number + 1}"
        control = SessionControl(
            command="create",
            request_id=f"{TELL_PREFIX}autostart",
            session_id=session_id,
            white=settings.white,
            black=settings.black,
            fen=settings.fen or None,
            max_plies=settings.max_plies,
            robot_enabled=settings.robot_enabled,
        )
        try:
            await self._create(control, before)
        except ControlRefused as error:
            raise SettingsError(str(error)) from error
        await self._apply(e.Start(self._now()))

    async def _show_again(self, match: Match) -> None:
        """The match of the settings was over before this process started: whoever waits for its summary gets it."""
        self._match = match
        self._write_record(match)
        await self._note(e.Note("summary", summary(match)))

    def _done(self) -> bool:
        match, settings = self._match, self._context.settings
        over = match is not None and isinstance(match.step, Ended) and not self._next_due()
        return settings.autostart and settings.exit_when_done and over

    def _next_due(self) -> bool:
        """The match here is over, and the settings want another one after it. One that was abandoned is the last."""
        match, settings = self._match, self._context.settings
        if match is None or not settings.autostart or not isinstance(match.step, Ended):
            return False
        abandoned = match.step.ending.termination.startswith("abandoned")
        return match.plan.number < settings.matches and self._of_the_settings(match) and not abandoned

    def _of_the_settings(self, match: Match) -> bool:
        return self._context.settings.session_id in ("", _first_id(match.plan))

    # ---------------------------------------------------------------- events

    async def _listen(self, deliveries: Any) -> None:
        async for delivery in deliveries:
            try:
                event = self._read(delivery)
            except WireError as error:
                LOG.warning("%s", error)
                continue
            if event is not None:
                await self._send.send(event)

    def _read(self, delivery: Delivery) -> e.Event | SessionControl | None:
        """What a message means to the machine; None for what means nothing. Raises WireError."""
        topics, at = self._context.topics, self._now()
        if delivery.topic == topics.cloud_response.name:
            return e.Answered(at, delivery.decode(topics.cloud_response))
        if delivery.topic == topics.board_state.name:
            board = delivery.decode(topics.board_state)
            return None if self._overtaken(delivery.topic, board.at) else _board_event(at, board)
        if delivery.topic == topics.board_moved.name:
            return _moved_event(at, delivery.decode(topics.board_moved))
        if delivery.topic == topics.arm_state.name:
            arms = delivery.decode(topics.arm_state)
            return None if self._overtaken(delivery.topic, arms.at) else _arms_event(at, arms)
        if delivery.topic == topics.session_state.name:
            return _session_event(at, delivery.decode(topics.session_state))
        control = delivery.decode(topics.session_control)
        return None if control.result is not None else control  # that is an owner's word, our own as a rule

    def _overtaken(self, topic: str, at: float) -> bool:
        """Whether a newer state of this topic has been seen already: delivery is at least once, in any order."""
        last = self._newest.get(topic, 0.0)
        if last - OVERTAKEN_S < at < last:
            return True
        self._newest[topic] = at
        return False

    async def _handle(self, event: e.Event | SessionControl) -> None:
        if isinstance(event, SessionControl):
            await self._obey(event)
            return
        if isinstance(event, e.BoardShown):
            self._board = event.view
        if isinstance(event, e.ArmsShown):
            self._arms = event.view
        if self._match is not None:
            await self._apply(event)

    # ---------------------------------------------------------------- session control

    async def _obey(self, control: SessionControl) -> None:
        try:
            await self._command(control)
        except ControlRefused as error:
            await self._reply(control, str(error))
        else:
            await self._reply(control, None)

    async def _command(self, control: SessionControl) -> None:
        at = self._now()
        match = self._match
        before = match if control.setup else None
        if control.command == "create":
            await self._create(control, before)
            return
        if control.command == "start" and control.white is not None and control.black is not None:
            await self._create(control, before)
            await self._apply(e.Start(at))
            return
        if match is None:
            raise ControlRefused("there is no session; create one first")
        if control.command == "next":
            await self._create(_next_of(control, match), before)
            await self._apply(e.Start(at))
            return
        if control.session_id is not None and control.session_id != match.plan.session_id:
            raise ControlRefused(f"session {control.session_id} is not the one here, {match.plan.session_id}")
        match control.command:
            case "start":
                await self._apply(e.Start(at))
            case "pause":
                await self._apply(e.Pause(at))
            case "resume":
                await self._apply(e.Resume(at))
            case "resign":
                if control.color is None:
                    raise ControlRefused("`color` is missing: who resigns, w or b?")
                await self._apply(e.Resign(at, control.color))
            case "draw":
                await self._apply(e.Draw(at, control.color))
            case "move":
                if control.lan is None:
                    raise ControlRefused("`lan` is missing: which move, e2e4 or e7e8q?")
                await self._apply(e.Entered(at, control.lan))

    async def _create(self, control: SessionControl, before: Match | None = None) -> None:
        """`before`: the match whose pieces stand on the table, for the arms to set up. Raises ControlRefused; then nothing
        has changed."""
        current = self._match
        if current is not None and not isinstance(current.step, Ended):
            raise ControlRefused(f"session {current.plan.session_id} is not over yet")
        settings = self._context.settings
        white, black = control.white or settings.white, control.black or settings.black
        try:
            await self._seat(white, black, 1 if before is None else before.plan.number + 1)
            plan = self._plan(control, white, black, before)
            match = new_match(plan)
        except (SettingsError, ValueError) as error:
            await self._leave_chairs()
            raise ControlRefused(str(error)) from error
        over = ending(match.position())
        if over is not None:
            await self._leave_chairs()
            raise ControlRefused(f"in {plan.start_fen} the game is over already: {over.termination}")
        self._match = dataclasses.replace(match, board=self._board, arms=self._arms)
        await self._note(e.Note(CREATED, plan_data(plan)))

    def _plan(self, control: SessionControl, white: str, black: str, before: Match | None) -> Plan:
        settings, ids = self._context.settings, self._context.ids
        chairs = self._chairs
        recorded = chairs["w"].recorded_start or chairs["b"].recorded_start
        return Plan(
            session_id=control.session_id or ids.new("session"),
            salt=ids.new("match"),
            white=white,
            black=black,
            white_seat=chairs["w"].seat,
            black_seat=chairs["b"].seat,
            start_fen=chess.Board(control.fen or settings.fen or recorded or chess.STARTING_FEN).fen(),
            robot_enabled=settings.robot_enabled if control.robot_enabled is None else control.robot_enabled,
            max_plies=settings.max_plies if control.max_plies is None else max(control.max_plies, 0),
            created_at=self._now(),
            number=1 if before is None else before.plan.number + 1,
            resets="" if before is None else before.plan.session_id,
        )

    async def _reply(self, control: SessionControl, refusal: str | None) -> None:
        topic = self._context.topics.session_control_response
        response = SessionControlResponse(
            request_id=control.request_id,
            status=200 if refusal is None else 400,
            session_id=self._match.plan.session_id if self._match is not None else control.session_id,
            reason=refusal,
        )
        await self._context.bus.publish(topic, response)

    # ---------------------------------------------------------------- effects

    async def _apply(self, event: e.Event) -> None:
        """Decides and acts. Raises ControlRefused, and then nothing has happened."""
        assert self._match is not None
        self._match, effects = decide(self._match, event, republish_s=self._context.settings.republish_s)
        for effect in effects:
            await self._do(self._match, effect)
        if isinstance(self._match.step, Ended):
            await self._leave_chairs()

    async def _do(self, match: Match, effect: e.Effect) -> None:
        bus, topics = self._context.bus, self._context.topics
        match effect:
            case e.Note():
                await self._note(effect)
            case e.Publish():
                await bus.publish(topics.cloud_request, effect.request)
            case e.Tell():
                with anyio.move_on_after(TELL_TIMEOUT_S):
                    await bus.publish(topics.session_control, effect.control)
            case e.Ask():
                self._asking.cancel()
                self._asking = anyio.CancelScope()
                self._tasks.start_soon(self._question, match, effect, self._asking, name="director-ask")
            case e.StopAsking():
                self._asking.cancel()
            case e.Timer():
                self._timing.cancel()
                self._timing = anyio.CancelScope()
                self._tasks.start_soon(self._wait, effect, self._timing, name="director-timer")
            case e.Record():
                self._write_record(match)
            case e.Say():
                await self._health.set(effect.status, effect.reason)

    async def _note(self, note: e.Note) -> None:
        assert self._match is not None
        session_id = self._match.plan.session_id
        await journal_event(self._context, note.kind, note.data, session_id=session_id, key=note.key)
        if self._on_event is not None:
            self._on_event(note.kind, note.data)

    async def _question(self, match: Match, ask: e.Ask, scope: anyio.CancelScope) -> None:
        chair = self._chairs[ask.color]
        question = Question(match.plan.start_fen, match.moves, chair.timeout_s)
        with scope:
            await self._send.send(await chair.answer(question, ask.ply, ask.attempt, self._now))

    async def _wait(self, timer: e.Timer, scope: anyio.CancelScope) -> None:
        with scope:
            await anyio.sleep(timer.delay_s)
            await self._send.send(e.Tick(self._now(), timer.number))

    def _write_record(self, match: Match) -> None:
        settings = self._context.settings
        if not settings.pgn_path:
            return
        path, number = Path(settings.pgn_path), match.plan.number
        round_ = settings.round if settings.matches == 1 else str(number)
        text = pgn_text(match, event=settings.event, site=settings.site, round_=round_)
        try:
            write_atomically(path if number == 1 else path.with_stem(f"{path.stem}-{number}"), text)
        except OSError as error:  # the journal has the game; the match does not stop for a full disk
            LOG.error("the record %s cannot be written: %s", settings.pgn_path, error)

    # ---------------------------------------------------------------- players

    async def _seat(self, white: str, black: str, number: int) -> None:
        """Opens both players. Raises SettingsError with the key, "white" or "black", that names none."""
        await self._leave_chairs()
        settings = self._context.settings
        options = PlayerOptions(
            seed=settings.seed + number - 1, inline=settings.inline, ask=self._ask, tasks=self._tasks
        )
        for color, word in (("w", white), ("b", black)):
            timeout_s = settings.person_timeout_s if is_person(word) else settings.think_timeout_s
            chair = Chair(word, options, timeout_s, self._open)
            self._chairs[color] = chair
            try:
                await chair.sit()
            except PlayerWordError as error:
                raise SettingsError(f"{'white' if color == 'w' else 'black'}: {error}") from error

    async def _open(self, word: str, options: PlayerOptions) -> Player:
        """Raises PlayerWordError, PlayerFailed."""
        if is_of_the_node(word, self._context.settings.node_players):
            return NodePlayer(word, self._context)
        return await self._opener(word, options)

    async def _leave_chairs(self) -> None:
        self._asking.cancel()
        chairs, self._chairs = self._chairs, {}
        with anyio.CancelScope(shield=True):  # an engine's own timeouts bound it; no process may stay
            for chair in chairs.values():
                await chair.leave()

    def _now(self) -> float:
        return self._context.clock.unix_s()


def _next_of(control: SessionControl, match: Match) -> SessionControl:
    """Whatever it does not say is as in the match before; a session id is new unless it is given."""
    plan = match.plan
    return msgspec.structs.replace(
        control,
        white=control.white or plan.white,
        black=control.black or plan.black,
        max_plies=plan.max_plies if control.max_plies is None else control.max_plies,
        robot_enabled=plan.robot_enabled if control.robot_enabled is None else control.robot_enabled,
    )


def _first_id(plan: Plan) -> str:
    """The session id of the first match of the table that this one is among."""
    return plan.session_id.removesuffix(f"-{plan.number}") if plan.number > 1 else plan.session_id


def _board_event(at: float, state: BoardState) -> e.BoardShown:
    return e.BoardShown(at, BoardView(state.connected and state.settled, state.placement))


def _moved_event(at: float, moved: BoardMoved) -> e.PersonMoved | None:
    if moved.kind != "move":
        return None  # what is confirmed is not taken back here; the sensor names the squares until it is put right
    return e.PersonMoved(at, moved.session_id, moved.lan, moved.before)


def _arms_event(at: float, state: ArmState) -> e.ArmsShown:
    resting = all(arm.mode in ("idle", "parked") and arm.holding is None for arm in state.arms)
    moving = state.job_id is not None or any(arm.mode == "moving" for arm in state.arms)
    return e.ArmsShown(at, ArmsView(ready=resting and not moving and not state.stopped, moving=moving))


def _session_event(at: float, state: SessionState) -> e.SessionEnded | None:
    if state.status != "ended" or state.session_id is None:
        return None
    return e.SessionEnded(at, state.session_id, state.result, state.termination)
