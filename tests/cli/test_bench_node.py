"""The node's bench: its arithmetic, and one small run of the whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgechess_cli.bench.manager import BenchError
from edgechess_cli.bench.node import Starts, _report, measure, mixed_answers, overlaps
from edgechess_cli.bench.node_adapters import Cycle


def test_an_answer_belongs_to_a_swap_that_it_shares_a_moment_with() -> None:
    swaps = [(1.0, 2.0), (5.0, 6.0)]
    assert [overlaps(span, swaps) for span in [(0.0, 0.9), (0.5, 1.0), (1.2, 1.3), (2.1, 4.9), (4.0, 9.0)]] == [
        False, True, True, False, True,
    ]  # fmt: skip


def test_an_answer_that_its_weights_do_not_give_is_mixed() -> None:
    said = [("a", "x", "e2e4"), ("b", "x", "d2d4"), ("a", "x", "e2e4"), ("b", "y", "e2e4"), ("b", "x", "e2e4")]
    assert mixed_answers(said) == 1
    assert mixed_answers(said[:-1]) == 0


def test_mixed_answers_fail_the_bench_and_slow_ones_only_miss() -> None:
    cycled = Cycle([0.01], [0.1], wrong=1, on_device=8, grown_bytes=0, different=3)
    report = _report(Starts([1.0], [0.05], [0.2]), [0.1, 0.1], [0.3], [1.0], 2, cycled)
    assert report.failures == (
        "2 answers are of no one set of weights",
        "1 answers by another adapter than was asked for",
    )
    assert [target.met for target in report.targets] == [True, True, False, False]
    with pytest.raises(BenchError, match="more swaps are needed"):
        _report(Starts([1.0], [0.05], [0.2]), [0.1], [], [1.0], 0, cycled)


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_small_run_measures_everything_and_mixes_nothing(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    report = await measure(1, 2, 20)
    assert report.failures == ()
    assert report.figures["ready"]["n"] == report.figures["move_while_streaming"]["n"] == 1
    assert report.figures["swap"]["n"] == 2
    assert (report.figures["adapters"]["load"]["n"], report.figures["adapters"]["on_device"]) == (20, 8)
    assert report.figures["adapters"]["different_moves"] > 1
