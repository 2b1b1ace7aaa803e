"""A simulated kill: nothing of a dead process gets out, whatever its clean-up code tries."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable

import anyio
import pytest

from edgechess_cli.power import Power, PowerCut, PoweredBus, PoweredJournal, SimulatedProcess
from edgechess_cli.virtual_time import run_virtual
from edgechess_kit import messages as m
from edgechess_kit.clock import VirtualClock
from edgechess_kit.memory_bus import MemoryBroker
from edgechess_kit.topics import Topics

TOPICS = Topics()
STATUS = m.EdgeStatus(component="x", status="ready")


def in_virtual_time(main: Callable[[], Awaitable[None]]) -> None:
    run_virtual(main, seed=1)


def test_a_killed_process_cleans_nothing_up() -> None:
    seen: list[bytes] = []
    disk = sqlite3.connect(":memory:")

    async def main() -> None:
        broker = MemoryBroker(TOPICS, observer=lambda _sender, _topic, payload: seen.append(payload))

        async def component(power: Power) -> None:
            bus = PoweredBus(broker.client("x"), power)
            journal = PoweredJournal(disk, VirtualClock(), power)
            try:
                await bus.publish(TOPICS.status, STATUS)
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await bus.publish(TOPICS.status, m.EdgeStatus(component="x", status="stopped"))
                journal.append("goodbye", {})

        process = SimulatedProcess("x", component, restart_s=1.0)
        async with anyio.create_task_group() as tasks:
            await tasks.start(process.run)
            await anyio.sleep(0.5)
            process.kill()
            await anyio.sleep(0.5)
            assert len(seen) == 1, "clean-up code of a dead process reached the broker"
            await anyio.sleep(1.0)
            assert process.kills == 1
            assert len(seen) == 2, "it did not come back"
            process.kill()  # cancelling would let the second life clean up, as SIGTERM does
            tasks.cancel_scope.cancel()

    in_virtual_time(main)
    assert disk.execute("SELECT count(*) FROM entry").fetchone() == (0,)


@pytest.mark.parametrize(("after_effect", "entries"), [(False, 1), (True, 2)])
def test_a_kill_hits_the_chosen_effect_before_or_after_it(after_effect: bool, entries: int) -> None:
    disk = sqlite3.connect(":memory:")

    async def main() -> None:
        power = Power()
        journal = PoweredJournal(disk, VirtualClock(), power)
        power.cut_at(2, after_effect=after_effect)
        journal.append("first", {})
        with pytest.raises(PowerCut):
            journal.append("second", {})
        with pytest.raises(PowerCut):
            journal.append("third", {})

    in_virtual_time(main)
    assert disk.execute("SELECT count(*) FROM entry").fetchone() == (entries,)


def test_a_process_that_ends_by_itself_is_an_error() -> None:
    async def main() -> None:
        async def component(_power: Power) -> None:
            await anyio.sleep(0.1)

        with pytest.raises(RuntimeError, match="ended by itself"):
            await SimulatedProcess("x", component, restart_s=1.0).run()

    in_virtual_time(main)
