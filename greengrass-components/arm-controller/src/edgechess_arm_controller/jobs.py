"""Jobs: taken once, planned whole, carried out piece by piece, told once. Pure."""

from __future__ import annotations

import dataclasses

from edgechess_arm_controller.activity import Told
from edgechess_arm_controller.choreography import Carry, pieces_on
from edgechess_arm_controller.effects import Answer, Begin, PlanJob
from edgechess_arm_controller.events import JobAsked, JobImpossible, JobPlanned
from edgechess_arm_controller.homecoming import Homecoming
from edgechess_arm_controller.motion import Part
from edgechess_arm_controller.state import Run, Waiting
from edgechess_arm_controller.table import JobRecord, Note, note_accepted, note_carry_ended, note_grasping, note_reset
from edgechess_kit.messages import ArmJob, GraspReport
from edgechess_robots.arm import Report

HEALTHY_CODES = ("missed-grasp", "lost-piece")  # the piece failed, not the arm: it may raise and park by itself


class Jobs(Homecoming):
    """From the order to its result."""

    def job_asked(self, event: JobAsked) -> None:
        job, state = event.job, self.state
        if event.recorded is not None:
            self.effects.append(Answer(*event.recorded))
            return
        if state.ending:
            return
        if state.waiting is not None and state.waiting.job.job_id == job.job_id:
            return
        if state.table.job is not None and state.table.job.job_id == job.job_id:
            return
        if state.table.job is not None or state.waiting is not None:
            under_way = state.table.job.job_id if state.table.job else state.waiting.job.job_id  # type: ignore[union-attr]
            self.refuse(job, "busy", f"job {under_way} is under way")
            return
        if job.arm is not None and job.arm not in state.arms:
            self.refuse(job, "no-arm", f"arm {job.arm!r}: this table has {', '.join(state.arms)}")
            return
        if not event.session_known and job.session_id != state.table.session_id and job.kind != "setup":
            self.set(session=job.session_id)
        self.set(waiting=Waiting(job, self.arm_for(job), state.now_s))

    def arm_for(self, job: ArmJob) -> str | None:
        """The arm that was asked for, else that of the side to move, else the only one; of a setup whichever can."""
        if job.arm is not None or job.kind == "setup":
            return job.arm
        side = "black" if job.before.split(" ")[1:2] == ["b"] else "white"
        return side if side in self.state.arms else self.state.arms[0]

    def start_waiting(self) -> None:
        waiting, state = self.state.waiting, self.state
        if waiting is None:
            return
        job = waiting.job
        blocked = [
            arm
            for arm in state.arms
            if self.condition(arm).phase in ("blocked", "loaded") and not self.fit(arm, waiting)
        ]
        if job.deadline is not None and state.unix_s > job.deadline:
            self.refuse(job, "deadline", "the deadline has passed", waiting.arm)
        elif state.table.stopped is not None:
            self.refuse(job, "stopped", f"the arms are stopped: {state.table.stopped}", waiting.arm)
        elif blocked:
            self.refuse(job, "not-ready", f"arm {blocked[0]}: {self.condition(blocked[0]).reason}", waiting.arm)
        elif self.all_ready(waiting):
            self.plan(waiting)
        elif waiting.plan is not None:
            self.set(waiting=dataclasses.replace(waiting, plan=None))  # made for arms in their parks: it is no use now
        else:
            self.wait_on(waiting)

    def wait_on(self, waiting: Waiting) -> None:
        """Longer for an arm that is seen on its way home than for one of which nobody knows whether it comes."""
        late = next(arm for arm in self.state.arms if not self.fit(arm, waiting) or not self.at_home(arm))
        condition, limits = self.condition(late), self.state.limits
        comes = condition.phase in ("returned", "bringing", "unsure")
        if self.state.now_s - waiting.since_s > (limits.recover_wait_s if comes else limits.ready_wait_s):
            reason = condition.reason or "it is not parked"
            self.refuse(waiting.job, "not-ready", f"arm {late} is not ready: {reason}", waiting.arm)

    def plan(self, waiting: Waiting) -> None:
        """Once, and again when what lies beside the board has changed meanwhile."""
        slots = self.state.table.slots
        if waiting.plan is not None and waiting.plan.slots == slots:
            return
        full = self.full_hand(waiting)
        arm, piece = full or waiting.arm, self.state.table.hand(full) if full is not None else None
        plan = PlanJob(self.state.plans + 1, waiting.job, arm, slots, piece)
        self.set(plans=plan.number, waiting=dataclasses.replace(waiting, plan=plan))
        self.effects.append(plan)

    def all_ready(self, waiting: Waiting) -> bool:
        """Nothing stops the arms, and every one of them is measured in its park, now and empty-handed, except for one that
        is to put down what it holds."""
        state = self.state
        free = state.run is None and state.table.stopped is None
        return free and all(self.fit(arm, waiting) and self.at_home(arm) for arm in state.arms)

    def fit(self, arm: str, waiting: Waiting) -> bool:
        return self.condition(arm).phase == "ready" or arm == self.full_hand(waiting)

    def full_hand(self, waiting: Waiting) -> str | None:
        """The arm that holds a piece and is to put it down by this job: a repair's own one, and any one of a setup's."""
        kind, asked = waiting.job.kind, waiting.arm
        full = [arm for arm in self.state.arms if self.condition(arm).phase == "loaded" and asked in (None, arm)]
        return full[0] if len(full) == 1 and kind in ("repair", "setup") else None

    def job_planned(self, event: JobPlanned) -> None:
        waiting = self.planned(event.number)
        if waiting is None or not self.all_ready(waiting):
            return  # something happened while it was planned; it goes on waiting
        job, arm = waiting.job, event.arm
        self.set(waiting=None)
        if not event.parts:
            self.finish(Told(job.job_id, job.session_id, job.lan, arm), "done")
            return
        token = self.state.table.token + 1
        carries = tuple(part.carry for part in event.parts)
        board = "".join(sorted(pieces_on(job.before).values()))
        self.note(note_accepted(JobRecord(job.job_id, job.session_id, arm, job.lan, token, carries, job.kind), board))
        self.grant(arm, token, job.job_id)
        act = self.state.acts + 1
        self.set(acts=act, run=Run("carrying", arm, token, act, self.state.now_s, job=job, parts=event.parts))
        self.begin_carry(0)

    def job_impossible(self, event: JobImpossible) -> None:
        waiting = self.planned(event.number)
        if waiting is not None and self.all_ready(waiting):  # else that is why, and it goes on waiting
            self.refuse(waiting.job, event.code, event.reason, waiting.arm)

    def planned(self, number: int) -> Waiting | None:
        """The job that waits for the plan with this number; None: nobody does any more."""
        waiting = self.state.waiting
        return waiting if waiting is not None and waiting.plan is not None and waiting.plan.number == number else None

    def begin_carry(self, index: int) -> None:
        run, record = self.state.run, self.state.table.job
        assert run is not None
        assert record is not None
        self.note(note_grasping(record, index))
        self.renew()
        self.effects.append(Begin(run.act, run.arm, run.parts[index].plan, run.token))

    def act_ended(self, run: Run, report: Report) -> None:
        if run.stage == "carrying":
            self.carry_ended(run, report)
        elif report.outcome == "done":
            if run.opens:
                self.note(Note("hand-opened", {"arm": run.arm}))
            self.settle()
        else:
            if run.cause is None:
                self.halt_for(report)
            self.end_run()

    def carry_ended(self, run: Run, report: Report) -> None:
        record = self.state.table.job
        assert record is not None
        nothing_sent = report.outcome == "refused"
        grasp = grasp_report(run.parts[run.index], report)
        self.note(note_carry_ended(record, grasp, held=self.felt(run.arm), begun=not nothing_sent))
        if report.outcome == "done" and run.cause is None:
            rest = len(run.parts) - run.index - 1
            if rest and self.state.ending:
                self.set_run(failure=("ending", f"the controller was told to end before the last {rest} pieces"))
                self.retreat()
            elif rest:
                act = self.state.acts + 1
                self.set(acts=act)
                self.set_run(index=run.index + 1, act=act)
                self.begin_carry(run.index + 1)
            else:
                self.settle()
            return
        self.set_run(failure=run.cause or (report.code or "failed", report.reason))
        if nothing_sent and run.index > 0:
            self.set_run(stage="retreating", act=0)
        elif nothing_sent:
            self.end_run(outcome="refused")
            return
        healthy = report.code in HEALTHY_CODES or (nothing_sent and report.code != "stopped")
        if healthy and run.cause is None and self.state.table.stopped is None:
            self.retreat()
            return
        if run.cause is None:
            self.halt_for(report)
        self.end_run()

    def refuse(self, job: ArmJob, code: str, reason: str, arm: str | None = None) -> None:
        """Nothing moved. A refusal is recorded too: the same id gets the same answer."""
        if self.state.waiting is not None and self.state.waiting.job.job_id == job.job_id:
            self.set(waiting=None)
        self.finish(Told(job.job_id, job.session_id, job.lan, arm), "refused", code, reason)

    def end_orphan(self) -> None:
        """The job that a killed controller left: told as soon as every arm is at rest, one way or the other."""
        record = self.state.table.job
        if record is None:
            return
        coming = [arm for arm in self.state.arms if self.condition(arm).phase not in ("ready", "loaded", "blocked")]
        if coming and self.state.now_s - self.state.started_s < self.state.limits.ready_wait_s:
            return
        carry = record.in_hand
        if carry is not None:
            grasp = GraspReport(piece=carry.piece, from_place=carry.from_place, to_place=carry.to_place)
            self.note(note_carry_ended(record, grasp, held=self.felt(record.arm)))
        reason = "the controller was restarted while the job was under way"
        told = Told(record.job_id, record.session_id, record.lan, record.arm, record.token)
        self.finish(told, "unknown", "restarted", reason)

    def reset_table(self) -> None:
        if self.state.session is not None and self.state.table.job is None:
            self.note(note_reset(self.state.table, self.state.session))
            self.set(session=None)


def grasp_report(part: Part, report: Report) -> GraspReport:
    """What was felt during one carry; `released` true when the step that opens the gripper was reached."""
    felt = {grasp.label.split(" ", 1)[0]: grasp for grasp in report.grasps}
    take, keep = felt.get("take"), felt.get("keep")
    carry: Carry = part.carry
    return GraspReport(
        piece=carry.piece,
        from_place=carry.from_place,
        to_place=carry.to_place,
        grasped=take.holding if take else None,
        released=report.completed > part.release_at,
        width_mm=take.width_mm if take else None,
        kept=keep.holding if keep else None,
    )
