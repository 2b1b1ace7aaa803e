"""The benchmarks run in a reduced form and report their figures; how long anything took is never asserted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from edgechess_cli.bench import human_moves, manager
from edgechess_cli.bench.figures import Distribution, Report, Table, Target, percentile
from edgechess_cli.main import app
from edgechess_kit.journal import Entry

SPREAD_MS = {"n", "p50_ms", "p95_ms", "p99_ms", "max_ms"}
SPREAD_S = {"n", "p50_s", "p95_s", "p99_s", "max_s"}


def bench(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["bench", *arguments])


def results(found: Result) -> dict[str, Any]:
    assert found.exit_code == 0, found.output
    results: dict[str, Any] = json.loads(found.stdout)["results"]
    return results


def test_percentiles_are_nearest_rank() -> None:
    values = [float(value) for value in range(1, 301)]
    assert percentile(values, 50.0) == 150.0
    assert percentile(values, 99.0) == 297.0
    assert percentile([7.0], 99.0) == 7.0
    assert Distribution.of(values[::-1]) == Distribution(300, 150.0, 285.0, 297.0, 300.0)
    with pytest.raises(ValueError):
        Distribution.of([])


def test_a_report_for_people_says_what_was_met_and_what_failed() -> None:
    table = Table("Title", ("", "n"), (("one", "1"), ("longer", "22")))
    targets = (Target("fast", 2.0, 1.0, "s"), Target("slow", 1.0, 1.0, "s"))
    text = Report("m", {}, (table,), targets, ("a remark",), ("seed 3",)).text()
    assert "  one      1\n  longer  22" in text
    assert "MISSED  fast: 2 s (at most 1 s)" in text
    assert "met     slow" in text
    assert "FAILED  seed 3" in text


def test_the_floor_commits_and_hops_as_often_as_the_manager() -> None:
    times = [1.0, 2.0, 2.0, 3.0, 4.0, 4.0]  # two entries of one commit carry one time
    entries = [Entry(number, at, "k", "s", "t", {"a": 1}) for number, at in enumerate(times)]
    shape = manager.shape_of(("board", "arms", "board"), entries)
    assert shape.peers == ("board", "arms", "board", "cloud")
    assert (shape.commits, shape.hops, shape.entries) == ((1, 1, 1, 1), 8, 6)
    assert sum(manager.shape_of(("board",), entries).commits) == 4


@pytest.mark.slow  # whole games
def test_games_are_legal_and_open_with_a_start() -> None:
    games = manager.games(seed=1)
    seen = [next(games) for _ in range(1500)]
    assert seen[0][2] is None
    assert all(move is None or move in board.legal_moves for _, board, move in seen)
    assert len({session for session, _, _ in seen}) >= 3  # games end and others begin


def test_wrong_usage() -> None:
    assert bench("nonsense").exit_code == 2


def test_a_benchmark_that_cannot_run_says_why(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    found = bench("recognition", "--out", str(file))
    assert found.exit_code == 1
    assert "edgechess bench: " in found.stderr


def test_recognition_in_virtual_time(tmp_path: Path) -> None:
    found = bench(
        "recognition", "--real-moves", "0", "--virtual-moves", "6", "--seed", "2", "--json", "--out", str(tmp_path)
    )
    figures = results(found)["recognition"]
    for name in ("provisional", "settled", "wrong_square_named"):
        assert set(figures["virtual_time"][name]) == SPREAD_S
    assert figures["failures"] == []
    assert {target["unit"] for target in figures["targets"]} == {"s"}
    (kept,) = tmp_path.glob("*.json")
    assert json.loads(kept.read_text(encoding="utf-8"))["results"]["recognition"] == figures


@pytest.mark.slow
def test_recognition_in_real_time(tmp_path: Path) -> None:
    found = bench("recognition", "--real-moves", "5", "--virtual-moves", "0", "--json", "--out", str(tmp_path))
    figures = results(found)["recognition"]
    assert set(figures["real_time"]["settled"]) == SPREAD_S
    assert figures["real_time"]["wrong_square_named"]["n"] == 1
    assert figures["failures"] == []


@pytest.mark.slow
def test_the_manager_beside_its_floor_and_the_polling(tmp_path: Path) -> None:
    found = bench("manager", "--moves", "3", "--polled", "1", "--json", "--out", str(tmp_path))
    figures = results(found)["manager"]
    brokers = manager.brokers_here()
    assert brokers
    for name in brokers:
        own = figures[name]
        assert set(own["manager"]) == set(own["floor"]) == set(own["polling"]) == SPREAD_MS
        assert own["manager"]["n"] == own["floor"]["n"] == 3
        assert own["polling"]["p50_ms"] > 9000.0  # three looks of 3 s: not a measurement, its nature
        assert (own["commits"], own["hops"]) == (4, 8)
        assert {"ratio_p50", "ratio_p99"} <= set(own)
    assert not list(tmp_path.glob("manager-*"))


@pytest.mark.slow
def test_human_moves_on_two_processes(tmp_path: Path) -> None:
    found = bench("human-moves", "--human-moves", "60", "--json", "--out", str(tmp_path))
    figures = results(found)["human-moves"]
    assert figures["moves"] >= 60
    assert {"captures", "en_passants", "promotions", "short_castlings", "long_castlings", "helped"} <= set(figures)
    assert (figures["wrong"], figures["lost"]) == (0, 0)


def test_wrong_and_lost_moves_fail_the_command() -> None:
    report = human_moves.report(human_moves.Tally(games=1, moves=2, wrong=["seed 1: e2e4"], lost=["seed 1: e7e5"]), 1.0)
    assert report.failures == ("wrong: seed 1: e2e4", "lost: seed 1: e7e5")
    assert (report.figures["wrong"], report.figures["lost"]) == (1, 1)
