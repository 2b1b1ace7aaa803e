"""What the catalogue says of each component is what its code does: read from the sources, and seen when it runs."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgechess_cli.component_catalogue import CATALOGUE, OF_EVERY_COMPONENT, Room
from edgechess_cli.match_options import MatchOptions
from edgechess_cli.recipe_rights import heard, said
from edgechess_cli.virtual_match import play_virtual
from edgechess_kit.memory_bus import MemoryBus
from edgechess_kit.topics import Topic, Topics

Traffic = dict[str, dict[str, set[str]]]

TOPICS = {name for name, value in vars(Topics()).items() if name != "prefix"}
SENDERS = {"publish", "put", "send", "_send", "_publish"}  # what components and the kit call to say something


def sources(room: Room) -> Iterator[ast.Module]:
    package = importlib.import_module(room.package)
    assert package.__file__ is not None
    for path in sorted(Path(package.__file__).parent.rglob("*.py")):
        yield ast.parse(path.read_text(encoding="utf-8"))


def topic_of(node: ast.AST) -> str | None:
    return node.attr if isinstance(node, ast.Attribute) and node.attr in TOPICS else None


def said_in(tree: ast.Module) -> set[str]:
    """Topics that are the first argument of something that sends; `topic = ….x` and then `publish(topic, …)` too."""
    found = set()
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        named = {
            node.targets[0].id: topic_of(node.value)
            for node in ast.walk(function)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SENDERS:
                for argument in node.args[:1]:
                    name = topic_of(argument)
                    name = named.get(argument.id) if isinstance(argument, ast.Name) else name
                    found |= {name} if name else set()
    return found


def named_in(tree: ast.Module) -> set[str]:
    """Every topic that is mentioned as `topics.x`, `t.x` or `self._topics.x`."""
    found = set()
    for node in ast.walk(tree):
        name = topic_of(node)
        if name is not None and isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value)
            if owner == "t" or owner.endswith("topics"):
                found.add(name)
    return found


@pytest.mark.parametrize("room", CATALOGUE, ids=lambda room: room.short)
def test_what_a_component_says_is_what_its_code_sends(room: Room) -> None:
    said = set().union(*map(said_in, sources(room)))
    assert said == set(room.says)


@pytest.mark.parametrize("room", CATALOGUE, ids=lambda room: room.short)
def test_every_topic_that_the_code_names_is_said_or_heard(room: Room) -> None:
    named = set().union(*map(named_in, sources(room)))
    assert named - set(OF_EVERY_COMPONENT) == (set(room.says) | set(room.hears)) - set(OF_EVERY_COMPONENT)


@pytest.fixture(scope="module")
def game() -> Traffic:
    """Two plies of a whole game in virtual time, as every component's bus saw it."""
    traffic: Traffic = {"said": {}, "heard": {}}
    publish, subscribe = MemoryBus.publish, MemoryBus.subscribe

    async def noted_publish(self: MemoryBus, topic: Topic[Any], message: Any) -> None:
        traffic["said"].setdefault(self.name, set()).add(topic.name)
        await publish(self, topic, message)

    def noted_subscribe(self: MemoryBus, *topics: Topic[Any]) -> Any:
        traffic["heard"].setdefault(self.name, set()).update(topic.name for topic in topics)
        return subscribe(self, *topics)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryBus, "publish", noted_publish)
        patch.setattr(MemoryBus, "subscribe", noted_subscribe)
        play_virtual(MatchOptions("random", "random", "virtual", 1, "none", max_plies=2, node_players=("random",)))
    return traffic


@pytest.mark.parametrize("room", CATALOGUE, ids=lambda room: room.short)
def test_a_game_uses_what_the_catalogue_says(room: Room, game: Traffic) -> None:
    topics = Topics()
    if room.bus_name not in game["said"]:
        pytest.skip(f"no {room.short} plays in a match without one")
    assert game["heard"][room.bus_name] == {topic.name for topic in heard(room, topics)}
    assert game["said"][room.bus_name] <= {topic.name for topic in said(room, topics)}
