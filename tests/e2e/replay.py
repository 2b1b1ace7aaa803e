"""A recorded game, move by move, as published requests: what a cloud workflow does.

    python tests/e2e/replay.py [--speed 60] [--no-robot] [--rotated] PGN…

plays whole games on a table of its own and prints one line per game; exit code 1 when one went wrong.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import time
import uuid
from pathlib import Path

import anyio
import chess
import chess.pgn

from edgechess_board.placement import Placement
from edgechess_cli.publish import ask
from edgechess_kit.mqtt_adapter import MqttBus
from edgechess_kit.settings import BusSettings
from edgechess_kit.topics import Topics
from edgechess_match_director.rules import move_request, start_request
from edgechess_twin.control import ControlClient

ANSWER_S = 120.0


@dataclasses.dataclass(frozen=True)
class Replayed:
    """What became of a game: the moves confirmed, the last answer's result, and what really stood at the end."""

    plies: int
    result: str | None
    termination: str | None
    final: Placement
    seconds: float


def read_game(path: Path) -> tuple[chess.Board, list[chess.Move]]:
    with path.open(encoding="utf-8") as file:
        game = chess.pgn.read_game(file)
    assert game is not None
    assert not game.errors
    return game.board(), list(game.mainline_moves())


async def replay(bus: MqttBus, hand: ControlClient, board: chess.Board, moves: list[chess.Move]) -> Replayed:
    """Publishes the start and every move; after every 200 the table must already show the move. Raises AssertionError."""
    topics, session = Topics(), f"replay-{uuid.uuid4().hex[:8]}"
    began = time.monotonic()
    await hand.arrange(board.board_fen())
    started = await ask(bus, topics, start_request(session, f"{session}-start", board.fen()), ANSWER_S)
    assert started is not None
    assert started.status == 200, started.reason
    answer = started
    for ply, move in enumerate(moves, 1):
        san = board.san(move)
        request = move_request(session, f"{session}-{ply}", board.fen(), move.uci(), None)
        board.push(move)
        found = await ask(bus, topics, request, ANSWER_S)
        shown = await hand.placement()
        assert found is not None, f"ply {ply} {san}: no answer"
        assert found.status == 200, f"ply {ply} {san}: {found.reason}"
        assert shown == Placement.from_fen(board.board_fen()), f"ply {ply} {san}: answered, but the table shows {shown}"
        answer = found
    detail = answer.detail
    return Replayed(
        len(moves),
        detail.result if detail else None,
        detail.termination if detail else None,
        await hand.placement(),
        time.monotonic() - began,
    )


async def _games(table: dict[str, str], paths: list[Path]) -> int:
    wrong = 0
    async with MqttBus(BusSettings(broker=table["broker"]), "replay") as bus, ControlClient(table["control"]) as hand:
        for path in paths:
            board, moves = read_game(path)
            try:
                done = await replay(bus, hand, board, moves)
            except AssertionError as error:
                wrong += 1
                print(f"WRONG {path.name}: {error}", flush=True)
                continue
            print(
                f"ok    {path.name}: {done.plies} plies in {done.seconds:.0f} s, {done.result} {done.termination}",
                flush=True,
            )
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description="Replay games by published move requests on a software table.")
    parser.add_argument("--speed", default="60", help="factor on the twin's motion")
    parser.add_argument("--no-robot", action="store_true", help="the seeded person makes every move")
    parser.add_argument("--rotated", action="store_true", help="the board is turned by 180 degrees")
    parser.add_argument("pgn", nargs="+", type=Path)
    given = parser.parse_args()
    words = [sys.executable, "-m", "edgechess_cli.main", "table", "--json", "--speed", given.speed]
    words += ["--no-robot"] * given.no_robot + ["--rotated"] * given.rotated
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            return 1 if anyio.run(_games, json.loads(process.stdout.readline()), given.pgn) else 0
        finally:
            process.terminate()


if __name__ == "__main__":
    sys.exit(main())
