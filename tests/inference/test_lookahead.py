"""One ply of lookahead: what the rules decide, and what is weighed."""

from __future__ import annotations

import chess

from edgechess_inference.lookahead import asked, branches, preferred
from edgechess_inference.move_model import MoveChance


def test_mate_is_played_whatever_the_network_likes() -> None:
    board = chess.Board("6k1/5ppp/8/8/8/8/5PPP/R5K1 w - - 0 1")
    tree = branches(board, [MoveChance("g1f1", 0.999), MoveChance("a1a8", 0.001)])
    assert [branch.uci for branch in tree] == ["a1a8"]
    assert asked(tree) == []
    assert preferred(tree, []).uci == "a1a8"
    assert board.fen() == "6k1/5ppp/8/8/8/8/5PPP/R5K1 w - - 0 1"


def test_what_the_rules_make_a_draw_is_half_a_point() -> None:
    stalemate = chess.Board("7k/5K2/8/6Q1/8/8/8/8 w - - 0 1")
    assert worth(stalemate, "g5g6", "g5g4") == [0.5, None]
    dead = chess.Board("8/8/8/8/8/4k3/8/1Kr5 w - - 0 1")
    assert worth(dead, "b1c1", "b1b2") == [0.5, None]
    clock = chess.Board("8/8/8/8/8/4k3/8/RK6 w - - 99 80")
    assert worth(clock, "b1b2") == [0.5]


def test_a_position_seen_before_is_a_draw() -> None:
    board = chess.Board("6k1/8/8/8/8/8/5PPP/R5K1 w - - 0 1")
    for move in ("a1a2", "g8f8", "a2a1", "f8g8"):
        board.push_uci(move)
    assert worth(board, "a1a2", "a1a3") == [0.5, None]


def test_points_outweigh_liking_only_by_enough() -> None:
    board = chess.Board()
    tree = branches(board, [MoveChance("e2e4", 0.5), MoveChance("a2a3", 0.005)])
    # ln(100) = 4.6: at 0.1 points each the unusual move must be worth 0.46 points more
    assert preferred(tree, [0.9, 0.5]).uci == "e2e4"
    assert preferred(tree, [0.9, 0.4]).uci == "a2a3"
    assert preferred(tree, [0.9, 0.5], temper=0.0).uci == "a2a3"
    assert preferred(tree, [0.4, 0.4], temper=0.0).uci == "e2e4"  # equals: the likelier


def worth(board: chess.Board, *moves: str) -> list[float | None]:
    return [branch.points for branch in branches(board, [MoveChance(uci, 1 / len(moves)) for uci in moves])]
