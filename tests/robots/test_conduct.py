"""What every arm keeps to, without an arm: a driver whose ways are lists."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest

from edgechess_robots.arm import CheckedPlan, Park, Plan
from edgechess_robots.conduct import Conduct, Ending, Interrupted, MayClear, Progress, SeeStanding, Ways
from edgechess_robots.errors import ArmAlarm, ArmLost, ArmRefused, ArmStopped

pytestmark = pytest.mark.anyio

PLAN = CheckedPlan(Plan((Park(100.0),)), ((0.0,),), (0.0,), 1.0)
DONE: Ending = ("done", "it is there")


class Driver:
    """Linked and ready, unless told otherwise."""

    def __init__(self) -> None:
        self.at: tuple[float, ...] | None = (0.0,)
        self.cleared: list[MayClear] = []
        self.halts = 0
        self.sees: Exception | None = None
        self.runs: Callable[[Progress], Ending] = lambda _progress: DONE
        self.alarm: Exception | None = None
        ways = Ways(
            posture=lambda: self.at, prepare=self.prepare, run=self.run, halt=self.halt, unready=frozenset({"control"})
        )
        self.conduct = Conduct("white", ways)

    async def prepare(self, stops: int, may_clear: MayClear) -> None:
        self.cleared.append(may_clear)
        if self.alarm is not None:
            raise self.alarm
        self.conduct.unless_stopped_since(stops, emergency=False)

    async def run(self, plan: CheckedPlan, progress: Progress) -> Ending:
        progress.sent = True
        return self.runs(progress)

    def halt(self) -> SeeStanding:
        self.halts += 1
        return self.stands

    async def stands(self) -> None:
        if self.sees is not None:
            raise self.sees

    async def ready(self) -> Conduct:
        self.conduct.linked()
        await self.conduct.ensure_ready()
        return self.conduct


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Interrupted("gripper", "it sticks"), "gripper"),
        (ArmLost("gone"), "link-lost"),
        (ArmStopped("overtaken"), "stopped"),
        (ArmRefused("no"), "controller-refused"),
    ],
)
async def test_a_failure_that_leaves_motion_behind_stops_the_arm_before_it_is_told(error: Exception, code: str) -> None:
    driver = Driver()
    conduct = await driver.ready()

    def runs(_progress: Progress) -> Ending:
        raise error

    driver.runs, driver.sees = runs, ArmRefused("not seen to stand")
    report = await conduct.execute(PLAN, 1)
    assert (report.outcome, report.code, driver.halts) == ("unknown", code, 1)
    assert (conduct.mode, conduct.held) == ("stopped", True)


async def test_what_was_not_sent_was_refused_and_holds_nothing() -> None:
    driver = Driver()
    conduct = await driver.ready()

    def runs(progress: Progress) -> Ending:
        progress.sent = False
        raise ArmRefused("not in this mode")

    driver.runs = runs
    report = await conduct.execute(PLAN, 1)
    assert (report.outcome, report.code, driver.halts) == ("refused", "controller-refused", 0)
    assert (conduct.mode, conduct.held) == ("idle", False)


async def test_some_endings_ask_for_getting_ready_again() -> None:
    driver = Driver()
    conduct = await driver.ready()
    driver.runs = lambda _progress: ("control", "somebody took it")
    await conduct.execute(PLAN, 1)
    assert conduct.mode == "starting"
    await conduct.ensure_ready()
    assert driver.cleared == ["nothing", "nothing"]


async def test_a_plan_is_for_the_posture_it_was_checked_from() -> None:
    driver = Driver()
    conduct = await driver.ready()
    driver.at = (0.6,)
    assert (await conduct.execute(PLAN, 1)).code == "moved-since-check"
    driver.at = None
    assert (await conduct.execute(PLAN, 1)).code == "not-ready"


async def test_a_link_lost_in_motion_holds_the_arm_and_one_lost_at_rest_does_not() -> None:
    driver = Driver()
    conduct = await driver.ready()
    conduct.unlinked("link-lost", "the cable")
    conduct.linked()
    assert conduct.mode == "starting"
    await conduct.ensure_ready()

    def runs(_progress: Progress) -> Ending:
        conduct.unlinked("link-lost", "the cable again")
        raise ArmLost("no answer")

    driver.runs = runs
    report = await conduct.execute(PLAN, 1)
    assert (report.code, report.reason) == ("link-lost", "the cable again"), "what ended it, not how it was noticed"
    conduct.not_linked("link-lost", "another reason")
    conduct.linked()
    assert (conduct.mode, conduct.why[1]) == ("stopped", "the cable again")


async def test_a_persons_word_is_needed_for_an_alarm_and_for_our_own_emergency_stop() -> None:
    driver = Driver()
    conduct = await driver.ready()
    conduct.hold("alarm", "collision", "it hit a pawn")
    with pytest.raises(ArmAlarm, match="it hit a pawn: a person must look first"):
        await conduct.recover(confirmed=False)
    await conduct.recover(confirmed=True)
    assert (conduct.mode, driver.cleared[-1]) == ("idle", "everything")
    assert conduct.alarm is None
    await conduct.stop()
    conduct.last_resort = "its power was cut"
    with pytest.raises(ArmAlarm, match="its power was cut"):
        await conduct.recover(confirmed=False)
    await conduct.recover(confirmed=True)
    await conduct.stop()
    await conduct.recover(confirmed=False)
    assert driver.conduct.last_resort is None
    assert driver.cleared[-1] == "nothing"


async def test_an_alarm_found_while_getting_ready_holds() -> None:
    driver = Driver()
    driver.alarm = ArmAlarm("the elbow is hot")
    driver.conduct.linked()
    with pytest.raises(ArmAlarm):
        await driver.conduct.ensure_ready()
    assert (driver.conduct.mode, driver.conduct.alarm) == ("fault", "the elbow is hot")
    with pytest.raises(ArmStopped, match="recover it first"):
        await driver.conduct.ensure_ready()


async def test_a_stop_is_waited_for_while_everything_is_cancelled() -> None:
    driver = Driver()
    conduct = await driver.ready()
    seen = False

    async def stands() -> None:
        nonlocal seen
        await anyio.sleep(1.0)
        seen = True

    driver.stands = stands  # type: ignore[method-assign]
    with anyio.CancelScope() as scope:
        scope.cancel()
        await conduct.stop()
    assert seen
    assert conduct.mode == "stopped"
