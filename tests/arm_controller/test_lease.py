"""The zone lease under every interleaving: grant, expiry, release, lost link, emergency stop, kill, restart, late command.

Breadth-first over the pure controller and two model arms, every reachable state once, up to a depth. What must hold at
every step: at most one arm is out of its park; a motion is begun only by the newest lease, of the arm that holds it; a
lease is given only while the other arm is measured parked by a fresh frame, and released only when its own arm is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from edgechess_arm_controller import controller as c
from edgechess_arm_controller.choreography import Carry
from edgechess_arm_controller.motion import Part
from edgechess_arm_controller.slots import Slots
from edgechess_arm_controller.table import Note, Table, apply
from edgechess_kit.messages import ArmControl, ArmJob
from edgechess_robots.arm import Open, Park, Plan, Report
from edgechess_robots.layout import standard_layout

ARMS = ("white", "black")
FRESH = Slots.filled(standard_layout(), {"white": "Q", "black": "q"})
LIMITS = c.Limits(ready_wait_s=20.0, settle_wait_s=3.0, recover_wait_s=60.0, lease_s=60.0)
FENS = {"white": "4k3/8/8/8/8/8/8/4K2R w - - 0 1", "black": "4k2r/8/8/8/8/8/8/4K3 b - - 0 1"}
PARTS = (Part(Carry("R", "h1", "h2"), Plan((Open(30.0), Park(250.0))), 0, 0),)


@dataclasses.dataclass(frozen=True)
class ModelArm:
    """An arm and its driver. `newest`: the newest lease that the driver has seen; `acting`: the act it executes."""

    mode: Any = "idle"
    parked: bool = True
    linked: bool = True
    held: bool = False
    pressed: bool = False
    newest: int = 0
    acting: int = 0

    def view(self) -> c.ArmView:
        mode: Any = self.mode if self.linked else "offline"
        alarm = "emergency stop" if self.pressed else None
        return c.ArmView(mode, self.parked, False, self.linked, alarm, self.pressed)


@dataclasses.dataclass(frozen=True)
class World:
    """Everything there is. `wire`: commands that were once given and may be delivered again at any time."""

    state: c.State
    table: Table
    arms: tuple[ModelArm, ...]
    wire: tuple[c.Begin, ...] = ()
    brings: tuple[tuple[str, bool], ...] = ()
    now_s: float = 0.0
    jobs: int = 0
    trouble: int = 0
    left_out: tuple[str, ...] = ()
    """Arms that were out at the beginning, and have not been in their parks since."""
    behind: tuple[tuple[str, str], ...] = ()
    """(arm, other): as long as the other one is out, it stands in this one's way home."""

    def arm(self, name: str) -> ModelArm:
        return self.arms[ARMS.index(name)]

    def with_arm(self, name: str, **changes: Any) -> World:
        arms = list(self.arms)
        arms[ARMS.index(name)] = dataclasses.replace(self.arm(name), **changes)
        return dataclasses.replace(self, arms=tuple(arms))


def begin_world(left_out: tuple[str, ...] = (), behind: tuple[tuple[str, str], ...] = ()) -> World:
    state = c.initial(Table(FRESH), FRESH, ARMS, LIMITS, 0.0)
    arms = tuple(ModelArm(parked=name not in left_out) for name in ARMS)
    world = World(state, Table(FRESH), arms, left_out=left_out, behind=behind)
    for _ in range(3):
        world = feed(world, c.Looked())
        for name, confirmed in world.brings:
            world = bring(world, name, confirmed)
    return world


def feed(world: World, event: c.Event) -> World:
    events = [event]
    while events:
        views = {name: world.arm(name).view() for name in ARMS}
        state = c.observe(world.state, views, world.now_s, world.now_s)
        state, effects = c.decide(state, events.pop(0))
        world = dataclasses.replace(world, state=state)
        for effect in effects:
            world, more = carry_out(world, effect)
            events.extend(more)
    return world


def carry_out(world: World, effect: c.Effect) -> tuple[World, list[c.Event]]:
    match effect:
        case Note():
            return write(world, effect), []
        case c.PlanJob(number, _, arm):
            assert arm is not None
            return world, [c.JobPlanned(number, PARTS, arm)]
        case c.PlanRetreat(number, arm):
            way = next((other for one, other in world.behind if one == arm and not world.arm(other).parked), None)
            if way is not None:
                return world, [c.RetreatPlanned(number, None, f"arm {way} is in its way home", way)]
            return world, [c.RetreatPlanned(number, Plan((Park(250.0),)))]
        case c.Begin():
            return deliver(dataclasses.replace(world, wire=(*world.wire, effect)), effect), []
        case c.StopArms(names):
            for name in names:
                world = stop(world, name)
            return world, []
        case c.Bring(arm, confirmed):
            return dataclasses.replace(world, brings=(*world.brings, (arm, confirmed))), []
    return world, []


def write(world: World, note: Note) -> World:
    if note.kind == "lease-granted":
        arm = note.data["arm"]
        assert note.data["token"] == world.table.token + 1, "tokens only rise, by one"
        confirmed = world.state.conditions[arm].confirmed
        assert confirmed or world.table.holder in (None, arm), "given to one while the other has it"
        for other in ARMS:
            if other != arm and not confirmed:
                assert world.arm(other).linked, "given while the other arm is not measured"
                assert world.arm(other).parked, "given while the other arm is out"
    if note.kind == "lease-released":
        arm = world.arm(note.data["arm"])
        assert arm.linked, "released without a measurement"
        assert arm.parked, "released while its arm is out"
    return dataclasses.replace(world, table=apply(world.table, note.kind, note.session_id, note.data, FRESH))


def deliver(world: World, begin: c.Begin) -> World:
    """A command reaches the component, and past it the driver: both refuse what is not of the newest lease."""
    arm = world.arm(begin.arm)
    if c.stale(world.state, begin) is not None or begin.token < arm.newest or arm.acting:
        return world
    if arm.held or not arm.linked or arm.mode != "idle":
        return world
    assert begin.token == world.table.token, "an old lease moved an arm"
    assert world.table.holder == begin.arm, "an arm moved without the lease"
    return world.with_arm(begin.arm, newest=begin.token, mode="moving", parked=False, acting=begin.act)


def stop(world: World, name: str) -> World:
    arm = world.arm(name)
    mode = arm.mode if arm.mode == "fault" else "stopped"
    brings = tuple(item for item in world.brings if item[0] != name)
    return dataclasses.replace(world.with_arm(name, held=True, mode=mode), brings=brings)


def bring(world: World, name: str, confirmed: bool) -> World:
    world = dataclasses.replace(world, brings=tuple(item for item in world.brings if item[0] != name))
    arm = world.arm(name)
    error = None if arm.linked and not arm.pressed and (confirmed or arm.mode != "fault") else "it cannot"
    if error is None:
        world = world.with_arm(name, held=False, mode="idle")
    return feed(world, c.Brought(name, error))


# ---------------------------------------------------------------- what can happen


def happenings(world: World) -> Iterator[tuple[str, Callable[[World], World]]]:
    for name in ARMS:
        arm = world.arm(name)
        if world.jobs < 2:
            yield f"job {name}", lambda w, n=name: job(w, n)  # type: ignore[misc]
        if arm.acting:
            yield f"end {name}", lambda w, n=name: end(w, n)  # type: ignore[misc]
        if world.trouble < 2:
            yield f"link {name}", lambda w, n=name: link(w, n)  # type: ignore[misc]
            if not arm.pressed:
                yield f"press {name}", lambda w, n=name: press(w, n)  # type: ignore[misc]
        if not arm.linked:
            yield f"relink {name}", lambda w, n=name: feed(w.with_arm(n, linked=True), c.Looked())  # type: ignore[misc]
    for name, confirmed in world.brings:
        yield f"brought {name}", lambda w, n=name, word=confirmed: bring(w, n, word)  # type: ignore[misc]
    for number, begin in enumerate(world.wire):
        yield f"late {number}", lambda w, b=begin: deliver(w, b)  # type: ignore[misc]
    if world.trouble < 2:
        yield "kill", kill
    lost = world.left_out and any(condition.phase == "blocked" for condition in world.state.conditions.values())
    if lost or world.state.table.stopped is not None or any(arm.pressed for arm in world.arms):
        yield "recover", recover
    yield "wait", lambda w: wait(w, 4.0)
    if world.state.run is not None:
        yield "expire", lambda w: wait(w, LIMITS.lease_s + 1.0)


def job(world: World, name: str) -> World:
    number = world.jobs + 1
    asked = ArmJob(job_id=f"j{number}", kind="move", session_id="s", before=FENS[name], after=FENS[name], lan="")
    return feed(dataclasses.replace(world, jobs=number), c.JobAsked(asked, None, True))


def end(world: World, name: str) -> World:
    """The execution ends, one way or the other: as it should, or by the stop that came meanwhile."""
    arm = world.arm(name)
    act = arm.acting
    if arm.held or not arm.linked:
        report = Report("unknown", "stopped" if arm.linked else "link-lost", "", 0, (), 0.0)
        return feed(world.with_arm(name, acting=0), c.ActEnded(act, report))
    world = world.with_arm(name, acting=0, mode="idle", parked=True)
    world = dataclasses.replace(world, left_out=tuple(other for other in world.left_out if other != name))
    return feed(world, c.ActEnded(act, Report("done", "", "", 2, (), 1.0)))


def link(world: World, name: str) -> World:
    arm = world.arm(name)
    held = arm.held or arm.mode == "moving"
    world = world.with_arm(name, linked=False, held=held, mode="stopped" if held else arm.mode)
    return feed(dataclasses.replace(world, trouble=world.trouble + 1), c.Looked())


def press(world: World, name: str) -> World:
    world = dataclasses.replace(world, trouble=world.trouble + 1).with_arm(name, pressed=True, held=True, mode="fault")
    return feed(world, c.Looked())


def recover(world: World) -> World:
    """The buttons are turned free, and a person says so."""
    for name in ARMS:
        world = world.with_arm(name, pressed=False)
    control = ArmControl(command="recover", confirmed_by="somebody", request_id=f"r{world.now_s}-{world.trouble}")
    return feed(world, c.ControlAsked(control, False))


def kill(world: World) -> World:
    """The process is gone: its executions too, its arms are stopped by their own controllers; the journal stays."""
    for name in ARMS:
        arm = world.arm(name)
        if arm.mode == "moving":
            world = world.with_arm(name, mode="stopped", held=True)
        world = world.with_arm(name, acting=0, newest=0)  # the drivers' memory dies with them
    state = c.initial(world.table, FRESH, ARMS, LIMITS, world.now_s)
    world = dataclasses.replace(world, state=state, brings=(), trouble=world.trouble + 1)
    return feed(world, c.Looked())


def wait(world: World, seconds: float) -> World:
    return feed(dataclasses.replace(world, now_s=world.now_s + seconds), c.Looked())


# ---------------------------------------------------------------- the exploration


def key(world: World) -> object:
    """Two worlds of one key have the same future: times count from now, tokens from the newest."""
    state, table, now = world.state, world.table, world.now_s
    run = state.run and (state.run.stage, state.run.arm, state.run.act, state.run.cause, now > state.run.until_s)
    settling = state.run and state.run.stage == "settling" and now - state.run.settling_since_s
    conditions = tuple((arm, state.conditions[arm].phase, state.conditions[arm].confirmed) for arm in ARMS)
    tries = tuple(state.conditions[arm].tries for arm in ARMS)
    waiting = state.waiting and (state.waiting.job.job_id, now - state.waiting.since_s)
    wire = tuple((begin.arm, begin.token - table.token, begin.act) for begin in world.wire)
    newest = tuple(arm.newest - table.token if arm.newest else -99 for arm in world.arms)
    arms = tuple((arm.mode, arm.parked, arm.linked, arm.held, arm.pressed, arm.acting) for arm in world.arms)
    lasting = (table.holder, table.stopped, table.job and table.job.job_id, state.acts, now - state.started_s < 20.0)
    left = (world.left_out, tuple(state.conditions[arm].behind for arm in ARMS))
    return (
        run,
        settling,
        conditions,
        tries,
        waiting,
        wire,
        newest,
        arms,
        lasting,
        left,
        world.brings,
        world.jobs,
        world.trouble,
    )


def explore(depth: int, first: World | None = None) -> tuple[int, dict[str, int]]:
    """Every state within so many happenings; how many there are, and how often each thing happened."""
    first = first or begin_world()
    frontier: list[tuple[World, tuple[str, ...]]] = [(first, ())]
    known, seen = {key(first)}, dict[str, int]()
    for _ in range(depth):
        following = []
        for world, path in frontier:
            for name, act in happenings(world):
                way = (*path, name)
                try:
                    after = act(world)
                    hold(after)
                except AssertionError as error:
                    raise AssertionError(f"{error}, after {', '.join(way)}") from error
                word = name.split(" ")[0]
                seen[word] = seen.get(word, 0) + 1
                if (mark := key(after)) not in known:
                    known.add(mark)
                    following.append((after, way))
        frontier = following
    return len(known), seen


def hold(world: World) -> None:
    out = [name for name in ARMS if not world.arm(name).parked]
    assert len(out) <= 1 or set(out) == set(world.left_out), f"{' and '.join(out)} may be above the board together"
    moving = [name for name in ARMS if world.arm(name).mode == "moving"]
    assert len(moving) <= 1, f"{' and '.join(moving)} move together"
    run = world.state.run
    if run is not None and world.now_s > run.until_s:
        assert world.arm(run.arm).held, "an expired lease did not stop its arm"
    if out and world.table.holder is not None:
        assert world.table.holder in out, "the lease is somebody else's than the arm's that is out"


@pytest.mark.slow  # thousands of states
def test_every_interleaving() -> None:
    states, seen = explore(depth=7)
    assert states > 4000
    assert set(seen) == {
        "job", "end", "link", "relink", "press", "brought", "late", "kill", "recover", "wait", "expire",
    }  # fmt: skip


BEHIND = [(), (("white", "black"),), (("black", "white"),), (("white", "black"), ("black", "white"))]


@pytest.mark.slow  # thousands of states
@pytest.mark.parametrize("behind", BEHIND, ids=["free", "white behind", "black behind", "entangled"])
def test_every_interleaving_from_both_arms_out(behind: tuple[tuple[str, str], ...]) -> None:
    """As a power cut, or a person at the pendants, may leave them."""
    world = begin_world(ARMS, behind)
    assert {condition.phase for condition in world.state.conditions.values()} == {"blocked"}, "nobody has looked yet"
    states, seen = explore(depth=6, first=world)
    assert states > 500
    assert "recover" in seen
    assert ("end" in seen) == (len(behind) < 2)


@pytest.mark.parametrize("behind", BEHIND[:3], ids=["free", "white behind", "black behind"])
def test_after_a_persons_word_both_come_home_the_one_in_the_way_first(behind: tuple[tuple[str, str], ...]) -> None:
    world = recover(begin_world(ARMS, behind))
    for name, confirmed in world.brings:
        world = bring(world, name, confirmed)
    first = behind[0][1] if behind else "white"
    assert world.table.holder == first
    assert [world.arm(name).mode == "moving" for name in ARMS] == [name == first for name in ARMS]
    world = wait(end(world, first), 1.0)
    second = next(name for name in ARMS if name != first)
    assert world.table.holder == second
    world = wait(end(world, second), 1.0)
    assert {condition.phase for condition in world.state.conditions.values()} == {"ready"}


def test_a_word_lapses_when_the_other_arm_got_lost_on_its_way_home() -> None:
    """Where it stands now nobody has seen, neither a person nor a frame."""
    world = recover(begin_world(ARMS))
    for name, confirmed in world.brings:
        world = bring(world, name, confirmed)
    assert world.table.holder == "white"
    world = end(link(world, "white"), "white")
    for name, confirmed in world.brings:
        world = bring(world, name, confirmed)
    assert world.arm("black").mode != "moving"
    world = recover(wait(world, 1.0))
    for name, confirmed in world.brings:
        world = bring(world, name, confirmed)
    assert world.arm("black").mode == "moving", "somebody has looked again"


def test_arms_that_stand_in_each_others_way_are_given_up_in_words() -> None:
    world = recover(begin_world(ARMS, BEHIND[3]))
    for name, confirmed in world.brings:
        world = bring(world, name, confirmed)
    assert world.state.conditions["white"].phase == world.state.conditions["black"].phase == "blocked"
    assert world.state.conditions["white"].reason == "arm black is in its way home"
    assert world.state.conditions["black"].reason == "arm white is in its way home"


def test_both_arms_get_their_turn() -> None:
    """The exploration would hold for a controller that never moves: this one does."""
    world = begin_world()
    for name in ("white", "black", "white"):
        world = dataclasses.replace(job(dataclasses.replace(world, jobs=world.jobs + 1), name), trouble=0)
        assert world.table.holder == name
        assert not world.arm(name).parked
        world = wait(end(world, name), 1.0)
        assert world.table.holder is None
    assert world.table.token == 3


@pytest.mark.parametrize("broken", ["expiry", "fence", "others"])
def test_the_exploration_finds_what_it_looks_for(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A controller without one of its rules is caught: else the silence of the first test would be worth nothing."""
    if broken == "expiry":
        halt = c._Turn.halt
        monkeypatch.setattr(
            c._Turn, "halt", lambda self, code, why: None if code == "lease-expired" else halt(self, code, why)
        )
    elif broken == "fence":
        monkeypatch.setattr(c, "stale", lambda state, begin: None)
    else:
        monkeypatch.setattr(c._Turn, "all_ready", lambda self, waiting: self.state.run is None)
        monkeypatch.setattr(c._Turn, "others", lambda self, arm: ())
    with pytest.raises(AssertionError):
        explore(depth=6)
