"""Every message on the bus, typed; decoding is validation.

Field names on the wire are those of the AWS sample (camelCase); what we add to its messages is optional.
Unknown fields are ignored, missing ones are an error that names the field. Positions are FEN text on the
wire and are compared as positions by whoever reads them, never as strings. Times are Unix seconds.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec

SIZE_LIMIT_BYTES = 7000  # fits every transport: nucleus lite's IPC frames end at 10,000 with headers

LAN_PATTERN = r"^[a-h][1-8][a-h][1-8][qrbn]?\Z"
SQUARE_PATTERN = r"^[a-h][1-8]\Z"

Token = Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]  # Step Functions tokens run to ~1,000 characters
Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Fen = Annotated[str, msgspec.Meta(min_length=15, max_length=120)]
Lan = Annotated[str, msgspec.Meta(pattern=LAN_PATTERN)]  # long algebraic = UCI text, e7e8q
Square = Annotated[str, msgspec.Meta(pattern=SQUARE_PATTERN)]
Text = Annotated[str, msgspec.Meta(max_length=2000)]
ShortText = Annotated[str, msgspec.Meta(max_length=200)]
PieceLetter = Annotated[str, msgspec.Meta(pattern=r"^[PNBRQKpnbrqk]\Z")]  # FEN letters: upper case is White

Executor = Literal["arm", "person"]
Outcome = Literal["done", "refused", "unknown"]
Phase = Literal["request", "board-before", "arm", "board-after"]


class Message(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base of all messages: frozen, camelCase on the wire, defaults left out."""


# ---------------------------------------------------------------- cloud or director <-> game manager


class GameRequest(Message, frozen=True, kw_only=True):
    """`cloud/request`. A chess.js verbose move plus `action`, `sessionId`, `taskToken` (the sample's three).

    For "start", `before` is the starting position and the move fields are empty or absent.
    For "move", `lan`, `before` and `after` are required; the other chess.js fields are taken if present.
    "setup" is ours: the arms bring the table to `before` (its pieces count, nothing else of it); it is taken while no game
    is running, or when `sessionId` names the running one, which it then ends.
    Ours, all optional: `requestId`, `attempt`, `deadline` (Unix seconds, no answer is useful later),
    `executor` ("person": a person moves or has moved the pieces; the arm stays parked; default: the arm where the
    manager's `robotEnabled` is true).
    """

    action: Literal["start", "move", "setup"]
    session_id: Identifier
    task_token: Token
    before: Fen = ""
    after: Fen = ""
    color: Literal["w", "b", ""] = ""
    piece: Annotated[str, msgspec.Meta(max_length=1)] = ""
    from_: Annotated[str, msgspec.Meta(max_length=2)] = msgspec.field(name="from", default="")
    to: Annotated[str, msgspec.Meta(max_length=2)] = ""
    san: Annotated[str, msgspec.Meta(max_length=12)] = ""
    lan: Annotated[str, msgspec.Meta(max_length=5)] = ""
    flags: Annotated[str, msgspec.Meta(max_length=8)] = ""
    captured: Annotated[str, msgspec.Meta(max_length=1)] = ""
    promotion: Annotated[str, msgspec.Meta(max_length=1)] = ""
    request_id: Identifier | None = None
    attempt: int | None = None
    deadline: float | None = None
    executor: Executor | None = None

    def __post_init__(self) -> None:
        if not self.before:
            raise ValueError("Object missing required field `before`")
        if self.action == "move":
            if not self.lan:
                raise ValueError("Object missing required field `lan`")
            if not re.match(LAN_PATTERN, self.lan):
                raise ValueError(f"`lan` is {self.lan!r}: expected a move such as e2e4 or e7e8q")
            if not self.after:
                raise ValueError("Object missing required field `after`")


class SquareDifference(Message, frozen=True, kw_only=True):
    """One square that is not as expected. A piece is its FEN letter; None is an empty square."""

    square: Square
    expected: PieceLetter | None = None
    found: PieceLetter | None = None


class ResponseDetail(Message, frozen=True, kw_only=True):
    """What a 400, 500 or 200 answer knows beyond its sentence. Every field is optional."""

    phase: Phase | None = None
    code: ShortText | None = None
    """Short machine word: "busy", "illegal", "out-of-turn", "wrong-session", "malformed", "oversized",
    "before-mismatch", "board-blind", "arm-refused", "missed-pick", "dropped", "wrong-square",
    "neighbour-displaced", "off-centre", "extra-piece", "unchanged", "deadline", "arm-lost", …"""
    differences: tuple[SquareDifference, ...] = ()
    expected: Fen | None = None
    """Expected placement (first FEN field) or position."""
    found: Fen | None = None
    """Placement that the board shows (first FEN field)."""
    job_id: Identifier | None = None
    repaired: int = 0
    """Repair jobs that arms were given for this request."""
    timings_s: dict[str, float] = {}
    result: Literal["1-0", "0-1", "1/2-1/2"] | None = None
    termination: ShortText | None = None


class GameResponse(Message, frozen=True, kw_only=True):
    """`cloud/response`. The sample's `{taskToken, status, reason?}` and, optionally, what we know besides.

    `taskToken` is absent only when the request could not be read far enough to find one.
    """

    status: Literal[200, 400, 500]
    task_token: Token | None = None
    reason: Text | None = None
    request_id: Identifier | None = None
    session_id: Identifier | None = None
    lan: Annotated[str, msgspec.Meta(max_length=5)] | None = None
    detail: ResponseDetail | None = None


class SessionState(Message, frozen=True, kw_only=True):
    """`edge/session/state`, retained, by the game manager: what is confirmed. The sensor recognises against it.

    `status` "running" from an accepted start until the end of the game; `expecting` says who is to touch
    the pieces for the request under way (None: no request is under way).
    """

    status: Literal["idle", "running", "ended"]
    session_id: Identifier | None = None
    start_fen: Fen | None = None
    fen: Fen | None = None
    moves: tuple[Lan, ...] = ()
    """The last plies only (at most 20), newest last: enough to recognise a take-back."""
    ply: int = 0
    phase: Phase | None = None
    expecting: Executor | None = None
    lan: Lan | None = None
    """The move of the request under way."""
    result: Literal["1-0", "0-1", "1/2-1/2"] | None = None
    termination: ShortText | None = None
    robot_enabled: bool = True
    seq: int | None = None
    """Never falls as long as the manager keeps its journal (it is the number of the last entry there), so that a state
    that was overtaken on its way can be told. States with one number differ in `phase`, or
    in a setting, at most."""


# ---------------------------------------------------------------- game manager <-> board


class BoardStartResponse(Message, frozen=True, kw_only=True):
    """`devices/board/start/response`. The request on `devices/board/start` is the game request itself."""

    status: Literal[200, 500]
    task_token: Token | None = None
    reason: Text | None = None
    request_id: Identifier | None = None
    placement: Fen | None = None
    differences: tuple[SquareDifference, ...] = ()


class BoardValidateRequest(GameRequest, frozen=True, kw_only=True):
    """`devices/board/validate`. The game request, `move_type` "RETRY" on attempts 2 and 3.

    Ours: `expect` says which of the two positions the board is to be held against (the sample's board: before).
    """

    move_type: Literal["RETRY"] | None = msgspec.field(name="move_type", default=None)
    expect: Literal["before", "after"] = "before"


class BoardValidateResponse(Message, frozen=True, kw_only=True):
    """`devices/board/validate/response`. 200: the settled placement equals the expected one.

    500 with `placement` and `differences`: the board is seen and differs. 500 without `placement`: blind.
    `settled` is always true with a placement: a reading in flux is waited for, never reported.
    """

    status: Literal[200, 500]
    move: Annotated[str, msgspec.Meta(max_length=5)] = ""
    reason: Text | None = None
    request_id: Identifier | None = None
    task_token: Token | None = None
    placement: Fen | None = None
    differences: tuple[SquareDifference, ...] = ()


class BoardProcessed(Message, frozen=True, kw_only=True):
    """`devices/board/processed`, unsolicited, after the pieces moved (for the sample's manager)."""

    status: Literal[200, 500]
    lan: Annotated[str, msgspec.Meta(max_length=5)] = ""
    reason: Text | None = None


class BoardState(Message, frozen=True, kw_only=True):
    """`devices/board/state`, retained: the placement that the board shows.

    `settled` false is the provisional reading: shown to people, never used to decide. `connected` false: blind.
    `seq` rises by one with every state of one sensor process.
    """

    connected: bool
    settled: bool = False
    placement: Fen | None = None
    """First FEN field only."""
    seq: int = 0
    at: float = 0.0
    rotated: bool = False
    board_id: ShortText | None = None
    differences: tuple[SquareDifference, ...] = ()
    """Against the position that the session expects now, once it has stood wrong long enough to be named."""
    reason: Text | None = None


class BoardMoved(Message, frozen=True, kw_only=True):
    """`devices/board/moved`: a person made a legal move (or took one back) and the board has settled on it."""

    kind: Literal["move", "takeback"] = "move"
    session_id: Identifier
    lan: Lan
    san: ShortText
    before: Fen
    after: Fen
    at: float = 0.0
    ply: int = 0


# ---------------------------------------------------------------- game manager <-> arms


class ArmMoveResponse(Message, frozen=True, kw_only=True):
    """`devices/arm/move/response` (the sample's arm protocol; the request is the game request)."""

    status: Literal[200, 500]
    lan: Annotated[str, msgspec.Meta(max_length=5)] = ""
    reason: Text | None = None


class ArmJob(Message, frozen=True, kw_only=True):
    """`devices/arm/job`. One plan for one arm. The id makes it idempotent: sent again, it is answered, not done again.

    `before` and `after` are positions; the controller plans what turns one into the other. `arm` None: the
    controller takes the arm of the side to move, and for a setup the one that can do most; of a setup it does the first
    `limit` carries that are possible (None: as many as fit one job). `deadline` (Unix seconds): not started later than this.
    """

    job_id: Identifier
    kind: Literal["move", "repair", "setup"]
    session_id: Identifier
    before: Fen
    after: Fen
    lan: Annotated[str, msgspec.Meta(max_length=5)] = ""
    arm: Identifier | None = None
    limit: Annotated[int, msgspec.Meta(ge=1)] | None = None
    deadline: float | None = None


class GraspReport(Message, frozen=True, kw_only=True):
    """What the gripper felt when it took one piece. `grasped` None: not measured (no feedback, or not reached)."""

    piece: PieceLetter
    from_place: ShortText
    """A square ("e4"), a tray slot ("tray-white-3") or a rack slot ("rack-white-0")."""
    to_place: ShortText
    grasped: bool | None = None
    released: bool | None = None
    width_mm: float | None = None
    kept: bool | None = None
    """Still held just before release: false = lost on the way."""


class ArmJobResult(Message, frozen=True, kw_only=True):
    """`devices/arm/job/result`. What is known of the physical act.

    "done": every motion reached, every grasp felt, the arm measured parked. "refused": nothing moved.
    "unknown": something may have moved; `grasps` says what was felt, the board says what is.
    """

    job_id: Identifier
    outcome: Outcome
    reason: Text | None = None
    code: ShortText | None = None
    """Short machine word: "unreachable", "limits", "clearance", "no-slot", "no-piece", "stopped", "missed-grasp",
    "lost-piece", "link-lost", "alarm", "deadline", "restarted", "busy", …"""
    arm: Identifier | None = None
    token: int | None = None
    parked: bool = False
    holding: PieceLetter | None = None
    """What the gripper still has, measured when the job is over."""
    grasps: tuple[GraspReport, ...] = ()
    duration_s: float | None = None


class SlotState(Message, frozen=True, kw_only=True):
    """One tray or rack slot; `piece` None is an empty slot."""

    slot: ShortText
    piece: PieceLetter | None = None
    doubtful: bool = False
    """A carry to or from here was not seen to end: something may stand here, or not."""


class ArmStatus(Message, frozen=True, kw_only=True):
    """One arm as measured. `mode` is what the arm reached, not what it was told."""

    name: Identifier
    kind: ShortText
    mode: Literal["offline", "starting", "idle", "moving", "parked", "stopped", "fault"]
    parked: bool = False
    holding: PieceLetter | None = None
    """What it is believed to hold, …"""
    felt: bool | None = None
    """… and whether its gripper measures that it holds something; None where it cannot tell, or nobody hears it."""
    joints_deg: tuple[float, ...] = ()
    tool_mm: tuple[float, ...] = ()
    """Tool centre point in the board frame: x, y, z."""
    alarm: Text | None = None
    dead_man: bool | None = None
    """Whether something would end its motion now if the arm controller died; None: its driver does not tell."""


class ArmState(Message, frozen=True, kw_only=True):
    """`devices/arm/state`, retained: every arm of the table, the zone lease, tray and rack."""

    arms: tuple[ArmStatus, ...]
    at: float = 0.0
    seq: int = 0
    stopped: bool = False
    lease_token: int = 0
    lease_holder: Identifier | None = None
    job_id: Identifier | None = None
    step: ShortText | None = None
    tray: tuple[SlotState, ...] = ()
    rack: tuple[SlotState, ...] = ()


class ArmControl(Message, frozen=True, kw_only=True):
    """`devices/arm/control`. "stop" beats everything; "recover" needs a person's word that the table was looked at, and
    "refilled" one that the trays are empty and the racks full."""

    command: Literal["stop", "park", "recover", "refilled"]
    arm: Identifier | None = None
    request_id: Identifier | None = None
    confirmed_by: ShortText | None = None
    reason: Text | None = None


class ArmControlResponse(Message, frozen=True, kw_only=True):
    """`devices/arm/control/response`."""

    status: Literal[200, 400, 500]
    command: ShortText
    request_id: Identifier | None = None
    reason: Text | None = None


# ---------------------------------------------------------------- operator <-> director; health; journal


class SessionControl(Message, frozen=True, kw_only=True):
    """`edge/session/control`. Player words are those of the command line (`stockfish:elo=1350`, `pgn:FILE#2` …).

    Without `result`, "resign" and "draw" are a wish, addressed to whoever owns the match (the director). With it they
    are the owner's word that the game is over, for the game manager; the director takes no such message as a command.
    "move" is a person's move that was entered somewhere else than on the board: the arm makes it, where there is one.
    "next" creates and starts another match on the table whose last match is over.
    """

    command: Literal["create", "start", "pause", "resume", "resign", "draw", "move", "next"]
    request_id: Identifier
    session_id: Identifier | None = None
    white: ShortText | None = None
    black: ShortText | None = None
    fen: Fen | None = None
    color: Literal["w", "b"] | None = None
    """Who resigns, or who agrees to the draw."""
    result: Literal["1-0", "0-1", "1/2-1/2"] | None = None
    termination: ShortText | None = None
    """How a game with a `result` ended; where it is absent, "resignation" or "agreement"."""
    max_plies: int | None = None
    robot_enabled: bool | None = None
    lan: Lan | None = None
    """Of "move"."""
    setup: bool | None = None
    """Of "create" and "next": before the start the arms set the table up from where the last match left it."""


class SessionControlResponse(Message, frozen=True, kw_only=True):
    """`edge/session/control/response`."""

    request_id: Identifier
    status: Literal[200, 400, 500]
    session_id: Identifier | None = None
    reason: Text | None = None


class EdgeStatus(Message, frozen=True, kw_only=True):
    """`edge/status`: a component's health, every few seconds and when it changes; the last will says "lost"."""

    component: Identifier
    status: Literal["starting", "ready", "degraded", "stopping", "stopped", "lost"]
    at: float = 0.0
    reason: Text | None = None
    version: ShortText | None = None
    pid: int | None = None


class EdgeEvent(Message, frozen=True, kw_only=True):
    """`edge/events`: one journal entry as it becomes durable. `data` is small and flat; see the component's docs."""

    component: Identifier
    kind: ShortText
    seq: int
    at: float
    session_id: Identifier | None = None
    data: dict[str, Any] = {}


class InferenceRequest(Message, frozen=True, kw_only=True):
    """`inference/request`: one position for one player. `moves` from `start_fen` lead to `fen`, where known."""

    request_id: Identifier
    player: ShortText
    fen: Fen
    moves: tuple[Lan, ...] = ()
    start_fen: Fen | None = None
    session_id: Identifier | None = None
    timeout_s: float = 10.0


class InferenceAttempt(Message, frozen=True, kw_only=True):
    """One try of the ladder: who answered what, and why it was not taken (`error`; absent: it was taken).

    `failure`: "no-answer", "no-move", "ambiguous", "illegal", "late", "unavailable" or "refused".
    """

    by: ShortText
    took_s: float
    answer: ShortText | None = None
    failure: ShortText | None = None
    error: Text | None = None
    constrained: bool = False


class InferenceResponse(Message, frozen=True, kw_only=True):
    """`inference/response`. 200 carries a legal move and who really chose it. 503: too much is asked at once, ask again.

    `fallback`: the engine moved, not whom the player's word names. `constrained`: the model could choose among legal
    moves only. `skipped`: why a further attempt was not started. `weights`: digest of what made the move.
    """

    request_id: Identifier
    status: Literal[200, 400, 500, 503]
    lan: Lan | None = None
    san: ShortText | None = None
    by: ShortText | None = None
    reason: Text | None = None
    attempts: tuple[InferenceAttempt, ...] = ()
    took_s: float | None = None
    fallback: bool = False
    constrained: bool = False
    skipped: Text | None = None
    adapter: ShortText | None = None
    weights: ShortText | None = None
    resigns: bool = False


class InferenceControl(Message, frozen=True, kw_only=True):
    """`inference/control`: change what a node serves. The same `requestId` again: the same answer, nothing done twice.

    "load" brings a model under a name that is new, "swap" replaces one that serves, "rollback" brings back what served
    before; "adapter-add", "-update" and "-remove" name an `adapter`. `source`: path or address of the packed weights.
    "list" names adapters after `after`; "status" asks for nothing but the answer.
    """

    command: Literal[
        "load", "swap", "rollback", "unload", "adapter-add", "adapter-update", "adapter-remove", "list", "status"
    ]
    request_id: Identifier
    model: Identifier | None = None
    adapter: Identifier | None = None
    source: Text | None = None
    after: Annotated[str, msgspec.Meta(max_length=128)] = ""


class ModelState(Message, frozen=True, kw_only=True):
    """One model of a node. While weights stream: `landedBytes` of `totalBytes`, at `rateBytesS`."""

    model: Identifier
    state: Literal["empty", "loading", "serving", "swapping", "draining", "closed"]
    name: ShortText | None = None
    """On the card of the weights that serve."""
    weights: ShortText | None = None
    loading: ShortText | None = None
    landed_bytes: int | None = None
    total_bytes: int | None = None
    rate_bytes_s: float | None = None
    remarks: ShortText | None = None
    """"2 healed", "1 throttled": what was not as it should be, and was put right, or does not matter."""
    waiting: int = 0
    swaps: int = 0
    problem: Text | None = None


class AdapterState(Message, frozen=True, kw_only=True):
    """One adapter of a node, with what it was used for."""

    adapter: Identifier
    source: Text
    tier: ShortText
    weights: ShortText
    requests: int = 0
    legal: int = 0
    illegal: int = 0
    loads: int = 0
    load_max_s: float = 0.0
    latency_mean_s: float = 0.0


class InferenceControlResponse(Message, frozen=True, kw_only=True):
    """`inference/control/response`, once it is done. `more`: there are adapters after the last one named."""

    request_id: Identifier
    command: ShortText
    status: Literal[200, 400, 500]
    reason: Text | None = None
    models: tuple[ModelState, ...] = ()
    adapters: tuple[AdapterState, ...] = ()
    more: bool = False


class InferenceStatus(Message, frozen=True, kw_only=True):
    """`inference/status`, retained: what a node serves now, and how its weights stream."""

    models: tuple[ModelState, ...] = ()
    adapters: int = 0
    in_work: int = 0
    answered: int = 0
    fallbacks: int = 0
    at: float = 0.0
