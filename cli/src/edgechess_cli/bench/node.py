"""The inference node as a process: how soon it answers after its start, and what a swap of weights costs those who ask.

Starts: the node's model lies on a store that takes connections and says nothing, so every first move is the engine's.
Swaps: several tables ask without a pause while the weights are replaced again and again; every answer is held against
what the weights that it names answer alone. Ratios are inside one run: answers during swaps over answers between them.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.abc
import chess
import numpy as np

from edgechess_cli.bench.figures import Distribution, Report, Table, Target
from edgechess_cli.bench.manager import BenchError
from edgechess_cli.child_process import interpreter
from edgechess_cli.node_control import ask as command
from edgechess_inference.policy.architecture import Architecture, weights_of
from edgechess_inference.policy.checkpoint import pack_policy
from edgechess_kit import messages as m
from edgechess_kit.broker import running_broker
from edgechess_kit.bus import Subscription
from edgechess_kit.mqtt_adapter import MqttBus
from edgechess_kit.settings import BusSettings
from edgechess_kit.topics import Topics

STARTS = 5
TABLES = 4  # that ask at once; each its next question when it has its answer
SWAPS = 6
CALM_S = 1.5  # between two swaps, and before the first
WARM_UP = 20  # answers of each table before anything counts
NETWORK = Architecture(trunk="residual", width=64, blocks=4)
START_LIMIT_S = 60.0
READY_LIMIT_S = 1.5
FIRST_MOVE_LIMIT_S = 0.1
SWAP_LIMIT_RATIO = 1.5
NODE = "inference-node"
T = Topics()


class _Answers:
    """One subscription for all tables: who waits for which id."""

    def __init__(self, bus: MqttBus) -> None:
        self._bus = bus
        self._waiting: dict[str, tuple[anyio.Event, list[m.InferenceResponse]]] = {}
        self._number = 0

    async def listen(self, deliveries: Subscription) -> None:
        async for delivery in deliveries:
            response = delivery.decode(T.inference_response)
            waiting = self._waiting.pop(response.request_id, None)
            if waiting is not None:
                waiting[1].append(response)
                waiting[0].set()

    async def ask(self, fen: str) -> m.InferenceResponse:
        """Raises BenchError."""
        self._number += 1
        request_id, event, found = f"bench-{self._number}", anyio.Event(), list[m.InferenceResponse]()
        self._waiting[request_id] = (event, found)
        request = m.InferenceRequest(request_id=request_id, player="model:bench", fen=fen)
        await self._bus.publish(T.inference_request, request)
        with anyio.move_on_after(START_LIMIT_S):
            await event.wait()
        if not found or found[0].status != 200:
            raise BenchError(f"the node gave no move: {found[0].reason if found else 'silence'}")
        return found[0]


async def measure(starts: int, swaps: int) -> Report:
    """Raises BenchError, OSError, KitError."""
    with tempfile.TemporaryDirectory(prefix="edgechess-bench-") as folder:
        ready_s, first_s = await _starts(starts, Path(folder))
        calm_s, swapping_s, swap_s, mixed = await _swaps(swaps, Path(folder))
    return _report(ready_s, first_s, calm_s, swapping_s, swap_s, mixed)


# ---------------------------------------------------------------- starts


async def _starts(count: int, folder: Path) -> tuple[list[float], list[float]]:
    """Seconds from the process to ready, and from the first question after it to its move."""
    ready_s, first_s = [], []
    silent = await anyio.create_tcp_listener(local_host="127.0.0.1")
    model = f"bench=http://127.0.0.1:{silent.extra(anyio.abc.SocketAttribute.local_port)}/bench.json"
    async with silent, running_broker() as url, anyio.create_task_group() as tasks:
        tasks.start_soon(silent.serve, _say_nothing)
        for number in range(count):
            async with _asking(url) as (bus, answers), bus.subscribe(T.status) as statuses:
                began = time.perf_counter()
                async with _node(url, folder / f"start-{number}.journal", model):
                    await _ready(statuses)
                    ready_s.append(time.perf_counter() - began)
                    began = time.perf_counter()
                    answer = await answers.ask(chess.STARTING_FEN)
                    first_s.append(time.perf_counter() - began)
                    if not answer.fallback:
                        raise BenchError("a model answered whose weights never came")
        tasks.cancel_scope.cancel()
    return ready_s, first_s


async def _say_nothing(stream: anyio.abc.ByteStream) -> None:
    async with stream:
        await anyio.sleep_forever()


async def _ready(statuses: Subscription) -> None:
    with anyio.fail_after(START_LIMIT_S):
        async for delivery in statuses:
            status = delivery.decode(T.status)
            if (status.component, status.status) == (NODE, "ready"):
                return


@asynccontextmanager
async def _asking(url: str) -> AsyncIterator[tuple[MqttBus, _Answers]]:
    async with (
        MqttBus(BusSettings(broker=url), "bench") as bus,
        bus.subscribe(T.inference_response) as deliveries,
        anyio.create_task_group() as tasks,
    ):
        answers = _Answers(bus)
        tasks.start_soon(answers.listen, deliveries)
        yield bus, answers
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def _node(url: str, journal: Path, model: str) -> AsyncIterator[None]:
    settings = (f"bus.broker={url}", f"journal.path={journal}", f"models={model}", "http_port=0")
    flags = [part for setting in settings for part in ("--set", setting)]
    arguments = interpreter(["-m", "edgechess_inference_node", "--log-level", "ERROR", *flags])
    process = await anyio.open_process(arguments, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=None)
    try:
        yield
    finally:
        with anyio.CancelScope(shield=True):
            process.terminate()
            await process.wait()
            await process.aclose()


# ---------------------------------------------------------------- swaps


async def _swaps(count: int, folder: Path) -> tuple[list[float], list[float], list[float], int]:
    """Seconds of answers between swaps, of those that a swap overlapped, of the swaps; and how many answers were mixed."""
    stores = [_packed(folder / f"bench-{number}.json", number) for number in (1, 2)]
    asked: list[tuple[float, float]] = []
    swapped: list[tuple[float, float]] = []
    said: list[tuple[str | None, str, str | None]] = []
    fens = _positions(TABLES)
    async with (
        running_broker() as url,
        _asking(url) as (bus, answers),
        bus.subscribe(T.status) as statuses,
        _node(url, folder / "swap.journal", f"bench={stores[0]}"),
        anyio.create_task_group() as tasks,
    ):
        await _ready(statuses)
        await _until_the_model_plays(answers)
        for fen in fens:
            for _ in range(WARM_UP):
                await answers.ask(fen)
        for fen in fens:
            tasks.start_soon(_table, answers, fen, asked, said)
        for number in range(count):
            await anyio.sleep(CALM_S)
            began = time.perf_counter()
            await _swap(bus, number, stores[(number + 1) % 2])
            swapped.append((began, time.perf_counter()))
        await anyio.sleep(CALM_S)
        tasks.cancel_scope.cancel()
    during = [overlaps(each, swapped) for each in asked]
    took = [end - begin for begin, end in asked]
    calm = [seconds for seconds, inside in zip(took, during, strict=True) if not inside]
    swapping = [seconds for seconds, inside in zip(took, during, strict=True) if inside]
    return calm, swapping, [end - begin for begin, end in swapped], mixed_answers(said)


async def _table(
    answers: _Answers, fen: str, asked: list[tuple[float, float]], said: list[tuple[str | None, str, str | None]]
) -> None:
    while True:
        began = time.perf_counter()
        response = await answers.ask(fen)
        asked.append((began, time.perf_counter()))
        said.append((response.weights, fen, response.lan))


async def _swap(bus: MqttBus, number: int, source: str) -> None:
    control = m.InferenceControl(command="swap", request_id=f"swap-{number}", model="bench", source=source)
    with anyio.fail_after(START_LIMIT_S):
        answer = await command(bus, T, control)
    if answer.status != 200:
        raise BenchError(f"swap {number}: {answer.status}: {answer.reason}")


async def _until_the_model_plays(answers: _Answers) -> None:
    with anyio.fail_after(START_LIMIT_S):
        while (await answers.ask(chess.STARTING_FEN)).fallback:  # noqa: ASYNC110  (the node's state, no event of ours)
            await anyio.sleep(0.1)


def overlaps(span: tuple[float, float], spans: Sequence[tuple[float, float]]) -> bool:
    """Whether any of `spans` shares a moment with `span`."""
    return any(begin <= span[1] and span[0] <= end for begin, end in spans)


def mixed_answers(said: Sequence[tuple[str | None, str, str | None]]) -> int:
    """Answers that differ from the first that the same weights gave in the same position: a network is deterministic."""
    first: dict[tuple[str | None, str], str | None] = {}
    return sum(first.setdefault((weights, fen), lan) != lan for weights, fen, lan in said)


def _positions(count: int) -> list[str]:
    board, fens = chess.Board(), []
    for move in ("e2e4", "e7e5", "g1f3", "b8c6", "f1b5", "a7a6", "b5a4", "g8f6")[:count]:
        board.push_uci(move)
        fens.append(board.fen())
    return fens


def _packed(path: Path, seed: int) -> str:
    draw = np.random.default_rng(seed)
    weights = {key: (0.1 * draw.standard_normal(size)).astype(np.float32) for key, size in weights_of(NETWORK).items()}
    pack_policy(path, NETWORK, weights)
    return str(path)


# ---------------------------------------------------------------- the report


def _report(
    ready_s: list[float], first_s: list[float], calm_s: list[float], swapping_s: list[float], swap_s: list[float], mixed: int
) -> Report:  # fmt: skip
    if not calm_s or not swapping_s:
        raise BenchError("no answer fell between the swaps, or none during one: more swaps are needed")
    calm, swapping = Distribution.of(calm_s), Distribution.of(swapping_s)
    ready, first, swap = Distribution.of(ready_s), Distribution.of(first_s), Distribution.of(swap_s)
    rows = (("ready", ready), ("first move", first), ("answer", calm), ("during a swap", swapping), ("swap", swap))
    return Report(
        NODE,
        {
            "ready": ready.as_figures("s"),
            "first_move": first.as_figures("s"),
            "answer": calm.as_figures("s"),
            "answer_during_swap": swapping.as_figures("s"),
            "swap": swap.as_figures("s"),
            "mixed": mixed,
        },
        (
            Table(
                f"Inference node, {TABLES} tables, network of {NETWORK.blocks} x {NETWORK.width} (s)",
                ("", "n", "median", "p99", "largest"),
                tuple(
                    (name, str(d.n), f"{d.p50:.3f}", f"{d.p99:.3f}", f"{d.largest:.3f}") for name, d in rows
                ),
            ),
        ),
        (
            Target("ready after the start of the process, median", ready.p50, READY_LIMIT_S, "s"),
            Target("first move after ready, median", first.p50, FIRST_MOVE_LIMIT_S, "s"),
            Target("slowest move during a swap, over the usual p99", swapping.largest / calm.p99, SWAP_LIMIT_RATIO, "x"),
        ),
        failures=(f"{mixed} answers are of no one set of weights",) if mixed else (),
    )  # fmt: skip
