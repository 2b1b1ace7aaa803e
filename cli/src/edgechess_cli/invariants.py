"""What must hold at every event of a simulated match, whatever goes wrong. Each breach is a sentence, told once.

1. No arm job is executed twice: the fingers close no oftener for a job than it has pieces to take, and a lease is granted
   once per job id. A move has so many repairs and no more.
2. Nothing is confirmed that the world does not show, and no table is said to be set up that is not.
3. Nothing moves after a stop, nor after an emergency stop, until a person's word.
4. At most one arm is above the board. The lease is given while no other arm is, and given back when its own is not.
5. Every task token has exactly one outcome, and every repeat of it gets the identical answer.

Judged by the world itself wherever it can tell, not by what the components say of themselves.
"""

from __future__ import annotations

import dataclasses
import math

import anyio
import chess

from edgechess_board.placement import Difference, Placement
from edgechess_game_manager.settings import Settings as GameManagerSettings
from edgechess_kit import messages as m
from edgechess_kit.clock import VirtualClock
from edgechess_kit.errors import WireError
from edgechess_kit.topics import Topics
from edgechess_twin.table import Table
from edgechess_twin.world import World

STILL_MM = 0.05  # numerical noise of the kinematics is far below, a motion of one feedback period far above
STOP_S = 3.0  # from the message to standing arms: the bus, the driver's Stop, and braking from 250 mm/s
FRESH_S = 0.5  # an event that waited longer for the broker says nothing of the world as it is now
BREACH_LIMIT = 100  # of different sentences: more tell nothing more

Tip = tuple[float, float, float]


def pieces_to_take(job: m.ArmJob) -> int | None:
    """How many pieces an arm takes for a move; None for other jobs, of which only the controller knows."""
    if job.kind != "move":
        return None
    board, move = chess.Board(job.before), chess.Move.from_uci(job.lan)
    return 1 + board.is_capture(move) + board.is_castling(move) + (move.promotion is not None)


@dataclasses.dataclass(slots=True)
class Invariants:
    """Fed with every message that the broker takes; looks at the world at once. `late_s`: how late the bus may be."""

    topics: Topics
    table: Table
    late_s: float = 0.0
    breaches: list[str] = dataclasses.field(default_factory=list)
    checks: int = 0
    stops: int = 0
    _answers: dict[str, bytes] = dataclasses.field(default_factory=dict)
    _afters: dict[str, str] = dataclasses.field(default_factory=dict)
    _asked: dict[str, None] = dataclasses.field(default_factory=dict)
    _granted: dict[str, int] = dataclasses.field(default_factory=dict)
    _leases: dict[int, str] = dataclasses.field(default_factory=dict)
    _takes: dict[str, int] = dataclasses.field(default_factory=dict)
    """Pieces that the controller said it would take for repairs and setups, by job."""
    _repairs: dict[str, set[str]] = dataclasses.field(default_factory=dict)
    _clock: VirtualClock = dataclasses.field(default_factory=VirtualClock)
    _job: m.ArmJob | None = None
    _closings_before: int = 0
    _rest: dict[str, tuple[float, Tip | None]] = dataclasses.field(default_factory=dict)
    """Arms that must not move: since when (scheduler time), and where they stand once they do."""

    @property
    def world(self) -> World:
        return self.table.world

    def observe(self, sender: str, topic: str, payload: bytes) -> None:
        """One message. Malformed ones are none of ours to judge: senders of the test make them on purpose."""
        self.checks += 1
        t = self.topics
        try:
            if topic == t.cloud_request.name:
                self._request(t.cloud_request.decode(payload))
            elif topic == t.cloud_response.name:
                self._response(t.cloud_response.decode(payload), payload)
            elif topic == t.arm_job.name:
                self._new_job(t.arm_job.decode(payload))
            elif topic == t.arm_control.name:
                self._control(t.arm_control.decode(payload))
            elif topic == t.events.name:
                self._event(t.events.decode(payload))
        except WireError:
            return
        self._no_job_twice()
        self._at_rest()
        self._one_arm_above()

    def at_the_end(self) -> None:
        """What can be judged only when the match is over."""
        for token in self._asked:
            if token not in self._answers:
                self._breach(f"token {token} was never answered")

    def _breach(self, sentence: str) -> None:
        if sentence not in self.breaches and len(self.breaches) < BREACH_LIMIT:
            self.breaches.append(sentence)

    # -- 2 and 5 ---------------------------------------------------------------------------------------------------

    def _request(self, request: m.GameRequest) -> None:
        self._asked[request.task_token] = None
        if request.action != "start":
            self._afters.setdefault(request.task_token, request.after or request.before)

    def _response(self, response: m.GameResponse, payload: bytes) -> None:
        token = response.task_token
        if token is None:
            return
        first = self._answers.setdefault(token, payload)
        if first != payload:
            self._breach(f"token {token} was answered {first!r} and then {payload!r}")
        elif response.status == 200 and first is payload and token in self._afters:
            expected = Placement.from_fen(self._afters[token])
            wrong = [d for d in self.world.placement().differences(expected) if not self._just_lifted(d)]
            if wrong:
                self._breach(f"token {token} was confirmed although {'; '.join(str(d) for d in wrong)}")

    def _just_lifted(self, difference: Difference) -> bool:
        """A person may adjust a piece between the board's confirming dump and the answer: it is in the hand, above."""
        if difference.found is not None:
            return False
        centre = self.world.square_centre(difference.square)
        return any(
            piece.letter == difference.expected
            and piece.held_by is not None
            and piece.held_by not in self.table.arms
            and piece.distance_mm(centre) < self.world.layout.square_mm
            for piece in self.world.pieces()
        )

    # -- 1 ---------------------------------------------------------------------------------------------------------

    def _new_job(self, job: m.ArmJob) -> None:
        """The manager has one job under way at a time; the same one sent again is not a new one."""
        if self._job is None or job.job_id != self._job.job_id:
            self._job, self._closings_before = job, self.world.closings
        if job.kind == "repair":
            repairs = self._repairs.setdefault(job.job_id.rpartition("-r")[0], set())
            repairs.add(job.job_id)
            if len(repairs) > GameManagerSettings().repairs_per_move:
                self._breach(f"a move got {len(repairs)} repairs: {job.job_id}")

    def _no_job_twice(self) -> None:
        if self._job is None:
            return
        limit, closings = pieces_to_take(self._job), self.world.closings - self._closings_before
        if limit is None:
            limit = self._takes.get(self._job.job_id)
        if limit is not None and closings > limit:
            self._breach(f"job {self._job.job_id} ({self._job.lan}) closed the fingers more than {limit} times")

    def _event(self, event: m.EdgeEvent) -> None:
        if event.component != "arm-controller":
            return
        if event.kind == "job-accepted":
            carries = event.data.get("carries", ())
            self._takes[str(event.data.get("job_id"))] = sum("hand-" not in str(c["from_place"]) for c in carries)
        self._lease(event)
        if event.kind != "lease-granted":
            return
        job, token = str(event.data.get("job_id")), int(event.data.get("token", 0))
        if self._leases.setdefault(token, job) != job:
            self._breach(f"lease {token} was granted to {self._leases[token]} and to {job}")
        if self._granted.setdefault(job, token) != token:
            self._breach(f"job {job} was given lease {self._granted[job]} and lease {token}: executed twice")

    def _lease(self, event: m.EdgeEvent) -> None:
        if self._clock.unix_s() - event.at > FRESH_S:
            return
        arm = str(event.data.get("arm"))
        above = self.world.arms_above_board()
        if event.kind == "lease-granted" and any(other != arm for other in above):
            self._breach(
                f"lease {event.data.get('token')} was given to {arm} with {' and '.join(above)} above the board"
            )
        if event.kind == "lease-released" and arm in above:
            self._breach(f"lease {event.data.get('token')} was given back by {arm} above the board")

    # -- 3 ---------------------------------------------------------------------------------------------------------

    def stop_sent(self) -> None:
        """A stop was sent to a controller that was there to hear it."""
        self.stops += 1
        for arm in self.table.arms:
            self._rest.setdefault(arm, (anyio.current_time() + STOP_S + self.late_s, None))

    def _control(self, control: m.ArmControl) -> None:
        if control.command == "recover" and control.confirmed_by:
            for arm in (control.arm,) if control.arm else tuple(self._rest):
                self._rest.pop(arm, None)

    def _at_rest(self) -> None:
        now_s = anyio.current_time()
        for name, arm in self.table.arms.items():
            if arm.controller.emergency:
                self._rest.setdefault(name, (now_s + STOP_S, None))
        for name, (since_s, stood) in list(self._rest.items()):
            if now_s < since_s:
                continue
            tip = self.world.tip(name)
            if stood is None:
                self._rest[name] = (since_s, tip)
            elif math.dist(tip, stood) > STILL_MM:
                self._breach(f"{name} moved although it was stopped and no person had said that it may")

    # -- 4 ---------------------------------------------------------------------------------------------------------

    def _one_arm_above(self) -> None:
        for span in self.world.intrusions():
            self._breach(f"{' and '.join(span.arms)} were above the board together at {span.from_s:.1f} s")
