"""How often the arms are shown: what happens at once, where an arm on its way is as often as it is set."""

from __future__ import annotations

import sqlite3

import anyio
import pytest

from edgechess_arm_controller.outgoing import Outgoing
from edgechess_arm_controller.settings import Settings
from edgechess_kit.clock import SeededIds, VirtualClock
from edgechess_kit.component import Context
from edgechess_kit.journal import SqliteJournal
from edgechess_kit.memory_bus import MemoryBroker
from edgechess_kit.messages import ArmState, ArmStatus
from edgechess_kit.topics import Topics

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("motion_gap_s", "places"), [(0.5, 20), (2.0, 5)])
async def test_what_happens_is_shown_at_once_and_places_now_and_then(motion_gap_s: float, places: int) -> None:
    topics = Topics()
    shown: list[tuple[float, ArmState]] = []
    broker = MemoryBroker(
        topics, lambda _who, _topic, payload: shown.append((anyio.current_time(), topics.arm_state.decode(payload)))
    )
    clock = VirtualClock()
    context = Context(
        name="arm-controller",
        settings=Settings(motion_gap_s=motion_gap_s),
        bus=broker.client("arm-controller"),
        topics=topics,
        journal=SqliteJournal.over(sqlite3.connect(":memory:"), clock),
        clock=clock,
        ids=SeededIds(1),
    )
    arm = ArmStatus(name="white", kind="dobot", mode="moving")
    now = [ArmState(arms=(arm,), at=0.0)]
    outgoing = Outgoing(context, lambda: now[0])
    async with anyio.create_task_group() as group:
        group.start_soon(outgoing.run_state)
        began = anyio.current_time()
        for step in range(100):  # ten seconds
            await anyio.sleep(0.1)
            mode = "moving" if step < 52 else "idle"
            moved = ArmStatus(name="white", kind="dobot", mode=mode, tool_mm=(float(step), 0.0, 0.0))
            now[0] = ArmState(arms=(moved,), at=0.0)
            outgoing.changed()
        group.cancel_scope.cancel()
    assert places - 1 <= len(shown) <= places + 2
    idle = next(at for at, state in shown if state.arms[0].mode == "idle") - began
    assert idle <= 5.3 + 0.5 + 1e-6
