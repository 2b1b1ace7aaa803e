"""`edgechess play` as a user runs it: the record, the summary, Ctrl-C, what is not installed, and what is killed."""

from __future__ import annotations

import io
import json
import signal
from pathlib import Path
from typing import Any

import anyio
import chess.pgn
import pytest

from edgechess_kit.topics import Topics

from .conftest import Command, connected, events, moves_made

pytestmark = pytest.mark.slow

SUMMARY = {
    "event",
    "result",
    "termination",
    "plies",
    "confirmed",
    "repaired",
    "helped",
    "final_fen",
    "seconds",
    "model_moves",
    "fallback_moves",
}
FAST = ("--speed", "60", "--json")
ENGINES = ("--white", "stockfish:nodes=2000", "--black", "stockfish:nodes=1000")


def game_of(path: Path) -> chess.pgn.Game:
    game = chess.pgn.read_game(io.StringIO(path.read_text(encoding="utf-8")))
    assert game is not None
    assert game.errors == []
    return game


def check_record(path: Path, summary: dict[str, Any]) -> None:
    game = game_of(path)
    assert game.headers["Result"] == summary["result"]
    assert game.end().ply() == summary["plies"] == summary["confirmed"]
    assert game.end().board().fen() == chess.Board(summary["final_fen"]).fen()


def test_a_match_ends_with_its_summary_and_a_record(edgechess: Command, tmp_path: Path) -> None:
    done = edgechess.run("play", *ENGINES, "--max-plies", "8", "--pgn", str(tmp_path / "out.pgn"), *FAST)
    assert done.returncode == 0, done.stderr
    lines = events(done.stdout)
    assert lines[0]["event"] == "table"
    assert set(lines[-1]) == SUMMARY
    assert (lines[-1]["result"], lines[-1]["termination"], lines[-1]["plies"]) == ("*", "max-plies", 8)
    assert [line["ply"] for line in moves_made(lines)] == list(range(1, 9))
    assert all(line["timings"]["total"] > 0.0 for line in moves_made(lines))
    check_record(tmp_path / "out.pgn", lines[-1])
    assert done.stderr == ""


def test_two_matches_at_once_one_of_them_with_what_comes_without_installing(edgechess: Command, tmp_path: Path) -> None:
    mate = tmp_path / "mate.pgn"
    mate.write_text("1. f3 e5 2. g4 Qh4# 0-1\n", encoding="utf-8")
    embedded = ("--white", "builtin", "--black", "hand", "--broker", "embedded", "--rotated", "--max-plies", "3")
    with edgechess.started("play", *embedded, "--pgn", str(tmp_path / "embedded.pgn"), *FAST) as first:
        second = edgechess.run(
            "play", "--white", f"pgn:{mate}", "--black", f"pgn:{mate}", "--no-robot", "--speed", "60",
            "--pgn", str(tmp_path / "second.pgn"),
        )  # fmt: skip
        told, wrong = first.communicate()
    assert first.returncode == 0, wrong
    assert second.returncode == 0, second.stderr
    check_record(tmp_path / "embedded.pgn", events(told)[-1])
    assert game_of(tmp_path / "second.pgn").end().ply() == 4
    assert "\x1b" not in second.stdout  # no terminal, no picture
    assert second.stdout.splitlines()[-1].startswith("0-1 by checkmate: 4 of 4 plies confirmed on the board")


def test_ctrl_c_parks_and_the_match_goes_on_where_it_stood(edgechess: Command, tmp_path: Path) -> None:
    pgn = tmp_path / "captures.pgn"
    pgn.write_text("1. e4 d5 2. exd5 Qxd5 3. Nc3 Qxg2 4. Bxg2 *\n", encoding="utf-8")
    words = ("--white", f"pgn:{pgn}", "--black", f"pgn:{pgn}")
    with edgechess.started("play", *words, *FAST) as first:
        assert first.stdout is not None
        folder, made = "", 0
        for line in first.stdout:
            event = json.loads(line)
            folder = event["folder"] if event["event"] == "table" else folder
            made += event["event"] == "confirmed" and event["component"] == "match-director"
            if made == 4 and event["event"] == "job-accepted":  # in the middle of ply 5
                first.send_signal(signal.SIGINT)
                break
        _, said = first.communicate()
    assert first.returncode == 130
    assert "the arms are parked" in said
    assert f"edgechess play --continue {folder}" in said
    pieces = json.loads(Path(folder, "table.json").read_text())["pieces"]
    assert all(held is None for *_, held, _ in pieces)

    done = edgechess.run("play", "--continue", folder, "--pgn", str(tmp_path / "out.pgn"), "--json")
    assert done.returncode == 0, done.stderr
    lines = events(done.stdout)
    assert [line["san"] for line in moves_made(lines)] == ["Qxg2", "Bxg2"]
    assert (lines[-1]["confirmed"], lines[-1]["helped"]) == (7, 0)
    assert not [line for line in lines if line["event"] == "failed"]
    check_record(tmp_path / "out.pgn", lines[-1])


@pytest.mark.anyio
async def test_every_component_may_be_killed_once(edgechess: Command, tmp_path: Path) -> None:
    """SIGKILL in the middle of an arm's motion, one component after the other; the game ends right all the same."""
    order = ["game-manager", "match-director", "board-sensor", "arm-controller"]
    pgn = tmp_path / "spanish.pgn"
    pgn.write_text("1. e4 e5 2. Nf3 Nc6 3. Bb5 a6 4. Bxc6 dxc6 5. O-O *\n", encoding="utf-8")
    words = edgechess.line("play", "--white", f"pgn:{pgn}", "--black", f"pgn:{pgn}", "--speed", "30", "--json")
    process = await anyio.open_process(words, env=edgechess.environment, stderr=None)
    killed: list[str] = []
    summary: dict[str, Any] = {}
    buffer = b""
    async with process, anyio.create_task_group() as tasks:
        assert process.stdout is not None
        pids: dict[str, int] = {}
        async for chunk in process.stdout:
            buffer += chunk
            *lines, buffer = buffer.split(b"\n")
            for event in map(json.loads, lines):
                if event["event"] == "table":
                    tasks.start_soon(_learn_pids, event["broker"], pids)
                elif event["event"] == "job-accepted" and len(killed) < len(order) and order[len(killed)] in pids:
                    victim = order[len(killed)]
                    killed.append(victim)
                    await _kill(pids[victim])
                elif event["event"] == "summary":
                    summary = event
        tasks.cancel_scope.cancel()
    assert killed == order
    assert process.returncode == 0
    assert summary["confirmed"] == 9
    assert summary["final_fen"].startswith("r1bqkbnr/1pp2ppp/p1p5/4p3/4P3/5N2/PPPP1PPP/RNBQ1RK1 b kq")


async def _learn_pids(broker: str, pids: dict[str, int]) -> None:
    topics = Topics()
    async with connected(broker, "watching") as bus, bus.subscribe(topics.status) as statuses:
        async for delivery in statuses:
            status = delivery.decode(topics.status)
            if status.pid is not None and status.status == "ready":
                pids[status.component] = status.pid


async def _kill(pid: int) -> None:
    killing = await anyio.open_process(["kill", "-KILL", str(pid)])
    async with killing:
        await killing.wait()
