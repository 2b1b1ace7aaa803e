"""Journal entries of other components as lines that a person wants to read. Pure; whatever is odd is told as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edgechess_console.naming import player_title
from edgechess_console.position import piece_name
from edgechess_console.view import Level
from edgechess_kit.messages import EdgeEvent

TEXT_LIMIT = 400  # characters of a line; what is longer was never meant to be read
NUMBER_LIMIT = 2**53  # whatever reads JSON as a browser does loses digits beyond it
LAST_MOMENT_S = 253_402_300_799.0  # of the year 9999, the last that a calendar here knows

Line = tuple[Level, str]
Data = Mapping[str, Any]


def told(event: EdgeEvent) -> Line:
    """Level and text; "quiet" is what only a filter for everything shows."""
    teller = _TELLERS.get((event.component, event.kind)) or _TELLERS.get(("", event.kind))
    level, text = teller(event.data) if teller is not None else ("quiet", event.kind.replace("-", " "))
    return level, text[:TEXT_LIMIT]


def plausible(event: EdgeEvent) -> bool:
    """Whether a journal could have such an entry: what comes with a number or a time of its own making is no entry."""
    return 0 <= event.seq < NUMBER_LIMIT and 0.0 <= event.at <= LAST_MOMENT_S


def number(data: Data, key: str) -> float | None:
    """A number of an entry; None for what is none (a flag is none either) or larger than anything that is counted."""
    value = data.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or not -NUMBER_LIMIT < value < NUMBER_LIMIT:
        return None
    return float(value)


def moment(data: Data, key: str) -> float | None:
    """A time of an entry, Unix seconds."""
    at = number(data, key)
    return at if at is not None and 0.0 <= at <= LAST_MOMENT_S else None


def words(data: Data, key: str) -> str:
    value = data.get(key)
    return value if isinstance(value, str) else ""


def inner(data: Data, key: str) -> Data:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def numbered(ply: object, san: str) -> str:
    """`12. Nf3` or `12… Nf6`."""
    if not isinstance(ply, int) or ply < 1:
        return san
    return f"{(ply + 1) // 2}{'.' if ply % 2 else '…'} {san}"


def _created(data: Data) -> Line:
    white, black = (player_title(words(data, side)) for side in ("white", "black"))
    return "info", f"{white} – {black}: a session is made"


def _chosen(data: Data) -> Line:
    thought = inner(data, "thought")
    failures = thought.get("failures")
    instead = " (the engine instead)" if thought.get("fallback") is True else ""
    wrong = (
        f"; before that: {', '.join(str(item) for item in failures)}" if isinstance(failures, list) and failures else ""
    )
    reason = f": {words(data, 'reason')}" if words(data, "reason") else ""
    how = "enters" if data.get("entered") is True else "plays"
    after_s = number(data, "think_s") or 0.0
    who = player_title(words(data, "by")) or "somebody"
    return "info", f"{who}{instead} {how} {words(data, 'san')} after {after_s:.1f} s{wrong}{reason}"


def _confirmed(data: Data) -> Line:
    total = number(inner(data, "timings"), "total")
    took = f" after {total:.1f} s" if total is not None else ""
    return "good", f"{numbered(data.get('ply'), words(data, 'san'))} stands on the board{took}"


def _failed(data: Data) -> Line:
    return "bad", f"{data.get('status', '')}: {words(data, 'reason') or 'no reason was given'}"


def _answered(data: Data) -> Line:
    """Of a move the director says more; a table that was only to be set up has nobody else to say what became of it."""
    response = inner(data, "response")
    if not words(inner(response, "detail"), "code").startswith("setup"):
        return "quiet", f"the answer: {response.get('status', '')} {words(response, 'reason')}".rstrip()
    return "warn", f"the table is not set up: {words(response, 'reason')}"


def _asking(data: Data) -> Line:
    return "quiet", f"{'Black' if data.get('color') == 'b' else 'White'} is asked for a move"


def _player_failed(data: Data) -> Line:
    return "warn", f"{player_title(words(data, 'player'))}: {words(data, 'reason')}"


def _summary(data: Data) -> Line:
    return "good", f"the match is over: {words(data, 'result')}, {words(data, 'termination')}"


def _grasp(data: Data) -> Line:
    grasp = inner(data, "grasp")
    piece, where = (
        piece_name(words(grasp, "piece") or None),
        f"{words(grasp, 'fromPlace')} to {words(grasp, 'toPlace')}",
    )
    return "quiet", f"the {words(data, 'arm')} arm carried {piece} from {where}"


def _carry_failed(data: Data) -> Line:
    grasp = inner(data, "grasp")
    piece, place = piece_name(words(grasp, "piece") or None), words(grasp, "fromPlace")
    if grasp.get("grasped") is False:
        return "warn", f"the {words(data, 'arm')} arm felt nothing where it reached for {piece} on {place}"
    return "warn", f"the {words(data, 'arm')} arm did not bring {piece} from {place} to {words(grasp, 'toPlace')}"


def _accepted(data: Data) -> Line:
    carries = data.get("carries")
    if words(data, "kind") == "setup" and isinstance(carries, list):
        done = ", ".join(_to_where(carry) for carry in carries)
        return "info", f"the {words(data, 'arm')} arm sets up {done}"
    return "quiet", f"the {words(data, 'arm')} arm takes up {words(data, 'lan') or words(data, 'kind')}"


def _to_where(carry: object) -> str:
    """The square that is put right; of a piece that leaves the board the square that it leaves."""
    places = carry if isinstance(carry, dict) else {}
    source, target = str(places.get("from_place", "?")), str(places.get("to_place", "?"))
    return source if len(target) > len(source) else target


def _job_ended(data: Data) -> Line:
    result = inner(data, "result")
    outcome = words(result, "outcome")
    took = number(result, "durationS")
    tail = f" after {took:.1f} s" if took is not None else ""
    if outcome == "done":
        return "quiet", f"the {words(result, 'arm')} arm is done{tail}"
    return (
        "warn",
        f"the {words(result, 'arm') or 'asked'} arm: {outcome}: {words(result, 'reason') or words(result, 'code')}",
    )


def _setup_ordered(data: Data) -> Line:
    left = number(data, "left") or 0
    return "quiet", f"{left:g} squares are not right yet" if left else "spare pieces may go home to the racks"


def _fixed(level: Level, text: str) -> Callable[[Data], Line]:
    return lambda _: (level, text)


def _with(level: Level, before: str, key: str) -> Callable[[Data], Line]:
    def tell(data: Data) -> Line:
        found = words(data, key)
        return level, f"{before}: {found}" if found else before

    return tell


_DIRECTOR, _ARMS, _MANAGER, _SENSOR = "match-director", "arm-controller", "game-manager", "board-sensor"

_TELLERS: dict[tuple[str, str], Callable[[Data], Line]] = {
    (_DIRECTOR, "session-created"): _created,
    (_DIRECTOR, "session-started"): _fixed("good", "the match has begun"),
    (_DIRECTOR, "asking"): _asking,
    (_DIRECTOR, "move-chosen"): _chosen,
    (_DIRECTOR, "requested"): _fixed("quiet", "the game manager is asked to have it made"),
    (_DIRECTOR, "confirmed"): _confirmed,
    (_DIRECTOR, "failed"): _failed,
    (_DIRECTOR, "player-failed"): _player_failed,
    (_DIRECTOR, "helped"): _fixed("info", "a person has put the table right"),
    (_DIRECTOR, "paused"): _fixed("info", "the match is paused"),
    (_DIRECTOR, "resumed"): _fixed("info", "the match goes on"),
    (_DIRECTOR, "draw-offered"): lambda data: (
        "info", f"{'White' if data.get('color') == 'w' else 'Black'} offers a draw"
    ),
    (_DIRECTOR, "table-set-up"): _fixed("good", "the arms have set the table up"),
    (_DIRECTOR, "ended"): _with("warn", "the match ends", "reason"),
    (_DIRECTOR, "summary"): _summary,
    (_MANAGER, "validated"): _fixed("quiet", "the board shows the position before the move"),
    (_MANAGER, "confirmed"): _fixed("quiet", "the board shows the position after the move"),
    (_MANAGER, "repair-ordered"): _with("warn", "the arm puts it right", "code"),
    (_MANAGER, "setup-ordered"): _setup_ordered,
    (_MANAGER, "answered"): _answered,
    (_MANAGER, "set-up"): _fixed("good", "the table is set up"),
    (_ARMS, "placed"): _grasp,
    (_ARMS, "carry-failed"): _carry_failed,
    (_ARMS, "job-accepted"): _accepted,
    (_ARMS, "job-ended"): _job_ended,
    (_ARMS, "stopped"): _with("bad", "the arms are stopped", "reason"),
    (_ARMS, "stop-unconfirmed"): _with("bad", "a stop was not confirmed: look at the arms", "reason"),
    (_ARMS, "recovered"): _with("good", "the arms may move again, says", "confirmedBy"),
    (_ARMS, "refilled"): _with("info", "trays are empty and racks full, says", "confirmedBy"),
    (_ARMS, "hand-opened"): _with("quiet", "the gripper was opened", "arm"),
    (_SENSOR, "board.connected"): lambda data: (
        "good", f"the board is connected: {words(data, 'port').rsplit('/', 1)[-1]}".removesuffix(": ")
    ),
    (_SENSOR, "board.lost"): _with("bad", "the board is lost", "reason"),
    (_SENSOR, "moved"): lambda data: ("info", f"the board shows {words(data, 'san') or words(data, 'lan')}"),
    ("console", "commanded"): lambda data: (
        "info", f"{words(data, 'role')} on the page: {words(data, 'command')} {words(data, 'said')}".rstrip()
    ),
}  # fmt: skip
