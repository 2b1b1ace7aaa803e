"""The whole runtime in this process: what it keeps from one start to the next, and deployments while it runs."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from edgechess_kit import greengrass_host
from edgechess_kit.greengrass_environment import environment
from edgechess_kit.greengrass_host import GreengrassHost
from edgechess_kit.messages import SessionState
from edgechess_nucleus import runtime
from edgechess_nucleus.artifacts import FolderSource
from edgechess_nucleus.control import DeployDocument, order
from edgechess_nucleus.local_nucleus import LocalNucleus, NucleusOptions
from edgechess_nucleus.pubsub import LocalMessage
from edgechess_nucleus.runtime import Runtime

from .runtime_rig import PATIENT_S, Rig

pytestmark = pytest.mark.anyio

SHADOW = "$aws/things/edgechess-local/shadow/name/robo-chess"
TELLS_ITS_ENVIRONMENT = "run: env; exec sleep 600"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """Not in pytest's folder: the path of a Unix socket has room for 107 bytes."""
    monkeypatch.setattr(runtime, "STEADY_S", 0.1)
    monkeypatch.setattr(greengrass_host, "ASK_AGAIN_S", 0.2)
    monkeypatch.setattr(greengrass_host, "SETTLE_S", 0.05)
    folder = Path(tempfile.mkdtemp(prefix="ec-"))
    yield Rig(folder)
    shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def nucleus(rig: Rig, *names: str, text: str = "") -> AsyncIterator[tuple[LocalNucleus, Runtime]]:
    options = NucleusOptions(
        flavour=rig.flavour, recipes=rig.recipes, artifacts=FolderSource(None), iot_core=None, local_mqtt=None,
        echo=rig.echo, observe=rig.observe, amend=lambda document: document, say=rig.steps.append,
    )  # fmt: skip
    local = LocalNucleus(rig.deployment(*names, text=text), rig.root, options)
    with rig.root.locked():
        async with anyio.create_task_group() as tasks:
            yield local, await tasks.start(local.run)
            tasks.cancel_scope.cancel()


async def test_shadows_outlive_the_runtime(rig: Rig) -> None:
    rig.recipe("a.One", "run: exec sleep 600")
    heard: list[dict[str, Any]] = []

    def ask(local: LocalNucleus, verb: str, payload: bytes = b"") -> None:
        local.topics.attach(f"{SHADOW}/{verb}/accepted", "test", lambda said: heard.append(json.loads(said.payload)))
        local.topics.publish(LocalMessage(f"{SHADOW}/{verb}", payload, False, "a.One"))

    async with nucleus(rig, "a.One") as (local, _):
        ask(local, "update", b'{"state": {"desired": {"lan": "e2e4"}}}')
    async with nucleus(rig, "a.One") as (local, _):
        ask(local, "get")
        assert (heard[-1]["state"]["desired"], heard[-1]["version"]) == ({"lan": "e2e4"}, 1)
        ask(local, "update", b'{"state": {"desired": {"lan": "e7e5"}}}')
        assert heard[-1]["version"] == 2


async def test_a_component_of_the_kit_hears_of_its_configuration_and_puts_a_deployment_off(rig: Rig) -> None:
    """Through the socket and the stock client, on both sides."""
    rig.recipe("a.One", TELLS_ITS_ENVIRONMENT)
    rig.recipe("a.Two", "run: exec sleep 600")
    async with nucleus(rig, "a.One") as (_, running):
        await rig.reached("a.One", "RUNNING")
        await rig.until(lambda: any(line.startswith("SVCUID=") for line in rig.said("a.One")))
        known = dict(line.split("=", 1) for line in rig.said("a.One") if "=" in line)
        with anyio.fail_after(PATIENT_S):
            async with GreengrassHost(environment(known)) as host:
                await host.configuration()
                await anyio.sleep(0.2)  # the subscriptions are other calls
                host.observe(SessionState(status="running", phase="arm"))
                text = "components:\n  a.One: {configurationUpdate: {merge: {port: 3}}}\n  a.Two: {}\n"
                request = DeployDocument(str(rig.document(text=text, file="next.yaml")))
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(order, rig.root.control_socket, request, lambda step: None)
                    while not rig.steps:  # noqa: ASYNC110 - a line from another task
                        await anyio.sleep(0.01)
                    assert "a.One puts it off, to be asked again in" in rig.steps[0]
                    assert "a move is under way" in rig.steps[0]
                    assert [status.name for status in running.status()] == ["a.One"]
                    host.observe(SessionState(status="running"))
                    await host.configuration_changed()
                assert (await host.configuration())["port"] == 3
        assert [status.name for status in running.status()] == ["a.One", "a.Two"]
