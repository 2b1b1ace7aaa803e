"""The arm controller as a process with real sockets: what its arms do when it is killed, and when it is told to end."""

from __future__ import annotations

import dataclasses
import datetime
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.abc
import chess
import msgspec
import pytest

from edgechess_cli.arm_access import twin_arm
from edgechess_cli.match_folder import write_toml
from edgechess_kit.broker import running_broker
from edgechess_kit.clock import SystemClock
from edgechess_kit.journal import SqliteJournal
from edgechess_kit.messages import ArmJob, ArmState, ArmStatus
from edgechess_kit.mqtt_adapter import MqttBus
from edgechess_kit.settings import BusSettings
from edgechess_kit.topics import Topics
from edgechess_robots import calibration
from edgechess_robots.layout import standard_layout
from edgechess_twin.serve import serve
from edgechess_twin.table import Table, TableOptions

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
SPEED = 5.0  # of the twin; the arm is told to go slowly, so that there is time to kill it
START_S = 90.0  # a cold arm, a cold interpreter, a small machine
TOPICS = Topics()
E4 = ArmJob(
    job_id="j1",
    kind="move",
    session_id="s",
    before=chess.STARTING_FEN,
    after="rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq - 0 1",
    lan="e2e4",
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclasses.dataclass
class Served:
    """A served twin, a broker, and the controller's process."""

    table: Table
    bus: MqttBus
    process: anyio.abc.Process

    async def until(self, wanted: Callable[[ArmStatus], bool]) -> ArmState:
        """The first state in which White's arm is so."""
        with anyio.fail_after(START_S):
            async with self.bus.subscribe(TOPICS.arm_state) as states:
                async for delivery in states:
                    state = delivery.decode(TOPICS.arm_state)
                    if wanted(state.arms[0]):
                        return state
        raise AssertionError("the bus was closed")

    async def in_mid_motion(self) -> None:
        """White's arm is ready, has its dead man, and is on a long way."""
        state = await self.until(lambda arm: arm.mode == "parked")
        assert state.arms[0].dead_man is True
        home = self.tip()
        await self.bus.publish(TOPICS.arm_job, E4)
        with anyio.fail_after(START_S):
            while True:
                if math.dist(home, self.tip()) > 30.0:
                    return
                await anyio.sleep(0.02)

    def tip(self) -> tuple[float, ...]:
        return tuple(self.table.world.tip("white"))


@pytest.fixture
def folder() -> Iterator[Path]:
    """The path of a socket has room for 107 bytes, and pytest's own folders nearly fill them."""
    with tempfile.TemporaryDirectory() as short:
        yield Path(short)


@asynccontextmanager
async def served(folder: Path, **settings: object) -> AsyncIterator[Served]:
    table = Table(TableOptions(speed=SPEED, arms=("white",)))
    async with (
        anyio.create_task_group() as tasks,
        running_broker(None, "auto") as broker,
        MqttBus(BusSettings(broker=broker), "test") as bus,
    ):
        await tasks.start(table.run)
        async with serve(table, directory=folder / "twin") as devices:
            address = dataclasses.asdict(devices.arm_addresses["white"])
            arm = twin_arm("white", address, folder)
            base = (
                standard_layout(arms=("white",)).site("white").base
            )  # the twin hides an error of millimetres: no matter here
            calibration.save(
                calibration.nominal(base, arm_serial="white", date=datetime.date(2024, 1, 1)), Path(arm.calibration)
            )
            config = folder / "config.toml"
            told = {key: value for key, value in msgspec.to_builtins(arm).items() if value not in (None, {}, "")}
            write_toml(
                config,
                {
                    "bus": {"broker": broker},
                    "journal": {"path": str(folder / "journal")},
                    "arm-controller": {"arms": [told], **settings},
                },
            )
            process = await anyio.open_process(
                [sys.executable, "-m", "edgechess_arm_controller", "--config", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=None,
                stderr=None,
            )
            try:
                yield Served(table, bus, process)
            finally:
                if process.returncode is None:
                    process.kill()
                with anyio.CancelScope(shield=True):
                    await process.aclose()
        tasks.cancel_scope.cancel()


async def test_an_arm_stands_within_a_second_of_the_controllers_death(folder: Path) -> None:
    async with served(folder, speed_mm_s=30.0) as it:
        await it.in_mid_motion()
        moving = it.tip()
        os.kill(it.process.pid, signal.SIGKILL)
        await anyio.sleep(1.0)
        stood = it.tip()
        assert 0.0 < math.dist(moving, stood) < 100.0
        await anyio.sleep(1.0)
        assert it.tip() == stood, "it goes on with what its controller had queued"
        assert it.table.dobot("white").controller.active is None


async def test_told_to_end_it_puts_the_piece_down_and_parks_first(folder: Path) -> None:
    async with served(folder) as it:
        await it.in_mid_motion()
        assert it.table.dobot("white").controller.active is not None
        it.process.terminate()
        with anyio.fail_after(START_S):
            assert await it.process.wait() == 0
        state = await it.until(lambda arm: arm.mode in ("parked", "offline"))
        assert state.lease_holder is None
        assert it.table.dobot("white").controller.active is None
        assert it.table.world.placement().fen.startswith("rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/")
    journal = SqliteJournal(folder / "journal", SystemClock())
    assert [entry.kind for entry in journal.entries(session_id="s")] == [
        "table-reset", "job-accepted", "grasping", "placed", "job-ended",
    ]  # fmt: skip
    journal.close()


async def test_told_twice_it_ends_at_once_and_the_arm_stands(folder: Path) -> None:
    async with served(folder, speed_mm_s=30.0) as it:
        await it.in_mid_motion()
        it.process.terminate()
        await anyio.sleep(0.3)
        it.process.terminate()
        with anyio.fail_after(10.0):
            assert await it.process.wait() == 0
        stood = it.tip()
        await anyio.sleep(0.5)
        assert it.tip() == stood
        assert it.table.dobot("white").controller.active is None
