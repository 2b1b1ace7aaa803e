"""What every arm must keep to, as checks that run against any driver: the contract of `arm.Arm`, shipped to be run.

A `Rig` is a driver with the machine it drives, software or not, and what a person at the table can do. A check is a
coroutine that takes a fresh rig and raises AssertionError. How to run them on your own arm: docs/your-own-arm.md.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

import anyio
import anyio.abc

from edgechess_robots.arm import Arm, Plan, Report, Straight, Travel
from edgechess_robots.errors import ArmAlarm, ArmStopped, PlanRefused, RobotError
from edgechess_robots.poses import Pose

CHECK_LIMIT_S = 600.0  # a driver that hangs fails its check
LOOK_S = 0.02
STANDS_S = 6.0  # so long after a stop nothing may move of itself: longer than a driver waits before it tries again
DEAD_MAN_S = 1.5  # half a second until a missing beat counts, and one to brake from full speed
LINK_DOWN_S = 2.0  # a shorter break may pass unnoticed where every request can have a connection of its own


class Rig(Protocol):
    """One arm that stands ready to be run, with a machine behind it that is switched on. Every plan begins where the
    one before has ended, first at the parking posture."""

    arm: Arm
    feels_grasp: bool
    home: Plan
    """To the parking posture."""
    pick: Plan
    """Takes something that is there, verifies it, puts it down, and parks."""
    miss: Plan
    """Closes where nothing is."""
    long: Plan
    """Moves for three seconds or more, does nothing else, and does not end at the parking posture."""

    def truth(self) -> tuple[float, ...]:
        """Where the machine really is, by whatever measures it independently of the driver."""

    def motions(self) -> int:
        """How many motions the machine has accepted since it was switched on."""

    def cut(self) -> None:
        """The link between driver and machine is lost, and can be made again after `LINK_DOWN_S`."""

    def hurt(self) -> None:
        """The machine is in failure from now on: a protective stop, a collision."""


Check = Callable[[Rig], Awaitable[None]]


@contextlib.asynccontextmanager
async def running(arm: Arm) -> AsyncIterator[anyio.abc.TaskGroup]:
    """The arm, run and made ready."""
    with anyio.fail_after(CHECK_LIMIT_S):
        async with anyio.create_task_group() as group:
            group.start_soon(arm.run, name=f"arm {arm.name}")
            await arm.ensure_ready()
            yield group
            group.cancel_scope.cancel()


async def plans_checks_executes_and_measures(rig: Rig) -> None:
    async with running(rig.arm):
        await _home(rig)
        checked = rig.arm.check(rig.pick)
        report = await rig.arm.execute(checked, 2)
        assert (report.outcome, report.code) == ("done", "done"), report
        assert report.completed == len(rig.pick.steps)
        assert [grasp.holding for grasp in report.grasps] == [True if rig.feels_grasp else None] * 2
        assert checked.duration_s > 0.0
        assert report.duration_s > 0.0
        state = rig.arm.state()
        assert (state.mode, state.parked, state.alarm) == ("idle", True, None)
        assert state.tool is not None


async def shows_nothing_that_was_not_measured(rig: Rig) -> None:
    state = rig.arm.state()
    assert (state.mode, state.joints_deg, state.tool, state.parked, state.age_s) == (
        "offline",
        (),
        None,
        False,
        math.inf,
    )
    _refused(rig, rig.pick, "unreachable")  # from a posture that nobody measured
    async with running(rig.arm) as group:
        await _home(rig)
        reports = await _begin(rig, group, rig.long)
        while not reports:
            state = rig.arm.state()
            assert not state.parked, "parked is what was told, not what was measured"
            assert state.age_s < 2.0
            await anyio.sleep(LOOK_S)


async def refuses_an_older_lease(rig: Rig) -> None:
    async with running(rig.arm):
        await _home(rig, token=5)
        accepted, where = rig.motions(), rig.truth()
        checked = rig.arm.check(rig.long)
        code = "accepted"
        try:
            await rig.arm.execute(checked, 4)
        except PlanRefused as refused:
            code = refused.code
        assert code == "stale-token", f"lease 4 after lease 5: {code}"
        assert (rig.motions(), rig.truth()) == (accepted, where)
        assert rig.arm.state().mode == "idle"


async def refuses_what_it_cannot_before_anything_moves(rig: Rig) -> None:
    async with running(rig.arm):
        await _home(rig)
        accepted, where = rig.motions(), rig.truth()
        far = Pose(9000.0, 0.0, 300.0)
        step = next(step for step in rig.long.steps if isinstance(step, Travel | Straight))
        _refused(rig, Plan(()), "empty")
        _refused(rig, Plan((*rig.long.steps, Travel(far, 100.0))), "unreachable")
        _refused(rig, Plan((dataclasses.replace(step, speed_mm_s=100_000.0),)), "limits")
        assert (rig.motions(), rig.truth()) == (accepted, where)


async def does_one_thing_at_a_time(rig: Rig) -> None:
    async with running(rig.arm) as group:
        await _home(rig)
        reports = await _begin(rig, group, rig.long)
        second = await rig.arm.execute(rig.arm.check(rig.long), 2)
        assert (second.outcome, second.code, second.completed) == ("refused", "busy", 0)
        await _until(lambda: bool(reports))
        assert reports[0].outcome == "done", reports


async def tells_a_missed_grasp(rig: Rig) -> None:
    """The plan ends at once, the arm well and standing where it was. An arm that feels nothing says so instead."""
    async with running(rig.arm):
        await _home(rig)
        report = await rig.arm.execute(rig.arm.check(rig.miss), 2)
        if not rig.feels_grasp:
            assert (report.outcome, [grasp.holding for grasp in report.grasps]) == ("done", [None])
            return
        assert (report.outcome, report.code) == ("unknown", "missed-grasp"), report
        assert [grasp.holding for grasp in report.grasps] == [False]
        assert report.completed < len(rig.miss.steps)
        assert (rig.arm.state().mode, rig.arm.state().holding) == ("idle", False)
        await _stands(rig)


async def stops_and_stays(rig: Rig) -> None:
    async with running(rig.arm) as group:
        await _home(rig)
        reports = await _begin(rig, group, rig.long)
        await rig.arm.stop()
        await _stands(rig)
        assert rig.arm.state().mode == "stopped"
        assert (reports[0].outcome, reports[0].code) == ("unknown", "stopped"), reports
        await _held(rig)
        await _recovers_without_moving(rig)


async def stops_when_its_task_is_cancelled(rig: Rig) -> None:
    """The cancellation goes on only when the arm stands, although everything around it is being cancelled as well."""
    async with running(rig.arm):
        await _home(rig)
        async with anyio.create_task_group() as doomed:
            await _begin(rig, doomed, rig.long)
            doomed.cancel_scope.cancel()
        await _stands(rig)
        assert rig.arm.state().mode == "stopped"
        await _held(rig)
        await _recovers_without_moving(rig)


async def moves_nothing_after_a_lost_link(rig: Rig) -> None:
    async with running(rig.arm) as group:
        await _home(rig)
        reports = await _begin(rig, group, rig.long)
        accepted = rig.motions()
        rig.cut()
        await _until(lambda: bool(reports))
        assert reports[0].outcome == "unknown", reports
        await _until(lambda: rig.arm.state().mode != "offline")
        assert rig.arm.state().mode == "stopped"
        await _stands(rig)
        assert rig.motions() == accepted, "motion was sent again on a new link"
        await _held(rig)
        await _recovers_without_moving(rig)


async def recovers_only_on_a_persons_word(rig: Rig) -> None:
    async with running(rig.arm) as group:
        await _home(rig)
        reports = await _begin(rig, group, rig.long)
        rig.hurt()
        await _until(lambda: bool(reports))
        assert reports[0].outcome == "unknown", reports
        assert rig.arm.state().mode == "fault"
        assert rig.arm.state().alarm, "an alarm that nobody is told of"
        recovered = True
        try:
            await rig.arm.recover(confirmed=False)
        except ArmAlarm:
            recovered = False
        assert not recovered, "it recovered from an alarm that no person has looked at"
        assert rig.arm.state().mode == "fault"
        await _held(rig)
        await _recovers_without_moving(rig)


async def dies_as_it_says(rig: Rig) -> None:
    """Where the state says that motion ends when this process dies, it does: the link is cut, and nobody is left who could
    say a word. What an arm says of it without a link counts for nothing."""
    async with running(rig.arm) as group:
        await _home(rig)
        says = rig.arm.state().dead_man
        await _begin(rig, group, rig.long)
        rig.cut()
        group.cancel_scope.cancel()
    await anyio.sleep(DEAD_MAN_S)
    if says:
        await _stands(rig)


SUITE: tuple[Check, ...] = (
    plans_checks_executes_and_measures,
    shows_nothing_that_was_not_measured,
    refuses_an_older_lease,
    refuses_what_it_cannot_before_anything_moves,
    does_one_thing_at_a_time,
    tells_a_missed_grasp,
    stops_and_stays,
    stops_when_its_task_is_cancelled,
    moves_nothing_after_a_lost_link,
    recovers_only_on_a_persons_word,
    dies_as_it_says,
)


async def _home(rig: Rig, token: int = 1) -> None:
    report = await rig.arm.execute(rig.arm.check(rig.home), token)
    assert (report.outcome, rig.arm.state().parked) == ("done", True), report


async def _begin(rig: Rig, group: anyio.abc.TaskGroup, plan: Plan) -> list[Report]:
    """In the middle of the motion; the report comes later, into the list."""
    reports: list[Report] = []

    async def execute() -> None:
        reports.append(await rig.arm.execute(rig.arm.check(plan), 2))

    where = rig.truth()
    group.start_soon(execute)
    await _until(lambda: rig.truth() != where)
    await anyio.sleep(1.0)
    assert rig.arm.state().mode == "moving", f"meant to be in motion: is `long` long enough? {reports}"
    return reports


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - a rig has no events; `running` limits the time
        await anyio.sleep(LOOK_S)


def _refused(rig: Rig, plan: Plan, code: str) -> None:
    found = "accepted"
    try:
        rig.arm.check(plan)
    except PlanRefused as refused:
        found = refused.code
    assert found == code, f"a plan that is {code}: {found}"


async def _stands(rig: Rig) -> None:
    """It stands now, and for a good while."""
    where, accepted = rig.truth(), rig.motions()
    await anyio.sleep(STANDS_S)
    assert (rig.truth(), rig.motions()) == (where, accepted), "it moved by itself"


async def _held(rig: Rig) -> None:
    """Neither a plan nor getting ready moves an arm that is held."""
    accepted = rig.motions()
    for attempt in (rig.arm.ensure_ready, lambda: rig.arm.execute(rig.arm.check(rig.home), 3)):
        try:
            await attempt()
        except ArmStopped:
            continue
        except RobotError as error:
            raise AssertionError(f"an arm that is held refused with {type(error).__name__}: {error}") from error
        raise AssertionError("an arm that is held did as if it were not")
    assert rig.motions() == accepted


async def _recovers_without_moving(rig: Rig) -> None:
    where, accepted = rig.truth(), rig.motions()
    await rig.arm.recover(confirmed=True)
    if rig.arm.state().mode == "starting":
        await rig.arm.ensure_ready()
    assert rig.arm.state().mode == "idle"
    await _stands(rig)
    assert (rig.truth(), rig.motions()) == (where, accepted)
    await _home(rig, token=4)
