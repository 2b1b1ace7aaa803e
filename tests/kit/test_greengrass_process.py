"""Each component as a process under a nucleus: it starts in any order, says RUNNING, answers, ends in time, comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import pytest

from edgechess_kit.brokerless_bus import BrokerlessBus
from edgechess_kit.greengrass_adapter import IOT_CORE, PUBSUB, IpcBus, NucleusLink
from edgechess_kit.topics import Topics

from .nucleus_rig import Nucleus, running_nucleus

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

PATIENCE_S = 60.0
STOP_S = 10.0  # of the 15 s that a nucleus gives
TOPICS = Topics()
MODULES = {
    "game-manager": "edgechess_game_manager",
    "board-sensor": "edgechess_board_sensor",
    "arm-controller": "edgechess_arm_controller",
    "match-director": "edgechess_match_director",
}
NOWHERE = {"arms": [{"name": "white", "host": "127.0.0.1", "portOffset": "20000"}]}
CONFIGURATION: dict[str, dict[str, Any]] = {
    "game-manager": {"robotEnabled": "false"},
    "board-sensor": {"port": "/dev/no-such-board"},
    "arm-controller": NOWHERE,
    "match-director": {},
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["java", "lite"])
async def nucleus(request: pytest.FixtureRequest) -> AsyncIterator[Nucleus]:
    async with running_nucleus(request.param) as nucleus:
        yield nucleus


@asynccontextmanager
async def process(
    nucleus: Nucleus, name: str, folder: Path, configuration: dict[str, Any] | None = None
) -> AsyncIterator[anyio.abc.Process]:
    """As the nucleus starts it: its environment, its work folder, no arguments."""
    who = nucleus.component(name, CONFIGURATION[name] if configuration is None else configuration)
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("EDGECHESS_")},
        "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": who.socket_path,
        "SVCUID": who.token,
        "AWS_IOT_THING_NAME": who.thing_name,
    }
    (folder / name).mkdir(exist_ok=True)
    with (folder / f"{name}.log").open("ab") as log:
        child = await anyio.open_process(
            [sys.executable, "-m", MODULES[name]], cwd=folder / name, env=environment,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield child
    finally:
        with anyio.CancelScope(shield=True):
            if child.returncode is None:
                child.kill()
            await child.aclose()


async def until(seen: Any) -> None:
    while not seen():  # noqa: ASYNC110  (states, not events)
        await anyio.sleep(0.02)


@asynccontextmanager
async def another(nucleus: Nucleus) -> AsyncIterator[tuple[BrokerlessBus, IpcBus]]:
    """Another component: pub/sub and IoT Core."""
    who = nucleus.component("another")
    async with (
        NucleusLink(who.socket_path, who.token) as link,
        IpcBus(link, PUBSUB, probe="p/t") as pubsub,
        IpcBus(link, IOT_CORE, probe="p/t") as cloud,
        BrokerlessBus(pubsub, TOPICS.status) as edge,
    ):
        yield edge, cloud


async def stopped_in_time(child: anyio.abc.Process) -> None:
    child.send_signal(signal.SIGTERM)
    with anyio.fail_after(STOP_S):
        assert await child.wait() == 0


@pytest.mark.parametrize("name", sorted(MODULES))
async def test_it_runs_answers_health_and_comes_back_from_sigkill(nucleus: Nucleus, name: str, tmp_path: Path) -> None:
    with anyio.fail_after(PATIENCE_S):
        async with another(nucleus) as (edge, _), edge.subscribe(TOPICS.status) as seen:
            for end in ("kill", "term"):
                nucleus.states.clear()
                async with process(nucleus, name, tmp_path) as child:
                    await until(lambda: (name, "RUNNING") in nucleus.states)
                    said: list[str] = []
                    while "ready" not in said and "degraded" not in said:
                        said.append((await anext(seen)).decode(TOPICS.status).status)
                    if end == "kill":
                        child.kill()
                        await child.wait()
                        while said[-1] != "lost":
                            said.append((await anext(seen)).decode(TOPICS.status).status)
                    else:
                        await stopped_in_time(child)
                        while said[-1] != "stopped":
                            said.append((await anext(seen)).decode(TOPICS.status).status)
        log = (tmp_path / f"{name}.log").read_text()
        assert "Traceback" not in log
        assert (tmp_path / name / f"{name}.journal").exists()
        assert "token-of-" not in log
