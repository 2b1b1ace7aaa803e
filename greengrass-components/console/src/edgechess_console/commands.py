"""Commands of the page as messages of the bus, each one validated by the kit's own message types."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal

import anyio
import chess
import msgspec

from edgechess_console.access import Role
from edgechess_console.naming import player_title
from edgechess_console.state import State
from edgechess_kit.component import Context
from edgechess_kit.errors import JournalError, LinkLost, WireError
from edgechess_kit.events import announce
from edgechess_kit.journal import Draft
from edgechess_kit.messages import (
    ArmControl,
    ArmControlResponse,
    GameRequest,
    GameResponse,
    Message,
    SessionControl,
    SessionControlResponse,
)
from edgechess_kit.topics import Topic

LOG = logging.getLogger(__name__)

STOP_TIMEOUT_S = 1.0  # a bus that has not taken a stop by then is as good as lost
ANSWER_TIMEOUT_S = 6.0  # the director opens players before it answers: a cold engine takes seconds
SETUP_TIMEOUT_S = 2.0  # a refusal comes at once; the work itself takes minutes
RECOVER_TIMEOUT_S = 10.0
KEPT = 5000  # commands in the journal; whoever clicks must not fill the disk
SAID_LIMIT = 120
WAITERS_LIMIT = 64

Status = Literal[200, 400, 403, 429, 500, 503, 504]


class Refused(Exception):
    """The command makes no sense; the text says why."""


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    status: Status
    reason: str | None = None
    took_ms: float | None = None

    def json(self) -> dict[str, object]:
        told: dict[str, object] = {"status": self.status, "reason": self.reason}
        return told if self.took_ms is None else told | {"tookMs": self.took_ms}


@dataclasses.dataclass(frozen=True, slots=True)
class Verb:
    """One command: which keys its body may have, and which it must."""

    word: str
    keys: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


_MATCH = ("white", "black", "fen", "sessionId", "maxPlies", "robotEnabled", "setup")
SESSION_VERBS = {
    verb.word: verb
    for verb in (
        Verb("create", _MATCH, ("white", "black")),
        Verb("start", _MATCH),
        Verb("pause", ("sessionId",)),
        Verb("resume", ("sessionId",)),
        Verb("resign", ("color", "sessionId"), ("color",)),
        Verb("draw", ("color", "sessionId")),
        Verb("move", ("lan", "sessionId"), ("lan",)),
    )
}
NEXT = Verb("next", ("white", "black", "swap", "setup", "maxPlies", "robotEnabled", "after"))
ARM_VERBS = {
    verb.word: verb for verb in (Verb("recover", ("confirmedBy", "arm"), ("confirmedBy",)), Verb("park", ("arm",)))
}
REFILLED = Verb("refilled", ("confirmedBy",), ("confirmedBy",))
SETUP = Verb("setup", ("fen", "abandon", "sessionId"))


class Commands:
    """Says them on the bus, and waits for whoever answers."""

    def __init__(self, context: Context[Any], state: Callable[[], State]) -> None:
        self._context = context
        self._state = state
        self._waiting: dict[str, tuple[anyio.Event, list[Message]]] = {}

    def hear(self, message: Message) -> None:
        """An answer on the bus, ours or not."""
        key: str | None = None
        if isinstance(message, SessionControlResponse | ArmControlResponse):
            key = message.request_id
        elif isinstance(message, GameResponse):
            key = message.task_token
        waiting = self._waiting.get(key) if key is not None else None
        if waiting is not None:
            waiting[1].append(message)
            waiting[0].set()

    # -- the stop --------------------------------------------------------------------------------------------------

    async def stop(self, role: Role) -> Answer:
        """Needs nothing but the bus: no session, no state, no answer. It is recorded after it is out."""
        context = self._context
        began = anyio.current_time()
        control = ArmControl(command="stop", request_id=context.ids.new("stop"), reason=f"stop on the page ({role})")
        answer = Answer(503, "the bus is not linked: use the robot's own emergency stop")
        if context.bus.connected:
            with anyio.move_on_after(STOP_TIMEOUT_S, shield=True):  # a page that is closed meanwhile changes nothing
                try:
                    await context.bus.publish(context.topics.arm_control, control)
                    answer = Answer(200, None, round((anyio.current_time() - began) * 1000.0, 1))
                except LinkLost:
                    pass
        self._record(role, "stop", "")
        return answer

    # -- all others ------------------------------------------------------------------------------------------------

    async def session(self, verb: Verb, body: Mapping[str, Any], role: Role) -> Answer:
        """Raises Refused for a body that is none of this command's."""
        control = _message(SessionControl, verb, body, {"command": verb.word, "requestId": self._id()})
        return await self._send(
            self._context.topics.session_control, control, control.request_id, role, verb.word, _said(body)
        )

    async def next(self, body: Mapping[str, Any], role: Role) -> Answer:
        """Raises Refused."""
        _check_keys(NEXT, body)
        state = self._state()
        wish = dict(body)
        swap = wish.pop("swap", True)
        if not isinstance(swap, bool):
            raise Refused("swap: expected true or false")
        self._require_here(wish.pop("after", None))
        wish.setdefault("setup", True)
        if swap and state.plan is not None:
            wish.setdefault("white", state.plan.words[1])
            wish.setdefault("black", state.plan.words[0])
        verb = dataclasses.replace(NEXT, keys=tuple(key for key in NEXT.keys if key not in ("swap", "after")))
        return await self.session(verb, wish, role)

    async def arms(self, verb: Verb, body: Mapping[str, Any], role: Role) -> Answer:
        """Raises Refused."""
        if "confirmedBy" in verb.needs and not str(body.get("confirmedBy") or "").strip():
            raise Refused("confirmedBy: say who has looked at the table")
        control = _message(ArmControl, verb, body, {"command": verb.word, "requestId": self._id()})
        assert control.request_id is not None
        topic = self._context.topics.arm_control
        return await self._send(
            topic, control, control.request_id, role, verb.word, _said(body), timeout_s=RECOVER_TIMEOUT_S
        )

    async def setup(self, body: Mapping[str, Any], role: Role) -> Answer:
        """The arms bring the table to a position. Raises Refused."""
        _check_keys(SETUP, body)
        state = self._state()
        session = state.session
        running = session is not None and session.status == "running"
        self._require_here(body.get("sessionId"))
        if running and body.get("abandon") is not True:
            raise Refused("a game is being played on this table: end it first, or abandon it")
        fen = body.get("fen") or _awaited(state) or chess.STARTING_FEN
        try:
            chess.BaseBoard(str(fen).split(" ", 1)[0])
        except ValueError as error:
            raise Refused(f"fen: {error}") from error
        token = self._id()
        session_id = session.session_id if session is not None and running and session.session_id else "setup"
        request = _convert(
            GameRequest, {"action": "setup", "sessionId": session_id, "taskToken": token, "before": str(fen)}
        )
        answer = await self._send(
            self._context.topics.cloud_request, request, token, role, "setup", str(fen), timeout_s=SETUP_TIMEOUT_S
        )
        at_work = "the arms set the table up; what they do stands among the events"
        return Answer(200, at_work) if answer.status == 504 else answer

    def _require_here(self, session_id: object) -> None:
        """Raises Refused where this was said of another game than the one that is here by now."""
        here = self._state().session_id
        if session_id not in (None, "", here):
            raise Refused(f"sessionId: {str(session_id)[:60]} is not the one here{f', {here}' if here else ''}")

    async def _send(
        self,
        topic: Topic[Any],
        message: Message,
        key: str,
        role: Role,
        word: str,
        said: str,
        *,
        timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> Answer:
        if not self._context.bus.connected:
            return Answer(503, "the bus is not linked")
        if len(self._waiting) >= WAITERS_LIMIT:
            return Answer(429, "too many commands wait for their answers")
        self._record(role, word, said)
        arrived, answers = self._waiting[key] = (anyio.Event(), [])
        try:
            with anyio.move_on_after(timeout_s):
                await self._context.bus.publish(topic, message)
                await arrived.wait()
        except WireError as error:
            raise Refused(error.reason) from error
        except LinkLost:
            return Answer(503, "the bus is not linked")
        finally:
            del self._waiting[key]
        if not answers:
            return Answer(504, "nobody has answered yet: is the component running?")
        return _answer_of(answers[0])

    def _record(self, role: Role, word: str, said: str) -> None:
        """A disk that is full keeps nobody from stopping an arm, or from releasing it."""
        data = {"role": role, "command": word, "said": said[:SAID_LIMIT]}
        try:
            entries = self._context.journal.append_all([Draft("commanded", data, keep_newest=KEPT)])
        except JournalError as error:
            LOG.error("%s %s is not recorded: %s", word, said[:SAID_LIMIT], error)
            return
        for entry in entries:
            announce(self._context, entry)

    def _id(self) -> str:
        return self._context.ids.new("page")


def _answer_of(message: Message) -> Answer:
    if isinstance(message, SessionControlResponse | ArmControlResponse | GameResponse):
        return Answer(message.status, message.reason)
    return Answer(500, "an answer of another kind")


def _awaited(state: State) -> str | None:
    """Where the game starts that waits for its pieces; None where none does."""
    return state.plan.start_fen if state.plan is not None and state.result is None else None


def _said(body: Mapping[str, Any]) -> str:
    """What is told of it; the journal of whoever decides has the players' own words."""
    return " ".join(
        player_title(str(value)) if key in ("white", "black") else str(value)
        for key, value in body.items()
        if value not in (None, "") and key != "sessionId"
    )


def _message(kind: type[Any], verb: Verb, body: Mapping[str, Any], more: Mapping[str, Any]) -> Any:
    _check_keys(verb, body)
    return _convert(kind, {**body, **more})


def _check_keys(verb: Verb, body: Mapping[str, Any]) -> None:
    unknown = [key for key in body if key not in verb.keys]
    if unknown:
        raise Refused(f"{unknown[0][:40]}: {verb.word} has no such key; it has {', '.join(verb.keys) or 'none'}")
    missing = [key for key in verb.needs if body.get(key) in (None, "")]
    if missing:
        raise Refused(f"{missing[0]} is missing")


def _convert(kind: type[Any], data: Mapping[str, Any]) -> Any:
    given = {key: value for key, value in data.items() if value is not None}
    try:
        return msgspec.convert(given, kind)
    except (msgspec.ValidationError, ValueError) as error:
        raise Refused(str(error)[:300]) from error
