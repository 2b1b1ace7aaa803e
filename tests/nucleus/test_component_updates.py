"""Before and after a deployment: components' consent, their deferral and their silence, in virtual time."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest
import trio.testing

from edgechess_nucleus.component_updates import ComponentUpdates
from edgechess_nucleus.refusal import Refused

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> Any:
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


class Component:
    """Answers each question from a list of recheckAfterMs; with none left it is silent."""

    def __init__(self, updates: ComponentUpdates, name: str, *answers: int) -> None:
        self.heard: list[Any] = []
        self._updates = updates
        self._name = name
        self._answers = list(answers)
        self.listener = updates.subscribe(name, self._on_event)

    def _on_event(self, payload: bytes) -> None:
        self.heard.append(json.loads(payload))
        if self._answers:
            self._updates.defer(self._name, self._answers.pop(0))


async def test_nobody_listens() -> None:
    updates = ComponentUpdates()
    await updates.ready("d", restarting=False)
    updates.done("d")


async def test_consent_at_once() -> None:
    updates = ComponentUpdates()
    component = Component(updates, "one", 0)
    started_s = anyio.current_time()
    await updates.ready("d", restarting=True)
    updates.done("d")
    assert anyio.current_time() == started_s
    assert component.heard == [
        {"preUpdateEvent": {"deploymentId": "d", "isGgcRestarting": True}},
        {"postUpdateEvent": {"deploymentId": "d"}},
    ]


async def test_the_longest_deferral_counts_and_all_are_asked_again() -> None:
    updates = ComponentUpdates()
    first, second = Component(updates, "one", 500, 0), Component(updates, "two", 2000, 0)
    started_s = anyio.current_time()
    await updates.ready("d", restarting=False)
    assert anyio.current_time() - started_s == pytest.approx(2.0)
    assert len(first.heard) == len(second.heard) == 2


async def test_silence_is_consent_after_a_while() -> None:
    updates = ComponentUpdates()
    Component(updates, "one")
    started_s = anyio.current_time()
    await updates.ready("d", restarting=False, answer_timeout_s=60.0)
    assert anyio.current_time() - started_s == pytest.approx(60.0)


async def test_who_leaves_is_not_waited_for() -> None:
    updates = ComponentUpdates()
    component = Component(updates, "one")
    started_s = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: updates.ready("d", restarting=False))
        await anyio.sleep(1.0)
        updates.unsubscribe(component.listener)
    assert anyio.current_time() - started_s == pytest.approx(1.0)


async def test_answers_that_nobody_asked_for() -> None:
    updates = ComponentUpdates()
    with pytest.raises(Refused, match="not subscribed"):
        updates.defer("one", 0)
    Component(updates, "one", 0)
    with pytest.raises(Refused, match="Time limit"):
        updates.defer("one", 0)
    with pytest.raises(Refused, match="recheckAfterMs"):
        updates.defer("one", -1)
    await updates.ready("d", restarting=False)
    with pytest.raises(Refused, match="Time limit"):
        updates.defer("one", 0)
