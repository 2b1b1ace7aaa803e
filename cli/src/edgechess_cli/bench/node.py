"""The inference node as a process: how soon it answers after its start, what a swap costs those who ask, how adapters load.

Starts: the node's model lies on a store that sends it so slowly that it has not come when the bench is done with the
start. Every first move is the engine's, and so is the next, asked for while the weights come in.
Swaps: several tables ask without a pause while the weights are replaced again and again; every answer is held against
what the weights that it names answer alone. Adapters: far more of them than the node has room for are asked for in turn.
Ratios are inside one run: answers during swaps over answers between them.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import anyio
import chess

from edgechess_cli.bench.figures import Distribution, Report, Table, Target
from edgechess_cli.bench.manager import BenchError
from edgechess_cli.bench.node_adapters import ADAPTERS, ROOM, Cycle, cycle
from edgechess_cli.bench.node_rig import (
    NETWORK,
    NODE,
    STREAMED,
    Answers,
    T,
    asking,
    packed,
    ready,
    running_node,
    slow_store,
    swap,
    until_the_model_plays,
)
from edgechess_kit.broker import running_broker

STARTS = 5
TABLES = 4  # that ask at once; each its next question when it has its answer
SWAPS = 6
CALM_S = 1.5  # between two swaps, and before the first; on a slow machine until there are
CALM_ANSWERS = 60  # answers, for a percentile of a few says nothing
WARM_UP = 20  # answers of each table before anything counts
READY_LIMIT_S = 1.5
FIRST_MOVE_LIMIT_S = 0.1
SWAP_LIMIT_RATIO = 1.5
STREAM_LIMIT_S = 30.0  # until the stream is open: backends are imported before
STREAMING = "% are here"  # in what the node says of a model whose stream is open


async def measure(starts: int, swaps: int, adapters: int = ADAPTERS) -> Report:
    """Raises BenchError, OSError, KitError."""
    with tempfile.TemporaryDirectory(prefix="edgechess-bench-") as folder:
        started = await _starts(starts, Path(folder))
        calm_s, swapping_s, swap_s, mixed = await _swaps(swaps, Path(folder))
        cycled = await cycle(adapters, Path(folder))
    return _report(started, calm_s, swapping_s, swap_s, mixed, cycled)


# ---------------------------------------------------------------- starts


@dataclasses.dataclass(slots=True)
class Starts:
    """Seconds, one each of every start."""

    ready_s: list[float] = dataclasses.field(default_factory=list)
    """From the process to ready."""
    first_s: list[float] = dataclasses.field(default_factory=list)
    """From the first question after that to its move."""
    streaming_s: list[float] = dataclasses.field(default_factory=list)
    """From a question to its move while weights come in."""


async def _starts(count: int, folder: Path) -> Starts:
    """Raises BenchError where a move was not the engine's, or nothing streamed."""
    started = Starts()
    packed(folder / "slow" / "bench.json", 1, STREAMED)
    async with slow_store(folder / "slow") as store, running_broker() as url:
        for number in range(count):
            async with asking(url) as (bus, answers), bus.subscribe(T.status) as statuses:
                began = time.perf_counter()
                async with running_node(url, folder / f"start-{number}.journal", f"bench={store}/bench.json"):
                    await ready(statuses)
                    started.ready_s.append(time.perf_counter() - began)
                    took_s, said = await _engines_move(answers)
                    started.first_s.append(took_s)
                    with anyio.fail_after(STREAM_LIMIT_S):
                        while STREAMING not in said:
                            await anyio.sleep(0.1)
                            took_s, said = await _engines_move(answers)
                    started.streaming_s.append(took_s)
    return started


async def _engines_move(answers: Answers) -> tuple[float, str]:
    """Seconds to the move, and what the model said for itself."""
    began = time.perf_counter()
    answer = await answers.ask(chess.STARTING_FEN)
    took_s = time.perf_counter() - began
    if not answer.fallback:
        raise BenchError("a model answered whose weights have not all come")
    return took_s, answer.attempts[0].error or ""


# ---------------------------------------------------------------- swaps


async def _swaps(count: int, folder: Path) -> tuple[list[float], list[float], list[float], int]:
    """Seconds of answers between swaps, of those that a swap overlapped, of the swaps; and how many answers were mixed."""
    stores = [packed(folder / f"bench-{number}.json", number) for number in (1, 2)]
    asked: list[tuple[float, float]] = []
    swapped: list[tuple[float, float]] = []
    said: list[tuple[str | None, str, str | None]] = []
    fens = _positions(TABLES)
    async with (
        running_broker() as url,
        asking(url) as (bus, answers),
        bus.subscribe(T.status) as statuses,
        running_node(url, folder / "swap.journal", f"bench={stores[0]}"),
        anyio.create_task_group() as tasks,
    ):
        await ready(statuses)
        await until_the_model_plays(answers)
        for fen in fens:
            for _ in range(WARM_UP):
                await answers.ask(fen)
        for fen in fens:
            tasks.start_soon(_table, answers, fen, asked, said)
        for number in range(count):
            await _calm(asked)
            began = time.perf_counter()
            await swap(bus, number, stores[(number + 1) % 2])
            swapped.append((began, time.perf_counter()))
        await _calm(asked)
        tasks.cancel_scope.cancel()
    during = [overlaps(each, swapped) for each in asked]
    took = [end - begin for begin, end in asked]
    calm = [seconds for seconds, inside in zip(took, during, strict=True) if not inside]
    swapping = [seconds for seconds, inside in zip(took, during, strict=True) if inside]
    return calm, swapping, [end - begin for begin, end in swapped], mixed_answers(said)


async def _calm(asked: Sequence[object]) -> None:
    until = len(asked) + CALM_ANSWERS
    await anyio.sleep(CALM_S)
    while len(asked) < until:  # noqa: ASYNC110  (others append; nobody has to be told)
        await anyio.sleep(0.05)


async def _table(
    answers: Answers, fen: str, asked: list[tuple[float, float]], said: list[tuple[str | None, str, str | None]]
) -> None:
    while True:
        began = time.perf_counter()
        response = await answers.ask(fen)
        asked.append((began, time.perf_counter()))
        said.append((response.weights, fen, response.lan))


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


# ---------------------------------------------------------------- the report


def _report(
    started: Starts, calm_s: list[float], swapping_s: list[float], swap_s: list[float], mixed: int, cycled: Cycle
) -> Report:
    if not calm_s or not swapping_s:
        raise BenchError("no answer fell between the swaps, or none during one: more swaps are needed")
    calm, swapping = Distribution.of(calm_s), Distribution.of(swapping_s)
    ready, first = Distribution.of(started.ready_s), Distribution.of(started.first_s)
    streaming, swap = Distribution.of(started.streaming_s), Distribution.of(swap_s)
    load, turn = Distribution.of(cycled.load_s), Distribution.of(cycled.answer_s)
    rows = (
        ("ready", ready), ("first move", first), ("a move while weights stream", streaming),
        ("answer", calm), ("during a swap", swapping), ("swap", swap),
        (f"adapter loaded ({len(cycled.load_s)}, room for {ROOM})", load), ("answer by the next adapter", turn),
    )  # fmt: skip
    failures = [f"{mixed} answers are of no one set of weights"] if mixed else []
    failures += [f"{cycled.wrong} answers by another adapter than was asked for"] if cycled.wrong else []
    return Report(
        NODE,
        {
            "ready": ready.as_figures("s"),
            "first_move": first.as_figures("s"),
            "move_while_streaming": streaming.as_figures("s"),
            "answer": calm.as_figures("s"),
            "answer_during_swap": swapping.as_figures("s"),
            "swap": swap.as_figures("s"),
            "mixed": mixed,
            "adapters": cycled.as_figures(),
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
            Target("a move while weights stream, median", streaming.p50, FIRST_MOVE_LIMIT_S, "s"),
            Target("slowest move during a swap, over the usual p99", swapping.largest / calm.p99, SWAP_LIMIT_RATIO, "x"),
        ),
        remarks=(
            f"{len(cycled.load_s)} adapters in turn, room for {ROOM} on the device: {cycled.on_device} lay there at the end,"
            f" and the process had grown by {cycled.grown_bytes / 2**20:.1f} MiB since each had been asked for once",
        ),
        failures=tuple(failures),
    )  # fmt: skip
