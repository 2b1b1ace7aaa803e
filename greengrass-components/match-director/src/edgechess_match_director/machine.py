"""The match director's decisions: `decide(match, event) -> (match, effects)`. Pure; no clock, no bus, no chance.

Three rules carry it. At most one request is out, and it is out until it is answered: no answer means the same token
again. A failed physical act is tried again only with a new token, and only once the board shows the position before
it. A move counts when the game manager has answered 200, and at no other time.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, assert_never

import msgspec

from edgechess_kit.messages import Executor, GameResponse, SessionControl
from edgechess_match_director import events as e
from edgechess_match_director.errors import ControlRefused
from edgechess_match_director.match import (
    Asking,
    Blocked,
    Color,
    Created,
    Due,
    Ended,
    Errand,
    Held,
    Match,
    Ply,
    Postponed,
    Requesting,
    Thought,
    Watching,
)
from edgechess_match_director.rules import (
    Ending,
    ending,
    move_request,
    move_to,
    play,
    same_placement,
    same_position,
    setup_request,
    start_request,
)

ASK_LIMIT = 3  # an engine that fails three times in a row will fail a fourth time
ARM_LIMIT = 3  # then a person makes the move
REQUEST_LIMIT = 30  # tokens for one move: by then a person has failed to put the table right many times
BUSY_LIMIT = 300  # times that the manager may be busy with something else: ten minutes
BUSY_RETRY_S = 2.0
REPUBLISH_DEFAULT_S = 20.0
SEND_LIMIT = 400  # publications of one token: more than two hours without an answer
SILENT_AFTER = 3  # publications; then the operator is told
DWELL_S = 1.0  # a position that people pass through while they put pieces right must not be taken for the end of it
RETRY_S = 2.0  # nothing was touched; give the arm's fault a moment to clear
ARM_WAIT_S = 1.0
ARM_WAIT_LIMIT = 60  # a stopped arm that nobody recovers in a minute is left out of this move
SEEN_S = 3.0  # the sensor reports a move within half a second; a board that shows one for so long lost its report

Result = tuple[Match, list[e.Effect]]

SURE_CODES = ("unchanged", "arm-refused")  # the manager's word that nothing moved
LOST_CODE = "dropped"  # a piece fell, and may lie on the very square on which the board shows it


def decide(match: Match, event: e.Event, *, republish_s: float = REPUBLISH_DEFAULT_S) -> Result:
    """The next state and what is to be done, in order.

    Raises ControlRefused for an operator's command that makes no sense now; the state is then as before.
    """
    match event:
        case e.BoardShown():
            return _board_shown(dataclasses.replace(match, board=event.view), event.at)
        case e.ArmsShown():
            return dataclasses.replace(match, arms=event.view), []
        case e.Start():
            return _start(match, republish_s)
        case e.Pause():
            return _pause(match)
        case e.Resume():
            return _resume(match, event.at, republish_s)
        case e.Resign():
            return _resign(match, event)
        case e.Draw():
            return _draw(match, event)
        case e.Entered():
            return _entered(match, event, republish_s)
        case e.Restarted():
            return _restarted(match, event.at, republish_s)
        case e.Chosen():
            return _chosen(match, event, republish_s)
        case e.GaveUp() | e.PlayerError() | e.ReplayDone():
            return _no_move(match, event)
        case e.PersonMoved():
            return _person_moved(match, event, republish_s)
        case e.Answered():
            return _answered(match, event, republish_s)
        case e.SessionEnded():
            return _session_ended(match, event)
        case e.Tick():
            return _tick(match, event, republish_s) if event.number == match.timer else (match, [])
        case _:
            assert_never(event)


# ---------------------------------------------------------------- an operator's commands


def _start(match: Match, republish_s: float) -> Result:
    if not isinstance(match.step, Created):
        raise ControlRefused(f"session {match.plan.session_id} was started already")
    return _request(match, Errand(None, setup=bool(match.plan.resets)), republish_s)


def _pause(match: Match) -> Result:
    _running(match)
    if match.paused:
        raise ControlRefused("the match is paused already")
    return dataclasses.replace(match, paused=True), [e.Note("paused", {})]


def _resume(match: Match, at: float, republish_s: float) -> Result:
    _running(match)
    if not match.paused:
        raise ControlRefused("the match is not paused")
    match = dataclasses.replace(match, paused=False)
    effects: list[e.Effect] = [e.Note("resumed", {})]
    step = match.step
    if isinstance(step, Held):
        return _after(effects, _request(match, step.errand, republish_s))
    if isinstance(step, Postponed):
        return _after(effects, _timer(match, BUSY_RETRY_S))
    if isinstance(step, Blocked):
        if match.board is None:  # nobody shows us the board: the person who says "resume" has looked at it
            return _after(effects, _request(match, step.errand, republish_s, "person" if step.errand.uci else None))
        return _after(effects, _look_at_table(dataclasses.replace(match, step=dataclasses.replace(step, sight=None))))
    return match, effects


def _resign(match: Match, event: e.Resign) -> Result:
    _running(match)
    return _close(match, _resignation(event.color, event.reason), event.at)


def _draw(match: Match, event: e.Draw) -> Result:
    _running(match)
    offers = match.draw_offers if event.color is None or event.color in match.draw_offers else (
        *match.draw_offers, event.color,
    )  # fmt: skip
    if event.color is None or len(offers) == 2:
        return _close(match, Ending("1/2-1/2", "agreement"), event.at)
    return dataclasses.replace(match, draw_offers=offers), [e.Note("draw-offered", {"color": event.color})]


def _entered(match: Match, event: e.Entered, republish_s: float) -> Result:
    _running(match)
    step = match.step
    if not isinstance(step, Watching):
        raise ControlRefused("it is no person's turn to move")
    try:
        play(match.fen, event.uci)
    except ValueError:
        raise ControlRefused(f"{event.uci} is not legal in {match.fen}") from None
    errand = dataclasses.replace(_by_person(match, step, event.uci, event.at), entered=True)
    return _take(match, errand, None, republish_s)


def _running(match: Match) -> None:
    if isinstance(match.step, Created):
        raise ControlRefused(f"session {match.plan.session_id} has not been started")
    if isinstance(match.step, Ended):
        raise ControlRefused(f"session {match.plan.session_id} has ended: {match.step.ending.termination}")


def _close(match: Match, end: Ending, at: float) -> Result:
    """Ends the match, but not before the request under way has its answer."""
    if isinstance(match.step, Requesting):
        note = e.Note("ending", {"result": end.result, "termination": end.termination, "reason": end.reason})
        return dataclasses.replace(match, close=end), [note]
    return _end(match, end, at, tell=True)


def _resignation(color: Color, reason: str | None = None) -> Ending:
    return Ending("0-1" if color == "w" else "1-0", "resignation", reason)


# ---------------------------------------------------------------- whose turn


def _next(match: Match, at: float, attempt: int = 1) -> Result:
    """The game goes on from the confirmed position: ask, or watch the board."""
    if match.plan.max_plies and len(match.plies) >= match.plan.max_plies:
        return _end(match, Ending("*", "max-plies"), at)
    color = match.turn
    seat = match.plan.seat(color)
    asking: dict[str, object] = {
        "ply": len(match.plies) + 1,
        "color": color,
        "player": match.plan.word(color),
        "seat": seat,
        "attempt": attempt,
        "since": at,
    }
    effects: list[e.Effect] = [e.Note("asking", asking)]
    if seat == "person":
        return _after(effects, _look_for_move(dataclasses.replace(match, step=Watching(at))))
    step = Asking(attempt, at)
    return dataclasses.replace(match, step=step), [*effects, e.Ask(color, len(match.plies) + 1, attempt)]


def _chosen(match: Match, event: e.Chosen, republish_s: float) -> Result:
    step = _asked(match, event.ply, event.attempt)
    if step is None:
        return match, []
    try:
        play(match.fen, event.uci)
    except ValueError:
        reason = f"{event.by} answered {event.uci}, which is not legal in {match.fen}"
        return _no_move(match, e.PlayerError(event.at, event.ply, event.attempt, reason))
    errand = Errand(event.uci, by=event.by, think_s=round(event.at - step.since, 3), thought=event.thought)
    result = _take(match, errand, event.reason, republish_s)
    return _after([e.Say("ready")], result) if event.attempt > 1 else result


def _take(match: Match, errand: Errand, reason: str | None, republish_s: float) -> Result:
    """A move is chosen: write it down, then ask for it, or keep it while the match is paused."""
    assert errand.uci is not None
    san, _ = play(match.fen, errand.uci)
    chosen: dict[str, object] = {
        "ply": len(match.plies) + 1,
        "lan": errand.uci,
        "san": san,
        "by": errand.by,
        "think_s": errand.think_s,
    }
    if reason is not None:
        chosen["reason"] = reason[:500]
    if errand.entered:
        chosen["entered"] = True
    chosen |= _told(errand.thought)
    note = e.Note("move-chosen", chosen)
    if match.paused:
        return dataclasses.replace(match, step=Held(errand), timer=match.timer + 1), [note]
    return _after([note], _request(match, errand, republish_s))


def _no_move(match: Match, event: e.GaveUp | e.PlayerError | e.ReplayDone) -> Result:
    if _asked(match, event.ply, event.attempt) is None:
        return match, []
    if isinstance(event, e.GaveUp):
        return _end(match, _resignation(match.turn), event.at, tell=True)
    if isinstance(event, e.ReplayDone):
        if event.result is None:
            return _end(match, Ending("*", "abandoned: replay ended", event.reason), event.at)
        return _end(match, Ending(event.result, event.termination or "replay"), event.at, tell=True)
    failed = {
        "ply": event.ply,
        "color": match.turn,
        "player": match.plan.word(match.turn),
        "attempt": event.attempt,
        "reason": event.reason[:500],
    }
    effects: list[e.Effect] = [e.Note("player-failed", failed)]
    if event.attempt >= ASK_LIMIT:
        return _after(effects, _end(match, Ending("*", "abandoned: engine failed", event.reason), event.at))
    effects.append(e.Say("degraded", event.reason))
    return _after(effects, _next(match, event.at, event.attempt + 1))


def _told(thought: Thought | None) -> dict[str, object]:
    """For a note; nothing for players that do not climb the ladder."""
    if thought is None:
        return {}
    return {"thought": {**dataclasses.asdict(thought), "failures": list(thought.failures)}}


def _asked(match: Match, ply: int, attempt: int) -> Asking | None:
    """The step, if this is the question that is open; a late answer to an earlier one is none."""
    step = match.step
    if isinstance(step, Asking) and step.attempt == attempt and ply == len(match.plies) + 1:
        return step
    return None


def _person_moved(match: Match, event: e.PersonMoved, republish_s: float) -> Result:
    step = match.step
    if not isinstance(step, Watching) or event.session_id != match.plan.session_id:
        return match, []
    if not same_position(event.before, match.fen):
        return match, []  # a report of an earlier move, late
    try:
        play(match.fen, event.uci)
    except ValueError:
        return match, []  # not of this position, whatever it says
    return _take(match, _by_person(match, step, event.uci, event.at), None, republish_s)


def _by_person(match: Match, step: Watching, uci: str, at: float) -> Errand:
    return Errand(uci, by=match.plan.word(match.turn), think_s=round(at - step.since, 3))


def _look_for_move(match: Match) -> Result:
    """A person's move that the board shows although nobody reported it: the report was lost with some process."""
    step, board = match.step, match.board
    if not isinstance(step, Watching) or board is None:
        return match, []
    shown = board.placement if board.settled else None
    if shown is not None and step.seen is not None and same_placement(_after_move(match.fen, step.seen), shown):
        return match, []  # its timer is running
    seen = None if shown is None or same_placement(match.fen, shown) else move_to(match.fen, shown)
    match = dataclasses.replace(match, step=dataclasses.replace(step, seen=seen))
    return _timer(match, SEEN_S) if seen else (dataclasses.replace(match, timer=match.timer + 1), [])


def _after_move(fen: str, uci: str) -> str:
    return play(fen, uci)[1]


# ---------------------------------------------------------------- one request and its answer


def _request(
    match: Match, errand: Errand, republish_s: float, executor: Executor | Literal["default"] | None = "default"
) -> Result:
    """A new token, into the journal (as the entry's key) before it goes out."""
    who = _executor(match, errand) if executor == "default" else executor
    errand = dataclasses.replace(errand, requests=errand.requests + 1, uncertain=False)
    token = _token(match, errand)
    requested: dict[str, object] = {
        "action": "setup" if errand.setup else "start" if errand.uci is None else "move",
        "ply": _ply(match, errand),
        "lan": errand.uci or "",
        "san": play(match.fen, errand.uci)[0] if errand.uci else "",
        "executor": who,
        "by": errand.by,
        "think_s": errand.think_s,
        "requests": errand.requests,
        "arm_failures": errand.arm_failures,
        "busy": errand.busy,
        "helped": errand.helped,
        "repaired": errand.repaired,
        **({"entered": True} if errand.entered else {}),
        **_told(errand.thought),
    }
    step = Requesting(errand, token, who, sent=1)
    match, timer = _timer(dataclasses.replace(match, step=step, played=match.played + _moves(errand)), republish_s)
    return match, [e.Note("requested", requested, key=token), _publication(match, step), *timer]


def _publication(match: Match, step: Requesting) -> e.Publish:
    plan = match.plan
    if step.errand.setup:
        return e.Publish(setup_request(plan.resets, step.token, plan.start_fen))
    if step.errand.uci is None:
        return e.Publish(start_request(plan.session_id, step.token, plan.start_fen))
    return e.Publish(move_request(plan.session_id, step.token, match.fen, step.errand.uci, step.executor))


def _token(match: Match, errand: Errand) -> str:
    what = "setup" if errand.setup else _ply(match, errand)
    return f"{match.plan.session_id}.{match.plan.salt}.{what}.{errand.requests}"


def _ply(match: Match, errand: Errand) -> int:
    """0 for the start, else the number of the ply that is wanted, from 1."""
    return 0 if errand.uci is None else len(match.plies) + 1


def _moves(errand: Errand) -> int:
    return 0 if errand.uci is None else 1


def _executor(match: Match, errand: Errand) -> Executor | None:
    """None leaves it to the manager, which means the arm where there is one."""
    if errand.uci is None:
        return None
    by_hand = (match.plan.seat(match.turn) != "answers" and not errand.entered) or not match.plan.robot_enabled
    return "person" if by_hand or errand.arm_failures >= ARM_LIMIT else None


def _answered(match: Match, event: e.Answered, republish_s: float) -> Result:
    step, response = match.step, event.response
    if not isinstance(step, Requesting) or response.task_token != step.token:
        return match, []  # of another token: late, a duplicate, or somebody else's
    if response.status == 200:
        match = dataclasses.replace(match, confirmed=match.confirmed + _moves(step.errand))
        if step.errand.setup:
            match = dataclasses.replace(match, setup_helped=step.errand.helped)
            note = e.Note("table-set-up", {"helped": step.errand.helped})
            result = _after([note], _request(match, Errand(None), republish_s))
        else:
            result = _started(match, event.at) if step.errand.uci is None else _confirmed(match, step, event)
        silent = step.sent >= SILENT_AFTER or step.errand.requests > 1
        return _after([e.Say("ready")], result) if silent else result
    match = dataclasses.replace(match, played=match.played - _moves(step.errand))
    if response.status == 400:
        return _refused(match, step, event)
    return _failed(match, step, event)


def _started(match: Match, at: float) -> Result:
    plan = match.plan
    started = {
        "white": plan.white,
        "black": plan.black,
        "fen": plan.start_fen,
        "robot_enabled": plan.robot_enabled,
        "started_at": at,
    }
    match = dataclasses.replace(match, started_at=at)
    effects: list[e.Effect] = [e.Note("session-started", started), e.Record()]
    return _after(effects, _go_on(match, None, at))


def _confirmed(match: Match, step: Requesting, event: e.Answered) -> Result:
    errand, detail = step.errand, event.response.detail
    assert errand.uci is not None
    san, fen = play(match.fen, errand.uci)
    timings = dict(detail.timings_s) if detail else {}
    ply = Ply(
        uci=errand.uci,
        san=san,
        fen=fen,
        by=errand.by,
        think_s=errand.think_s,
        at=event.at,
        timings_s=timings,
        executor=step.executor,
        helped=errand.helped,
        retried=errand.requests - errand.busy - 1,
        repaired=errand.repaired + (detail.repaired if detail else 0),
        thought=errand.thought,
    )
    match = dataclasses.replace(match, fen=fen, plies=(*match.plies, ply), draw_offers=())
    theirs = (
        Ending(detail.result, detail.termination or "as the game manager says") if detail and detail.result else None
    )
    confirmed: dict[str, object] = {
        "ply": len(match.plies),
        "lan": ply.uci,
        "san": ply.san,
        "by": ply.by,
        "think_s": ply.think_s,
        "timings": timings,
        "executor": ply.executor,
        "at": ply.at,
        "helped": ply.helped,
        "retried": ply.retried,
        "repaired": ply.repaired,
        "fen": fen,
        "result": theirs.result if theirs else None,
        "termination": theirs.termination if theirs else None,
        **_told(ply.thought),
    }
    return _after([e.Note("confirmed", confirmed, key=step.token), e.Record()], _go_on(match, theirs, event.at))


def _go_on(match: Match, theirs: Ending | None, at: float) -> Result:
    """After the start or a confirmed move: over by the rules, over by somebody's word, or the next move."""
    ours = ending(match.position())
    if ours is not None and theirs is not None and ours.result != theirs.result:
        ours = dataclasses.replace(ours, reason=f"the game manager says {theirs.result} by {theirs.termination}")
    if ours is not None:
        return _end(match, ours, at, tell=theirs is None)
    if theirs is not None:
        return _end(match, theirs, at)
    if match.close is not None:
        return _end(match, match.close, at, tell=True)
    return _next(match, at)


def _refused(match: Match, step: Requesting, event: e.Answered) -> Result:
    """400: the request was not taken, and the table not touched."""
    errand = dataclasses.replace(step.errand, busy=step.errand.busy + 1)
    effects = [_failure(match, errand, step, event.response)]
    if match.close is not None:
        return _after(effects, _end(match, match.close, event.at, tell=True))
    if _code(event.response) != "busy" or errand.busy > BUSY_LIMIT:
        end = Ending("*", "abandoned: request refused", event.response.reason)
        return _after(effects, _end(match, end, event.at))
    match, timer = _timer(dataclasses.replace(match, step=Postponed(errand)), BUSY_RETRY_S)
    return match, [*effects, *timer]


def _failed(match: Match, step: Requesting, event: e.Answered) -> Result:
    """500: what the table looks like now is the board's to say."""
    errand, detail = step.errand, event.response.detail
    code = _code(event.response)
    as_before = detail is not None and same_placement(detail.found, match.fen) and step.executor != "person"
    sure = code in SURE_CODES or (as_before and code != LOST_CODE)
    before_the_arm = detail is not None and detail.phase in ("request", "board-before")
    by_arm = errand.uci is not None and step.executor != "person" and not before_the_arm
    errand = dataclasses.replace(
        errand,
        arm_failures=errand.arm_failures + (1 if by_arm else 0),
        uncertain=not sure,
        repaired=errand.repaired + (detail.repaired if detail else 0),
        wanted=detail.expected if detail and errand.setup else None,
    )
    reason = event.response.reason or "the game manager gave no reason"
    effects: list[e.Effect] = [_failure(match, errand, step, event.response)]
    if match.close is not None:
        return _after(effects, _end(match, match.close, event.at, tell=True))
    if errand.requests >= REQUEST_LIMIT:
        return _after(effects, _end(match, Ending("*", "abandoned: table not put right", reason), event.at))
    effects.append(e.Say("degraded", reason))
    match = dataclasses.replace(match, step=Blocked(errand), timer=match.timer + 1)
    return _after(effects, _look_at_table(match))


def _failure(match: Match, errand: Errand, step: Requesting, response: GameResponse) -> e.Effect:
    return e.Note(
        "failed",
        {
            "ply": _ply(match, errand),
            "lan": errand.uci or "",
            "status": response.status,
            "reason": (response.reason or "")[:1000],
            "code": _code(response),
            "arm_failures": errand.arm_failures,
            "busy": errand.busy,
            "uncertain": errand.uncertain,
            "repaired": errand.repaired,
            "wanted": errand.wanted,
        },
        key=step.token,
    )


def _code(response: GameResponse) -> str | None:
    return response.detail.code if response.detail else None


# ---------------------------------------------------------------- after a failure: what the board shows


def _board_shown(match: Match, at: float) -> Result:
    if isinstance(match.step, Blocked):
        return _look_at_table(match)
    if isinstance(match.step, Watching):
        return _look_for_move(match)
    return match, []


def _look_at_table(match: Match) -> Result:
    """Starts the dwell when the board shows a position to go on from, and drops it when it no longer does."""
    step = match.step
    assert isinstance(step, Blocked)
    sight = _sight(match, step.errand)
    if sight == step.sight:
        return match, []
    match = dataclasses.replace(match, step=dataclasses.replace(step, sight=sight))
    if sight is None:
        return dataclasses.replace(match, timer=match.timer + 1), []
    return _timer(match, DWELL_S if step.errand.uncertain else RETRY_S)


def _sight(match: Match, errand: Errand) -> Literal["before", "after"] | None:
    board = match.board
    if board is None:  # no board state on this bus (a foreign sensor): the manager's own word has to do
        return None if errand.uncertain else "before"
    if not board.settled:
        return None
    if same_placement(board.placement, match.fen) or same_placement(board.placement, errand.wanted):
        return "before"
    if errand.uci is not None and same_placement(board.placement, _after_move(match.fen, errand.uci)):
        return "after"
    return None


def _tick(match: Match, event: e.Tick, republish_s: float) -> Result:
    step = match.step
    match step:
        case Requesting():
            return _republish(match, step, event.at, republish_s)
        case Blocked():
            return _try_again(match, step, event.at, republish_s)
        case Postponed():
            return (match, []) if match.paused else _no_longer_busy(match, step.errand, republish_s)
        case Watching():
            if step.seen is None:
                return match, []
            return _take(match, _by_person(match, step, step.seen, event.at), "seen on the board", republish_s)
        case Created() | Due() | Asking() | Held() | Ended():
            return match, []
        case _:
            assert_never(step)


def _no_longer_busy(match: Match, errand: Errand, republish_s: float) -> Result:
    if errand.requests == errand.busy:  # the table has not been touched for this move
        return _request(match, errand, republish_s)
    return _look_at_table(dataclasses.replace(match, step=Blocked(errand)))


def _republish(match: Match, step: Requesting, at: float, republish_s: float) -> Result:
    if step.sent >= SEND_LIMIT:
        return _end(match, Ending("*", "abandoned: no answer", "the game manager does not answer"), at)
    step = dataclasses.replace(step, sent=step.sent + 1)
    match, timer = _timer(dataclasses.replace(match, step=step), republish_s)
    effects: list[e.Effect] = [_publication(match, step), *timer]
    if step.sent == SILENT_AFTER and step.executor != "person":
        effects.append(e.Say("degraded", "the game manager has not answered yet; asking again with the same token"))
    return match, effects


def _try_again(match: Match, step: Blocked, at: float, republish_s: float) -> Result:
    errand = step.errand
    if match.paused or step.sight is None:
        return match, []  # "resume" looks again, and so does the next reading of the board
    touched = match.plan.seat(match.turn) == "person" and errand.uci is not None and not errand.entered
    if step.sight == "before" and touched:
        return _next(match, at)  # the person took the move back, and may want another
    executor = "person" if step.sight == "after" else _executor(match, errand)
    if (
        executor is None
        and (errand.uci is not None or errand.setup)
        and match.arms is not None
        and not match.arms.ready
    ):
        if match.arms.moving or step.waited < ARM_WAIT_LIMIT:
            return _timer(
                dataclasses.replace(match, step=dataclasses.replace(step, waited=step.waited + 1)), ARM_WAIT_S
            )
        executor = "person" if errand.uci is not None else None
    effects: list[e.Effect] = []
    if (
        (errand.uci is not None or errand.setup)
        and not errand.helped
        and _person_needed(match, errand, step.sight, executor)
    ):
        errand = dataclasses.replace(errand, helped=True)
        effects.append(e.Note("helped", {"ply": _ply(match, errand), "lan": errand.uci, "shows": step.sight}))
    return _after(effects, _request(match, errand, republish_s, executor))


def _person_needed(match: Match, errand: Errand, sight: str | None, executor: Executor | None) -> bool:
    """Whether somebody had to touch the table who otherwise had not: put pieces right, or stand in for the arm."""
    stands_in = executor == "person" and _executor(match, dataclasses.replace(errand, arm_failures=0)) is None
    return errand.uncertain or sight == "after" or stands_in


# ---------------------------------------------------------------- after a restart, and the end


def _restarted(match: Match, at: float, republish_s: float) -> Result:
    step = match.step
    match step:
        case Created() | Ended():
            return match, []
        case Due():
            return _go_on(match, step.theirs, at)
        case Asking():
            return _next(match, at, step.attempt)
        case Watching():
            return _next(match, at)
        case Held():
            return (match, []) if match.paused else _request(match, step.errand, republish_s)
        case Requesting():
            match, timer = _timer(match, republish_s)
            return match, [_publication(match, step), *timer]
        case Blocked():
            return _look_at_table(match)
        case Postponed():
            return _timer(match, BUSY_RETRY_S)
        case _:
            assert_never(step)


def _session_ended(match: Match, event: e.SessionEnded) -> Result:
    """The manager ended the session for a reason of its own. While a request is out, its answer says so."""
    over = isinstance(match.step, Created | Ended | Requesting) or event.session_id != match.plan.session_id
    if over or match.started_at is None:
        return match, []
    end = Ending(event.result or "*", event.termination or "as the game manager says", "ended by the game manager")
    return _end(match, end, event.at)


def _end(match: Match, end: Ending, at: float, *, tell: bool = False) -> Result:
    """The summary is the last note of a match. The manager is told first: telling it twice does no harm."""
    effects: list[e.Effect] = [e.StopAsking()]
    control = _farewell(match, end) if tell else None
    if control is not None:
        effects.append(e.Tell(control))
    match = dataclasses.replace(match, step=Ended(end), ended_at=at, close=None, paused=False, timer=match.timer + 1)
    if end.reason:
        effects.append(e.Note("ended", {"termination": end.termination, "reason": end.reason[:500]}))
    effects += [e.Note("summary", summary(match)), e.Record(), e.Say("ready", end.reason)]
    return match, effects


def summary(match: Match) -> dict[str, object]:
    """The summary event of an ended match, fields as scripts rely on them.

    `plies` are the moves played on the director's own board, `confirmed` those of them that the manager answered 200
    for. They differ by the move of a request that was never answered, and by whatever is wrong. `helped` are the moves for
    which a person had to touch the table (setting it up before the start is one more), `repaired` those that the arms put right without one.
    Of the moves asked of models, `model_moves` are the models' own, `fallback_moves` those of the engine behind them.
    """
    assert isinstance(match.step, Ended)
    assert match.ended_at is not None
    started = match.ended_at if match.started_at is None else match.started_at
    thoughts = [ply.thought for ply in match.plies if ply.thought is not None]
    return {
        "result": match.step.ending.result,
        "termination": match.step.ending.termination,
        "plies": match.played,
        "confirmed": match.confirmed,
        "repaired": sum(ply.repaired > 0 and not ply.helped for ply in match.plies),
        "helped": sum(ply.helped for ply in match.plies) + match.setup_helped,
        "final_fen": match.fen,
        "seconds": round(match.ended_at - started, 3),
        "model_moves": sum(not thought.fallback for thought in thoughts),
        "fallback_moves": sum(thought.fallback for thought in thoughts),
    }


def _farewell(match: Match, end: Ending) -> SessionControl | None:
    """How the manager is told of an end that it cannot see on the board; None where it can, or has no word for it."""
    plan = match.plan
    request_id = f"{TELL_PREFIX}{plan.salt}"
    match end.result:
        case "1/2-1/2":
            control = SessionControl(command="draw", request_id=request_id, result="1/2-1/2")
        case "1-0":
            control = SessionControl(command="resign", request_id=request_id, color="b", result="1-0")
        case "0-1":
            control = SessionControl(command="resign", request_id=request_id, color="w", result="0-1")
        case _:
            return None
    return msgspec.structs.replace(control, session_id=plan.session_id, termination=end.termination[:TERMINATION_LIMIT])


TELL_PREFIX = "director-"  # of the request ids with which the director itself speaks on the control topic
TERMINATION_LIMIT = 200  # characters; what a message takes


def _timer(match: Match, delay_s: float) -> Result:
    match = dataclasses.replace(match, timer=match.timer + 1)
    return match, [e.Timer(match.timer, delay_s)]


def _after(effects: list[e.Effect], result: Result) -> Result:
    return result[0], [*effects, *result[1]]
