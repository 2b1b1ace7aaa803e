"""What the arm controller knows: its arms' phases and measurements, the activity under way, and what waits. Values.

Each arm has a phase; `PHASES` is the table of its legal changes:

- away: no fresh measurement. returned: measured again (or stopped by us); must be brought back.
- bringing: being stopped, released and made ready, without motion. unsure: ready to move, but perhaps not parked or
  not empty-handed. ready: parked and empty (or executing a job). loaded: parked with a piece that it is known to hold;
  only a repair or a setup, which puts it down, or a person's `recover` helps. blocked: only a person's `recover` helps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from edgechess_arm_controller.effects import PlanJob, PlanRetreat
from edgechess_arm_controller.motion import Part
from edgechess_arm_controller.slots import Slots
from edgechess_arm_controller.table import Table
from edgechess_kit.messages import ArmControl, ArmJob
from edgechess_robots.arm import Mode

Phase = Literal["away", "returned", "bringing", "unsure", "ready", "loaded", "blocked"]

PHASES: Mapping[Phase, frozenset[Phase]] = {
    "away": frozenset({"returned"}),
    "returned": frozenset({"away", "bringing", "blocked"}),
    "bringing": frozenset({"away", "returned", "unsure", "blocked"}),
    "unsure": frozenset({"away", "returned", "ready", "loaded", "blocked"}),
    "ready": frozenset({"away", "returned", "unsure", "loaded", "blocked"}),
    "loaded": frozenset({"away", "returned", "ready", "blocked"}),
    "blocked": frozenset({"away", "returned"}),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """How long the controller waits; seconds."""

    ready_wait_s: float = 20.0  # a job waits this long for arms that may come home
    settle_wait_s: float = 3.0  # from "park reached" to "measured parked": a few feedback frames
    recover_wait_s: float = (
        60.0  # two arms raised and parked slowly: a recover is answered at the latest then, and a job
    )
    # waits no longer for an arm that is on its way
    lease_s: float = 180.0  # a lease ends so long after the newest motion under it was begun: one piece, at the slowest


@dataclasses.dataclass(frozen=True, slots=True)
class ArmView:
    """One arm as measured at the moment of the event. `fresh`: linked, and the measurement within the age limit.
    `emergency`: its emergency stop is pressed."""

    mode: Mode = "offline"
    parked: bool = False
    holding: bool | None = None
    fresh: bool = False
    alarm: str | None = None
    emergency: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Condition:
    """`confirmed`: a person looked, so alarms may be cleared and the hand opened. `tries`: vain ones to come home."""

    phase: Phase = "away"
    reason: str = "not seen yet"
    confirmed: bool = False
    tries: int = 0
    behind: str | None = None
    """Another arm that stands in its way home: that one goes first."""


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """The activity under way. `act` numbers the execution that is being waited for.

    carrying: a part of the job. retreating: up and home after a failed one. settling: everything reached, waiting to
    measure it. homing: no job, an arm on its way home. `opens`: the homing opens the gripper first.
    """

    stage: Literal["carrying", "retreating", "settling", "homing"]
    arm: str
    token: int
    act: int
    began_s: float
    until_s: float = 0.0
    """The lease ends then, unless it is renewed by a further motion."""
    job: ArmJob | None = None
    parts: tuple[Part, ...] = ()
    index: int = 0
    failure: tuple[str, str] | None = None
    cause: tuple[str, str] | None = None
    opens: bool = False
    settling_since_s: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Waiting:
    """A job that waits for arms on their way home, or for its plan."""

    job: ArmJob
    arm: str | None
    """As of its PlanJob."""
    since_s: float
    plan: PlanJob | None = None
    """What is being planned for it: every arm was in its park when that was begun, and has been since."""


@dataclasses.dataclass(frozen=True, slots=True)
class Watch:
    """A recover or park whose answer waits for what becomes of its arms."""

    control: ArmControl
    arms: tuple[str, ...]
    since_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """Everything the controller knows. `now_s` is monotonic, `unix_s` the wall clock, `views` the measurements."""

    table: Table
    fresh_slots: Slots
    arms: tuple[str, ...]
    conditions: Mapping[str, Condition]
    views: Mapping[str, ArmView]
    limits: Limits = Limits()
    now_s: float = 0.0
    unix_s: float = 0.0
    started_s: float = 0.0
    troubled_s: float = 0.0
    acts: int = 0
    plans: int = 0
    run: Run | None = None
    waiting: Waiting | None = None
    retreat: PlanRetreat | None = None
    """The way home that is being planned."""
    session: str | None = None
    recovery: ArmControl | None = None
    watches: tuple[Watch, ...] = ()
    ending: bool = False
    """The process is to end: what is under way is brought to its next safe place, and nothing is begun any more."""

    @property
    def step(self) -> str | None:
        """What is being done, for onlookers."""
        run = self.run
        if run is None:
            if self.waiting is None:
                return None
            return "waiting for the arms" if self.waiting.plan is None else "planning"
        if run.stage == "carrying":
            return f"{run.index + 1} of {len(run.parts)}: {run.parts[run.index].carry}"
        return {"retreating": "raising and parking", "settling": "measuring the park", "homing": "parking"}[run.stage]


def initial(table: Table, fresh_slots: Slots, arms: tuple[str, ...], limits: Limits, now_s: float) -> State:
    """A controller that has just started: no arm seen; `table` is what the journal knows."""
    return State(
        table,
        fresh_slots,
        arms,
        {arm: Condition() for arm in arms},
        {arm: ArmView() for arm in arms},
        limits,
        now_s=now_s,
        started_s=now_s,
        troubled_s=now_s,
    )


def at_rest(state: State) -> bool:
    """Of a controller that is to end: nothing moves, and no arm that is well and ready to move is out of its park."""
    if state.run is not None:
        return False
    out = (arm for arm in state.arms if not (state.views[arm].fresh and state.views[arm].parked))
    return not any(state.conditions[arm].phase == "unsure" and not state.table.holds(arm) for arm in out)


def observe(state: State, views: Mapping[str, ArmView], now_s: float, unix_s: float) -> State:
    return dataclasses.replace(state, views=views, now_s=now_s, unix_s=unix_s)
