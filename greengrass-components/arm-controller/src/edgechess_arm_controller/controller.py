"""The controller's decisions: jobs, the zone lease, the stop, and bringing arms home. Pure.

`decide(state, event)` is called after `observe` has put the newest measurements into the state. Everything that must
be durable is a `Note` among the effects and stands before the effect that relies on it. One activity at a time; it is begun
only while every other arm is measured in its park by a fresh frame, or a person has looked.

What is known: `state`; what happens: `events`; what is done: `effects`. A decision is a `turn`, made of an `activity`,
a `homecoming`, `jobs` and `persons_words`.
"""

from __future__ import annotations

from typing import assert_never

from edgechess_arm_controller.effects import (
    Answer,
    Begin,
    Bring,
    Effect,
    PlanJob,
    PlanRetreat,
    Respond,
    StopArms,
)
from edgechess_arm_controller.events import (
    ActEnded,
    Brought,
    ControlAsked,
    EndAsked,
    Event,
    JobAsked,
    JobImpossible,
    JobPlanned,
    Looked,
    RetreatPlanned,
    SessionSeen,
    StopAsked,
)
from edgechess_arm_controller.persons_words import PersonsWords
from edgechess_arm_controller.state import (
    PHASES,
    ArmView,
    Condition,
    Limits,
    Phase,
    State,
    at_rest,
    initial,
    observe,
)
from edgechess_arm_controller.table import Note

__all__ = [
    "PHASES",
    "ActEnded",
    "Answer",
    "ArmView",
    "Begin",
    "Bring",
    "Brought",
    "Condition",
    "ControlAsked",
    "Effect",
    "EndAsked",
    "Event",
    "JobAsked",
    "JobImpossible",
    "JobPlanned",
    "Limits",
    "Looked",
    "Phase",
    "PlanJob",
    "PlanRetreat",
    "Respond",
    "RetreatPlanned",
    "SessionSeen",
    "State",
    "StopArms",
    "StopAsked",
    "at_rest",
    "decide",
    "initial",
    "observe",
    "stale",
    "wanted",
]


def stale(state: State, begin: Begin) -> str | None:
    """Why this motion must not begin any more; None: it is the one that the newest lease is for."""
    run = state.run
    if state.table.holds(begin.arm) or run is None or run.cause is not None:
        return "a stop came before the motion began"
    if begin.token != state.table.token or state.table.holder != begin.arm or run.act != begin.act:
        return f"lease {begin.token} of arm {begin.arm} is over"
    return None


def wanted(state: State, plan: PlanJob | PlanRetreat) -> bool:
    """Whether anybody still waits for this plan."""
    return state.retreat == plan or (state.waiting is not None and state.waiting.plan == plan)


def decide(state: State, event: Event) -> tuple[State, tuple[Effect, ...]]:
    turn = _Turn(state)
    turn.look()
    turn.take(event)
    turn.advance()
    return turn.state, tuple(turn.effects)


class _Turn(PersonsWords):
    """What is measured, then what has happened, then what follows from the state alone."""

    def look(self) -> None:
        for arm in self.state.arms:
            phase, view = self.condition(arm).phase, self.view(arm)
            if not view.fresh:
                if phase != "away":
                    self.phase(arm, "away", view.alarm or "no fresh measurement")
                    if self.state.run is not None:
                        self.halt("link-lost", f"the link to arm {arm} is lost")
            elif phase == "away":
                self.phase(arm, "returned", "measured again")
            elif phase in ("ready", "loaded", "unsure") and (
                view.mode == "fault" or (view.mode == "stopped" and not self.acting(arm))
            ):
                self.latch("alarm" if view.mode == "fault" else "stopped", f"arm {arm}: {view.alarm or view.mode}")
            elif phase in ("ready", "loaded", "unsure") and view.mode == "starting":
                self.halt("not-ready", f"arm {arm} is not enabled any more")
        run = self.state.run
        if run is not None and run.cause is None and self.state.now_s > run.until_s:
            self.halt("lease-expired", f"arm {run.arm} has had the board for too long")
        elif run is not None and run.cause is None:
            for arm in self.others(run.arm):
                if self.condition(arm).phase in ("ready", "loaded") and not self.at_home(arm):
                    self.halt("clearance", f"arm {arm} left its park while arm {run.arm} was above the board")

    def take(self, event: Event) -> None:
        match event:
            case Looked():
                pass
            case JobAsked():
                self.job_asked(event)
            case JobPlanned():
                self.job_planned(event)
            case JobImpossible():
                self.job_impossible(event)
            case RetreatPlanned():
                self.retreat_planned(event)
            case ActEnded():
                if self.state.run is not None and event.act == self.state.run.act:
                    self.act_ended(self.state.run, event.report)
            case Brought():
                self.brought(event)
            case StopAsked():
                self.latch("stopped", event.reason)
                if self.state.table.stopped != event.reason:  # it was seen at an arm before its reason was heard
                    self.note(Note("stopped", {"reason": event.reason}))
            case ControlAsked():
                self.control_asked(event)
            case SessionSeen():
                if not event.known and event.session_id != self.state.table.session_id:
                    self.set(session=event.session_id)
            case EndAsked():
                self.set(ending=True, waiting=None)  # whoever gave the job gives it again, to the next process
            case _:
                assert_never(event)

    def advance(self) -> None:
        self.settled()
        if self.state.run is None:
            self.release()
            self.recovered()
            self.bring_and_home()
            self.end_orphan()
            self.reset_table()
            self.start_waiting()
        self.watched()
