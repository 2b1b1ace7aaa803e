"""The pure machine against a model of arms: any interleaving of jobs, failures, links, stops, people and restarts."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgechess_arm_controller import controller as c
from edgechess_arm_controller.choreography import Carry, move_carries
from edgechess_arm_controller.motion import Part
from edgechess_arm_controller.persons_words import DUPLICATE_S
from edgechess_arm_controller.slots import Slots
from edgechess_arm_controller.table import (
    JobRecord,
    Note,
    Table,
    fold,
    note_accepted,
    note_carry_ended,
    note_grasping,
)
from edgechess_kit.messages import ArmControl, ArmJob, ArmJobResult, GraspReport
from edgechess_robots.arm import Grasp, Open, Park, Plan, Report
from edgechess_robots.layout import standard_layout

ARMS = ("white", "black")
FRESH = Slots.filled(standard_layout(), {"white": "QQRBN", "black": "qqrbn"})
BEFORE = "4k3/8/8/3p4/4P3/8/8/4K3 w - - 0 1"
AFTER = "4k3/8/8/3P4/8/8/8/4K3 b - - 0 1"

PARTS = (
    Part(Carry("p", "d5", "tray-white-0"), Plan((Open(30.0),)), 0, 0),
    Part(Carry("P", "e4", "d5"), Plan((Open(30.0), Park(250.0))), 0, 0),
)


def parts_of(plan: c.PlanJob) -> tuple[Part, ...]:
    """Of an arm that holds a piece: putting it down, and no more."""
    if plan.piece is None:
        return PARTS
    placing = Carry(plan.piece, f"hand-{plan.arm}", "tray-white-3")
    return (Part(placing, Plan((Open(30.0), Park(250.0))), 0, 0),)


def way_home(opens: bool) -> Plan:
    return Plan((Open(50.0), Park(250.0)) if opens else (Park(250.0),))


@dataclasses.dataclass
class ModelArm:
    mode: Any = "idle"
    parked: bool = True
    holding: bool = False
    linked: bool = True
    alarm: str | None = None
    held: bool = False
    emergency: bool = False

    def view(self) -> c.ArmView:
        mode: Any = self.mode if self.linked else "offline"
        return c.ArmView(mode, self.parked, self.holding, self.linked, self.alarm, self.emergency)


class Harness:
    """Carries out effects on model arms and asserts, at each of them, what must never be broken."""

    def __init__(self) -> None:
        self.arms = {name: ModelArm() for name in ARMS}
        self.journal: list[Note] = []
        self.now_s = 0.0
        self.act: c.Begin | None = None
        self.aborted: str | None = None
        self.brings: dict[str, bool] = {}
        self.plans_slowly = False
        self.plans: list[c.PlanJob] = []
        self.retreats: list[c.PlanRetreat] = []
        self.results: dict[str, ArmJobResult] = {}
        self.owed: set[str] = set()
        self.state = self.fresh_state()

    def fresh_state(self) -> c.State:
        table = fold(Table(FRESH), ((n.kind, n.session_id, n.data) for n in self.journal), FRESH)
        return c.initial(table, FRESH, ARMS, c.Limits(), self.now_s)

    def feed(self, event: c.Event) -> None:
        events = [event]
        while events:
            views = {name: arm.view() for name, arm in self.arms.items()}
            state = c.observe(self.state, views, self.now_s, self.now_s)
            self.state, effects = c.decide(state, events.pop(0))
            for effect in effects:
                events.extend(self.apply(effect))
        replayed = fold(Table(FRESH), ((n.kind, n.session_id, n.data) for n in self.journal), FRESH)
        assert replayed == self.state.table

    def apply(self, effect: c.Effect) -> list[c.Event]:
        match effect:
            case Note():
                self.written(effect)
            case c.PlanJob(number, _, arm):
                if self.plans_slowly:
                    self.plans.append(effect)
                else:
                    return [c.JobPlanned(number, parts_of(effect), arm or ARMS[0])]
            case c.PlanRetreat(number, open_first=opens):
                if not self.plans_slowly:
                    return [c.RetreatPlanned(number, way_home(opens))]
                self.retreats.append(effect)
            case c.Begin():
                self.begun(effect)
            case c.StopArms(names):
                self.stop(names)
            case c.Bring(arm, confirmed):
                self.brings[arm] = confirmed
            case c.Answer(result):
                assert self.results.setdefault(result.job_id, result) == result
        return []

    def written(self, note: Note) -> None:
        self.journal.append(note)
        once = {"job-accepted": "job_id", "job-ended": None, "grasping": "index"}
        if note.kind in once:
            same = [n for n in self.journal if (n.kind, n.key) == (note.kind, note.key)]
            field = once[note.kind]
            assert len(same) == 1 or (field == "index" and len({n.data["index"] for n in same}) == len(same)), note
        if note.kind == "lease-granted":
            tokens = [n.data["token"] for n in self.journal if n.kind == "lease-granted"]
            assert tokens == sorted(set(tokens)), "tokens only rise"

    def begun(self, begin: c.Begin) -> None:
        assert self.act is None, "two executions at once"
        assert not self.state.table.holds(begin.arm), "motion while stopped"
        granted = [n.data for n in self.journal if n.kind == "lease-granted"][-1]
        assert (granted["token"], granted["arm"]) == (begin.token, begin.arm), "motion without the newest lease"
        run = self.state.run
        assert run is not None
        if run.stage == "carrying":
            assert self.journal[-1].kind == "grasping"
            placing = run.parts[run.index].carry.from_place == f"hand-{begin.arm}"
            assert placing == self.arms[begin.arm].holding, "a full hand puts down what it holds, and takes nothing"
            for other in ARMS:
                if other != begin.arm:
                    assert self.arms[other].linked
                    assert self.arms[other].parked
        arm = self.arms[begin.arm]
        self.act, self.aborted = begin, None
        if arm.held or not arm.linked or arm.mode != "idle":
            self.aborted = "refused"
            return
        arm.mode, arm.parked = "moving", False

    def stop(self, names: tuple[str, ...]) -> None:
        self.brings = {name: word for name, word in self.brings.items() if name not in names}
        for name in names:
            arm = self.arms[name]
            if self.act is not None and self.act.arm == name and self.aborted is None:
                self.aborted = "stopped"
            arm.held = True
            if arm.linked and arm.mode != "fault":
                arm.mode = "stopped"

    # ---- what can happen

    def end_act(self, wish: str) -> None:
        begin, run = self.act, self.state.run
        if begin is None:
            return
        self.act = None
        arm = self.arms[begin.arm]
        code = self.aborted or wish
        if not arm.linked:
            code = "link-lost"
        if code == "refused":
            self.feed(c.ActEnded(begin.act, Report("refused", "stopped", "", 0, (), 0.0)))
            return
        job = run is not None and run.stage == "carrying"
        if code == "done" or (code in ("missed-grasp", "lost-piece") and not job):
            arm.mode = "idle"
            arm.parked = isinstance(begin.plan.steps[-1], Park)
            arm.holding = arm.holding and not any(isinstance(step, Open) for step in begin.plan.steps)
            grasps = (Grasp("take", True), Grasp("keep", True)) if job else ()
            report = Report("done", "done", "", len(begin.plan.steps), grasps, 1.0)
        elif code in ("missed-grasp", "lost-piece"):
            arm.mode = "idle"
            report = Report("unknown", code, code, 0, (Grasp("take", code == "lost-piece"),), 1.0)
        else:
            if arm.linked and code == "alarm":
                arm.mode, arm.alarm, arm.held = "fault", "alarm", True
            elif arm.linked:
                arm.mode, arm.held = "stopped", True
            arm.holding = code == "not-reached"
            report = Report("unknown", code, code, 0, (), 1.0)
        self.feed(c.ActEnded(begin.act, report))

    def plan_slowly(self, slowly: bool) -> None:
        self.plans_slowly = slowly

    def end_plan(self, possible: bool) -> None:
        """The oldest one, whether or not anybody waits for it still."""
        if self.plans:
            job = self.plans.pop(0)
            planned = c.JobPlanned(job.number, parts_of(job), job.arm or ARMS[0])
            self.feed(planned if possible else c.JobImpossible(job.number, "clearance", "no way"))
        elif self.retreats:
            asked = self.retreats.pop(0)
            plan = way_home(asked.open_first) if possible else None
            self.feed(c.RetreatPlanned(asked.number, plan, "" if possible else "no way"))

    def end_bring(self, name: str, well: bool) -> None:
        if name not in self.brings:
            return
        confirmed = self.brings.pop(name)
        arm = self.arms[name]
        assert arm.alarm is None or confirmed, "an alarm is cleared by a person only"
        if well and arm.linked:
            arm.held, arm.mode, arm.alarm = False, "idle", None
            self.feed(c.Brought(name))
        else:
            self.feed(c.Brought(name, "it does not answer"))

    def link(self, name: str, up: bool) -> None:
        arm = self.arms[name]
        if arm.linked and not up:
            arm.held = arm.held or arm.mode == "moving"
        arm.linked = up
        arm.mode = "stopped" if arm.held else "idle"
        if self.act is not None and self.act.arm == name and self.aborted is None:
            self.aborted = "link-lost"
        self.feed(c.Looked())

    def ask_setup(self, number: int) -> None:
        """Of whichever arm can, or of one that is named."""
        arm = (None, None, *ARMS)[number % 4]
        self.give(ArmJob(job_id=f"s{number}", kind="setup", session_id="s", before=BEFORE, after=BEFORE, arm=arm))

    def ask(self, number: int) -> None:
        self.give(
            ArmJob(
                job_id=f"j{number}",
                kind="move",
                session_id="s",
                before=BEFORE,
                after=BEFORE,
                lan="e4d5",
                arm=ARMS[number % 2],
            )
        )

    def give(self, job: ArmJob) -> None:
        self.owed.add(job.job_id)
        recorded = self.results.get(job.job_id)
        known = any(n.kind == "table-reset" for n in self.journal)
        self.feed(c.JobAsked(job, (recorded, "e4d5") if recorded else None, known))

    def kill(self) -> None:
        """The process dies and forgets who waits unanswered; an arm in motion is stopped by its driver's next connection, and measured anew."""
        if self.act is not None:
            arm = self.arms[self.act.arm]
            arm.mode = "idle"
        for arm in self.arms.values():
            arm.held = False
            arm.mode = "fault" if arm.alarm else "idle"
        self.act, self.aborted, self.brings = None, None, {}
        self.plans, self.retreats = [], []
        self.owed &= {n.key for n in self.journal if n.kind == "job-accepted" and n.key is not None}
        self.state = self.fresh_state()
        self.feed(c.Looked())

    def recover(self, number: int, arm: str | None = None) -> None:
        request_id = f"r{number}"
        repeated = any(n.kind == "recovered" and n.key == request_id for n in self.journal)
        word = ArmControl(command="recover", arm=arm, request_id=request_id, confirmed_by="me")
        self.feed(c.ControlAsked(word, repeated))

    def settle(self) -> None:
        """Everything goes well from here on: no job may be left without a result."""
        for name in ARMS:
            self.arms[name].alarm = None
            self.link(name, True)
        for number in range(40):
            self.now_s += 1.0
            self.feed(c.Looked())
            if self.state.table.stopped or any(
                x.phase in ("blocked", "loaded") for x in self.state.conditions.values()
            ):
                self.recover(1000 + number)
            for name in ARMS:
                self.end_bring(name, True)
            self.end_plan(True)
            self.end_act("done")


OPERATIONS = st.one_of(
    st.tuples(st.just("ask"), st.integers(0, 5)),
    st.tuples(st.just("ask_setup"), st.integers(0, 7)),
    st.tuples(
        st.just("end_act"),
        st.sampled_from(["done", "done", "done", "missed-grasp", "lost-piece", "not-reached", "alarm"]),
    ),
    st.tuples(st.just("end_bring"), st.sampled_from(ARMS), st.sampled_from([True, True, False])),
    st.tuples(st.just("link"), st.sampled_from(ARMS), st.booleans()),
    st.tuples(st.just("stop")),
    st.tuples(st.just("recover"), st.integers(0, 6), st.sampled_from([None, *ARMS])),
    st.tuples(st.just("plan_slowly"), st.booleans()),
    st.tuples(st.just("end_plan"), st.booleans()),
    st.tuples(st.just("park")),
    st.tuples(st.just("kill")),
    st.tuples(st.just("tick"), st.sampled_from([0.1, 1.0, 5.0])),
)


@pytest.mark.slow  # hundreds of histories
@settings(max_examples=120, deadline=None)
@given(st.lists(OPERATIONS, max_size=40))
def test_any_interleaving_keeps_the_rules(operations: list[tuple[Any, ...]]) -> None:
    harness = Harness()
    harness.feed(c.Looked())
    for name, *arguments in [("end_bring", "white", True), ("end_bring", "black", True), *operations]:
        match name:
            case "stop":
                harness.stop(ARMS)
                harness.feed(c.StopAsked("a person"))
            case "park":
                harness.feed(c.ControlAsked(ArmControl(command="park", request_id="p"), False))
            case "tick":
                harness.now_s += arguments[0]
                harness.feed(c.Looked())
            case _:
                getattr(harness, name)(*arguments)
    harness.settle()
    assert harness.owed <= set(harness.results)
    assert harness.state.run is None
    assert {x.phase for x in harness.state.conditions.values()} == {"ready"}, harness.state.conditions


def ready() -> Harness:
    harness = Harness()
    harness.feed(c.Looked())
    for name in ARMS:
        harness.end_bring(name, True)
    return harness


def planning() -> Harness:
    harness = ready()
    harness.plan_slowly(True)
    harness.ask(0)
    assert [plan.number for plan in harness.plans] == [1]
    assert harness.state.step == "planning"
    return harness


def test_a_plan_is_asked_for_once() -> None:
    harness = planning()
    harness.feed(c.Looked())
    harness.ask(0)
    assert [plan.number for plan in harness.plans] == [1]
    harness.end_plan(True)
    assert harness.act is not None


def test_a_stop_while_a_job_is_planned_ends_it() -> None:
    harness = planning()
    harness.stop(ARMS)
    harness.feed(c.StopAsked("a person"))
    assert harness.results["j0"].code == "stopped"
    harness.end_plan(True)
    assert harness.act is None
    assert harness.state.run is None


def test_a_plan_made_while_an_arm_was_away_is_made_again() -> None:
    harness = planning()
    harness.link("black", False)
    harness.end_plan(False)
    assert "j0" not in harness.results, "what was found then says nothing"
    harness.link("black", True)
    harness.end_bring("black", True)
    assert [plan.number for plan in harness.plans] == [2]
    harness.end_plan(True)
    assert harness.act is not None


def test_a_plan_for_slots_that_have_changed_is_made_again() -> None:
    harness = ready()
    harness.ask(0)
    while harness.act is not None:
        harness.end_act("done")
    harness.plan_slowly(True)
    harness.ask(1)
    waiting = harness.state.waiting
    assert waiting is not None
    assert waiting.plan is not None
    refilled = ArmControl(command="refilled", request_id="r", confirmed_by="me")
    harness.feed(c.ControlAsked(refilled, False))
    assert not c.wanted(harness.state, waiting.plan)
    assert [plan.number for plan in harness.plans] == [2, 3]
    harness.end_plan(True)
    assert harness.act is None
    harness.end_plan(True)
    assert harness.act is not None


@pytest.mark.parametrize(("comes_after_s", "outcome"), [(50.0, "done"), (None, "refused")])
def test_a_job_waits_for_an_arm_that_is_seen_on_its_way(comes_after_s: float | None, outcome: str) -> None:
    """Straight after a game, on a busy machine: the link was gone for a moment, and making ready takes its time."""
    harness = ready()
    harness.link("white", False)
    if comes_after_s is not None:
        harness.link("white", True)
    harness.ask(1)
    for _ in range(int(comes_after_s or 25.0)):
        harness.now_s += 1.0
        harness.feed(c.Looked())
    harness.end_bring("white", True)
    while harness.act is not None:
        harness.end_act("done")
    result = harness.results["j1"]
    assert (result.outcome, result.code) == (outcome, None if outcome == "done" else "not-ready")


def test_the_other_arm_must_be_measured_parked() -> None:
    harness = ready()
    harness.arms["black"].parked = False
    harness.ask(0)
    assert harness.act is None
    harness.now_s += 21.0
    harness.feed(c.Looked())
    assert harness.results["j0"].code == "not-ready"


def test_an_arm_that_leaves_its_park_stops_the_other() -> None:
    harness = ready()
    harness.ask(0)
    assert harness.act is not None
    harness.arms["black"].parked = False
    harness.feed(c.Looked())
    assert harness.aborted == "stopped"
    harness.end_act("done")
    assert (harness.results["j0"].outcome, harness.results["j0"].code) == ("unknown", "clearance")


def test_a_recover_given_before_a_stop_does_not_release_it() -> None:
    harness = ready()
    harness.ask(0)
    harness.recover(1)  # waits for the end of the job
    harness.stop(ARMS)
    harness.feed(c.StopAsked("a person"))
    harness.end_act("done")
    assert harness.state.table.stopped == "a person"
    assert harness.state.recovery is None


@pytest.mark.parametrize("pressed", ["before the word", "before it is acted on"])
def test_turning_an_emergency_stop_free_does_not_move_an_arm(pressed: str) -> None:
    harness = ready()
    if pressed == "before the word":
        harness.stop(ARMS)
        harness.feed(c.StopAsked("a person"))
        harness.arms["black"].emergency = True
        harness.recover(1)
    else:
        harness.ask(0)
        harness.recover(1)  # waits for the end of the job
        harness.arms["black"].emergency = True
        harness.end_act("done")
        harness.end_act("done")
    assert harness.state.recovery is None
    harness.arms["black"].emergency = False
    harness.feed(c.Looked())
    assert "recovered" not in [note.kind for note in harness.journal]
    assert not harness.brings


def test_a_recover_without_an_id_may_be_a_late_duplicate() -> None:
    harness = ready()
    harness.stop(ARMS)
    harness.feed(c.StopAsked("a person"))
    nameless = ArmControl(command="recover", confirmed_by="me")
    harness.now_s += DUPLICATE_S / 2
    harness.feed(c.ControlAsked(nameless, False))
    assert harness.state.table.stopped is not None
    harness.now_s += DUPLICATE_S
    harness.feed(c.ControlAsked(nameless, False))
    assert harness.state.table.stopped is None


def test_a_stop_survives_a_restart() -> None:
    harness = ready()
    harness.stop(ARMS)
    harness.feed(c.StopAsked("a person"))
    harness.kill()
    harness.ask(0)
    assert harness.results["j0"].code == "stopped"
    assert not harness.brings


def test_a_word_for_one_arm_leaves_the_other_one_stopped() -> None:
    harness = ready()
    harness.stop(ARMS)
    harness.feed(c.StopAsked("a child at Black's side"))
    harness.recover(1, "white")
    assert set(harness.brings) == {"white"}
    harness.end_bring("white", True)
    harness.ask(0)
    assert harness.results["j0"].code == "stopped"
    harness.kill()
    assert set(harness.brings) == {"white"}
    harness.end_bring("white", True)
    harness.recover(2, "black")
    assert set(harness.brings) == {"black"}
    harness.end_bring("black", True)
    harness.ask(1)
    assert harness.act is not None


def test_a_second_stop_holds_the_arm_that_was_released() -> None:
    harness = ready()
    for number, arm in enumerate(ARMS):
        harness.stop(ARMS)
        harness.feed(c.StopAsked("a person"))
        harness.recover(number, arm)
        harness.end_bring(arm, True)
    assert harness.state.table.holds("white")
    assert not harness.state.table.holds("black")


def test_the_tray_keeps_only_what_was_verified() -> None:
    harness = ready()
    harness.ask(0)
    harness.end_act("done")
    assert harness.state.table.slots["tray-white-0"].piece == "p"
    harness = ready()
    harness.ask(0)
    harness.end_act("missed-grasp")
    slot = harness.state.table.slots["tray-white-0"]
    assert (slot.piece, slot.free) == (None, True)
    harness = ready()
    harness.ask(0)
    harness.kill()
    slot = harness.state.table.slots["tray-white-0"]
    assert (slot.piece, slot.free) == (None, False)


@pytest.mark.parametrize(
    ("grasp", "held", "free"),
    [
        (GraspReport(piece="p", from_place="d5", to_place="tray-white-0", grasped=True, kept=True), None, False),
        (GraspReport(piece="p", from_place="d5", to_place="tray-white-0", grasped=True, kept=False), False, False),
        (GraspReport(piece="p", from_place="d5", to_place="tray-white-0", grasped=True), True, True),
        (GraspReport(piece="p", from_place="d5", to_place="tray-white-0", grasped=False), False, True),
    ],
    ids=["link lost as the fingers open", "lost above the slot", "measured in the hand", "never taken"],
)
def test_a_slot_that_a_piece_was_on_its_way_to_is_free_only_if_it_cannot_stand_there(
    grasp: GraspReport, held: bool | None, free: bool
) -> None:
    job = JobRecord("j", "s", "white", "e4d5", 1, tuple(part.carry for part in PARTS))
    notes = (note_accepted(job), note_grasping(job, 0), note_carry_ended(job, grasp, held=held))
    table = fold(Table(FRESH), ((n.kind, n.session_id, n.data) for n in notes), FRESH)
    assert table.slots["tray-white-0"].free is free
    assert move_carries(BEFORE, AFTER, "e4d5", "white", table.slots)[0].to_place == f"tray-white-{0 if free else 1}"


@pytest.mark.parametrize("phase", list(c.PHASES))
def test_every_phase_can_be_left(phase: c.Phase) -> None:
    assert c.PHASES[phase]
    assert c.PHASES[phase] <= set(c.PHASES)
