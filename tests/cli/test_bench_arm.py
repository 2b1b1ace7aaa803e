"""The bench of an arm's moves: what it draws, what it makes, and that a wrong table is seen."""

from __future__ import annotations

import dataclasses

import chess
import pytest

from edgechess_cli.bench import arm
from edgechess_cli.virtual_time import run_virtual


def test_moves_of_every_kind_are_drawn_and_the_seed_decides() -> None:
    moves = arm.draw(2, 1)
    assert [move.kind for move in moves] == [kind for kind in arm.KINDS for _ in range(2)]
    for move in moves:
        board = chess.Board(move.before)
        assert arm.kind_of(board, chess.Move.from_uci(move.lan)) == move.kind
        board.push_uci(move.lan)
        assert board.fen() == move.after
    assert arm.draw(2, 1) == moves
    assert arm.draw(2, 2) != moves


FIRST = chess.Board()
AFTER = "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq - 0 1"


@pytest.mark.slow  # a table in virtual time
def test_a_move_is_made_on_a_table_and_timed_faster_at_higher_speed() -> None:
    drawn = arm.Drawn("quiet", FIRST.fen(), AFTER, "e2e4")
    slow, fast = (run_virtual(arm.make, drawn, speed, seed=1) for speed in (250.0, 750.0))
    assert (slow.wrong, fast.wrong) == (None, None)
    assert fast.seconds < slow.seconds < 8.0
    assert fast.seconds < 6.1, "the best published log's quiet move"


def test_a_board_that_shows_something_else_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = arm.Drawn("quiet", FIRST.fen(), AFTER, "e2e4")
    made = arm.Made(drawn, 5.0, 10.0)

    async def nothing(*_args: object) -> arm.Made:
        return made

    monkeypatch.setattr(arm, "_execute", nothing)
    told = run_virtual(arm.make, drawn, 750.0, seed=1)
    assert told == dataclasses.replace(made, wrong="the board shows rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR")
