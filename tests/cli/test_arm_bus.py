"""`edgechess arm state | stop | park | recover | list`: over a bus, and what they say."""

from __future__ import annotations

import json
from typing import Any

import anyio
import anyio.abc
import pytest

from edgechess_cli.arm_bus import ask_arms, state_text
from edgechess_kit import messages as m
from edgechess_kit.bus import Bus
from edgechess_kit.memory_bus import MemoryBroker
from edgechess_kit.topics import Topics


def test_arms_are_told_as_they_are_measured() -> None:
    arms = m.ArmState(
        arms=(
            m.ArmStatus(name="white", kind="dobot", mode="stopped", holding="N", tool_mm=(10.0, -20.4, 130.0)),
            m.ArmStatus(name="black", kind="ro1", mode="parked", parked=True, alarm="its brakes are engaged"),
        ),
        stopped=True,
        lease_token=7,
        lease_holder="white",
        job_id="job-1",
        step="1 of 2",
    )
    lines = state_text(arms).splitlines()
    assert lines[0].split() == ["white", "dobot", "stopped", "10", "-20", "130", "mm", "holds", "N"]
    assert lines[1].endswith("its brakes are engaged")
    assert "edgechess arm recover --confirmed-by NAME" in lines[2]
    assert lines[3:] == ["job job-1: 1 of 2", "lease 7: white"]


@pytest.mark.anyio
async def test_only_the_own_answer_counts() -> None:
    topics = Topics()
    broker = MemoryBroker(topics)

    async def controller(bus: Bus, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        async with bus.subscribe(topics.arm_control) as orders:
            task_status.started()
            async for delivery in orders:
                order = delivery.decode(topics.arm_control)
                for request_id in ("another", order.request_id):
                    await bus.publish(
                        topics.arm_control_response,
                        m.ArmControlResponse(status=200, command=order.command, request_id=request_id),
                    )

    async with anyio.create_task_group() as tasks:
        await tasks.start(controller, broker.client("arm-controller"))
        with anyio.fail_after(5):
            answer = await ask_arms(broker.client("cli"), topics, m.ArmControl(command="park", request_id="mine"))
        tasks.cancel_scope.cancel()
    assert answer.request_id == "mine"


def test_recovery_demands_a_person(edgechess: Any) -> None:
    for words in ((), ("--confirmed-by", "  ")):
        result = edgechess("arm", "recover", *words)
        assert result.code == 2
        assert "--confirmed-by NAME" in result.err


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("verb", [("state",), ("stop",), ("park",), ("recover", "--confirmed-by", "Ann")])
def test_without_a_broker_each_says_so(verb: tuple[str, ...], edgechess: Any) -> None:
    result = edgechess("arm", *verb, "--broker", "mqtt://127.0.0.1:9")
    assert result.code == 6
    assert result.err.startswith(f"edgechess arm {verb[0]}: no broker answers at mqtt://127.0.0.1:9")


def test_the_installed_kinds_are_listed(edgechess: Any) -> None:
    told = edgechess("arm", "list").out
    assert "Standard Bots RO1" in told
    assert "stops when we die" in told
    kinds = {row["name"]: row for row in map(json.loads, edgechess("arm", "list", "--json").out.splitlines())}
    assert kinds["dobot"]["capabilities"]["guided_by_request"] is True
    assert kinds["ro1"]["limits"]["tool_speed_mm_s"] == 750.0
