"""Backends, virtual time, a context on a memory bus, and certificates made on the spot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio.testing

from edgechess_kit.clock import SeededIds, VirtualClock
from edgechess_kit.component import Context
from edgechess_kit.journal import SqliteJournal
from edgechess_kit.memory_bus import MemoryBroker
from edgechess_kit.messages import EdgeStatus

from .certificates import issued


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    if request.param == "trio":
        return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}
    return request.param


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


@pytest.fixture
def make_context(broker: MemoryBroker) -> Callable[..., Context[None]]:
    def make(name: str = "game-manager") -> Context[None]:
        bus = broker.client(name, EdgeStatus(component=name, status="lost"))
        clock = VirtualClock()
        return Context(name, None, bus, broker.topics, SqliteJournal(":memory:", clock), clock, SeededIds(1))

    return make


@pytest.fixture(scope="session")
def certificates() -> Iterator[Path]:
    with issued() as folder:
        yield folder
