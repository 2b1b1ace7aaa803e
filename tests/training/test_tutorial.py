"""docs/train.md, done: the commands of its first part are read out of it and run in small."""

from __future__ import annotations

import random
import shlex
from pathlib import Path

import chess
import chess.pgn
import pytest
from typer.testing import CliRunner

from edgechess_cli.main import app
from edgechess_inference.stockfish import find_stockfish

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "train.md"
PART = "## From nothing"
SMALLER = {
    "train policy": ("--positions 128", "--threads 1"),
    "evaluate": ("--games 2", "--positions 40", "--retries 1", "--centipawns 0", "--threads 1", "--nodes 50"),
    "play": ("--max-plies 4", "--time virtual"),
}
"""Options that come after those of the page and so replace them."""


def commands() -> list[str]:
    part = PAGE.read_text(encoding="utf-8").split(PART)[1].split("\n## ")[0]
    blocks = part.split("```")[1::2]
    return [
        line.partition("  #")[0].removeprefix("$ ").strip()
        for block in blocks
        for line in block.splitlines()
        if line.startswith("$ edgechess ")
    ]


def shrunk(command: str) -> list[str]:
    words = command.removeprefix("edgechess ")
    for verb, options in SMALLER.items():
        if words.startswith(verb):
            words = " ".join((words, *options))
    return shlex.split(words)


def game(number: int) -> str:
    """Of somebody who moves at random, against somebody else who does."""
    draw, board = random.Random(number), chess.Board()
    while not board.is_game_over() and board.ply() < 40:
        board.push(draw.choice(list(board.legal_moves)))
    found = chess.pgn.Game.from_board(board)
    names = ("Capablanca, Jose Raul", "Nobody")
    found.headers.update({
        "White": names[number % 2], "Black": names[1 - number % 2], "Date": f"19{number % 40 + 10}.01.01",
        "Result": ("1-0", "0-1", "1/2-1/2")[number % 3],
    })  # fmt: skip
    return f"{found}\n\n"


def test_the_page_names_every_step() -> None:
    found = [" ".join(command.split()[1:3]) for command in commands()]
    assert [step.split()[0] for step in found] == ["dataset", "train", "evaluate", "model", "play"]


@pytest.mark.skipif(find_stockfish() is None, reason="no Stockfish here")
def test_its_first_part_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("torch", "onnxruntime"):
        pytest.importorskip(module)
    monkeypatch.chdir(tmp_path)
    Path("games.pgn").write_text("".join(game(number) for number in range(120)), encoding="utf-8")
    for command in commands():
        found = CliRunner().invoke(app, shrunk(command))
        assert found.exit_code == 0, f"{command}\n{found.output}"
    assert Path("models/mine.json").is_file()
    assert "4 of 4 plies confirmed on the board" in found.output
