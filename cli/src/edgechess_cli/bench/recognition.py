"""How long the board sensor needs: from the last physical change to the reading that shows it, and to naming what is wrong.

Real time: the software table on a pseudo-terminal at USB timing, the serial port, the driver and the sensor, all on one
event loop; the hand is sped up, wires and scans are not. Virtual time: the same over a wire in memory, which shows what
the rules cost without the machine's noise. The last physical change is read off the world itself.
"""

from __future__ import annotations

import dataclasses
import random
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import chess
from anyio.abc import ByteStream

from edgechess_board.placement import Placement, square_name
from edgechess_board.serial_adapter import SerialPorts
from edgechess_board_sensor.position import Line
from edgechess_board_sensor.recognition import Wrong, recognise
from edgechess_cli.bench.figures import Distribution, Report, Target
from edgechess_cli.bench.figures import Table as Lines
from edgechess_cli.bench.sensing import STARTS, Sensed, after, random_moves, sensed_table
from edgechess_cli.virtual_time import run_virtual
from edgechess_kit.bus import Subscription
from edgechess_kit.clock import SystemClock, VirtualClock
from edgechess_kit.messages import BoardState
from edgechess_twin.serve import serve
from edgechess_twin.table import Table, TableOptions
from edgechess_twin.world import SENSED_HEIGHT_MM, World

SPEED = 4.0  # of the hand: a move takes a third of a second instead of more than one
PLIES = 34  # of one game; three games see every start
GRAIN_S = 0.002  # how finely a motion is searched for its end; the error makes latencies longer, never shorter
PAUSE_S = 0.25  # at most, before each move: one whole scan, so that moves end anywhere within one
LIMIT_S = 5.0  # a reading that takes longer is not coming
WRONG_EVERY = 5  # moves; before each such move something is put wrong, named, and put right

PROVISIONAL_LIMIT_S = 0.30  # p95
SETTLED_LIMIT_S = 0.55  # p95
NAMED_LIMIT_S = 1.0  # every time


class Changes:
    """When something last changed that a board can feel: pieces standing, lying, or moving low above their squares."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._seen_s = self.last_s = anyio.current_time()
        self._scene = world.scene()

    async def watch(self) -> None:
        while True:
            await self._world.wait_changed(self._scene.version)
            self.look()

    def look(self) -> None:
        """Takes in what has happened since the last look."""
        now_s, scene = anyio.current_time(), self._world.scene()
        for moving in self._scene.moving:
            at_s = now_s
            while at_s > max(self._seen_s, self.last_s):
                here, before = moving.where(at_s), moving.where(at_s - GRAIN_S)
                if here != before and min(here[2], before[2]) < SENSED_HEIGHT_MM:
                    self.last_s = at_s - GRAIN_S
                    break
                at_s -= GRAIN_S
        stood = {view.number: view for view in self._scene.still}
        if any(view.number in stood and view != stood[view.number] for view in scene.still):
            self.last_s = now_s  # shoved or knocked over, at once
        self._seen_s, self._scene = now_s, scene


@dataclasses.dataclass(slots=True)
class Latencies:
    """In seconds, and what was not as it should be."""

    provisional_s: list[float] = dataclasses.field(default_factory=list)
    settled_s: list[float] = dataclasses.field(default_factory=list)
    named_s: list[float] = dataclasses.field(default_factory=list)
    castlings: int = 0
    captures: int = 0
    failures: list[str] = dataclasses.field(default_factory=list)

    def add(self, other: Latencies) -> None:
        for field in dataclasses.fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


class _Game:
    """One game at the software table. Every move and every wrong square is timed."""

    def __init__(self, seed: int, table: Table, sensed: Sensed, states: Subscription) -> None:
        self.latencies = Latencies()
        self._seed = seed
        self._chance = random.Random(seed)
        self._table = table
        self._sensed = sensed
        self._states = states
        self._changes = Changes(table.world)
        self._shown: list[tuple[float, BoardState]] = []

    async def watch(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._changes.watch, name="changes")
            async for delivery in self._states:
                self._shown.append((anyio.current_time(), delivery.decode(self._sensed.topics.board_state)))

    async def play(self, start: str, plies: int) -> None:
        previous: chess.Move | None = None
        for number, (board, move) in enumerate(random_moves(self._chance, start, plies)):
            await self._sensed.confirm(board, previous)
            if number % WRONG_EVERY == WRONG_EVERY - 1:
                await self._put_wrong(board)
            await anyio.sleep(self._chance.uniform(0.0, PAUSE_S))
            await self._move(board, move)
            previous = move

    async def _move(self, board: chess.Board, move: chess.Move) -> None:
        latencies, wanted = self.latencies, after(board, move).board_fen()
        latencies.castlings += board.is_castling(move)
        latencies.captures += board.is_capture(move)
        self._shown.clear()
        await self._table.person.play(move.uci(), board.fen())
        shown = await self._until(lambda state: state.settled and state.placement == wanted)
        if shown is None:
            latencies.failures.append(f"seed {self._seed}: {move.uci()} in {board.fen()} was not read")
            return
        changed_s = self._changes.last_s
        latencies.settled_s.append(shown[0] - changed_s)
        latencies.provisional_s.append(max(0.0, self._right_since(wanted) - changed_s))

    def _right_since(self, wanted: str) -> float:
        """Since when the board state has shown the placement without interruption, settled or not."""
        since_s = self._shown[-1][0]
        for at_s, state in reversed(self._shown):
            if state.placement != wanted:
                break
            since_s = at_s
        return since_s

    async def _put_wrong(self, board: chess.Board) -> None:
        """A piece goes where no legal move takes it, is knocked over, or is taken off; named; and put right again."""
        person, world = self._table.person, self._table.world
        square, target = self._misplacement(board)
        self._shown.clear()
        match self._chance.choice(("misplace", "knock", "lift")):
            case "misplace":
                await person.lift(square)
                await person.place(target)
            case "knock":
                await person.knock(square)
            case _:
                await person.lift(square)
        if all(view.steadiness in (0.0, 1.0) for view in world.pieces()):  # one that lies and flickers never settles
            self._changes.look()
            wrong = world.placement().differences(Placement.from_fen(board.board_fen()))
            named = (
                {(d.square, d.found) for d in ((square_name(w.square), w.found) for w in wrong)}
                if False
                else {(square_name(w.square), w.found) for w in wrong}
            )
            shown = await self._until(lambda state: {(d.square, d.found) for d in state.differences} == named)
            if shown is None:
                self.latencies.failures.append(
                    f"seed {self._seed}: {sorted(named, key=str)} in {board.fen()} not named"
                )
            else:
                self.latencies.named_s.append(shown[0] - self._changes.last_s)
        await person.arrange(board.board_fen())
        await self._until(lambda state: state.settled and state.placement == board.board_fen())

    def _misplacement(self, board: chess.Board) -> tuple[str, str]:
        """A piece and an empty square, such that neither the piece there nor its absence is what play leads to."""
        placement, line = Placement.from_fen(board.board_fen()), Line(board.fen(), (), 0)
        full = [square for square, piece in enumerate(placement) if piece is not None]
        empty = [square for square, piece in enumerate(placement) if piece is None]
        while True:
            start, end = self._chance.choice(full), self._chance.choice(empty)
            lifted = placement.with_piece(start, None)
            if all(isinstance(recognise(p, line), Wrong) for p in (lifted, lifted.with_piece(end, placement[start]))):
                return square_name(start), square_name(end)

    async def _until(self, found: Callable[[BoardState], bool]) -> tuple[float, BoardState] | None:
        """The first state shown (since the list was cleared) that is so after the last change; None when none comes."""
        with anyio.move_on_after(LIMIT_S):
            while True:
                self._changes.look()
                for at_s, state in self._shown:
                    if at_s > self._changes.last_s and found(state):
                        return at_s, state
                await anyio.sleep(GRAIN_S)
        return None


@asynccontextmanager
async def pseudo_terminal(table: Table) -> AsyncIterator[Callable[[], Awaitable[ByteStream]]]:
    """The table's board on a serial port of this machine."""
    with tempfile.TemporaryDirectory(prefix="edgechess-bench-") as folder:
        async with serve(table, directory=Path(folder)) as devices:
            yield SerialPorts(devices.board_path).open


@asynccontextmanager
async def memory_wire(table: Table) -> AsyncIterator[Callable[[], Awaitable[ByteStream]]]:
    yield table.open_board


async def play_game(seed: int, plies: int, real: bool) -> Latencies:
    """One game, in the time of whatever clock runs."""
    start = STARTS[seed % len(STARTS)]
    options = TableOptions(seed=seed, arms=(), placement=Placement.from_fen(start), speed=SPEED)
    table, clock = Table(options), SystemClock() if real else VirtualClock()
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(anyio.create_task_group())
        await tasks.start(table.run)
        open_port = await stack.enter_async_context((pseudo_terminal if real else memory_wire)(table))
        sensed = await stack.enter_async_context(sensed_table(table, open_port, start, clock))
        states = await stack.enter_async_context(sensed.bus.subscribe(sensed.topics.board_state))
        game = _Game(seed, table, sensed, states)
        inner = await stack.enter_async_context(anyio.create_task_group())
        inner.start_soon(game.watch, name="watch")
        await game.play(start, plies)
        inner.cancel_scope.cancel()
        tasks.cancel_scope.cancel()
    return game.latencies


def measure_virtual(moves: int, seed: int) -> Latencies:
    """At least `moves` moves in whole games, each under a virtual clock of its own."""
    sums = Latencies()
    while len(sums.settled_s) + len(sums.failures) < moves:
        plies = min(PLIES, moves - len(sums.settled_s))
        sums.add(run_virtual(play_game, seed, plies, False, seed=seed))
        seed += 1
    return sums


def measure_real(moves: int, seed: int) -> Latencies:
    """The same in real time, on pseudo-terminals."""
    sums = Latencies()
    while len(sums.settled_s) + len(sums.failures) < moves:
        plies = min(PLIES, moves - len(sums.settled_s))
        sums.add(anyio.run(play_game, seed, plies, True))
        seed += 1
    return sums


def measure(moves: int, virtual_moves: int, seed: int) -> Report:
    """`moves` in real time, `virtual_moves` in virtual time; 0 leaves that one out. Starts event loops of its own."""
    found: dict[str, Latencies] = {}
    if moves:
        found["real time"] = measure_real(moves, seed)
    if virtual_moves:
        found["virtual time"] = measure_virtual(virtual_moves, seed)
    return report(found)


def report(found: dict[str, Latencies]) -> Report:
    rows: list[tuple[str, ...]] = []
    targets: list[Target] = []
    figures: dict[str, Any] = {}
    for clock, latencies in found.items():
        own: dict[str, Any] = {"captures": latencies.captures, "castlings": latencies.castlings}
        for name, values, limit_s in (
            ("provisional", latencies.provisional_s, PROVISIONAL_LIMIT_S),
            ("settled", latencies.settled_s, SETTLED_LIMIT_S),
            ("wrong square named", latencies.named_s, NAMED_LIMIT_S),
        ):
            if not values:
                continue
            spread = Distribution.of(values)
            every = name == "wrong square named"
            texts = (f"{value:.3f}" for value in (spread.p50, spread.p95, spread.p99, spread.largest))
            rows.append((f"{clock}: {name}", str(spread.n), *texts))
            own[name.replace(" ", "_")] = spread.as_figures("s")
            measured = spread.largest if every else spread.p95
            targets.append(Target(f"{clock}: {name}, {'every time' if every else 'p95'}", measured, limit_s, "s"))
        figures[clock.replace(" ", "_")] = own
    table = Lines(
        "From the last physical change to the board state on the bus, USB timing",
        ("", "n", "p50 s", "p95 s", "p99 s", "max s"),
        tuple(rows),
    )
    failures = tuple(failure for latencies in found.values() for failure in latencies.failures)
    return Report("recognition", figures, (table,), tuple(targets), failures=failures)
