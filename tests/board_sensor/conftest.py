from __future__ import annotations

import pytest
import trio.testing


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Virtual time: the clock jumps to the next timer when every task waits."""
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}
