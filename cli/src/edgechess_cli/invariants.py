"""What must hold at every event of a simulated match, whatever goes wrong. Each breach is a sentence.

1. No arm job is executed twice (a lease is granted once per job id).
2. Nothing is confirmed that the world does not show.
3. Nothing moves while the arms are stopped.
4. At most one arm is above the board.
5. Every task token has exactly one outcome, and every repeat of it gets the identical answer.
"""

from __future__ import annotations

import dataclasses
import math

from edgechess_board.placement import Difference, Placement
from edgechess_kit import messages as m
from edgechess_kit.errors import WireError
from edgechess_kit.topics import Topics
from edgechess_twin.world import World

STILL_MM = 0.01  # numerical noise of the kinematics is far below


@dataclasses.dataclass(slots=True)
class Invariants:
    """Fed with every message that the broker takes; looks at the world at once."""

    topics: Topics
    world: World
    arms: tuple[str, ...]
    breaches: list[str] = dataclasses.field(default_factory=list)
    checks: int = 0
    _answers: dict[str, bytes] = dataclasses.field(default_factory=dict)
    _afters: dict[str, str] = dataclasses.field(default_factory=dict)
    _granted: dict[str, int] = dataclasses.field(default_factory=dict)
    _leases: dict[int, str] = dataclasses.field(default_factory=dict)
    _stopped_states: int = 0
    _rest: dict[str, tuple[float, float, float]] = dataclasses.field(default_factory=dict)

    def observe(self, sender: str, topic: str, payload: bytes) -> None:
        """One message. Malformed ones are none of ours to judge: senders of the test make them on purpose."""
        self.checks += 1
        t = self.topics
        try:
            if topic == t.cloud_request.name:
                self._request(t.cloud_request.decode(payload))
            elif topic == t.cloud_response.name:
                self._response(t.cloud_response.decode(payload), payload)
            elif topic == t.arm_state.name:
                self._arms(t.arm_state.decode(payload))
            elif topic == t.events.name:
                self._event(t.events.decode(payload))
        except WireError:
            return
        self._one_arm_above()

    def _request(self, request: m.GameRequest) -> None:
        if request.action == "move":
            self._afters.setdefault(request.task_token, request.after)

    def _response(self, response: m.GameResponse, payload: bytes) -> None:
        token = response.task_token
        if token is None:
            return
        first = self._answers.setdefault(token, payload)
        if first != payload:
            self.breaches.append(f"token {token} was answered {first!r} and then {payload!r}")
        elif response.status == 200 and first is payload and token in self._afters:
            expected = Placement.from_fen(self._afters[token])
            wrong = [d for d in self.world.placement().differences(expected) if not self._just_lifted(d)]
            if wrong:
                self.breaches.append(f"token {token} was confirmed although {'; '.join(str(d) for d in wrong)}")

    def _just_lifted(self, difference: Difference) -> bool:
        """A person may adjust a piece between the board's confirming dump and the answer: it is in the hand, above."""
        if difference.found is not None:
            return False
        centre = self.world.square_centre(difference.square)
        return any(
            piece.letter == difference.expected
            and piece.held_by is not None
            and piece.held_by not in self.arms
            and piece.distance_mm(centre) < self.world.layout.square_mm
            for piece in self.world.pieces()
        )

    def _arms(self, state: m.ArmState) -> None:
        """The first state after a stop may be told while an arm still brakes; from the second on, nothing moves."""
        self._stopped_states = self._stopped_states + 1 if state.stopped else 0
        for arm in self.arms:
            tip = self.world.tip(arm)
            if self._stopped_states > 2 and math.dist(tip, self._rest[arm]) > STILL_MM:
                self.breaches.append(f"{arm} moved from {self._rest[arm]} to {tip} while the arms were stopped")
            self._rest[arm] = tip

    def _event(self, event: m.EdgeEvent) -> None:
        if event.component != "arm-controller" or event.kind != "lease-granted":
            return
        job, token = str(event.data.get("job_id")), int(event.data.get("token", 0))
        if self._leases.get(token, job) != job:
            self.breaches.append(f"lease {token} was granted to {self._leases[token]} and to {job}")
        self._leases[token] = job
        if self._granted.setdefault(job, token) != token:
            self.breaches.append(f"job {job} was given lease {self._granted[job]} and lease {token}: executed twice")

    def _one_arm_above(self) -> None:
        above = self.world.arms_above_board()
        if len(above) > 1:
            self.breaches.append(f"{' and '.join(above)} are above the board together")
