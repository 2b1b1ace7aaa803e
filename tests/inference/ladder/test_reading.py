"""Answers as language models write them."""

from __future__ import annotations

import chess
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgechess_inference.ladder.reading import Read, Unread, read_answer

START = chess.STARTING_FEN
RICH = "4k3/P6P/8/8/8/8/8/R3K2R w KQ - 0 1"  # castling both ways, two promotions
TWO_KNIGHTS = "4k3/8/8/8/1r6/8/2N3N1/4K3 w - - 0 1"
EN_PASSANT = "4k3/8/8/3pP3/8/8/8/4K3 w - d6 0 2"
IN_CHECK = "4k3/8/8/8/4r3/8/8/4K3 w - - 0 1"


@pytest.mark.parametrize(
    ("fen", "text", "uci"),
    [
        (START, "e4", "e2e4"),
        (START, "<move>e4</move>", "e2e4"),
        (START, "<MOVE> e4+ </MOVE>", "e2e4"),
        (START, "<move>e4", "e2e4"),
        (START, "1. e4", "e2e4"),
        (START, "1.e4!", "e2e4"),
        (START, "I think 1. e4 is best", "e2e4"),
        (START, "```json\n{\"move\": \"Nf3\"}\n```", "g1f3"),
        (START, '{"best_move": "g1f3", "why": "x"}', "g1f3"),
        (START, "```\ne2e4\n```", "e2e4"),
        (START, "e2-e4", "e2e4"),
        (START, "E2E4", "e2e4"),
        (START, "nf3", "g1f3"),
        (START, "♘f3", "g1f3"),
        (START, "**Nf3**", "g1f3"),
        (START, "knight to f3", "g1f3"),
        (START, "The best move is Nf3.", "g1f3"),
        (START, "Both e4 and d4 are fine, but I play d4.", "d2d4"),
        (START, "<move>e4</move> because e4 takes the centre", "e2e4"),
        (START, "<move>e4 because it takes the centre</move>", "e2e4"),
        (START, "<think>e5? no, that is Black's</think><move>d4</move>", "d2d4"),
        (START, "<move>e4</move><move>1. e4</move>", "e2e4"),
        (RICH, "0-0", "e1g1"),
        (RICH, "o-o", "e1g1"),
        (RICH, "O-O-O+", "e1c1"),
        (RICH, "0-0-0", "e1c1"),
        (RICH, "castles queenside", "e1c1"),
        (RICH, "I will castle kingside", "e1g1"),
        (RICH, "e1g1", "e1g1"),
        (RICH, "a8Q", "a7a8q"),
        (RICH, "a8=Q+", "a7a8q"),
        (RICH, "a8q", "a7a8q"),
        (RICH, "a8(N)", "a7a8n"),
        (RICH, "a8/R", "a7a8r"),
        (RICH, "a7-a8=Q", "a7a8q"),
        (TWO_KNIGHTS, "Nce3", "c2e3"),
        (TWO_KNIGHTS, "Nc2e3", "c2e3"),
        (TWO_KNIGHTS, "Nxb4", "c2b4"),
        (TWO_KNIGHTS, "N:b4", "c2b4"),
        (EN_PASSANT, "exd6 e.p.", "e5d6"),
        (EN_PASSANT, "exd6", "e5d6"),
    ],
)  # fmt: skip
def test_what_names_a_legal_move(fen: str, text: str, uci: str) -> None:
    found = read_answer(chess.Board(fen), text)
    assert isinstance(found, Read), found
    assert found.uci == uci


@pytest.mark.parametrize(
    ("fen", "text", "failure"),
    [
        (START, None, "no-answer"),
        (START, "", "no-answer"),
        (START, "  \n ", "no-answer"),
        (START, "<think>never ending", "no-answer"),
        (START, "This position calls for patience.", "no-move"),
        (START, "resign", "no-move"),
        (START, "--", "no-move"),
        (START, "<move></move>", "no-move"),
        (START, "<move>pass</move>", "no-move"),
        (START, "e4 or d4", "ambiguous"),
        (START, "<move>e4</move> <move>d4</move>", "ambiguous"),
        (RICH, "a8", "ambiguous"),
        (RICH, "a7a8", "ambiguous"),
        (TWO_KNIGHTS, "Ne3", "ambiguous"),
        (START, "<move>e5</move>", "illegal"),
        (START, "Ke9", "illegal"),
        (START, "e2e5", "illegal"),
        (START, "e2e4q", "illegal"),
        (START, "0-0", "illegal"),
        (START, "<move>Qh5</move>", "illegal"),
        (START, "<move>Qh5</move> though e4 is fine too", "illegal"),
        (IN_CHECK, "<move>Ke2</move>", "illegal"),
    ],
)
def test_what_names_none_says_why(fen: str, text: str | None, failure: str) -> None:
    found = read_answer(chess.Board(fen), text)
    assert isinstance(found, Unread), found
    assert found.failure == failure
    assert found.why.endswith(".")


def test_the_reason_is_one_short_printable_line() -> None:
    found = read_answer(
        chess.Board(), "<move>e4</move><reason>It\n takes \x1b[31m the centre" + "!" * 999 + "</reason>"
    )
    assert isinstance(found, Read)
    assert found.reason is not None
    assert found.reason.startswith("It takes [31m the centre!")
    assert len(found.reason) == 300
    told = read_answer(chess.Board(), '{"move": "e4", "explanation": "space"}')
    assert isinstance(told, Read)
    assert told.reason == "space"


def test_a_list_of_ambiguous_moves_names_them() -> None:
    found = read_answer(chess.Board(TWO_KNIGHTS), "Ne3")
    assert isinstance(found, Unread)
    assert "Nce3" in found.why
    assert "Nge3" in found.why


@pytest.mark.slow  # hundreds of texts
@settings(max_examples=150, deadline=None)
@given(st.text(max_size=80) | st.text(alphabet="abcdefgh12345678NBRQKxO0-+=#. <>move/{}\"'\n", max_size=60))
def test_no_text_raises_and_every_move_is_legal(text: str) -> None:
    for fen in (START, RICH, IN_CHECK):
        board = chess.Board(fen)
        found = read_answer(board, text)
        if isinstance(found, Read):
            assert chess.Move.from_uci(found.uci) in board.legal_moves
        assert board.fen() == fen


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["san", "uci", "lan", "tag", "json", "numbered", "lower"]))
def test_every_legal_move_is_read_in_every_notation(number: int, notation: str) -> None:
    import random

    dice, board = random.Random(number), chess.Board()
    for _ in range(number % 60):
        if board.is_game_over():
            board.reset()
        board.push(dice.choice(list(board.legal_moves)))
    if board.is_game_over():
        return
    move = dice.choice(list(board.legal_moves))
    san = board.san(move)
    text = {
        "san": san,
        "uci": move.uci(),
        "lan": board.lan(move),
        "tag": f"Let me think.\n<move>{san}</move>\n<reason>why not</reason>",
        "json": f'Sure! {{"move": "{san}"}}',
        "numbered": f"{board.fullmove_number}{'.' if board.turn else '...'} {san}",
        "lower": move.uci().upper(),
    }[notation]
    found = read_answer(board, text)
    assert isinstance(found, Read), (board.fen(), text, found)
    assert found.uci == move.uci()
