"""Deployment documents: those of the repository are good, the bridge carries what is needed, mistakes are found."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgechess_cli.component_catalogue import CATALOGUE, KIT_SETTINGS, OF_EVERY_COMPONENT, room_of
from edgechess_cli.deployment_check import AUTH, check_deployment
from edgechess_cli.findings import Findings
from edgechess_cli.recipe_rights import heard, said
from edgechess_kit.settings import load
from edgechess_kit.topics import Topics
from edgechess_nucleus.bridge import NAME as BRIDGE
from edgechess_nucleus.documents import read_document
from edgechess_nucleus.topic_filter import is_topic

from .conftest import RECIPES

DEPLOYMENTS = RECIPES / "deployments"
CLIENTS = DEPLOYMENTS / "client-devices.yaml"
TOPICS = Topics()
ROOMS = {room.short: room for room in CATALOGUE}
ON_THE_CORE, AS_CLIENTS = ("GameManager", "MatchDirector"), {"Board": "BoardSensor", "Arms": "ArmController"}

Found = Callable[[str], list[str]]


def merged(component: str) -> Any:
    return read_document(CLIENTS).data()["components"][component]["configurationUpdate"]["merge"]


@pytest.fixture
def found(tmp_path: Path) -> Found:
    def check(text: str) -> list[str]:
        path = tmp_path / "deployment.yaml"
        path.write_text(text, encoding="utf-8")
        findings = Findings()
        check_deployment(path, RECIPES, findings)
        return [str(finding).removeprefix(f"{path}:") for finding in findings.sorted()]

    return check


@pytest.mark.parametrize("path", sorted(DEPLOYMENTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_those_of_the_repository_are_good(path: Path, found: Found) -> None:
    assert found(path.read_text(encoding="utf-8")) == []


def test_the_bridge_carries_what_is_said_on_one_side_and_heard_on_the_other() -> None:
    def names(which: Any, shorts: Any) -> set[str]:
        return {topic.name for short in shorts for topic in which(ROOMS[short], TOPICS)}

    observed = {getattr(TOPICS, name).name for name in OF_EVERY_COMPONENT}
    to_core = names(said, AS_CLIENTS.values()) & (names(heard, ON_THE_CORE) | observed)
    to_clients = names(said, ON_THE_CORE) & names(heard, AS_CLIENTS.values())
    routes = {(entry["topic"], entry["source"]) for entry in merged(BRIDGE)["mqttTopicMapping"].values()}
    assert routes == {(name, "LocalMqtt") for name in to_core} | {(name, "Pubsub") for name in to_clients}


@pytest.mark.parametrize(("policy", "short"), AS_CLIENTS.items())
def test_client_policies_allow_what_the_component_does(policy: str, short: str) -> None:
    statements = merged(AUTH)["deviceGroups"]["policies"][policy]
    room = ROOMS[short]
    assert set(statements["Say"]["resources"]) == {f"mqtt:topic:{one.name}" for one in said(room, TOPICS)}
    assert set(statements["Hear"]["resources"]) == {f"mqtt:topicfilter:{one.name}" for one in heard(room, TOPICS)}
    for resource in (*statements["Say"]["resources"], *statements["Hear"]["resources"]):
        assert is_topic(resource.partition(":")[2].partition(":")[2])


@pytest.mark.parametrize("short", AS_CLIENTS.values())
def test_the_settings_of_client_devices_can_be_read(short: str) -> None:
    room = room_of(short)
    assert room is not None
    path = DEPLOYMENTS / f"{room.bus_name}.toml"
    sections = tomllib.loads(path.read_text(encoding="utf-8"))
    for section, kind in {**KIT_SETTINGS, room.bus_name: room.settings()}.items():
        load(kind, section=section, file=path, env={})
    assert sections["transport"]["bridged"]
    things = merged(AUTH)["deviceGroups"]["definitions"]
    assert f"thingName: {sections['bus']['client_id']}" in {group["selectionRule"] for group in things.values()}


MISTAKES = {
    "no such setting": ("robotEnabled: true", "robotsEnabled: true", "game-manager: robotsEnabled: the code reads no"),
    "value": ("robotEnabled: true", "boardAttempts: 99", "game-manager.board_attempts"),
    "version": ("componentVersion: 0.1.0\n    configurationUpdate", "componentVersion: ^0.1.0\n    configurationUpdate", "the cloud takes one exact version"),
    "unknown version": ("componentVersion: 0.1.0", "componentVersion: 9.9.9", "no such recipe"),
    "rights": ("robotEnabled: true", "transport: {cloud: pubsub}", "needs PublishToTopic on robo-chess/cloud/response"),
    "prefix": ("robotEnabled: true", "bus: {prefix: other}", "needs PublishToTopic on other/"),
    "shadow": ("robotEnabled: true", "coreDeviceMainNamedShadow: chess", "needs GetThingShadow on $aws/things"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_in_what_is_merged(case: str, found: Found) -> None:
    old, new, expected = MISTAKES[case]
    text = (DEPLOYMENTS / "one-core.yaml").read_text(encoding="utf-8")
    assert old in text
    told = found(text.replace(old, new, 1))
    assert any(expected in line for line in told), told


CLIENT_MISTAKES = {
    "every device": ("thingName: edgechess-board", "thingName: *", "selectionRule takes every client device"),
    "no policy": ("policyName: Board", "policyName: Bored", "policyName Bored: no such policy"),
    "wildcard": ("mqtt:topic:robo-chess/devices/board/state", "*", "client policy Board: * is a wildcard"),
    "no resource": ("mqtt:topic:robo-chess/devices/board/state", "robo-chess/x", "client policy Board: robo-chess/x is no"),
    "carried both ways": ("robo-chess/edge/session/state, source: Pubsub, target: LocalMqtt}", "robo-chess/edge/status, source: Pubsub, target: LocalMqtt}", "it goes round"),
    "carried wildcard": ("{topic: robo-chess/edge/status,", "{topic: robo-chess/edge/+,", "is a wildcard"),
    "thing name": ("interpolateComponentConfiguration: true", "interpolateComponentConfiguration: false", "the Java nucleus puts no name there"),
}  # fmt: skip


@pytest.mark.parametrize("case", CLIENT_MISTAKES)
def test_a_mistake_about_client_devices(case: str, found: Found) -> None:
    old, new, expected = CLIENT_MISTAKES[case]
    text = CLIENTS.read_text(encoding="utf-8")
    assert old in text
    told = found(text.replace(old, new, 1))
    assert any(expected in line for line in told), told


def test_what_the_cloud_has_as_json_text_is_checked_too(found: Found) -> None:
    text = "components:\n  io.edgechess.GameManager:\n    componentVersion: 0.1.0\n    configurationUpdate:\n"
    told = found(text + """      merge: '{"robotsEnabled": true}'\n""")
    assert told == ["5:14: game-manager: robotsEnabled: the code reads no such setting; write robotEnabled"]
