"""Requests in chess.js terms, positions compared as positions, and the ends of a game."""

from __future__ import annotations

import json

import chess
import pytest

from edgechess_kit.topics import Topics
from edgechess_match_director.rules import (
    ending,
    flags,
    move_request,
    move_to,
    replay,
    same_placement,
    same_position,
    start_request,
)

START = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1"
AFTER_E4 = "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq - 0 1"
AFTER_E4_CHESS_JS = "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq e3 0 1"


def test_a_move_request_is_a_chess_js_move_with_the_samples_three_fields() -> None:
    request = move_request("s1", "t1", START, "e2e4", None)
    assert json.loads(Topics().cloud_request.encode(request)) == {
        "action": "move", "sessionId": "s1", "taskToken": "t1", "before": START, "after": AFTER_E4,
        "color": "w", "piece": "p", "from": "e2", "to": "e4", "san": "e4", "lan": "e2e4", "flags": "b",
    }  # fmt: skip


def test_a_capturing_underpromotion_names_what_is_taken_and_what_appears() -> None:
    request = move_request("s1", "t1", "1n2k3/P7/8/8/8/8/8/4K3 w - - 0 1", "a7b8n", "person")
    assert (request.piece, request.captured, request.promotion, request.flags) == ("p", "n", "n", "cp")
    assert (request.san, request.executor, request.color) == ("axb8=N", "person", "w")


def test_en_passant_takes_a_pawn() -> None:
    request = move_request("s1", "t1", "4k3/8/8/3pP3/8/8/8/4K3 w - d6 0 2", "e5d6", None)
    assert (request.flags, request.captured, request.san) == ("e", "p", "exd6")


@pytest.mark.parametrize(
    ("fen", "uci", "expected"),
    [
        (START, "g1f3", "n"),
        (START, "e2e3", "n"),
        (START, "e2e4", "b"),
        ("4k3/8/8/3p4/4P3/8/8/4K3 w - - 0 1", "e4d5", "c"),
        ("4k3/P7/8/8/8/8/8/4K3 w - - 0 1", "a7a8q", "np"),
        ("r3k2r/8/8/8/8/8/8/R3K2R w KQkq - 0 1", "e1g1", "k"),
        ("r3k2r/8/8/8/8/8/8/R3K2R b KQkq - 0 1", "e8c8", "q"),
        ("4k3/8/8/8/8/8/8/R3K3 w Q - 0 1", "a1a3", "n"),  # a rook moves two squares too
    ],
)
def test_flags(fen: str, uci: str, expected: str) -> None:
    board = chess.Board(fen)
    assert flags(board, board.parse_uci(uci)) == expected


def test_a_start_request_has_the_same_position_twice() -> None:
    request = start_request("s1", "t1", "4k3/8/8/8/8/8/8/4K2R b K - 3 9")
    assert (request.action, request.before, request.color) == ("start", request.after, "b")


def test_positions_not_strings_are_compared() -> None:
    assert same_position(AFTER_E4, AFTER_E4_CHESS_JS)
    assert not same_position(AFTER_E4, AFTER_E4.replace(" b ", " w "))
    assert not same_position(AFTER_E4, "nonsense")
    assert same_placement(START, "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR")
    assert not same_placement(START, None)
    assert not same_placement(START, "nonsense")


def test_the_move_that_the_board_shows() -> None:
    assert move_to(START, AFTER_E4.split()[0]) == "e2e4"
    assert move_to(START, "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBN1") is None


@pytest.mark.parametrize(
    ("fen", "moves", "expected"),
    [
        (START, ("f2f3", "e7e5", "g2g4", "d8h4"), ("0-1", "checkmate")),
        ("7k/5Q2/8/8/8/8/8/K7 b - - 0 1", (), ("1/2-1/2", "stalemate")),
        ("7k/8/8/8/8/8/8/KB6 w - - 0 1", (), ("1/2-1/2", "insufficient-material")),
        ("7k/8/8/8/8/8/8/KR6 w - - 99 80", ("b1b2",), ("1/2-1/2", "fifty-moves")),
        (START, ("g1f3", "g8f6", "f3g1", "f6g8") * 2, ("1/2-1/2", "threefold-repetition")),
    ],
)
def test_the_game_is_over(fen: str, moves: tuple[str, ...], expected: tuple[str, str]) -> None:
    found = ending(replay(fen, moves))
    assert found is not None
    assert (found.result, found.termination) == expected


def test_a_repetition_that_could_come_is_not_there_yet() -> None:
    assert ending(replay(START, ("g1f3", "g8f6", "f3g1", "f6g8", "g1f3", "g8f6", "f3g1"))) is None
