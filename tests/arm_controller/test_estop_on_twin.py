"""The real driver on the software table: an emergency stop that falls into a lost link waits for a person."""

from __future__ import annotations

import datetime
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.abc
import pytest

from edgechess_arm_controller.component import Controller
from edgechess_arm_controller.settings import Settings
from edgechess_kit.clock import SeededIds, VirtualClock
from edgechess_kit.component import Context
from edgechess_kit.journal import SqliteJournal
from edgechess_kit.memory_bus import MemoryBroker
from edgechess_kit.messages import ArmControl, ArmJob, ArmState, ArmStatus
from edgechess_kit.topics import Topics
from edgechess_robots.calibration import nominal
from edgechess_robots.dobot.driver import DobotArm
from edgechess_robots.dobot.settings import DobotSettings
from edgechess_twin.arm_wire import WireFaults
from edgechess_twin.dobot_device import DobotDevice
from edgechess_twin.table import Table, TableOptions

pytestmark = pytest.mark.anyio

BEFORE = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1"
AFTER = "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq - 0 1"
DRIVER = DobotSettings(feedback_port=30005, stale_after_s=2.0)  # an arm at rest tells once a second here


class Room:
    """A table with one arm, whose network can be taken away."""

    def __init__(self) -> None:
        self.table = Table(TableOptions(arms=("white",), quiet_feedback_s=1.0))
        self.topics = Topics()
        self.broker = MemoryBroker(self.topics)
        self.settings = Settings(racks={"white": "QQRBN"}, age_limit_s=2.0)
        self.network = True

    async def connect(self, port: int) -> anyio.abc.ByteStream:
        if not self.network:
            raise ConnectionRefusedError("the network is down")
        return await self.table.connect_arm("white", port)

    @property
    def device(self) -> DobotDevice:
        return self.table.dobot("white")

    def shown(self) -> ArmState:
        state = self.broker.retained(self.topics.arm_state)
        assert state is not None
        return state

    def arm(self) -> ArmStatus:
        return self.shown().arms[0]

    async def until_mode(self, *modes: str) -> None:
        with anyio.fail_after(60):
            while self.broker.retained(self.topics.arm_state) is None or self.arm().mode not in modes:  # noqa: ASYNC110
                await anyio.sleep(0.1)

    async def recover(self) -> None:
        control = ArmControl(command="recover", request_id="looked", confirmed_by="somebody")
        await self.broker.client("person").publish(self.topics.arm_control, control)

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        layout = self.settings.layout(("white",))
        calibration = nominal(layout.site("white").base, arm_serial="white", date=datetime.date.min)
        clock = VirtualClock()
        context = Context(
            name="arm-controller",
            settings=self.settings,
            bus=self.broker.client("arm-controller"),
            topics=self.topics,
            journal=SqliteJournal.over(sqlite3.connect(":memory:"), clock),
            clock=clock,
            ids=SeededIds(1),
        )
        controller = Controller(context, {"white": DobotArm("white", self.connect, DRIVER, calibration)})
        async with anyio.create_task_group() as group:
            await group.start(self.table.run)
            await group.start(controller.run)
            await self.until_mode("parked")
            yield
            group.cancel_scope.cancel()


@pytest.mark.parametrize("in_motion", [True, False])
async def test_an_emergency_stop_during_an_outage_waits_for_a_person(in_motion: bool) -> None:
    room = Room()
    async with room.at_work():
        if in_motion:
            job = ArmJob(job_id="j", kind="move", session_id="s", before=BEFORE, after=AFTER, lan="e2e4")
            await room.broker.client("manager").publish(room.topics.arm_job, job)
            await anyio.sleep(3)
            assert room.arm().mode == "moving"
        room.network = False
        room.table.lose_link("white")
        await room.until_mode("offline")
        room.device.press_estop()
        await anyio.sleep(5)
        room.device.release_estop()
        room.network = True
        await room.until_mode("fault")
        assert "alarm 116" in (room.arm().alarm or "")
        rests = room.arm().joints_deg
        await anyio.sleep(120)
        assert room.arm().mode == "fault"
        assert room.arm().joints_deg == rests
        assert room.device.controller.alarms == [116]
        await room.recover()
        await room.until_mode("parked")
        assert room.device.controller.alarms == []


async def test_an_arm_that_only_lost_its_link_comes_home_by_itself() -> None:
    room = Room()
    async with room.at_work():
        job = ArmJob(job_id="j", kind="move", session_id="s", before=BEFORE, after=AFTER, lan="e2e4")
        await room.broker.client("manager").publish(room.topics.arm_job, job)
        await anyio.sleep(3)
        room.network = False
        room.table.lose_link("white")
        await room.until_mode("offline")
        await anyio.sleep(5)
        room.network = True
        await room.until_mode("parked")


async def stopped_in_motion(room: Room, answer_s: float) -> None:
    """An operator's stop, while the controller's answers take so long."""
    job = ArmJob(job_id="j", kind="move", session_id="s", before=BEFORE, after=AFTER, lan="e2e4")
    await room.broker.client("manager").publish(room.topics.arm_job, job)
    await anyio.sleep(3)
    assert room.arm().mode == "moving"
    room.device.wire.faults = WireFaults(slow_reply=1.0, slow_reply_s=answer_s)
    await room.broker.client("operator").publish(room.topics.arm_control, ArmControl(command="stop"))
    await room.until_mode("stopped", "fault")


async def test_a_stop_that_is_acknowledged_late_is_asked_for_again_and_no_emergency() -> None:
    room = Room()
    async with room.at_work():
        await stopped_in_motion(room, 1.6)
        await anyio.sleep(20)
        assert not room.device.controller.emergency
        assert (room.arm().mode, room.arm().alarm) == ("stopped", None)
        room.device.wire.faults = WireFaults()
        await room.recover()
        await room.until_mode("parked")


async def test_after_an_emergency_stop_of_its_own_a_persons_word_is_enough() -> None:
    """Nobody can turn free a button that nobody pressed."""
    room = Room()
    async with room.at_work():
        await stopped_in_motion(room, 12.0)
        await anyio.sleep(60)
        room.device.wire.faults = WireFaults()
        assert room.device.controller.emergency, "only a person's word undoes it"
        await room.recover()
        await room.until_mode("parked")
        assert not room.device.controller.emergency
        assert room.device.controller.alarms == []
