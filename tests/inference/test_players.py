"""Random, hand, human, builtin and replayed players."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import anyio
import anyio.lowlevel
import chess
import chess.pgn
import pytest
import zstandard

from edgechess_inference.embedded_engine import evaluate, search
from edgechess_inference.errors import PlayerFailed, PlayerWordError, ReplayEnded
from edgechess_inference.pgn_player import PgnPlayer, read_game
from edgechess_inference.player import PlayerOptions, Question
from edgechess_inference.registry import open_player
from edgechess_inference.table_players import read_move

pytestmark = pytest.mark.anyio

MATED = Question(chess.STARTING_FEN, ("f2f3", "e7e5", "g2g4", "d8h4"), 1.0)


def question(*moves: str, fen: str = chess.STARTING_FEN, timeout_s: float = 5.0) -> Question:
    return Question(fen, moves, timeout_s)


# ---------------------------------------------------------------- random and hand

GAME = """
import anyio, sys
from edgechess_inference.player import PlayerOptions, Question
from edgechess_inference.registry import open_player
import chess
async def main():
    player = await open_player("random", PlayerOptions(seed=5))
    moves = []
    for _ in range(30):
        moves.append((await player.choose(Question(chess.STARTING_FEN, tuple(moves), 1.0))).uci)
    print(" ".join(moves))
anyio.run(main)
"""


@pytest.mark.slow
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_random_game_is_the_same_in_two_processes() -> None:
    runs = [
        await anyio.run_process([sys.executable, "-c", GAME], env={"PYTHONHASHSEED": seed}, stderr=subprocess.PIPE)
        for seed in ("1", "2")
    ]
    assert runs[0].stdout == runs[1].stdout
    assert len(runs[0].stdout.split()) == 30


@pytest.mark.parametrize(("word", "seat"), [("random", "answers"), ("hand", "hand")])
async def test_every_legal_move_is_drawn_and_asking_again_gives_the_same(word: str, seat: str) -> None:
    seen = set()
    for seed in range(150):
        player = await open_player(word, PlayerOptions(seed=seed))
        first, again = await player.choose(question()), await player.choose(question())
        assert first == again
        assert (player.seat, first.by) == (seat, word)
        seen.add(first.uci)
    assert seen == {move.uci() for move in chess.Board().legal_moves}


@pytest.mark.parametrize("word", ["random", "hand", "builtin"])
async def test_where_the_game_is_over_there_is_no_move(word: str) -> None:
    player = await open_player(word)
    with pytest.raises(PlayerFailed, match="no legal move"):
        await player.choose(MATED)
    await player.close()


# ---------------------------------------------------------------- human


async def test_a_person_at_the_board_is_never_asked() -> None:
    player = await open_player("human")
    assert player.seat == "person"
    with pytest.raises(PlayerFailed):
        await player.choose(question())
    await player.close()


async def test_a_person_at_the_prompt_answers_in_san_or_uci_and_is_helped() -> None:
    typed = ["", "Ke2", "e9", "Nf3"]
    prompts: list[str] = []

    async def ask(prompt: str) -> str:
        await anyio.lowlevel.checkpoint()
        prompts.append(prompt)
        return typed.pop(0)

    player = await open_player("human", PlayerOptions(ask=ask))
    assert player.seat == "answers"
    assert (await player.choose(question())).uci == "g1f3"
    assert "Type a move" in prompts[1]
    assert "White to move" in prompts[0]
    typed.append("Resign")
    assert (await player.choose(question("e2e4"))).resigns


async def test_nobody_at_the_prompt_is_a_failure_of_the_player() -> None:
    async def ask(prompt: str) -> str:
        await anyio.sleep_forever()
        return ""

    player = await open_player("human", PlayerOptions(ask=ask))
    with pytest.raises(PlayerFailed, match=r"within 0\.01 s"):
        await player.choose(question(timeout_s=0.01))


@pytest.mark.parametrize(
    ("fen", "text", "uci"),
    [
        (chess.STARTING_FEN, "e4", "e2e4"),
        (chess.STARTING_FEN, "E2E4", "e2e4"),
        ("r3k2r/8/8/8/8/8/8/R3K2R w KQkq - 0 1", "0-0", "e1g1"),
        ("r3k2r/8/8/8/8/8/8/R3K2R w KQkq - 0 1", "O-O-O", "e1c1"),
        ("8/P6k/8/8/8/8/8/K7 w - - 0 1", "a8=N", "a7a8n"),
    ],
)
def test_moves_as_people_type_them(fen: str, text: str, uci: str) -> None:
    assert read_move(chess.Board(fen), text).uci() == uci


@pytest.mark.parametrize(
    ("fen", "text", "message"),
    [
        (chess.STARTING_FEN, "e2e5", "The piece on e2 cannot go there; it can play e2e3, e2e4."),
        (chess.STARTING_FEN, "e4e5", "e4 is empty."),
        (chess.STARTING_FEN, "e7e5", "The piece on e7 is not yours."),
        (chess.STARTING_FEN, "hello", "hello is no legal move here."),
        ("4k3/8/8/8/4r3/8/4R3/4K3 w - - 0 1", "e2d2", "e2d2 would leave your king in check."),
        ("8/P6k/8/8/8/8/8/K7 w - - 0 1", "a7a8", "a7a8 promotes: add the piece, for example a7a8q."),
        ("4k3/8/8/8/8/8/8/R3K2R w - - 0 1", "Rf1f2", "is no legal move here"),
        ("8/6k1/8/8/8/8/K7/R6R w - - 0 1", "Rd1", "could be more than one move: say which, Rad1, Rhd1."),
    ],
)
def test_a_move_that_cannot_be_is_explained(fen: str, text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        read_move(chess.Board(fen), text)
    assert message in str(caught.value)


# ---------------------------------------------------------------- builtin


@pytest.mark.parametrize(
    ("fen", "expected"),
    [
        ("6k1/5ppp/8/8/8/8/8/R3K3 w - - 0 1", {"a1a8"}),  # mate in one
        ("4k3/8/8/3q4/8/8/8/3RK3 w - - 0 1", {"d1d5"}),  # a queen for nothing
        ("8/P6k/8/8/8/8/8/K7 w - - 0 1", {"a7a8q"}),
        ("k7/8/8/8/8/8/1q6/K7 w - - 0 1", {"a1b2"}),  # the only move
    ],
)
def test_the_small_engine_sees_what_is_in_front_of_it(fen: str, expected: set[str]) -> None:
    board = chess.Board(fen)
    before = board.fen()
    assert search(board, nodes=1500, draw=random.Random(1)).uci() in expected
    assert board.fen() == before


def test_an_even_position_is_worth_nothing_and_a_queen_is_worth_much() -> None:
    assert evaluate(chess.Board()) == 0
    assert evaluate(chess.Board("3qk3/8/8/8/8/8/8/4K3 b - - 0 1")) > 800
    assert evaluate(chess.Board("3qk3/8/8/8/8/8/8/4K3 w - - 0 1")) < -800


@pytest.mark.parametrize("inline", [True, False])
async def test_the_small_engine_is_repeatable_and_keeps_its_deadline(inline: bool) -> None:
    player = await open_player("builtin:nodes=300", PlayerOptions(seed=2, inline=inline))
    assert await player.choose(question()) == await player.choose(question())
    await player.close()
    if not inline:
        patient = await open_player("builtin:nodes=200000")
        with anyio.fail_after(5):
            answer = await patient.choose(question(timeout_s=0.05))
        assert chess.Move.from_uci(str(answer.uci)) in chess.Board().legal_moves


# ---------------------------------------------------------------- replay

TWO_GAMES = """[Event "one"]
[Result "1-0"]

1. e4 e5 2. Qh5 Ke7 3. Qxe5# 1-0

[Event "two"]
[Result "1/2-1/2"]
[SetUp "1"]
[FEN "4k3/8/8/8/8/8/4P3/4K3 w - - 0 1"]

1. e4 (1. e3) 1... Kd7 {both are tired} 1/2-1/2

[Event "three"]
[Result "0-1"]
[Termination "White forfeits on time"]

1. d4 0-1

[Event "four"]
[Result "*"]

1. c4 *
"""


@pytest.fixture
def games(tmp_path: Path) -> Path:
    path = tmp_path / "ga#mes.pgn"
    path.write_text(TWO_GAMES)
    return path


async def test_the_recorded_moves_come_as_long_as_the_game_is_the_recorded_one(games: Path) -> None:
    player = await open_player(f"pgn:{games}")
    assert (await player.choose(question())).uci == "e2e4"
    assert (await player.choose(question("e2e4"))).uci == "e7e5"
    with pytest.raises(ReplayEnded, match="has e2e4 at ply 1; d2d4 was played") as ended:
        await player.choose(question("d2d4"))
    assert ended.value.result is None


@pytest.mark.parametrize(
    ("number", "moves", "result", "termination"),
    [
        (1, ("e2e4", "e7e5", "d1h5", "e8e7", "h5e5"), "1-0", "checkmate"),
        (2, ("e2e4", "e8d7"), "1/2-1/2", "agreement"),
        (3, ("d2d4",), "0-1", "time-forfeit"),
        (4, ("c2c4",), None, None),
    ],
)
async def test_the_end_of_the_record_says_how_it_ended(
    games: Path, number: int, moves: tuple[str, ...], result: str | None, termination: str | None
) -> None:
    player = await open_player(f"pgn:{games}#{number}")
    assert isinstance(player, PgnPlayer)
    with pytest.raises(ReplayEnded) as ended:
        await player.choose(question(*moves, fen=player.game.start_fen))
    assert (ended.value.result, ended.value.termination) == (result, termination)


async def test_a_game_from_a_position_needs_that_position(games: Path) -> None:
    player = await open_player(f"pgn:{games}#2")
    with pytest.raises(ReplayEnded, match="starts from 4k3/8"):
        await player.choose(question())
    counted = question(fen="4k3/8/8/8/8/8/4P3/4K3 w - - 7 40")  # counters are no part of a position
    assert (await player.choose(counted)).uci == "e2e4"


async def test_a_compressed_file_is_read_as_it_is(games: Path) -> None:
    packed = games.with_suffix(".pgn.zst")
    packed.write_bytes(zstandard.ZstdCompressor().compress(TWO_GAMES.encode()))
    assert read_game(packed, 2).moves == ("e2e4", "e8d7")
    packed.write_bytes(b"not compressed at all")
    with pytest.raises(PlayerWordError, match="is not Zstandard data"):
        await open_player(f"pgn:{packed}")


@pytest.mark.parametrize(
    ("text", "number", "message"),
    [
        (TWO_GAMES, 5, "has only 4 games"),
        ("", 1, "has no game"),
        ("1. e4 e5 2. Ke3 *", 1, "illegal san"),
        ('[Variant "Atomic"]\n\n1. e4 *', 1, "is Atomic, not chess"),
        ('[Event "empty"]\n\n*', 1, "has no moves"),
    ],
)
async def test_a_file_that_cannot_be_replayed_is_named(tmp_path: Path, text: str, number: int, message: str) -> None:
    path = tmp_path / "bad.pgn"
    path.write_text(text)
    with pytest.raises(PlayerWordError) as caught:
        await open_player(f"pgn:{path}#{number}")
    assert message in str(caught.value)
    assert "bad.pgn" in str(caught.value)


async def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.pgn"
    path.write_bytes(b"\xff\xfe\x00garbage")
    with pytest.raises(PlayerWordError, match="is no text file"):
        await open_player(f"pgn:{path}")


SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared games are not beside this checkout")
@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_every_showcase_game_replays_legally(number: int) -> None:
    file = sorted((SHARED / "showcase").glob("*.pgn"))[number - 1]
    player = await open_player(f"pgn:{file}")
    assert isinstance(player, PgnPlayer)
    board = chess.Board(player.game.start_fen)
    for _ in range(len(player.game.moves)):
        moves = tuple(move.uci() for move in board.move_stack)
        answer = await player.choose(question(*moves, fen=player.game.start_fen))
        board.push_uci(str(answer.uci))
    with file.open() as text:
        recorded = chess.pgn.read_game(text)
    assert recorded is not None
    assert board.fen() == recorded.end().board().fen()
    assert player.game.result == recorded.headers["Result"]
