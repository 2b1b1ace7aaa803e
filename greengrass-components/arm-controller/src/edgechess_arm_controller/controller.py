"""The controller's decisions: jobs, the zone lease, the stop, and bringing arms home. Pure.

`decide(state, event)` is called after `observe` has put the newest measurements into the state. Everything that must
be durable is a `Note` among the effects and stands before the effect that relies on it.

One activity at a time (`Run`): a job, or bringing one arm home; it holds the lease, which ends by itself when nothing is
heard of the arm for too long, and is given only while every other arm is measured in its park by a fresh frame. Each arm has a phase; `PHASES` is
the table of its legal changes:

- away: no fresh measurement. returned: measured again (or stopped by us); must be brought back.
- bringing: being stopped, released and made ready, without motion. unsure: ready to move, but perhaps not parked or
  not empty-handed. ready: parked and empty (or executing a job). loaded: parked with a piece that it is known to hold;
  only a repair, which puts it down, or a person's `recover` helps. blocked: only a person's `recover` helps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal, assert_never

from edgechess_arm_controller.choreography import Carry, piece_name, pieces_on
from edgechess_arm_controller.motion import Part
from edgechess_arm_controller.slots import Slots
from edgechess_arm_controller.table import (
    JobRecord,
    Note,
    Table,
    apply,
    note_accepted,
    note_carry_ended,
    note_ended,
    note_grasping,
    note_reset,
)
from edgechess_kit.messages import ArmControl, ArmControlResponse, ArmJob, ArmJobResult, GraspReport
from edgechess_robots.arm import Mode, Plan, Report

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

TRIES_LIMIT = 3  # bringing one arm home by itself: a link may flap, but an arm that fails thrice needs a person
HEALTHY_CODES = ("missed-grasp", "lost-piece")  # the piece failed, not the arm: it may raise and park by itself
DUPLICATE_S = 10.0  # a message doubled by the bus comes at most so late: twice the worst delay we test with
PERSON_CODES = ("alarm", "stopped", "emergency-stop", "collision", "paused", "guided", "disabled")
# ends that a person or the controller's own safety caused: only a person may go on


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """How long the controller waits; seconds."""

    ready_wait_s: float = 20.0  # a job waits this long for arms that are being brought home
    settle_wait_s: float = 3.0  # from "park reached" to "measured parked": a few feedback frames
    recover_wait_s: float = 60.0  # a recover is answered at the latest then: two arms raised and parked slowly
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
    """A job that waits for arms on their way home."""

    job: ArmJob
    arm: str
    since_s: float


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
    run: Run | None = None
    waiting: Waiting | None = None
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
            return "waiting for the arms" if self.waiting else None
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


# ---------------------------------------------------------------- events


@dataclasses.dataclass(frozen=True, slots=True)
class Looked:
    """Nothing but new measurements, or time."""


@dataclasses.dataclass(frozen=True, slots=True)
class JobAsked:
    """`recorded`: the result (and move) the journal holds for this id. `session_known`: the table was reset for it."""

    job: ArmJob
    recorded: tuple[ArmJobResult, str] | None
    session_known: bool


@dataclasses.dataclass(frozen=True, slots=True)
class JobPlanned:
    """Every motion of the job passed every check."""

    job_id: str
    parts: tuple[Part, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class JobImpossible:
    job_id: str
    code: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class RetreatPlanned:
    """The way up and home, checked. `plan` None: there is none, and `reason` says why. `behind`: an arm in its way."""

    arm: str
    plan: Plan | None
    reason: str = ""
    behind: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class ActEnded:
    act: int
    report: Report


@dataclasses.dataclass(frozen=True, slots=True)
class Brought:
    """The arm was stopped, released and made ready, or `error` says why not."""

    arm: str
    error: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class StopAsked:
    """The arms have been told to stop already; this is its record."""

    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class ControlAsked:
    """park, recover or refilled. `repeated`: the journal holds such a word with this request id."""

    control: ArmControl
    repeated: bool


@dataclasses.dataclass(frozen=True, slots=True)
class SessionSeen:
    session_id: str
    known: bool


@dataclasses.dataclass(frozen=True, slots=True)
class EndAsked:
    """The process is to end in order."""


Event = (
    Looked
    | JobAsked
    | JobPlanned
    | JobImpossible
    | RetreatPlanned
    | ActEnded
    | Brought
    | StopAsked
    | ControlAsked
    | SessionSeen
    | EndAsked
)

# ---------------------------------------------------------------- effects


@dataclasses.dataclass(frozen=True, slots=True)
class PlanJob:
    """Choreograph, plan and check; answered by JobPlanned or JobImpossible."""

    job: ArmJob
    arm: str


@dataclasses.dataclass(frozen=True, slots=True)
class PlanRetreat:
    """Answered by RetreatPlanned."""

    arm: str
    held: bool
    open_first: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Begin:
    """Execute; answered by exactly one ActEnded."""

    act: int
    arm: str
    plan: Plan
    token: int


@dataclasses.dataclass(frozen=True, slots=True)
class StopArms:
    arms: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Bring:
    """Stop, release, make ready; answered by Brought unless a stop or a lost link comes between.

    `confirmed`: a person looked, so alarms may be cleared as well.
    """

    arm: str
    confirmed: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """Publish a job's result. `lan` for managers that speak only the sample's protocol."""

    result: ArmJobResult
    lan: str


@dataclasses.dataclass(frozen=True, slots=True)
class Respond:
    response: ArmControlResponse


Effect = Note | PlanJob | PlanRetreat | Begin | StopArms | Bring | Answer | Respond


def stale(state: State, begin: Begin) -> str | None:
    """Why this motion must not begin any more; None: it is the one that the newest lease is for."""
    run = state.run
    if state.table.holds(begin.arm) or run is None or run.cause is not None:
        return "a stop came before the motion began"
    if begin.token != state.table.token or state.table.holder != begin.arm or run.act != begin.act:
        return f"lease {begin.token} of arm {begin.arm} is over"
    return None


def at_rest(state: State) -> bool:
    """Of a controller that is to end: nothing moves, and no arm that is well and ready to move is out of its park."""
    if state.run is not None:
        return False
    out = (arm for arm in state.arms if not (state.views[arm].fresh and state.views[arm].parked))
    return not any(state.conditions[arm].phase == "unsure" and not state.table.holds(arm) for arm in out)


def observe(state: State, views: Mapping[str, ArmView], now_s: float, unix_s: float) -> State:
    return dataclasses.replace(state, views=views, now_s=now_s, unix_s=unix_s)


def decide(state: State, event: Event) -> tuple[State, tuple[Effect, ...]]:
    turn = _Turn(state)
    turn.look()
    turn.take(event)
    turn.advance()
    return turn.state, tuple(turn.effects)


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """Whose result is told: what every result repeats of its job."""

    job_id: str
    session_id: str
    lan: str
    arm: str | None
    token: int | None = None
    began_s: float | None = None


class _Turn:
    """One decision being made: the state so far and the effects so far."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.effects: list[Effect] = []

    # ---- small words

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

    # ---- measurements

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

    # ---- events

    def take(self, event: Event) -> None:
        match event:
            case Looked():
                pass
            case JobAsked():
                self.job_asked(event)
            case JobPlanned():
                self.job_planned(event)
            case JobImpossible():
                waiting = self.state.waiting
                if waiting is not None and waiting.job.job_id == event.job_id:
                    self.refuse(waiting.job, event.code, event.reason, waiting.arm)
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
        arm = self.arm_for(job)
        if arm is None:
            self.refuse(job, "no-arm", f"arm {job.arm!r}: this table has {', '.join(state.arms)}")
            return
        if not event.session_known and job.session_id != state.table.session_id and job.kind != "setup":
            self.set(session=job.session_id)
        self.set(waiting=Waiting(job, arm, state.now_s))

    def arm_for(self, job: ArmJob) -> str | None:
        """The arm that was asked for, else that of the side to move, else the only one."""
        if job.arm is not None:
            return job.arm if job.arm in self.state.arms else None
        side = "black" if job.before.split(" ")[1:2] == ["b"] else "white"
        return side if side in self.state.arms else self.state.arms[0]

    def job_planned(self, event: JobPlanned) -> None:
        waiting = self.state.waiting
        if waiting is None or waiting.job.job_id != event.job_id:
            return
        if not self.all_ready(waiting):
            return  # something happened while it was planned; it goes on waiting
        job, arm = waiting.job, waiting.arm
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

    def all_ready(self, waiting: Waiting) -> bool:
        """Nothing stops the arms, and every one of them is measured in its park, now and empty-handed, except for one that
        is to put down what it holds."""
        state = self.state
        free = state.run is None and state.table.stopped is None
        return free and all(self.fit(arm, waiting) and self.at_home(arm) for arm in state.arms)

    def fit(self, arm: str, waiting: Waiting) -> bool:
        phase = self.condition(arm).phase
        return phase == "ready" or (phase == "loaded" and arm == waiting.arm and waiting.job.kind == "repair")

    def renew(self) -> None:
        self.set_run(until_s=self.state.now_s + self.state.limits.lease_s)

    def grant(self, arm: str, token: int, job_id: str) -> None:
        data = {"token": token, "arm": arm, "job_id": job_id, "term_s": self.state.limits.lease_s}
        self.note(Note("lease-granted", data, key=job_id))

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

    def retreat(self) -> None:
        run = self.state.run
        assert run is not None
        self.set_run(stage="retreating", act=0)
        self.effects.append(PlanRetreat(run.arm, self.held(run.arm), False))

    def halt_for(self, report: Report) -> None:
        """After an execution that failed in the arm itself: an alarm or a stop wants a person, anything else does not."""
        run = self.state.run
        assert run is not None
        reason = f"arm {run.arm}: {report.reason or report.code}"
        if report.code in PERSON_CODES:
            self.latch(report.code, reason)
        else:
            self.halt(report.code or "failed", reason)

    def settle(self) -> None:
        self.set_run(stage="settling", act=0, settling_since_s=self.state.now_s)

    def retreat_planned(self, event: RetreatPlanned) -> None:
        run = self.state.run
        if run is not None and run.stage == "retreating":
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
        confirmed = self.condition(event.arm).confirmed
        parked = confirmed or all(self.at_home(other) for other in self.others(event.arm))
        if run is not None or self.condition(event.arm).phase != "unsure" or not parked:
            return
        if event.plan is None:
            waits = event.behind is not None and not self.at_home(event.behind)
            self.phase(event.arm, "unsure" if waits else "blocked", event.reason, behind=event.behind)
            return
        token, act = self.state.table.token + 1, self.state.acts + 1
        self.grant(event.arm, token, f"home-{token}")
        opens = self.held(event.arm) and confirmed
        self.set(acts=act, run=Run("homing", event.arm, token, act, self.state.now_s, opens=opens))
        self.renew()
        self.effects.append(Begin(act, event.arm, event.plan, token))

    def brought(self, event: Brought) -> None:
        if self.condition(event.arm).phase != "bringing":
            return
        if event.error is None:
            self.phase(event.arm, "unsure", "made ready")
        else:
            self.phase(event.arm, "blocked", event.error, confirmed=False)

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

    def respond(self, control: ArmControl, status: Literal[200, 400, 500], reason: str | None = None) -> None:
        self.effects.append(
            Respond(
                ArmControlResponse(status=status, command=control.command, request_id=control.request_id, reason=reason)
            )
        )

    # ---- what follows from the state alone

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

    def end_run(self, outcome: Literal["done", "refused", "unknown"] | None = None) -> None:
        """The activity is over, well or badly: release the lease if the arm is measured parked, and tell the result."""
        run = self.state.run
        assert run is not None
        failure = run.failure or run.cause
        self.set(run=None)
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

    def refuse(self, job: ArmJob, code: str, reason: str, arm: str | None = None) -> None:
        """Nothing moved. A refusal is recorded too: the same id gets the same answer."""
        if self.state.waiting is not None and self.state.waiting.job.job_id == job.job_id:
            self.set(waiting=None)
        self.finish(Told(job.job_id, job.session_id, job.lan, arm), "refused", code, reason)

    def release(self) -> None:
        holder = self.state.table.holder
        if holder is not None and self.at_home(holder):
            self.note(Note("lease-released", {"token": self.state.table.token, "arm": holder}))

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

    def bring_and_home(self) -> None:
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
        self.effects.append(PlanRetreat(arm, held, held and condition.confirmed))
        return True

    def comes_home(self, arm: str, before: str) -> bool:
        """Whether this arm, which stands in the other one's way, is going to leave it by itself."""
        condition = self.condition(arm)
        coming = condition.phase in ("returned", "bringing", "unsure") and not self.state.table.holds(arm)
        return coming and condition.behind != before

    def keep(self, arm: str) -> None:
        """It is parked with something in its gripper. What that is must be known and felt, or a person has to look."""
        known = self.state.table.hand(arm) is not None and self.felt(arm) is True
        self.phase(arm, "loaded" if known else "blocked", self.holding_text(arm))

    def holding_text(self, arm: str) -> str:
        piece = self.state.table.hand(arm)
        what = f"the {piece_name(piece)}" if piece else "something"
        return f"arm {arm} still holds {what}: take it, then recover"

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
            self.effects.append(PlanJob(job, waiting.arm))
        elif state.now_s - waiting.since_s > state.limits.ready_wait_s:
            late = next(arm for arm in state.arms if not self.fit(arm, waiting) or not self.at_home(arm))
            reason = self.condition(late).reason or "it is not parked"
            self.refuse(job, "not-ready", f"arm {late} is not ready: {reason}", waiting.arm)

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
