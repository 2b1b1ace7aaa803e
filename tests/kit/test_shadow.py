"""Shadows on AWS's reserved topics, against a service that keeps AWS's rules, and the one in memory."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest

from edgechess_kit.clock import SeededIds
from edgechess_kit.errors import ShadowError
from edgechess_kit.memory_bus import MemoryBroker
from edgechess_kit.shadow import ANSWER_TIMEOUT_S, BusShadow, MemoryShadow, ShadowDocument, merge, open_shadow
from edgechess_kit.topics import Topic

pytestmark = pytest.mark.anyio

BASE = "$aws/things/core-1/shadow/name/robo-chess"


class Raw(msgspec.Struct):
    """Any JSON object, for topics of foreign making."""


def raw(name: str) -> Topic[Any]:
    return Topic(name, Raw)


@asynccontextmanager
async def service(broker: MemoryBroker, answers: list[tuple[str, dict[str, Any]]]) -> AsyncIterator[list[Any]]:
    """Answers each request with the next of `answers` (topic suffix, body), its clientToken added; yields requests."""
    requests: list[Any] = []

    async def serve() -> None:
        async with broker.client("cloud").subscribe(raw(f"{BASE}/update"), raw(f"{BASE}/get")) as asked:
            async for delivery in asked:
                request = json.loads(delivery.payload)
                requests.append((delivery.topic.removeprefix(f"{BASE}/"), request))
                for suffix, body in answers.pop(0) if isinstance(answers[0], list) else [answers.pop(0)]:
                    filled = {"clientToken": request["clientToken"], **body}
                    broker.inject("cloud", f"{BASE}/{suffix}", json.dumps(filled).encode())

    async with anyio.create_task_group() as group:
        group.start_soon(serve)
        await anyio.sleep(0.01)
        yield requests
        group.cancel_scope.cancel()


def shadow(broker: MemoryBroker) -> BusShadow:
    opened = open_shadow(broker.client("core"), SeededIds(1), thing_name="core-1", shadow_name="robo-chess")
    assert isinstance(opened, BusShadow)
    return opened


async def test_an_update_is_published_and_awaited(broker: MemoryBroker) -> None:
    accepted = ("update/accepted", {"state": {"desired": {"gameRequest": {}}}, "version": 1, "timestamp": 1700000000})
    async with service(broker, [accepted]) as requests:
        await shadow(broker).update(desired={"gameRequest": {"lan": "e2e4", "old": None}})
    [(suffix, request)] = requests
    assert suffix == "update"
    assert request["state"] == {"desired": {"gameRequest": {"lan": "e2e4", "old": None}}}
    assert len(request["clientToken"]) <= 64


async def test_a_document_is_fetched(broker: MemoryBroker) -> None:
    body = {"state": {"desired": {"a": 1}, "reported": {"b": 2}, "delta": {"a": 1}}, "version": 7, "metadata": {}}
    async with service(broker, [("get/accepted", body)]):
        assert await shadow(broker).get() == ShadowDocument({"a": 1}, {"b": 2}, 7)


async def test_no_document_yet(broker: MemoryBroker) -> None:
    async with service(broker, [("get/rejected", {"code": 404, "message": "No shadow exists"})]):
        assert await shadow(broker).get() == ShadowDocument({}, {}, 0)


async def test_a_refusal_is_told(broker: MemoryBroker) -> None:
    async with service(broker, [("update/rejected", {"code": 413, "message": "too large"})]):
        with pytest.raises(ShadowError, match="refused with 413: too large"):
            await shadow(broker).update(reported={"x": 1})


async def test_answers_to_others_and_nonsense_are_passed_over(broker: MemoryBroker) -> None:
    answers: Any = [
        [
            ("update/accepted", {"clientToken": "another", "state": {}, "version": 1}),
            ("update/rejected", {"clientToken": "another", "code": 409}),
            ("update/accepted", {"state": 3}),
            ("update/accepted", {"state": {}, "version": 2}),
        ]
    ]
    async with service(broker, answers):
        await shadow(broker).update(reported={"x": 1})


async def test_silence_has_an_end(broker: MemoryBroker, anyio_backend_name: str) -> None:
    if anyio_backend_name == "asyncio":
        pytest.skip("virtual time only")
    started_s = anyio.current_time()
    with pytest.raises(ShadowError, match="no answer"):
        await shadow(broker).update(reported={"x": 1})
    assert anyio.current_time() - started_s == pytest.approx(ANSWER_TIMEOUT_S, abs=0.01)


async def test_deltas_are_heard(broker: MemoryBroker) -> None:
    async with shadow(broker).deltas() as deltas:
        broker.inject("cloud", f"{BASE}/update/delta", b"nonsense")
        broker.inject("cloud", f"{BASE}/update/delta", b'{"version":3,"state":{"gameRequest":{"lan":"e2e4"}}}')
        assert (await anext(deltas)).state == {"gameRequest": {"lan": "e2e4"}}


async def test_without_a_thing_there_is_one_in_memory(broker: MemoryBroker) -> None:
    bus = broker.client("core")
    for thing, name in (("", "robo-chess"), ("core-1", "")):
        opened = open_shadow(bus, SeededIds(1), thing_name=thing, shadow_name=name)
        assert isinstance(opened, MemoryShadow)
    await opened.update(desired={"a": {"x": 1, "y": 2}})
    await opened.update(desired={"a": {"x": None}}, reported={"b": [1]})
    assert await opened.get() == ShadowDocument({"a": {"y": 2}}, {"b": [1]}, 2)


def test_the_merging_rule() -> None:
    assert merge({"a": {"b": 1, "c": 2}, "d": [1, 2]}, {"a": {"b": None, "e": 3}, "d": [3]}) == {
        "a": {"c": 2, "e": 3},
        "d": [3],
    }
    assert merge({"a": 1}, {"a": {"b": 2}}) == {"a": {"b": 2}}
    assert merge({"a": 1}, None) == {"a": 1}
