"""Bringing arms home: made ready, raised, parked; of two that are out the one in the other's way first. Pure."""

from __future__ import annotations

from edgechess_arm_controller.activity import Activity
from edgechess_arm_controller.effects import Begin, Bring
from edgechess_arm_controller.events import Brought, RetreatPlanned
from edgechess_arm_controller.state import Run

TRIES_LIMIT = 3  # bringing one arm home by itself: a link may flap, but an arm that fails thrice needs a person


class Homecoming(Activity):
    """What an arm does that is not where a job could begin."""

    def brought(self, event: Brought) -> None:
        if self.condition(event.arm).phase != "bringing":
            return
        if event.error is None:
            self.phase(event.arm, "unsure", "made ready")
        else:
            self.phase(event.arm, "blocked", event.error, confirmed=False)

    def bring_and_home(self) -> None:
        asked = self.state.retreat
        if asked is not None and self.condition(asked.arm).phase != "unsure":
            self.set(retreat=None)  # something came between
        free = [arm for arm in self.state.arms if not self.state.table.holds(arm)]
        for arm in free:
            condition, view = self.condition(arm), self.view(arm)
            if condition.phase == "returned" and not self.state.ending:
                if (view.mode == "fault" or view.alarm is not None) and not condition.confirmed:
                    self.phase(arm, "blocked", view.alarm or "the arm reports a fault")
                elif condition.tries >= TRIES_LIMIT:
                    self.phase(arm, "blocked", f"not home after {TRIES_LIMIT} tries: {condition.reason}")
                else:
                    self.phase(arm, "bringing", condition.reason)
                    self.effects.append(Bring(arm, condition.confirmed))
        for arm in free:
            if self.condition(arm).phase == "unsure" and self.home(arm):
                return

    def home(self, arm: str) -> bool:
        """Takes an unsure arm one step further. True when that is a motion, which everything else waits for."""
        condition, held = self.condition(arm), self.held(arm)
        if self.at_home(arm) and not held:
            self.phase(arm, "ready", confirmed=False, tries=0)
            return False
        if self.at_home(arm) and not condition.confirmed:
            self.keep(arm)
            return False
        in_the_way = [other for other in self.others(arm) if not self.at_home(other)]
        if in_the_way and not condition.confirmed:
            coming = [other for other in in_the_way if self.condition(other).phase in ("away", "returned", "bringing")]
            if not coming:
                self.phase(arm, "blocked", f"away from its park, as is arm {', '.join(in_the_way)}")
            return False
        if condition.behind is not None and not self.at_home(condition.behind):
            if not self.comes_home(condition.behind, before=arm):
                self.phase(arm, "blocked", condition.reason)
            return False
        self.plan_retreat(arm, open_first=held and condition.confirmed)
        return True

    def comes_home(self, arm: str, before: str) -> bool:
        """Whether this arm, which stands in the other one's way, is going to leave it by itself."""
        condition = self.condition(arm)
        coming = condition.phase in ("returned", "bringing", "unsure") and not self.state.table.holds(arm)
        return coming and condition.behind != before

    def retreat_planned(self, event: RetreatPlanned) -> None:
        run, asked = self.state.run, self.state.retreat
        if asked is None or event.number != asked.number:
            return
        self.set(retreat=None)
        if run is not None and run.stage == "retreating":
            if run.cause is not None:  # stopped while it was planned
                self.end_run()
                return
            if event.plan is None:
                self.phase(run.arm, "blocked", event.reason)
                self.end_run()
                return
            act = self.state.acts + 1
            self.set(acts=act)
            self.set_run(act=act)
            self.renew()
            self.effects.append(Begin(act, run.arm, event.plan, run.token))
            return
        arm, condition = asked.arm, self.condition(asked.arm)
        parked = condition.confirmed or all(self.at_home(other) for other in self.others(arm))
        opens = self.held(arm) and condition.confirmed
        as_asked = (asked.held, asked.open_first) == (self.held(arm), opens)
        if run is not None or condition.phase != "unsure" or not parked or not as_asked:
            return
        if event.plan is None:
            waits = event.behind is not None and not self.at_home(event.behind)
            self.phase(arm, "unsure" if waits else "blocked", event.reason, behind=event.behind)
            return
        token, act = self.state.table.token + 1, self.state.acts + 1
        self.grant(arm, token, f"home-{token}")
        self.set(acts=act, run=Run("homing", arm, token, act, self.state.now_s, opens=opens))
        self.renew()
        self.effects.append(Begin(act, arm, event.plan, token))
