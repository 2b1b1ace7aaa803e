"""A person's words: park, recover, refilled; and their answers, when it is seen what became of them. Pure."""

from __future__ import annotations

from edgechess_arm_controller.events import ControlAsked
from edgechess_arm_controller.jobs import Jobs
from edgechess_arm_controller.state import Watch
from edgechess_arm_controller.table import Note
from edgechess_kit.messages import ArmControl

DUPLICATE_S = 10.0  # a message doubled by the bus comes at most so late: twice the worst delay we test with


class PersonsWords(Jobs):
    """The stop is not among them: it comes before every decision."""

    def control_asked(self, event: ControlAsked) -> None:
        control = event.control
        if control.arm is not None and control.arm not in self.state.arms:
            self.respond(control, 400, f"arm {control.arm!r}: this table has {', '.join(self.state.arms)}")
        elif control.command == "park":
            self.park(control)
        elif not control.confirmed_by:
            self.respond(control, 400, f"{control.command} needs `confirmedBy`: who looked at the table")
        elif control.command == "refilled":
            self.refilled(event)
        elif not control.request_id and self.state.now_s - self.state.troubled_s < DUPLICATE_S:
            reason = (
                f"without `requestId` a recover counts {DUPLICATE_S:.0f} s after the trouble: it may be a duplicate"
            )
            self.respond(control, 400, reason)
        elif self.state.recovery is not None and self.state.recovery.request_id == control.request_id:
            pass
        elif event.repeated:
            if not any(watch.control.request_id == control.request_id for watch in self.state.watches):
                self.respond(control, 200, "done before")
        elif (pressed := self.pressed(control)) is not None:
            self.respond(control, 500, pressed)
        else:
            self.set(recovery=control)

    def refilled(self, event: ControlAsked) -> None:
        """The word is about the slots as they are now: a duplicate that comes late says nothing of what lies there then."""
        control = event.control
        if control.request_id is None:
            self.respond(control, 400, "refilled needs `requestId`: a duplicate of it must not count")
        elif event.repeated:
            self.respond(control, 200, "done before")
        elif self.state.table.job is not None:
            self.respond(control, 400, f"job {self.state.table.job.job_id} is under way: say it when that has ended")
        else:
            self.note(Note("refilled", {"confirmedBy": control.confirmed_by}, key=control.request_id))
            self.respond(control, 200)

    def pressed(self, control: ArmControl) -> str | None:
        """Why a recover does not count: it would be the button's release that sets the arms in motion."""
        for arm in (control.arm,) if control.arm else self.state.arms:
            if self.view(arm).emergency:
                return f"arm {arm}: its emergency stop is pressed: turn it free, then recover"
        return None

    def park(self, control: ArmControl) -> None:
        arms = (control.arm,) if control.arm else self.state.arms
        away = [arm for arm in arms if not self.at_home(arm)]
        if self.state.table.stopped is not None:
            held = ", ".join(arm for arm in self.state.arms if self.state.table.holds(arm))
            self.respond(control, 400, f"stopped ({self.state.table.stopped}): recover arm {held} first")
        elif self.state.run is not None and away:
            self.respond(control, 400, "busy: the arm parks when it has ended")
        else:
            for arm in away:
                if self.condition(arm).phase == "ready":
                    self.phase(arm, "unsure", "to be parked")
            self.set(watches=(*self.state.watches, Watch(control, arms, self.state.now_s)))

    def recovered(self) -> None:
        control = self.state.recovery
        if control is None:
            return
        pressed = self.pressed(control)
        if pressed is not None:
            self.set(recovery=None)
            self.respond(control, 500, pressed)
            return
        arms = (control.arm,) if control.arm else self.state.arms
        left = [arm for arm in self.state.arms if arm not in arms and self.state.table.holds(arm)]
        data = {"confirmedBy": control.confirmed_by, "arm": control.arm, "left": left}
        self.note(Note("recovered", data, key=control.request_id))
        for arm in arms:
            if self.condition(arm).phase in ("blocked", "loaded", "returned", "unsure"):
                self.phase(arm, "returned", f"recovered by {control.confirmed_by}", confirmed=True, tries=0)
        self.set(recovery=None, watches=(*self.state.watches, Watch(control, arms, self.state.now_s)))

    def watched(self) -> None:
        """Answers recovers and parks whose arms came home, or will not."""
        still = []
        for watch in self.state.watches:
            conditions = {arm: self.condition(arm) for arm in watch.arms}
            late = self.state.now_s - watch.since_s > self.state.limits.recover_wait_s
            blocked = [arm for arm, condition in conditions.items() if condition.phase in ("blocked", "loaded")]
            unfinished = [arm for arm in watch.arms if conditions[arm].phase != "ready" or not self.at_home(arm)]
            if not unfinished:
                self.respond(watch.control, 200)
            elif blocked or late or any(self.state.table.holds(arm) for arm in watch.arms):
                arm = (blocked or unfinished)[0]
                self.respond(watch.control, 500, f"arm {arm}: {conditions[arm].reason}")
            else:
                still.append(watch)
        self.set(watches=tuple(still))
