"""People's moves at the software table, in virtual time: every one announced once, as itself.

Hand, physics, scanner, serial line, driver, settling, recognition, bus. The seeded person slides, swaps, captures in any
order, castles king first, rook first and with both hands, exchanges pawns on the last rank or on the way, leaves pieces
off-centre and flickering (every second game), on a line that loses a byte now and then. Every third game the board is
turned round.
"""

from __future__ import annotations

import dataclasses
import os
import random
import time

import anyio
import anyio.to_process
import chess

from edgechess_board.placement import Placement
from edgechess_cli.bench.figures import Report
from edgechess_cli.bench.figures import Table as Lines
from edgechess_cli.bench.sensing import STARTS, Sensed, after, random_moves, sensed_table
from edgechess_cli.virtual_time import run_virtual
from edgechess_kit.bus import Subscription
from edgechess_kit.clock import VirtualClock
from edgechess_kit.messages import BoardMoved
from edgechess_twin.faults import NONE, Faults
from edgechess_twin.table import Table, TableOptions

CLUMSY = Faults(off_centre_mm=12.0, flicker=0.05, serial_loss=1e-5)
PLIES = 40  # of one game
SETTLE_S = 4.0  # a move is announced this soon after the hand has gone, the longest wait included; otherwise it is lost
PAUSE_S = 1.0  # at most, between two moves
FIRST_SEED = 1000
EXAMPLES = 10  # of what went wrong, in the report


@dataclasses.dataclass(slots=True)
class Tally:
    """Moves by kind, and what became of them."""

    games: int = 0
    moves: int = 0
    captures: int = 0
    en_passants: int = 0
    promotions: int = 0
    short_castlings: int = 0
    long_castlings: int = 0
    takebacks: int = 0
    """Announcements that were corrected: a rook that turned out to castle, a slide that went on."""
    helped: int = 0
    """Moves that were not announced in time because a piece flickered or lay, which the sensor had said; then the person
    put it right."""
    wrong: list[str] = dataclasses.field(default_factory=list)
    lost: list[str] = dataclasses.field(default_factory=list)

    def add(self, other: Tally) -> None:
        for field in dataclasses.fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    def count(self, board: chess.Board, move: chess.Move) -> None:
        self.moves += 1
        self.captures += board.is_capture(move)
        self.en_passants += board.is_en_passant(move)
        self.promotions += move.promotion is not None
        self.short_castlings += board.is_kingside_castling(move)
        self.long_castlings += board.is_queenside_castling(move)


def play_seed(seed: int, plies: int = PLIES) -> Tally:
    """One game in virtual time, from its seed alone."""
    return run_virtual(play_one, seed, CLUMSY if seed % 2 else NONE, seed // 6 % 2 == 1, plies, seed=seed)


async def play_one(seed: int, faults: Faults, rotated: bool = False, plies: int = PLIES) -> Tally:
    """One game, under a virtual clock."""
    start = STARTS[seed // 2 % len(STARTS)]
    options = TableOptions(seed=seed, faults=faults, arms=(), rotated=rotated, placement=Placement.from_fen(start))
    table = Table(options)
    async with anyio.create_task_group() as tasks:
        await tasks.start(table.run)
        async with (
            sensed_table(table, table.open_board, start, VirtualClock()) as sensed,
            sensed.bus.subscribe(sensed.topics.board_moved) as moved,
        ):
            game = _Game(seed, table, sensed, moved)
            tasks.start_soon(game.watch, name="watch")
            await game.play(start, plies)
            tasks.cancel_scope.cancel()
    return game.tally


class _Game:
    """One person's game, and what was announced of it."""

    def __init__(self, seed: int, table: Table, sensed: Sensed, moved: Subscription) -> None:
        self.tally = Tally(games=1)
        self._seed = seed
        self._table = table
        self._sensed = sensed
        self._moved = moved
        self._complaint = False
        """The sensor has named a square or given a reason since the hand had gone: nobody waits in vain."""

    async def watch(self) -> None:
        """What the sensor shows, as somebody at the table would see it."""
        async with self._sensed.bus.subscribe(self._sensed.topics.board_state) as states:
            async for delivery in states:
                state = delivery.decode(self._sensed.topics.board_state)
                self._complaint |= bool(state.differences) or state.reason is not None

    async def play(self, start: str, plies: int) -> None:
        chance = random.Random(self._seed)
        before: chess.Move | None = None
        for board, move in random_moves(chance, start, plies):
            await self._sensed.confirm(board, before)
            await self._move(board, move)
            await anyio.sleep(chance.uniform(0.0, PAUSE_S))
            before = move

    async def _move(self, board: chess.Board, move: chess.Move) -> None:
        tally, person, wanted = self.tally, self._table.person, after(board, move).board_fen()
        tally.count(board, move)
        text = f"seed {self._seed} move {tally.moves}: {move.uci()} in {board.fen()}"
        await person.play(move.uci(), board.fen())
        self._complaint = False
        heard = await self._announced()
        if not heard:
            if not self._complaint:
                tally.lost.append(f"{text}: silence")
            else:
                tally.helped += 1
                await person.arrange(wanted)  # the person looks, and puts it right
                heard = await self._announced()
                if not heard:
                    tally.lost.append(text)
        tally.takebacks += sum(message.kind == "takeback" for message in heard)
        if heard and _standing(heard) != [move.uci()]:
            tally.wrong.append(f"{text}: announced {[(m.kind, m.lan) for m in heard]}")
        if self._table.world.placement() != Placement.from_fen(wanted):
            await person.arrange(wanted)  # a piece was knocked over

    async def _announced(self) -> list[BoardMoved]:
        heard: list[BoardMoved] = []
        with anyio.move_on_after(SETTLE_S):
            async for delivery in self._moved:
                heard.append(delivery.decode(self._sensed.topics.board_moved))  # noqa: PERF401 - outlives the cut
        return heard


def _standing(heard: list[BoardMoved]) -> list[str]:
    """What is left of the announcements when take-backs are taken seriously."""
    left: list[str] = []
    for moved in heard:
        if moved.kind == "takeback" and left and left[-1] == moved.lan:
            left.pop()
        else:
            left.append(moved.lan if moved.kind == "move" else f"-{moved.lan}")
    return left


async def measure(moves: int, seed: int = FIRST_SEED, workers: int | None = None) -> Report:
    """At least `moves` moves, in whole games, on `workers` processes (default: one for each core)."""
    tally, started_s = Tally(), time.perf_counter()
    limit = anyio.CapacityLimiter(workers or os.cpu_count() or 1)
    seeds = iter(range(seed, seed + moves))

    async def play() -> None:
        while tally.moves < moves:
            tally.add(await anyio.to_process.run_sync(play_seed, next(seeds), limiter=limit, cancellable=True))

    async with anyio.create_task_group() as tasks:
        for number in range(int(limit.total_tokens)):
            tasks.start_soon(play, name=f"games {number}")
    return report(tally, time.perf_counter() - started_s)


def report(tally: Tally, seconds: float) -> Report:
    counts = {key: value for key, value in dataclasses.asdict(tally).items() if isinstance(value, int)}
    castlings = tally.short_castlings + tally.long_castlings
    lines = Lines(
        "People's moves in virtual time: hand, physics, serial line, driver, recognition",
        ("games", "moves", "captures", "castlings", "en passant", "promotions", "corrected", "helped", "wrong", "lost"),
        (
            tuple(
                str(count)
                for count in (
                    tally.games,
                    tally.moves,
                    tally.captures,
                    castlings,
                    tally.en_passants,
                    tally.promotions,
                    tally.takebacks,
                    tally.helped,
                    len(tally.wrong),
                    len(tally.lost),
                )
            ),
        ),
    )
    remarks = (
        f"corrected: announced, taken back and announced as what it became; helped: not announced within {SETTLE_S:g} s,"
        " but the sensor said which square keeps changing or stands wrong, and knew the move when that was put right",
    )
    failures = tuple(
        f"{kind}: {text}" for kind, texts in (("wrong", tally.wrong), ("lost", tally.lost)) for text in texts[:EXAMPLES]
    )
    figures = {**counts, "wrong": len(tally.wrong), "lost": len(tally.lost), "seconds": round(seconds, 1)}
    return Report("human-moves", figures, (lines,), remarks=remarks, failures=failures)
