"""`edgechess publish move` asks where the game stands; without a broker nobody keeps the answer for it."""

from __future__ import annotations

from typing import Any

import anyio
import chess
import pytest
import trio.testing

from edgechess_cli.publish import session_state
from edgechess_cli.runtime_bus import RuntimeBus
from edgechess_kit.brokerless_bus import REPEAT_S, BrokerlessBus
from edgechess_kit.messages import SessionState
from edgechess_kit.topics import Topics
from edgechess_nucleus.flavour import JAVA
from edgechess_nucleus.pubsub import LocalTopics

pytestmark = pytest.mark.anyio

TOPICS = Topics()


@pytest.fixture
def anyio_backend() -> Any:
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


async def test_it_waits_until_the_manager_says_its_state_again() -> None:
    pubsub = LocalTopics(JAVA)
    asking = RuntimeBus(pubsub, "publisher")
    said = SessionState(status="running", session_id="s", fen=chess.STARTING_FEN)
    async with BrokerlessBus(RuntimeBus(pubsub, "manager"), TOPICS.status) as manager:
        await manager.publish(TOPICS.session_state, said)
        for _ in range(6):  # whenever it asks
            await anyio.sleep(REPEAT_S / 4)
            assert await session_state(asking, TOPICS) == said
    assert await session_state(asking, TOPICS) is None, "there is no manager any more"
