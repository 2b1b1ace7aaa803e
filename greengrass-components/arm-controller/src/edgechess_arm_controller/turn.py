"""One decision being made: the state so far and the effects so far, and the words that every part of it uses. Pure."""

from __future__ import annotations

import dataclasses
from typing import Literal

from edgechess_arm_controller.choreography import piece_name
from edgechess_arm_controller.effects import Effect, Respond, StopArms
from edgechess_arm_controller.state import PHASES, ArmView, Condition, Phase, State
from edgechess_arm_controller.table import Note, apply
from edgechess_kit.messages import ArmControl, ArmControlResponse


class Turn:
    """See above."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.effects: list[Effect] = []

    def set(self, **changes: object) -> None:
        self.state = dataclasses.replace(self.state, **changes)  # type: ignore[arg-type]

    def set_run(self, **changes: object) -> None:
        assert self.state.run is not None
        self.set(run=dataclasses.replace(self.state.run, **changes))  # type: ignore[arg-type]

    def note(self, note: Note) -> None:
        """What the journal will hold; the same fold that a restart uses moves the state on."""
        self.effects.append(note)
        self.set(table=apply(self.state.table, note.kind, note.session_id, note.data, self.state.fresh_slots))

    def phase(self, arm: str, phase: Phase, reason: str = "", **changes: object) -> None:
        condition = self.state.conditions[arm]
        if phase == "blocked":
            self.set(troubled_s=self.state.now_s)
        assert phase == condition.phase or phase in PHASES[condition.phase], f"{condition.phase} to {phase}"
        changes = {"behind": None, **changes}
        condition = dataclasses.replace(condition, phase=phase, reason=reason, **changes)  # type: ignore[arg-type]
        self.set(conditions={**self.state.conditions, arm: condition})

    def condition(self, arm: str) -> Condition:
        return self.state.conditions[arm]

    def view(self, arm: str) -> ArmView:
        return self.state.views[arm]

    def felt(self, arm: str) -> bool | None:
        """Whether the gripper holds something, as measured now; None where it cannot tell, or nobody hears it."""
        return self.view(arm).holding if self.view(arm).fresh else None

    def held(self, arm: str) -> bool:
        """Measured where the gripper can tell, else what was last taken and not seen let go."""
        measured = self.felt(arm)
        return measured if measured is not None else self.state.table.hand(arm) is not None

    def acting(self, arm: str) -> bool:
        """It is executing. A driver that gives up stops its arm before it reports: the report says why."""
        run = self.state.run
        return run is not None and run.arm == arm and run.act != 0

    def at_home(self, arm: str) -> bool:
        view = self.view(arm)
        return view.fresh and view.parked

    def others(self, arm: str) -> tuple[str, ...]:
        return tuple(other for other in self.state.arms if other != arm)

    # ---- ends that somebody or something forces

    def halt(self, code: str, reason: str) -> None:
        """Stop every arm because of `reason`; they may be brought home again by ourselves."""
        if self.state.run is not None and self.state.run.cause is None:
            self.set_run(cause=(code, reason))
        self.effects.append(StopArms(self.state.arms))
        for arm in self.state.arms:
            if self.condition(arm).phase not in ("away", "blocked", "returned"):
                self.phase(arm, "returned", reason)

    def latch(self, code: str, reason: str) -> None:
        """Stop every arm until a person says otherwise."""
        self.halt(code, reason)
        self.set(troubled_s=self.state.now_s)
        if self.state.recovery is not None:  # given before this stop: it must not release it
            self.respond(self.state.recovery, 500, f"stopped again: {reason}")
            self.set(recovery=None)
        if not all(self.state.table.holds(arm) for arm in self.state.arms):
            self.note(Note("stopped", {"reason": reason}))

    def respond(self, control: ArmControl, status: Literal[200, 400, 500], reason: str | None = None) -> None:
        self.effects.append(
            Respond(
                ArmControlResponse(status=status, command=control.command, request_id=control.request_id, reason=reason)
            )
        )

    # ---- a piece in the gripper

    def keep(self, arm: str) -> None:
        """It is parked with something in its gripper. What that is must be known and felt, or a person has to look."""
        known = self.state.table.hand(arm) is not None and self.felt(arm) is True
        self.phase(arm, "loaded" if known else "blocked", self.holding_text(arm))

    def holding_text(self, arm: str) -> str:
        piece = self.state.table.hand(arm)
        what = f"the {piece_name(piece)}" if piece else "something"
        return f"arm {arm} still holds {what}: take it, then recover"
