"""What the table's journal says: tray, rack, hands, lease, the stop, and the job under way. A fold of its entries.

Every change of this state is an entry first and a state second: the running controller and a restarted one apply the
same `fold`. Entries (kind: data):

- `table-reset`: a new session. People emptied the trays and refilled the racks, unless the arms have ever set up this
  table themselves (`managed`): then they know what lies there. Carries what outlives a session (token, stop, hands, and
  such slots), so that a restart reads the journal from the newest reset on.
- `lease-granted`, `lease-released`: token, arm. Tokens only rise.
- `job-accepted`: the job, its carries, its arm and token. `job-ended`: its result, key = job id.
- `grasping`: a carry is about to begin. `placed`: it ended with the piece let go. `carry-failed`: what was felt.
- `hand-opened`: a gripper was opened for a person. `stopped`, `recovered`: the stop of all arms, and the word that released
  one (`arm`) or all of them; `left` are the arms that it still holds.
- `refilled`: a person's word that the trays are empty and the racks full.
- `stop-unconfirmed`: arms that were not seen to stand after a stop was asked for. For people; changes nothing here.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from edgechess_arm_controller.choreography import Carry
from edgechess_arm_controller.slots import Slots
from edgechess_kit.journal import Entry, Journal
from edgechess_kit.messages import ArmJobResult, GraspReport


@dataclasses.dataclass(frozen=True, slots=True)
class Note:
    """An entry to be: what the journal must hold before anything that follows from it happens."""

    kind: str
    data: Mapping[str, Any]
    session_id: str | None = None
    key: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class JobRecord:
    """The accepted job that has not ended. `begun` counts the carries whose grasp was begun, `grasps` those that ended."""

    job_id: str
    session_id: str
    arm: str
    lan: str
    token: int
    carries: tuple[Carry, ...]
    kind: str = "move"
    begun: int = 0
    grasps: tuple[GraspReport, ...] = ()

    @property
    def in_hand(self) -> Carry | None:
        """The carry that was begun and not seen to end."""
        return self.carries[self.begun - 1] if self.begun > len(self.grasps) else None


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """`hands`: the piece each arm took up and is not known to have let go (arm, FEN letter).

    `stopped`: why every arm was stopped, as long as one of them is held; `released` are those that no longer are.
    `left`: during a setup, the pieces that the arms have left on the board, as letters; None otherwise.
    """

    slots: Slots
    session_id: str | None = None
    token: int = 0
    holder: str | None = None
    stopped: str | None = None
    released: tuple[str, ...] = ()
    hands: tuple[tuple[str, str], ...] = ()
    job: JobRecord | None = None
    managed: bool = False
    left: str | None = None

    def hand(self, arm: str) -> str | None:
        return dict(self.hands).get(arm)

    def holds(self, arm: str) -> bool:
        """Whether a stop holds this arm until a person's word for it."""
        return self.stopped is not None and arm not in self.released


def note_reset(table: Table, session_id: str) -> Note:
    data = {
        "token": table.token,
        "holder": table.holder,
        "stopped": table.stopped,
        "released": list(table.released),
        "hands": dict(table.hands),
        "managed": table.managed,
        "slots": table.slots.known() if table.managed else {},
    }
    return Note("table-reset", data, session_id, session_id)


def note_accepted(job: JobRecord, board: str = "") -> Note:
    """`board`: the letters of the pieces that stand on it, as the job has it."""
    carries = [dataclasses.asdict(carry) for carry in job.carries]
    data = {
        "job_id": job.job_id,
        "arm": job.arm,
        "lan": job.lan,
        "token": job.token,
        "carries": carries,
        "kind": job.kind,
        "board": board,
    }
    return Note("job-accepted", data, job.session_id, job.job_id)


def note_grasping(job: JobRecord, index: int) -> Note:
    data = {"job_id": job.job_id, "arm": job.arm, "index": index, **dataclasses.asdict(job.carries[index])}
    return Note("grasping", data, job.session_id, job.job_id)


def note_carry_ended(job: JobRecord, grasp: GraspReport, *, held: bool | None, begun: bool = True) -> Note:
    """`held`: whether the gripper still has the piece; None where it cannot say. `begun` false: nothing was sent."""
    kind = "placed" if grasp.released else "carry-failed"
    data = {"job_id": job.job_id, "arm": job.arm, "held": held, "begun": begun, "grasp": msgspec.to_builtins(grasp)}
    return Note(kind, data, job.session_id, job.job_id)


def note_ended(result: ArmJobResult, session_id: str, lan: str) -> Note:
    return Note("job-ended", {"lan": lan, "result": msgspec.to_builtins(result)}, session_id, result.job_id)


def result_of(entry: Entry) -> tuple[ArmJobResult, str]:
    """Result and move text of a `job-ended` entry."""
    return msgspec.convert(entry.data["result"], ArmJobResult), str(entry.data.get("lan", ""))


def restore(journal: Journal, fresh: Slots) -> Table:
    """The table as the journal knows it. `fresh`: the slots of a table that was just set up."""
    reset = journal.last(kind="table-reset")
    entries = journal.entries(after_seq=reset.seq - 1 if reset is not None else 0)
    return fold(Table(fresh), ((entry.kind, entry.session_id, entry.data) for entry in entries), fresh)


def fold(table: Table, entries: Iterable[tuple[str, str | None, Mapping[str, Any]]], fresh: Slots) -> Table:
    for kind, session_id, data in entries:
        table = apply(table, kind, session_id, data, fresh)
    return table


def apply(table: Table, kind: str, session_id: str | None, data: Mapping[str, Any], fresh: Slots) -> Table:
    """One entry. Kinds that are not the table's business change nothing."""
    replace = dataclasses.replace
    match kind:
        case "table-reset":
            hands = tuple(sorted(data["hands"].items()))
            slots = fresh.with_known(data["slots"])
            released = tuple(data.get("released", ()))
            return Table(
                slots, session_id, data["token"], data["holder"], data["stopped"], released, hands,
                managed=data["managed"],
            )  # fmt: skip
        case "lease-granted":
            return replace(table, token=data["token"], holder=data["arm"])
        case "lease-released":
            return replace(table, holder=None)
        case "job-accepted":
            carries = tuple(Carry(**carry) for carry in data["carries"])
            job = JobRecord(
                data["job_id"], session_id or "", data["arm"], data["lan"], data["token"], carries, data["kind"]
            )
            if job.kind != "setup":
                return replace(table, job=job, left=None)
            board = str(data.get("board", ""))
            slots = _less_what_a_person_took(table, board)
            return replace(table, slots=slots, job=job, managed=True, left=board)
        case "refilled":
            return replace(table, slots=fresh, left=None)
        case "grasping":
            slots = table.slots.doubt(data["from_place"]).doubt(data["to_place"])
            begun = replace(table.job, begun=data["index"] + 1) if table.job else None
            return replace(table, slots=slots, job=begun, hands=_hands(table, data["arm"], data["piece"]))
        case "placed" | "carry-failed":
            return _carry_ended(table, data)
        case "job-ended":
            ended = table.job is not None and table.job.job_id == data["result"]["jobId"]
            return replace(table, job=None) if ended else table
        case "hand-opened":
            return replace(table, hands=_hands(table, data["arm"], None))
        case "stopped":
            return replace(table, stopped=data["reason"], released=())
        case "recovered" if data.get("left"):
            return replace(table, released=(*table.released, data["arm"]))
        case "recovered":
            return replace(table, stopped=None, released=())
        case _:
            return table


def _carry_ended(table: Table, data: Mapping[str, Any]) -> Table:
    """Slots are marked by what was verified only; what was not stays doubtful.

    A grasp that felt nothing leaves its slot doubtful: the piece may stand there still, a little off. So does a piece that
    left its place, and was not felt let go, the slot that it was on its way to: it may stand there, or lie in it.
    """
    grasp = msgspec.convert(data["grasp"], GraspReport)
    slots = table.slots
    if not data["begun"]:
        slots = slots.put(grasp.from_place, grasp.piece).put(grasp.to_place, None)
    elif grasp.released:
        slots = slots.put(grasp.from_place, None).put(grasp.to_place, grasp.piece)
    else:
        if grasp.grasped or (grasp.grasped is None and data["held"] is True):
            slots = slots.put(grasp.from_place, None)
        if grasp.grasped is False or data["held"] is True:
            slots = slots.put(grasp.to_place, None)
    empty = not data["begun"] or grasp.released or grasp.grasped is False or data["held"] is False
    hands = _hands(table, data["arm"], None if empty else grasp.piece)
    job = table.job
    if job is not None:
        job = dataclasses.replace(job, grasps=(*job.grasps, grasp))
    return dataclasses.replace(table, slots=slots, hands=hands, job=job, left=_left_on_the_board(table, grasp))


def _left_on_the_board(table: Table, grasp: GraspReport) -> str | None:
    if table.left is None:
        return None
    letters = Counter(table.left)
    if _on_board(grasp.from_place) and (grasp.released or grasp.grasped):
        letters[grasp.piece] -= 1
    if _on_board(grasp.to_place) and grasp.released:
        letters[grasp.piece] += 1
    return "".join(sorted(letters.elements()))


def _on_board(place: str) -> bool:
    return len(place) == 2  # slots and hands have long names


def _less_what_a_person_took(table: Table, board: str) -> Slots:
    """A piece that no arm put on the board comes from the floor, or out of a slot: nobody says from where."""
    slots = table.slots
    come = Counter(board) - Counter(board if table.left is None else table.left)
    for slot in table.slots:
        if slot.piece in come:
            slots = slots.doubt(slot.name)
    return slots


def _hands(table: Table, arm: str, piece: str | None) -> tuple[tuple[str, str], ...]:
    hands = {**dict(table.hands)}
    hands.pop(arm, None)
    if piece is not None:
        hands[arm] = piece
    return tuple(sorted(hands.items()))
