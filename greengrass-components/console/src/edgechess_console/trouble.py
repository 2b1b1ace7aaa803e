"""What is wrong, in words with squares and pieces, and what is safe to do about it. Pure: `explain(state) -> troubles`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import chess

from edgechess_console.position import piece_name
from edgechess_console.state import Failure, State
from edgechess_console.view import DifferencePart, TroublePart
from edgechess_kit.messages import ArmStatus

TROUBLES_LIMIT = 12  # more is a table to be set up anew, and the first dozen says so
SEVERAL = 4  # squares: so many before a start are a table that was not set up, and no piece that has fallen
SILENT_AFTER_S = 7.0  # three heartbeats of a component, and one for the road
OURSELVES = "console"
SQUARE = re.compile(r"\b[a-h][1-8]\b")
GOES_ON = "The match goes on by itself as soon as the board agrees."
LOOK = "Look at the table first: when nobody is within reach of the arms, say that they may move."

_MANAGER_SAYS = {
    "off-centre": "A piece stands off the centre of its square: the board flickers and does not settle.",
    "board-blind": "The board cannot be read.",
    "arm-lost": "The arm did not say how its job ended.",
}


def explain(state: State, differences: Sequence[DifferencePart] = ()) -> tuple[TroublePart, ...]:
    """The worst first. `differences`: of what the board feels now against what should stand there."""
    found = [
        *_bus(state),
        *_arms(state),
        *_components(state),
        *_board(state),
        *_squares(state, differences),
        *_failure(state, differences),
        *_slots(state),
        *_players(state),
    ]
    found.sort(key=lambda trouble: trouble.level != "bad")
    return tuple(found[:TROUBLES_LIMIT])


# ---------------------------------------------------------------- links and components


def _bus(state: State) -> Iterator[TroublePart]:
    if not state.connected:
        yield TroublePart(
            code="bus-lost",
            level="bad",
            text="The console has lost the bus: nothing here is live, and the stop of this page does not work.",
            cure="Use the robot's own emergency stop where you must. The console comes back by itself.",
        )


def _components(state: State) -> Iterator[TroublePart]:
    for pulse in state.pulses:
        status = pulse.status
        if status.component == OURSELVES:
            continue  # whoever reads this has one, whatever became of another one
        reason = f": {status.reason}" if status.reason else ""
        silent = state.at - pulse.heard_at > SILENT_AFTER_S
        if status.status == "lost" or (silent and status.status != "stopped"):
            yield TroublePart(
                code="component-lost",
                level="bad",
                text=f"The {_spoken(status.component)} is not there any more{reason}.",
                cure="It is started again by whoever runs it; what it had begun is taken up from its journal.",
            )
        elif status.status == "degraded" and not _told_better(status.component, state):
            yield TroublePart(
                code="component-degraded", text=f"The {_spoken(status.component)} says{reason or ': not well'}."
            )


def _told_better(component: str, state: State) -> bool:
    """The arms speak for their controller, and the manager's answer for the director that waits for what it names."""
    return (component == "arm-controller" and _arms_told(state)) or (
        component == "match-director" and state.failure is not None
    )


def _spoken(component: str) -> str:
    return component.replace("-", " ")[:60]


def _board(state: State) -> Iterator[TroublePart]:
    board = state.board
    if board is None:
        return
    if board.connected:
        if board.reason and not board.settled:
            yield TroublePart(
                code="off-centre",
                text=f"The board does not settle: {board.reason}",
                squares=tuple(dict.fromkeys(SQUARE.findall(board.reason)))[:8],
                cure=f"A piece stands off its centre, or lies: stand it in the middle of its square. {GOES_ON}",
            )
        return
    reason = f" ({board.reason})" if board.reason else ""
    yield TroublePart(
        code="board-lost",
        level="bad",
        text=f"The board is not connected{reason}: nothing can be checked, so nothing is moved.",
        cure="Look at its cable and power. It is found again by itself.",
    )


# ---------------------------------------------------------------- arms


def _arms_told(state: State) -> bool:
    return any(True for _ in _arms(state))


def _arms(state: State) -> Iterator[TroublePart]:
    arms = state.arms
    if arms is None:
        return
    if arms.stopped:
        why = next((arm.alarm for arm in arms.arms if arm.alarm), None)
        yield TroublePart(
            code="arms-stopped",
            level="bad",
            text=f"The arms are stopped{f': {why}' if why else ''}. Nothing moves until a person says that it may.",
            actions=("recover",),
            cure=LOOK,
        )
    for arm in arms.arms:
        yield from _arm(arm, stopped=arms.stopped, busy=arms.job_id is not None)


def _arm(arm: ArmStatus, *, stopped: bool, busy: bool) -> Iterator[TroublePart]:
    name, alarm = arm.name[:60], f": {arm.alarm}" if arm.alarm else ""
    if arm.holding is not None and (stopped or not busy):
        yield TroublePart(
            code="arm-holds",
            text=f"The {name} arm still holds {piece_name(arm.holding)}.",
            pieces=(arm.holding,),
            actions=("recover",),
            cure=f"Take the piece out of its fingers, put it where it belongs, then say that the arm may move. {GOES_ON}",
        )
    if arm.mode in ("fault", "stopped") and not stopped:
        yield TroublePart(
            code=f"arm-{arm.mode}",
            level="bad",
            text=f"The {name} arm {'has a fault' if arm.mode == 'fault' else 'is stopped'}{alarm}.",
            actions=("recover",),
            cure=LOOK,
        )
    if arm.mode == "offline":
        yield TroublePart(
            code="arm-offline",
            level="bad",
            text=f"The {name} arm is not heard{alarm}.",
            cure="Look at its controller and its network. It is found again by itself, and does not move before that.",
        )


def _slots(state: State) -> Iterator[TroublePart]:
    arms = state.arms
    doubtful = [slot for slot in (*arms.tray, *arms.rack) if slot.doubtful] if arms is not None else []
    if doubtful and arms is not None and arms.job_id is None:  # where a piece is carried to is not known meanwhile
        yield TroublePart(
            code="slots-doubtful",
            text=f"What lies in {_listed([slot.slot for slot in doubtful])} is not known for sure.",
            actions=("refilled",),
            cure="Empty the trays and fill the racks when it suits, then say so.",
        )


# ---------------------------------------------------------------- squares


def _squares(state: State, differences: Sequence[DifferencePart]) -> Iterator[TroublePart]:
    """What was moved to a wrong square is told as one thing, not as two."""
    arms_can = _arms_can_set_up(state)
    if len(differences) > (SEVERAL if arms_can else 2 * TROUBLES_LIMIT):
        yield TroublePart(
            code="set-up",
            text=f"{len(differences)} squares are not as they should be: the table is not set up for this position.",
            squares=tuple(item.square for item in differences),
            actions=("setup",) if arms_can else (),
            cure=f"Set up the pieces as the board here shows them{', or let the arms do it' if arms_can else ''}. {GOES_ON}",
        )
        return
    strayed, rest = _strayed(differences)
    for missing, extra in strayed:
        assert missing.expected is not None
        yield TroublePart(
            code="wrong-square",
            text=f"{_big(piece_name(missing.expected))} stands on {extra.square}; it belongs on {missing.square}.",
            squares=(missing.square, extra.square),
            pieces=(missing.expected,),
            cure=f"Put it on {missing.square}. {GOES_ON}",
        )
    for item in rest:
        yield _square(item)


def _arms_can_set_up(state: State) -> bool:
    """Before a start nothing is confirmed yet that they could spoil."""
    wanted = state.plan is None or state.plan.robot_enabled
    return wanted and state.arms is not None and not state.arms.stopped and not _running(state)


def _square(item: DifferencePart) -> TroublePart:
    squares = (item.square,)
    if item.found is None:
        assert item.expected is not None
        return TroublePart(
            code="missing",
            text=f"The board feels nothing on {item.square}; {piece_name(item.expected)} is expected there."
            " It may have fallen, or stand off the centre.",
            squares=squares,
            pieces=(item.expected,),
            cure=f"Stand it in the middle of {item.square}. {GOES_ON}",
        )
    if item.expected is None:
        return TroublePart(
            code="extra",
            text=f"The board feels {piece_name(item.found)} on {item.square}, which should be empty.",
            squares=squares,
            pieces=(item.found,),
            cure=f"Take it off {item.square}. {GOES_ON}",
        )
    return TroublePart(
        code="other-piece",
        text=f"The board feels {piece_name(item.found)} on {item.square}; {piece_name(item.expected)} is expected there.",
        squares=squares,
        pieces=(item.expected, item.found),
        cure=f"Put {piece_name(item.expected)} on {item.square}. {GOES_ON}",
    )


def _strayed(
    differences: Sequence[DifferencePart],
) -> tuple[list[tuple[DifferencePart, DifferencePart]], list[DifferencePart]]:
    """Pairs of (where a piece is missing, where the same piece is too many), the nearest first, and what is left."""
    missing = [item for item in differences if item.found is None]
    extra = [item for item in differences if item.expected is None]
    pairs = sorted(
        (_distance(gone.square, come.square), gone.square, come.square)
        for gone in missing
        for come in extra
        if gone.expected == come.found
    )
    by_square = {item.square: item for item in differences}
    used: set[str] = set()
    strayed = []
    for _, gone_at, come_at in pairs:
        if gone_at not in used and come_at not in used:
            used |= {gone_at, come_at}
            strayed.append((by_square[gone_at], by_square[come_at]))
    return strayed, [item for item in differences if item.square not in used]


def _distance(one: str, other: str) -> int:
    return chess.square_distance(chess.parse_square(one), chess.parse_square(other))


# ---------------------------------------------------------------- answers of the manager, players


def _failure(state: State, differences: Sequence[DifferencePart]) -> Iterator[TroublePart]:
    """Only what the squares do not say better."""
    failure = state.failure
    code = failure.detail.code or "failed" if failure is not None else ""
    said = code in _MANAGER_SAYS or code.startswith("setup")
    if failure is None or (differences and not said):
        return
    text = _MANAGER_SAYS.get(code) or _unchanged(failure, code)
    squares = tuple(item.square for item in failure.detail.differences)[:8]
    yield TroublePart(code=code, text=text, squares=squares, actions=_ways_on(state), cure=_cure(state))


def _unchanged(failure: Failure, code: str) -> str:
    if code == "unchanged":
        return "Nothing moved: the board still shows the position before the move. The arm is asked again."
    words = failure.reason or "the move failed, and no reason was given"
    return _big(words.removeprefix(f"{failure.detail.phase}: "))


def _cure(state: State) -> str:
    return "The match is paused." if state.paused else GOES_ON


def _ways_on(state: State) -> tuple[str, ...]:
    return ("resume",) if state.paused else ("pause",) if _running(state) else ()


def _players(state: State) -> Iterator[TroublePart]:
    for name, player in zip(("White", "Black"), state.players, strict=True):
        if player.failure is not None:
            yield TroublePart(
                code="player-failed",
                text=f"{name}'s player gave no usable answer: {player.failure}",
                cure="It is asked again; after three failures the match ends.",
            )


# ---------------------------------------------------------------- words


def _running(state: State) -> bool:
    return state.session is not None and state.session.status == "running"


def _big(text: str) -> str:
    return text[:1].upper() + text[1:]


def _listed(names: Sequence[str], limit: int = 4) -> str:
    shown = ", ".join(names[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown
