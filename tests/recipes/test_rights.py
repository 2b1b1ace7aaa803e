"""Each component under the runtime's own authorization: all that its code does is allowed, and nothing else."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import anyio
import pytest

from edgechess_cli.component_catalogue import CATALOGUE, Room
from edgechess_cli.recipe_rights import heard, probe, said
from edgechess_kit.errors import IpcRefused
from edgechess_kit.greengrass_adapter import IOT_CORE, PUBSUB, NucleusLink, Service
from edgechess_kit.topics import Topics
from edgechess_nucleus.configuration import Configuration, KeyPath
from edgechess_nucleus.flavour import FLAVOURS
from edgechess_nucleus.host import ReportedState
from edgechess_nucleus.iot_core import IotMessage, QoS
from edgechess_nucleus.ipc_server import IpcServer
from edgechess_nucleus.recipe import read_recipe
from edgechess_nucleus.secrets import FileSecrets

from .conftest import RECIPES

pytestmark = pytest.mark.anyio

FlavourName = Literal["java", "lite"]
TOPICS = Topics()
OUTSIDE = ["robo-chess/devices/arm/other", "robo-chess", "other/edge/status", "robo-chess/edge/status/more", "#"]
Asked = tuple[str, str, str]  # service, "publish" or "subscribe", topic


@dataclasses.dataclass
class Host:
    """One component, with the configuration that its recipe gives it."""

    name: str
    tree: Configuration
    thing_name: str = "core-1"
    region: str = "eu-central-1"
    secrets: FileSecrets = dataclasses.field(default_factory=FileSecrets)

    def component_of(self, token: str) -> str | None:
        return self.name if token == "token" else None

    def configuration(self, component: str) -> Configuration | None:
        return self.tree if component == self.name else None

    def configuration_changed(self, component: str, changed: Sequence[KeyPath]) -> None:
        return

    def report_state(self, component: str, state: ReportedState) -> None:
        return


class Silent:
    """IoT Core's place: takes everything, says nothing."""

    def publish(self, message: IotMessage) -> None:
        return

    async def subscribe(self, topic_filter: str, qos: QoS, receive: object) -> Silent:
        return self

    def end(self) -> None:
        return


@asynccontextmanager
async def linked(room: Room, flavour: FlavourName) -> AsyncIterator[NucleusLink]:
    """The stock client, connected to the runtime's server as this component."""
    recipe = read_recipe(RECIPES / f"io.edgechess.{room.short}.yaml")
    assert recipe.defaults is not None
    ways = FLAVOURS[flavour]
    tree = Configuration(recipe.defaults.data(lose_types=ways.yaml_scalars_are_text), fold_case=ways.fold_case)
    folder = Path(tempfile.mkdtemp(prefix="ec-"))  # short: a Unix socket's path has 108 bytes
    try:
        async with anyio.create_task_group() as tasks:
            server = IpcServer(Host(recipe.name, tree), flavour=flavour, broker=Silent())  # type: ignore[arg-type]
            await tasks.start(server.serve, folder / "ipc")
            async with NucleusLink(os.fspath(folder / "ipc"), "token") as link:
                yield link
            tasks.cancel_scope.cancel()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def allowed(link: NucleusLink, service: Service, topic: str) -> list[str]:
    """Which of "publish" and "subscribe" the runtime lets it do."""
    found = []
    with contextlib.suppress(IpcRefused):
        await link.call(service.publish, service.message(topic, b"{}", "1"))
        found.append("publish")
    stream = link.stream(service.subscribe, service.interest(topic), lambda event: None)
    with contextlib.suppress(IpcRefused), anyio.fail_after(20.0):
        await stream.active()
        found.append("subscribe")
    stream.end()
    return found


def needed(room: Room) -> set[Asked]:
    """From the catalogue, which `test_catalogue` proves by the code: cloud topics over IoT Core, all else on the core."""
    rights: set[Asked] = set()
    for word, topics in (("publish", said(room, TOPICS)), ("subscribe", heard(room, TOPICS))):
        for topic in topics:
            rights.add((IOT_CORE.name if topic.side == "cloud" else PUBSUB.name, word, topic.name))
    for service in {service for service, word, _ in rights if word == "subscribe"}:
        rights |= {(service, "publish", probe(room, TOPICS)), (service, "subscribe", probe(room, TOPICS))}
    return rights


@pytest.mark.parametrize("flavour", ["java", "lite"])
@pytest.mark.parametrize("room", CATALOGUE, ids=lambda room: room.short)
async def test_what_it_needs_and_nothing_else(room: Room, flavour: FlavourName) -> None:
    every = {value.name for name, value in vars(TOPICS).items() if name != "prefix"}
    every |= {probe(one, TOPICS) for one in CATALOGUE} | set(OUTSIDE)
    granted: set[Asked] = set()
    async with linked(room, flavour) as link:
        for service in (PUBSUB, IOT_CORE):
            for topic in sorted(every):
                granted |= {(service.name, word, topic) for word in await allowed(link, service, topic)}
    assert granted == needed(room)


async def test_a_publish_outside_its_topics_is_refused() -> None:
    async with linked(CATALOGUE[0], "java") as link:
        request = PUBSUB.message(TOPICS.arm_control.name, b"{}", "1")
        with pytest.raises(IpcRefused, match="not authorized"):
            await link.call(PUBSUB.publish, request)
