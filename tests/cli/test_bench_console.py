"""`edgechess bench console`: it measures with pages and without, and every page was really told something."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgechess_cli.bench import console
from edgechess_cli.bench.manager import brokers_here

pytestmark = [pytest.mark.slow, pytest.mark.anyio]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_moves_are_counted_in_both_turns_and_pages_read_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not brokers_here():
        pytest.skip("no broker is installed")
    monkeypatch.setattr(console, "PAINTS", 0)  # the browser has its own tests
    figures = (await console.measure(2, 1, tmp_path)).as_figures()
    assert figures["watched"]["n"] == figures["alone"]["n"] == 2 * console.TURN_MOVES
    assert figures["least_bytes"] > 1000
    assert figures["ratio_p50"] > 0
