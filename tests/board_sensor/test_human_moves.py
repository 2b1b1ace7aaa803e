"""People's moves at the software table: hand, physics, scanner, serial line, driver, settling, recognition, bus.

Slides, swaps, captures in any order, castling king first, rook first and with both hands, pawns exchanged on the last
rank, pieces put down off-centre and flickering: every move is announced once, as itself.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator

import anyio
import chess
import pytest

from edgechess_board.driver import DgtBoard
from edgechess_board.placement import Placement
from edgechess_board_sensor import component
from edgechess_board_sensor.settings import Settings
from edgechess_kit.bus import Subscription
from edgechess_kit.clock import SeededIds, VirtualClock
from edgechess_kit.component import Context
from edgechess_kit.journal import SqliteJournal
from edgechess_kit.memory_bus import MemoryBroker
from edgechess_kit.messages import BoardMoved, SessionState
from edgechess_twin.faults import NONE, Faults
from edgechess_twin.table import Table, TableOptions

pytestmark = pytest.mark.anyio

CLUMSY = Faults(off_centre_mm=12.0, flicker=0.05, serial_loss=1e-5)
STARTS = (
    chess.STARTING_FEN,
    "r3k2r/pppq1ppp/2npbn2/2b1p3/2B1P3/2NPBN2/PPPQ1PPP/R3K2R w KQkq - 0 1",  # castling on every wing
    "r3k2r/1P4P1/8/3pP3/3Pp3/8/1p4p1/R3K2R w KQkq d6 0 1",  # en passant and promotions as well
)
RARE = 0.35  # castling, en passant and promotions are played this often where they can be
PLIES = 40  # of one game
SETTLE_S = 4.0  # a move is announced this soon after the hand has gone, the longest wait included; otherwise it is lost


@dataclasses.dataclass
class Tally:
    moves: int = 0
    castlings: int = 0
    wrong: list[str] = dataclasses.field(default_factory=list)
    lost: list[str] = dataclasses.field(default_factory=list)
    helped: int = 0
    """Moves that were announced only when the person had put the flickering piece right."""


def random_moves(chance: random.Random, start: str, plies: int) -> Iterator[tuple[chess.Board, chess.Move]]:
    board = chess.Board(start)
    while len(board.move_stack) < plies and not board.is_game_over():
        moves = sorted(board.legal_moves, key=chess.Move.uci)
        rare = [m for m in moves if board.is_castling(m) or board.is_en_passant(m) or m.promotion]
        move = chance.choice(rare if rare and chance.random() < RARE else moves)
        yield board.copy(stack=False), move
        board.push(move)


async def play_one(seed: int, faults: Faults, *, rotated: bool = False, plies: int = PLIES) -> Tally:
    tally, chance = Tally(), random.Random(seed)
    broker = MemoryBroker()
    start = STARTS[seed % len(STARTS)]
    placement = Placement.from_fen(start)
    table = Table(TableOptions(seed=seed, faults=faults, arms=(), rotated=rotated, placement=placement))
    clock = VirtualClock()
    context = Context(
        "board-sensor",
        Settings(),
        broker.client("board-sensor"),
        broker.topics,
        SqliteJournal(":memory:", clock),
        clock,
        SeededIds(seed),
    )
    manager = broker.client("manager")
    async with anyio.create_task_group() as tasks, manager.subscribe(broker.topics.board_moved) as inbox:
        await tasks.start(table.run)
        tasks.start_soon(component.run, context, DgtBoard(table.open_board))
        await anyio.sleep(2.0)
        played: list[str] = []
        for before, move in random_moves(chance, start, plies):
            state = SessionState(
                status="running",
                session_id="s1",
                start_fen=start,
                fen=before.fen(),
                moves=tuple(played[-20:]),
                ply=len(played),
            )
            await manager.publish(broker.topics.session_state, state)
            await table.person.play(move.uci(), before.fen())
            tally.moves += 1
            tally.castlings += before.is_castling(move)
            text = f"seed {seed} ply {len(played) + 1}: {before.fen()} {move.uci()}"
            heard = await announced(inbox, broker)
            after = before.copy(stack=False)
            after.push(move)
            if not heard:  # a piece flickers: the person looks, and puts it right
                tally.helped += 1
                await table.person.arrange(after.board_fen())
                heard = await announced(inbox, broker)
            if not heard:
                tally.lost.append(text)
            elif [(moved.kind, moved.lan) for moved in heard] != [("move", move.uci())]:
                tally.wrong.append(f"{text}: {[(m.kind, m.lan) for m in heard]}")
            if table.world.placement() != Placement.from_fen(after.board_fen()):
                await table.person.arrange(after.board_fen())  # a piece was knocked over
            await anyio.sleep(chance.uniform(0.0, 1.0))
            played.append(move.uci())
        tasks.cancel_scope.cancel()
    return tally


async def announced(inbox: Subscription, broker: MemoryBroker) -> list[BoardMoved]:
    heard: list[BoardMoved] = []
    with anyio.move_on_after(SETTLE_S):
        async for delivery in inbox:
            heard.append(delivery.decode(broker.topics.board_moved))  # noqa: PERF401 - what was heard outlives the cut
    return heard


@pytest.mark.parametrize(("seed", "rotated"), [(3, False), (1, True)])
async def test_every_move_of_a_game_by_a_tidy_hand(seed: int, rotated: bool) -> None:
    tally = await play_one(seed, NONE, rotated=rotated, plies=16)
    assert (tally.wrong, tally.lost, tally.helped) == ([], [], 0)
    assert tally.moves == 16


async def test_every_move_of_a_game_by_a_clumsy_hand() -> None:
    tally = await play_one(2, CLUMSY, plies=16)
    assert (tally.wrong, tally.lost) == ([], [])


@pytest.mark.slow
async def test_ten_thousand_moves() -> None:
    moves = castlings = seed = 0
    while moves < 10_000:
        seed += 1
        tally = await play_one(1000 + seed, CLUMSY if seed % 2 else NONE)
        assert (tally.wrong, tally.lost) == ([], [])
        moves, castlings = moves + tally.moves, castlings + tally.castlings
    assert castlings >= 100
