from __future__ import annotations

import pytest
import trio.testing


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def virtual_time() -> tuple[str, dict[str, object]]:
    """A backend whose clock jumps to the next timer when every task waits."""
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}
