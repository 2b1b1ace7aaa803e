"""The record is a PGN that any program reads, and is never seen half written."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import chess
import chess.pgn

from edgechess_match_director.match import Ended, Match, Plan, Ply, new_match
from edgechess_match_director.record import comment, pgn_text, write_atomically
from edgechess_match_director.rules import Ending, play

PHASES = {"board-before": 0.44, "arm": 9.81, "board-after": 0.6, "total": 11.0}


def ply(fen: str, uci: str, **changes: object) -> Ply:
    san, after = play(fen, uci)
    usual: dict[str, object] = {"by": "x", "think_s": 1.25, "at": 0.0, "timings_s": PHASES}
    return Ply(uci=uci, san=san, fen=after, **(usual | changes))  # type: ignore[arg-type]


def match(start: str, *moves: str) -> Match:
    plan = Plan(
        "s1", "salt", "stockfish:elo=1350", 'pgn:C:\\a "b".pgn', "answers", "answers", start, created_at=86400.0
    )
    plies: list[Ply] = []
    for move in moves:
        plies.append(ply(plies[-1].fen if plies else start, move))
    fen = plies[-1].fen if plies else start
    return Match(plan=plan, step=new_match(plan).step, fen=fen, plies=tuple(plies))


def read(text: str) -> chess.pgn.Game:
    game = chess.pgn.read_game(io.StringIO(text))
    assert game is not None
    assert not game.errors
    return game


def test_the_comment_tells_times_and_phases_in_their_order() -> None:
    first = ply(chess.STARTING_FEN, "e2e4")
    assert comment(first) == "[%emt 0:00:01.2] board 0.4 s, arm 9.8 s, board 0.6 s"
    by_hand = ply(chess.STARTING_FEN, "e2e4", executor="person", helped=True, retried=2, think_s=3725.0)
    expected = "[%emt 1:02:05.0] board 0.4 s, hand 9.8 s, board 0.6 s; asked 3 times; a person helped"
    assert comment(by_hand) == expected
    assert comment(ply(chess.STARTING_FEN, "e2e4", timings_s={})) == "[%emt 0:00:01.2]"


def test_an_ended_game_reads_back_with_its_tags() -> None:
    played = match(chess.STARTING_FEN, "f2f3", "e7e5", "g2g4", "d8h4")
    finished = dataclasses.replace(played, step=Ended(Ending("0-1", "checkmate")), started_at=0.0)
    game = read(pgn_text(finished, event="Open day", site="Hall 3", round_="2"))
    assert dict(game.headers) == {
        "Event": "Open day", "Site": "Hall 3", "Date": "1970.01.01", "Round": "2", "White": "stockfish:elo=1350",
        "Black": "pgn:C:/a 'b'.pgn", "Result": "0-1", "Session": "s1", "Termination": "checkmate",
    }  # fmt: skip
    assert game.end().board().is_checkmate()
    assert game.next() is not None
    assert game.next().emt() == 1.2  # type: ignore[union-attr]


def test_a_game_from_another_position_that_black_begins() -> None:
    start = "4k3/4p3/8/8/8/8/4P3/4K3 b - - 3 17"
    text = pgn_text(match(start, "e7e5", "e2e4", "e8e7"), event="e", site="s")
    game = read(text)
    assert (game.headers["SetUp"], game.headers["FEN"], game.headers["Result"]) == ("1", start, "*")
    assert game.headers["Date"] == "1970.01.02"
    assert [move.uci() for move in game.mainline_moves()] == ["e7e5", "e2e4", "e8e7"]
    assert [line.split(" {")[0] for line in text.splitlines() if "%emt" in line] == ["17... e5", "18. e4", "18... Ke7"]


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "game.pgn"
    write_atomically(path, "one\n")
    write_atomically(path, "two\n")
    assert path.read_text() == "two\n"
    assert [found.name for found in path.parent.iterdir()] == ["game.pgn"]
