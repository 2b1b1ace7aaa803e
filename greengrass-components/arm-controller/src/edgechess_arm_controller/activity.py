"""The activity under way: a job, or bringing one arm home. It holds the lease, which ends by itself when nothing is heard of
the arm for too long; it ends with a measurement. Pure."""

from __future__ import annotations

import dataclasses
from typing import Literal

from edgechess_arm_controller.effects import Answer, PlanRetreat
from edgechess_arm_controller.table import Note, note_ended
from edgechess_arm_controller.turn import Turn
from edgechess_kit.messages import ArmJobResult
from edgechess_robots.arm import Report

PERSON_CODES = ("alarm", "stopped", "emergency-stop", "collision", "paused", "guided", "disabled")
# ends that a person or the controller's own safety caused: only a person may go on


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """Whose result is told: what every result repeats of its job."""

    job_id: str
    session_id: str
    lan: str
    arm: str | None
    token: int | None = None
    began_s: float | None = None


class Activity(Turn):
    """Begins under a new token, ends by a measurement."""

    def grant(self, arm: str, token: int, job_id: str) -> None:
        data = {"token": token, "arm": arm, "job_id": job_id, "term_s": self.state.limits.lease_s}
        self.note(Note("lease-granted", data, key=job_id))

    def renew(self) -> None:
        self.set_run(until_s=self.state.now_s + self.state.limits.lease_s)

    def retreat(self) -> None:
        run = self.state.run
        assert run is not None
        self.set_run(stage="retreating", act=0)
        self.plan_retreat(run.arm, open_first=False)

    def plan_retreat(self, arm: str, *, open_first: bool) -> None:
        """Once, and again when what the arm has in its gripper is another matter meanwhile."""
        asked, held = self.state.retreat, self.held(arm)
        if asked is None or (asked.arm, asked.held, asked.open_first) != (arm, held, open_first):
            plan = PlanRetreat(self.state.plans + 1, arm, held, open_first)
            self.set(plans=plan.number, retreat=plan)
            self.effects.append(plan)

    def settle(self) -> None:
        self.set_run(stage="settling", act=0, settling_since_s=self.state.now_s)

    def settled(self) -> None:
        run = self.state.run
        if run is None or run.stage != "settling":
            return
        if self.at_home(run.arm) and run.cause is None:
            self.end_run()
        elif run.cause is not None or self.state.now_s - run.settling_since_s > self.state.limits.settle_wait_s:
            if run.cause is None:
                self.halt("not-parked", f"arm {run.arm} is not measured parked")
            self.end_run()

    def halt_for(self, report: Report) -> None:
        """After an execution that failed in the arm itself: an alarm or a stop wants a person, anything else does not."""
        run = self.state.run
        assert run is not None
        reason = f"arm {run.arm}: {report.reason or report.code}"
        if report.code in PERSON_CODES:
            self.latch(report.code, reason)
        else:
            self.halt(report.code or "failed", reason)

    def end_run(self, outcome: Literal["done", "refused", "unknown"] | None = None) -> None:
        """The activity is over, well or badly: release the lease if the arm is measured parked, and tell the result."""
        run = self.state.run
        assert run is not None
        failure = run.failure or run.cause
        self.set(run=None, retreat=None)
        self.release()
        condition = self.condition(run.arm)
        if run.stage == "homing" or run.job is None:
            if failure is not None and condition.phase in ("returned", "away"):
                self.phase(run.arm, condition.phase, failure[1], tries=condition.tries + 1)
            if not self.view(run.arm).fresh:
                self.words_lapse(run.arm)
            return
        if condition.phase == "ready" and self.held(run.arm):
            self.keep(run.arm)
        elif condition.phase == "loaded" and not self.held(run.arm):
            self.phase(run.arm, "ready")
        code, reason = failure or (None, None)
        told = Told(run.job.job_id, run.job.session_id, run.job.lan, run.arm, run.token, run.began_s)
        self.finish(told, outcome or ("unknown" if failure else "done"), code, reason)

    def words_lapse(self, lost: str) -> None:
        """An arm was lost on its way: whoever looked before saw it elsewhere, so that no other arm goes past it unseen."""
        for arm in self.others(lost):
            if self.condition(arm).confirmed and not self.at_home(arm):
                condition = dataclasses.replace(self.condition(arm), confirmed=False)
                self.set(conditions={**self.state.conditions, arm: condition})

    def finish(
        self,
        told: Told,
        outcome: Literal["done", "refused", "unknown"],
        code: str | None = None,
        reason: str | None = None,
    ) -> None:
        record = self.state.table.job
        mine = record is not None and record.job_id == told.job_id
        began_s = self.state.now_s if told.began_s is None else told.began_s
        result = ArmJobResult(
            job_id=told.job_id,
            outcome=outcome,
            reason=reason,
            code=code,
            arm=told.arm,
            token=told.token,
            parked=told.arm is not None and self.at_home(told.arm),
            holding=self.state.table.hand(told.arm) if told.arm is not None and self.felt(told.arm) else None,
            grasps=record.grasps if record is not None and mine and outcome != "refused" else (),
            duration_s=round(self.state.now_s - began_s, 3),
        )
        self.note(note_ended(result, told.session_id, told.lan))
        self.effects.append(Answer(result, told.lan))

    def release(self) -> None:
        holder = self.state.table.holder
        if holder is not None and self.at_home(holder):
            self.note(Note("lease-released", {"token": self.state.table.token, "arm": holder}))
