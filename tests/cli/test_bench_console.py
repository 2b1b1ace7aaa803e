"""`edgechess bench console`: it measures with pages and without, and every page was really told something."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from edgechess_cli.bench import console
from edgechess_cli.bench.figures import Ratio
from edgechess_cli.bench.manager import brokers_here

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.slow
async def test_moves_are_counted_in_both_turns_and_pages_read_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not brokers_here():
        pytest.skip("no broker is installed")
    monkeypatch.setattr(console, "PAINTS", 0)  # the browser has its own tests
    figures = (await console.measure(2, 1, tmp_path)).as_figures()
    assert figures["watched"]["n"] == figures["alone"]["n"] == 2 * console.TURN_MOVES
    assert figures["least_bytes"] > 1000
    assert len(figures["console_core_share"]) == 2
    low, high = figures["ratio_p50_interval"]
    assert 0 < low <= figures["ratio_p50"] <= high


def test_noise_is_told_from_slowness() -> None:
    chance = random.Random(1)
    quiet = [[chance.gauss(20.0, 2.0) for _ in range(10)] for _ in range(20)]
    noisy = [[chance.gauss(20.0, 2.0) for _ in range(10)] for _ in range(20)]
    # the machine is up to five times as slow as it was, for both alike
    quiet, noisy = (
        [[value * (1 + turn % 5) for value in values] for turn, values in enumerate(one)] for one in (quiet, noisy)
    )
    slow = [[1.2 * value for value in turn] for turn in noisy]
    same, slower = Ratio.of(noisy, quiet, chance), Ratio.of(slow, quiet, chance)
    assert same.low < 1.0 < same.high < 1.05
    assert 1.1 < slower.low < slower.value < slower.high < 1.3
    assert slower.value == pytest.approx(1.2, abs=0.05)
