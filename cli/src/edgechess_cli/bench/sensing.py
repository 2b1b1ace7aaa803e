"""A software table with its board, driver and sensor on a bus in memory: what the sensing benchmarks have in common.

Everything between the hand and the bus is what runs in a match. Only the session is played by the benchmark, which
says what is confirmed as the game manager would.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import anyio
import chess
from anyio.abc import ByteStream

from edgechess_board.driver import DgtBoard
from edgechess_board_sensor import component as board_sensor
from edgechess_board_sensor.settings import Settings
from edgechess_kit.bus import Subscription
from edgechess_kit.clock import Clock, SeededIds
from edgechess_kit.component import Context
from edgechess_kit.journal import SqliteJournal
from edgechess_kit.memory_bus import MemoryBroker, MemoryBus
from edgechess_kit.messages import BoardState, SessionState
from edgechess_kit.topics import Topics
from edgechess_twin.table import Table

STARTS = (
    chess.STARTING_FEN,
    "r3k2r/pppq1ppp/2npbn2/2b1p3/2B1P3/2NPBN2/PPPQ1PPP/R3K2R w KQkq - 0 1",  # castling on every wing
    "r3k2r/1P4P1/8/3pP3/3Pp3/8/1p4p1/R3K2R w KQkq d6 0 1",  # en passant and promotions as well
)
RARE = 0.35  # castling, en passant and promotions are played this often where they can be
SESSION = "bench"
LAST_PLIES = 20  # what a session state carries
CONNECT_TIMEOUT_S = 20.0  # a pseudo-terminal is noticed within 50 ms, a probe answered within 100 ms


def random_moves(chance: random.Random, start: str, plies: int) -> Iterator[tuple[chess.Board, chess.Move]]:
    """A legal game from `start`, with the rare kinds of move played more often than chance would."""
    board = chess.Board(start)
    while len(board.move_stack) < plies and not board.is_game_over():
        moves = sorted(board.legal_moves, key=chess.Move.uci)
        rare = [m for m in moves if board.is_castling(m) or board.is_en_passant(m) or m.promotion]
        move = chance.choice(rare if rare and chance.random() < RARE else moves)
        yield board.copy(stack=False), move
        board.push(move)


def after(board: chess.Board, move: chess.Move) -> chess.Board:
    """The position that the move leads to."""
    board = board.copy(stack=False)
    board.push(move)
    return board


class Sensed:
    """The bus side of a sensed table."""

    def __init__(self, bus: MemoryBus, topics: Topics, start: str) -> None:
        self.bus = bus
        self.topics = topics
        self._start = start
        self._played: list[str] = []

    async def confirm(self, board: chess.Board, move: chess.Move | None = None) -> None:
        """Says that `board` is what is confirmed; `move` was played before it."""
        if move is not None:
            self._played.append(move.uci())
        state = SessionState(
            status="running",
            session_id=SESSION,
            start_fen=self._start,
            fen=board.fen(),
            moves=tuple(self._played[-LAST_PLIES:]),
            ply=len(self._played),
        )
        await self.bus.publish(self.topics.session_state, state)

    async def settled(self, states: Subscription) -> BoardState:
        """The next settled state. The deadline is the caller's."""
        while True:
            state = (await anext(states)).decode(self.topics.board_state)
            if state.settled:
                return state


@asynccontextmanager
async def sensed_table(
    table: Table, open_port: Callable[[], Awaitable[ByteStream]], start: str, clock: Clock
) -> AsyncIterator[Sensed]:
    """`table` is running already. Entered when the board has shown its first settled position.

    Raises TimeoutError when the board is not there in time.
    """
    broker = MemoryBroker()
    journal = SqliteJournal(":memory:", clock)
    context = Context(
        "board-sensor",
        Settings(),
        broker.client("board-sensor"),
        broker.topics,
        journal,
        clock,
        SeededIds(table.options.seed),
    )
    sensed = Sensed(broker.client("manager"), broker.topics, start)
    async with anyio.create_task_group() as tasks, sensed.bus.subscribe(broker.topics.board_state) as states:
        board = DgtBoard(open_port, orientation="rotated" if table.options.rotated else "normal")
        tasks.start_soon(board_sensor.run, context, board, name="board-sensor")
        with anyio.fail_after(CONNECT_TIMEOUT_S):
            await sensed.settled(states)
        yield sensed
        tasks.cancel_scope.cancel()
    journal.close()
