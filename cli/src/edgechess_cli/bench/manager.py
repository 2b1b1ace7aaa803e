"""What the game manager adds to a move: request to answer, with a board that settles and arms that move in no time.

Through each broker in turn, move by move: first the floor (a child process that only commits and forwards, as often as
the manager does, the same ways between as many processes), then the manager. Both see the same machine in the same
second, so that their ratio says something on a busy one, too. Beside it the waiting of the AWS sample.
"""

from __future__ import annotations

import dataclasses
import random
import statistics
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import anyio
import chess

from edgechess_cli.bench.figures import Distribution, Report, Table, Target
from edgechess_cli.bench.scripted import SampleDevices, ScriptedDevices
from edgechess_cli.bench.wire import Hop, floor_topics
from edgechess_cli.child_process import ChildProcess
from edgechess_cli.match_folder import write_toml
from edgechess_cli.publish import ask
from edgechess_kit import messages as m
from edgechess_kit.broker import find_embedded, find_mosquitto, running_broker
from edgechess_kit.bus import Bus, Subscription
from edgechess_kit.clock import SystemClock
from edgechess_kit.journal import Entry, SqliteJournal
from edgechess_kit.mqtt_adapter import MqttBus
from edgechess_kit.settings import BusSettings
from edgechess_kit.topics import Topics
from edgechess_match_director.rules import move_request, start_request

BrokerName = Literal["mosquitto", "embedded"]

WARM_UP = 10  # moves before anything counts: imports, caches, and how often the manager commits
PAUSE_S = 0.03  # before each move: what is still on its way (events, session state) belongs to the move before
READY_TIMEOUT_S = 30.0  # an interpreter with its imports on a busy small machine
ANSWER_TIMEOUT_S = 10.0
POLLING_TIMEOUT_S = 120.0  # of one move of the sample's kind: three phases of 30 s and some
POLLING_PREFIX = "bench-polling"
LIMIT_MS = 30.0  # p99 through mosquitto
LIMIT_RATIO = 2.0  # p99 over the floor's p99


class BenchError(RuntimeError):
    """Something did not answer, or not with 200: there is nothing to measure."""


# ---------------------------------------------------------------- games


def games(seed: int) -> Iterator[tuple[str, chess.Board, chess.Move | None]]:
    """Legal games to their natural ends, for ever: (session, position, move); the move None opens a session."""
    chance, number = random.Random(seed), 0
    while True:
        number += 1
        board = chess.Board()
        yield f"bench-{number}", board.copy(stack=False), None
        while not board.is_game_over(claim_draw=True):
            move = chance.choice(sorted(board.legal_moves, key=chess.Move.uci))
            yield f"bench-{number}", board.copy(stack=False), move
            board.push(move)


# ---------------------------------------------------------------- one broker with everything at it


@dataclasses.dataclass(frozen=True, slots=True)
class Shape:
    """What the manager does on the way of one move, counted in its journal and at the devices."""

    peers: tuple[str, ...]
    commits: tuple[int, ...]
    row_bytes: int
    entries: int
    """Journal rows of a move; each is an event on the bus as well, beside the way of the move."""

    @property
    def hops(self) -> int:
        return 2 * len(self.peers)


class Side:
    """One broker: the manager's process, the floor's, the scripted devices, and who asks."""

    def __init__(self, name: BrokerName, cloud: Bus, topics: Topics, devices: ScriptedDevices, seed: int) -> None:
        self.name = name
        self.manager_ms: list[float] = []
        self.floor_ms: list[float] = []
        self.commits_ms: list[float] = []
        """The part of each floor that its commits took."""
        self.polling_ms: list[float] = []
        self.phases_ms: dict[str, list[float]] = {}
        self._cloud = cloud
        self._topics = topics
        self._devices = devices
        self._games = games(seed)
        self._numbers = 0
        self._answers: Subscription
        self._hops: Subscription
        self._floor = floor_topics(topics.prefix)

    def listen(self, answers: Subscription, hops: Subscription) -> None:
        self._answers, self._hops = answers, hops

    async def ready(self) -> None:
        """The manager answers. Raises BenchError."""
        request = start_request("bench-ready", f"ready-{self.name}", chess.STARTING_FEN)
        with anyio.move_on_after(READY_TIMEOUT_S):
            while await ask(self._cloud, self._topics, request, 1.0) is None:
                pass
            return
        raise BenchError(f"the game manager does not answer through {self.name}")

    async def move(self) -> float:
        """One move through the manager, in milliseconds. Starts the next game where one has ended."""
        session, board, move = next(self._games)
        if move is None:
            await self._answer(start_request(session, self._token(), board.fen()))
            session, board, move = next(self._games)
        assert move is not None
        request = move_request(session, self._token(), board.fen(), move.uci(), None)
        self._devices.asked.clear()
        await anyio.sleep(PAUSE_S)
        started_s = anyio.current_time()
        response = await self._answer(request)
        ended_s = anyio.current_time()
        if response.detail is not None:
            for phase, seconds in response.detail.timings_s.items():
                self.phases_ms.setdefault(phase, []).append(1000.0 * seconds)
        return 1000.0 * (ended_s - started_s)

    async def _answer(self, request: m.GameRequest) -> m.GameResponse:
        with anyio.move_on_after(ANSWER_TIMEOUT_S):
            await self._cloud.publish(self._topics.cloud_request, request)
            async for delivery in self._answers:
                response = delivery.decode(self._topics.cloud_response)
                if response.task_token == request.task_token:
                    if response.status != 200:
                        raise BenchError(f"{request.lan or 'start'}: {response.status} {response.reason}")
                    return response
        raise BenchError(f"{request.lan or 'start'}: no answer through {self.name}")

    def _token(self) -> str:
        self._numbers += 1
        return f"bench-{self.name}-{self._numbers}"

    def asked(self) -> tuple[str, ...]:
        return tuple(self._devices.asked)

    @property
    def last_token(self) -> str:
        return f"bench-{self.name}-{self._numbers}"

    async def floor_ready(self) -> None:
        """The floor's child answers. Raises BenchError."""
        with anyio.move_on_after(READY_TIMEOUT_S):
            while True:
                with anyio.move_on_after(0.5):
                    await self.floor(Shape(("cloud",), (0,), 0, 0))
                    return
        raise BenchError(f"the floor's process does not answer through {self.name}")

    async def floor(self, shape: Shape) -> float:
        """One move of the floor, in milliseconds."""
        self._numbers += 1
        hop = Hop(number=self._numbers, peers=shape.peers, commits=shape.commits, padding="x" * shape.row_bytes)
        await anyio.sleep(PAUSE_S)
        started_s = anyio.current_time()
        await self._cloud.publish(self._floor.child, hop)
        with anyio.move_on_after(ANSWER_TIMEOUT_S):
            async for delivery in self._hops:
                back = delivery.decode(self._floor.peers["cloud"])
                if back.number == hop.number:
                    ended_s = anyio.current_time()
                    self.commits_ms.append(1000.0 * back.committed_s)
                    return 1000.0 * (ended_s - started_s)
        raise BenchError(f"the floor: no answer through {self.name}")


@asynccontextmanager
async def side(name: BrokerName, folder: Path, seed: int) -> AsyncIterator[tuple[Side, str]]:
    """The broker, the manager and the devices run. Yields the side and the broker's address."""
    config, topics = folder / "game-manager.toml", Topics()
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(running_broker(kind=name))
        write_toml(config, {"bus": {"broker": broker}, "journal": {"path": str(folder / "game-manager.sqlite")}})
        settings = BusSettings(broker=broker)
        cloud = await stack.enter_async_context(MqttBus(settings, "bench-cloud"))
        board = await stack.enter_async_context(MqttBus(settings, "bench-board"))
        arms = await stack.enter_async_context(MqttBus(settings, "bench-arms"))
        devices = ScriptedDevices(board, arms, topics)
        tasks = await stack.enter_async_context(anyio.create_task_group())
        stack.callback(tasks.cancel_scope.cancel)
        await tasks.start(devices.run)
        made = Side(name, cloud, topics, devices, seed)
        made.listen(
            await stack.enter_async_context(cloud.subscribe(topics.cloud_response)),
            await stack.enter_async_context(cloud.subscribe(floor_topics(topics.prefix).peers["cloud"])),
        )
        manager = ["-m", "edgechess_game_manager", "--config", str(config), "--log-level", "WARNING"]
        await tasks.start(ChildProcess("game-manager", manager, folder / "game-manager.log").run)
        await made.ready()
        yield made, broker


@asynccontextmanager
async def floor_process(broker: str, folder: Path, shape: Shape) -> AsyncIterator[None]:
    """The floor's child beside the manager."""
    arguments = ["-m", "edgechess_cli.bench.floor_process", "--broker", broker, "--disk", str(folder / "floor.sqlite")]
    async with anyio.create_task_group() as tasks:
        child = ChildProcess("floor", [*arguments, "--row-bytes", str(shape.row_bytes)], folder / "floor.log")
        await tasks.start(child.run)
        yield
        tasks.cancel_scope.cancel()


def shape_of(peers: tuple[str, ...], entries: Sequence[Entry]) -> Shape:
    """From the journal's entries of one move: those of one commit carry one time."""
    commits = len({entry.at for entry in entries})
    ways = (*peers, "cloud")
    each = tuple(commits // len(ways) + (number < commits % len(ways)) for number in range(len(ways)))
    size = sum(len(str(entry.data)) for entry in entries) // max(1, commits)
    return Shape(ways, each, size, len(entries))


# ---------------------------------------------------------------- the sample's way


async def poll(target: Side, broker: str, folder: Path, moves: int, seed: int) -> None:
    """A few moves of a manager that looks at its flags every 3 s."""
    settings, topics = BusSettings(broker=broker, prefix=POLLING_PREFIX), Topics(POLLING_PREFIX)
    arguments = ["-m", "edgechess_cli.bench.polling_process", "--broker", broker, "--prefix", POLLING_PREFIX]
    async with (
        MqttBus(settings, "bench-polling-cloud") as cloud,
        MqttBus(settings, "bench-polling-devices") as bus,
        anyio.create_task_group() as tasks,
    ):
        await tasks.start(SampleDevices(bus, topics).run)
        child = ChildProcess("polling", arguments, folder / "polling.log")
        await tasks.start(child.run)
        for number, (session, board, move) in enumerate(games(seed)):
            if number > moves:
                break
            token = f"polling-{number}"
            if move is None:
                await _until_answered(cloud, topics, start_request(session, token, board.fen()))
                continue
            request = move_request(session, token, board.fen(), move.uci(), None)
            started_s = anyio.current_time()
            response = await ask(cloud, topics, request, POLLING_TIMEOUT_S)
            if response is None or response.status != 200:
                raise BenchError(f"polling: {response}")
            target.polling_ms.append(1000.0 * (anyio.current_time() - started_s))
        tasks.cancel_scope.cancel()


async def _until_answered(cloud: Bus, topics: Topics, request: m.GameRequest) -> None:
    """A start that comes before the process listens is lost: it is sent again."""
    with anyio.move_on_after(READY_TIMEOUT_S):
        while await ask(cloud, topics, request, 5.0) is None:
            pass
        return
    raise BenchError("polling: the start is not answered")


# ---------------------------------------------------------------- the benchmark


def brokers_here() -> tuple[BrokerName, ...]:
    """Those that are installed, mosquitto first."""
    names: list[BrokerName] = ["mosquitto"] if find_mosquitto() else []
    return (*names, "embedded") if find_embedded() else tuple(names)


async def measure(
    moves: int, polled: int, seed: int, scratch: Path, brokers: Sequence[BrokerName] | None = None
) -> Report:
    """`moves` counted moves through each broker. Journals lie in `scratch`, on the disk that they are to be measured on.

    Raises BenchError, or BrokerError where no broker is installed.
    """
    names = tuple(brokers) if brokers is not None else brokers_here()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="manager-", dir=scratch)))
        sides: list[tuple[Side, str, Path]] = []
        for name in names:
            own = folder / name
            own.mkdir()
            made, broker = await stack.enter_async_context(side(name, own, seed))
            sides.append((made, broker, own))
        shapes: dict[str, Shape] = {}
        for made, broker, own in sides:
            for _ in range(WARM_UP):
                await made.move()
            made.phases_ms.clear()
            journal = SqliteJournal.read_only(own / "game-manager.sqlite", SystemClock())
            shapes[made.name] = shape_of(made.asked(), journal.entries(key=made.last_token))
            journal.close()
            await stack.enter_async_context(floor_process(broker, own, shapes[made.name]))
            await made.floor_ready()
            for _ in range(WARM_UP):
                await made.floor(shapes[made.name])
            made.commits_ms.clear()
        for _ in range(moves):
            for made, _broker, _own in sides:
                made.floor_ms.append(await made.floor(shapes[made.name]))
                made.manager_ms.append(await made.move())
        if polled:
            async with anyio.create_task_group() as tasks:
                for made, broker, own in sides:
                    tasks.start_soon(poll, made, broker, own, polled, seed)
        return report([made for made, _, _ in sides], shapes)


def report(sides: Sequence[Side], shapes: dict[str, Shape]) -> Report:
    rows: list[tuple[str, ...]] = []
    targets: list[Target] = []
    figures: dict[str, Any] = {}
    remarks: list[str] = []
    for made in sides:
        shape = shapes[made.name]
        manager, floor = Distribution.of(made.manager_ms), Distribution.of(made.floor_ms)
        commits = Distribution.of(made.commits_ms)
        paired = statistics.median(a / b for a, b in zip(made.manager_ms, made.floor_ms, strict=True))
        rows.append(_row(f"{made.name}: game manager", manager))
        rows.append(_row(f"{made.name}: floor, {sum(shape.commits)} commits and {shape.hops} hops alone", floor))
        rows.append(_row("    of which the commits", commits))
        figures[made.name] = {
            "manager": manager.as_figures("ms"),
            "floor": floor.as_figures("ms"),
            "floor_commits": commits.as_figures("ms"),
            "commits": sum(shape.commits),
            "hops": shape.hops,
            "journal_rows": shape.entries,
            "ratio_p50": round(manager.p50 / floor.p50, 3),
            "ratio_paired_p50": round(paired, 3),
            "ratio_p99": round(manager.p99 / floor.p99, 3),
            "phases_p50_ms": {name: round(statistics.median(values), 3) for name, values in made.phases_ms.items()},
        }
        if made.polling_ms:
            polling = Distribution.of(made.polling_ms)
            rows.append(_row(f"{made.name}: looking every 3 s, as the AWS sample", polling))
            figures[made.name]["polling"] = polling.as_figures("ms")
        targets.append(Target(f"{made.name}: p99 over the floor's p99", manager.p99 / floor.p99, LIMIT_RATIO, "x"))
        if made.name == "mosquitto":
            targets.append(Target("mosquitto: p99", manager.p99, LIMIT_MS, "ms"))
        phases = ", ".join(
            f"{name} {value:.1f}" for name, value in figures[made.name]["phases_p50_ms"].items() if name != "total"
        )
        remarks.append(
            f"{made.name}: ratio to the floor {manager.p50 / floor.p50:.2f} at p50, {paired:.2f} the median of neighbours;"
            f" of the median move, by the manager's"
            f" own clock in ms: {phases}; {shape.entries} events per move beside the way"
        )
    table = Table(
        "Overhead of one move, request to answer; board and arms answer at once",
        ("", "moves", "p50 ms", "p95 ms", "p99 ms", "max ms"),
        tuple(rows),
    )
    return Report("manager", figures, (table,), tuple(targets), tuple(remarks))


def _row(name: str, values: Distribution) -> tuple[str, ...]:
    texts = (f"{value:.1f}" for value in (values.p50, values.p95, values.p99, values.largest))
    return (name, str(values.n), *texts)
