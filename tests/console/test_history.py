"""The console's own record: what it keeps, what it answers, and matches that it finds in folders."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import anyio
import chess
import chess.pgn
import pytest

from edgechess_console.errors import HistoryError
from edgechess_console.history import History
from edgechess_console.match_folders import take_in
from edgechess_console.past import Past, Standing
from edgechess_console.pgn import pgn_text
from edgechess_kit.clock import SystemClock
from edgechess_kit.journal import SqliteJournal
from edgechess_kit.messages import EdgeEvent

pytestmark = pytest.mark.anyio

DAY = 1_700_000_000.0


def entries(
    session_id: str = "s", result: str = "1-0", white: str = "model:a", black: str = "model:b"
) -> list[EdgeEvent]:
    """A game of two plies: Black's model was wrong once, and its move was put right by a person."""
    board = chess.Board()
    found: list[tuple[str, str, dict[str, Any]]] = [
        ("match-director", "session-created", {"session_id": session_id, "white": white, "black": black, "start_fen": board.fen()}),
        ("match-director", "session-started", {"started_at": DAY}),
    ]  # fmt: skip
    for ply, lan in enumerate(("e2e4", "e7e5"), 1):
        move = board.parse_uci(lan)
        san = board.san(move)
        board.push(move)
        thought = {"attempts": ply, "failures": ["illegal Ke9"] * (ply - 1), "fallback": False, "constrained": False}
        found += [
            ("match-director", "requested", {"ply": ply, "lan": lan}),
            ("arm-controller", "placed", {"arm": "white", "grasp": {"piece": "P", "fromPlace": lan[:2], "toPlace": lan[2:], "grasped": True}}),
            ("match-director", "confirmed", {
                "ply": ply, "lan": lan, "san": san, "fen": board.fen(), "by": "a", "think_s": 1.0 * ply, "at": DAY + ply, "helped": ply == 2,
                "timings": {"board-before": 0.4, "arm": 9.0, "board-after": 0.6, "total": 10.0 * ply}, "thought": thought,
            }),
        ]  # fmt: skip
    found.append(("match-director", "summary", {"result": result, "termination": "resignation", "seconds": 60.0}))
    return [
        EdgeEvent(component=component, kind=kind, seq=number, at=DAY + number, session_id=session_id, data=data)
        for number, (component, kind, data) in enumerate(found, 1)
    ]


def filled(*games: list[EdgeEvent]) -> History:
    history = History(":memory:")
    for game in games:
        for event in game:
            history.saw(event)
    history.write()
    return history


async def test_a_game_is_listed_with_its_moves_and_what_board_and_arms_did() -> None:
    history = filled(entries())
    (game,), more = history.past.games()
    assert (game.white, game.result, game.plies, game.helped, more) == ("model:a", "1-0", 2, 1, False)
    assert [move.san for move in history.past.moves("s")] == ["e4", "e5"]
    arm = [record for record in history.past.records("s") if record.component == "arm-controller"]
    assert [(record.ply, record.text) for record in arm] == [
        (1, "the white arm carried a white pawn from e2 to e4"),
        (2, "the white arm carried a white pawn from e7 to e5"),
    ]


async def test_what_is_told_twice_is_there_once() -> None:
    history = filled(entries(), entries())
    assert len(history.past.games()[0]) == 1
    assert len(history.past.events("s")) == len(entries())


async def test_the_leaderboard_counts_points_and_first_tries() -> None:
    history = filled(entries("one"), entries("two", "1/2-1/2"), entries("three", "*"))
    first, second = history.past.leaderboard()
    assert (first.word, first.games, first.wins, first.draws, first.score) == ("model:a", 2, 1, 1, 1.5)
    assert (first.legal_first_rate, second.legal_first_rate) == (1.0, 0.0)
    assert (first.median_think_s, second.median_think_s) == (1.0, 2.0)


async def test_reliability_is_told_by_day() -> None:
    (day,) = filled(entries()).past.reliability(30, DAY + 100.0)
    assert (day.day, day.games, day.moves, day.clean, day.helped) == ("2023-11-14", 1, 2, 1, 1)
    assert (day.median_move_s, day.p95_move_s) == (15.0, 20.0)


async def test_the_pgn_is_read_by_a_chess_program_whatever_the_players_are_called() -> None:
    history = filled(entries(white='a "b" \\ {c}', black="<script>"))
    game = history.past.game("s")
    assert game is not None
    text = pgn_text(game, history.past.moves("s"))
    read = chess.pgn.read_game(io.StringIO(text))
    assert read is not None
    assert not read.errors
    assert [move.uci() for move in read.mainline_moves()] == ["e2e4", "e7e5"]
    assert (read.headers["Result"], read.headers["Black"]) == ("1-0", "<script>")
    assert "[%emt 0:00:01.0] board-before 0.4 s, arm 9.0 s, board-after 0.6 s" in text


async def test_folders_of_played_matches_are_taken_in_once_and_again_when_they_have_grown(tmp_path: Path) -> None:
    folder = tmp_path / "20261122-1" / "journal"
    folder.mkdir(parents=True)
    (tmp_path / "20261121-broken" / "journal").mkdir(parents=True)
    (tmp_path / "20261121-broken" / "journal" / "match-director.sqlite").write_bytes(b"no journal")
    journal = SqliteJournal(folder / "match-director.sqlite", SystemClock())
    game = [event for event in entries() if event.component == "match-director"]
    for event in game[:-1]:
        journal.append(event.kind, event.data, session_id="s")
    history = History(":memory:")
    assert take_in(str(tmp_path), history) == 2
    assert take_in(str(tmp_path), history) == 0
    journal.append(game[-1].kind, game[-1].data, session_id="s")
    assert take_in(str(tmp_path), history) == 1
    (found,), _ = history.past.games()
    assert (found.plies, found.result) == (2, "1-0")
    journal.close()


async def test_a_file_that_is_no_history_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.txt"
    path.write_text("not a database, and somebody's only copy", encoding="utf-8")
    with pytest.raises(HistoryError, match="not a database"):
        History(path)
    assert path.read_text(encoding="utf-8").startswith("not a database")


async def test_a_console_that_was_started_later_knows_the_game_from_its_history(console: Any) -> None:
    from edgechess_kit.messages import SessionState

    first = entries()[:-1]
    async with console() as desk, desk.browser() as client:
        await desk.operator(client)
        for event in first:
            await desk.say(desk.topics.events, event)
        await desk.view(client)
    async with console() as desk, desk.browser() as client:
        await desk.operator(client)
        fen = str(first[-1].data["fen"])
        await desk.say(
            desk.topics.session_state,
            SessionState(
                status="running", session_id="s", fen=fen, start_fen=chess.STARTING_FEN, ply=2, moves=("e2e4", "e7e5")
            ),
        )
        view = await desk.view(client)
        assert ([move.san for move in view.moves], view.players["w"].word) == (["e4", "e5"], "model:a")
        answer = await client.get("/api/history/session?id=s")
        assert [move["san"] for move in answer.json()["moves"]] == ["e4", "e5"]
        assert (await client.get("/api/history/session?id=other")).status_code == 404
        pgn = await client.get("/api/history/pgn?id=s")
        assert pgn.headers["content-disposition"] == 'attachment; filename="s.pgn"'


async def test_what_belongs_to_no_session_is_told_of_the_game_that_was_played_then_unless_there_were_two() -> None:
    stop = EdgeEvent(
        component="arm-controller", kind="stopped", seq=90, at=DAY + 3, data={"reason": "stop on the page"}
    )
    later = EdgeEvent(component="arm-controller", kind="stopped", seq=91, at=DAY + 500, data={"reason": "another day"})
    alone = filled(entries(), [stop, later])
    assert [record.text for record in alone.past.records("s") if record.kind == "stopped"] == [
        "the arms are stopped: stop on the page"
    ]
    two = filled(entries("one"), entries("two"), [stop])
    assert all(record.kind != "stopped" for name in ("one", "two") for record in two.past.records(name))


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_counting_thousands_of_games_holds_up_no_stop(console: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    began, stopped = threading.Event(), threading.Event()

    def slow(_: Past) -> list[Standing]:
        began.set()
        assert stopped.wait(20), "the stop waits for the count"
        return []

    monkeypatch.setattr(Past, "leaderboard", slow)
    async with console() as desk, desk.browser() as client, anyio.create_task_group() as tasks:
        post = await desk.operator(client)
        tasks.start_soon(client.get, "/api/history/leaderboard")
        while not began.is_set():  # noqa: ASYNC110  (a thread sets it)
            await anyio.sleep(0.001)
        assert (await post("/api/stop")).json()["status"] == 200
        stopped.set()
