"""How long one move takes: batch 1, from a position to a legal move, for each backend and number of threads."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import chess
import numpy as np

from edgechess_training.evaluation.games import ending
from edgechess_training.evaluation.network import Backend, Network, NetworkSource, network_of
from edgechess_training.evaluation.openings import own_book
from edgechess_training.evaluation.sides import Choice, choose_moves

POSITIONS = 40
WARM_UP = 4
PLIES_MAX = 50
BACKENDS: tuple[Backend, ...] = ("onnxruntime", "torch")


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of `count` moves. `choice`: the network alone, or with one ply of lookahead."""

    backend: str
    threads: int
    choice: str
    count: int
    p50_ms: float
    p95_ms: float


def measure(
    source: NetworkSource, threads: Sequence[int], choices: Sequence[Choice], seed: int, watch: Callable[[int, int], None]
) -> list[Latency]:  # fmt: skip
    """In this process, one after the other; backends that are not installed are left out. `watch`: done, in all."""
    boards = some_positions(seed)
    plan = [
        (backend, count, choice)
        for backend in BACKENDS if find_spec(backend) is not None
        for count in threads
        for choice in choices
    ]  # fmt: skip
    found: list[Latency] = []
    for backend, count, choice in plan:
        watch(len(found), len(plan))
        network = network_of(NetworkSource(source.address, source.adapter, backend, count, source.device))
        found.append(_measured(network, backend, count, choice, boards))
    watch(len(plan), len(plan))
    return found


def some_positions(seed: int) -> list[chess.Board]:
    """Of the openings of our own, played on at random: anything from the opening to the endgame."""
    draw = random.Random(seed)
    found = []
    for opening in own_book().draw(POSITIONS, seed):
        board = opening.board()
        for _ in range(draw.randrange(PLIES_MAX)):
            board.push(draw.choice(sorted(board.legal_moves, key=chess.Move.uci)))
            if ending(board) is not None:
                board.pop()
                break
        found.append(board)
    return found


def _measured(
    network: Network, backend: Backend, threads: int, choice: Choice, boards: Sequence[chess.Board]
) -> Latency:
    for board in boards[:WARM_UP]:
        choose_moves(network, choice, [board])
    times = []
    for board in boards:
        started = time.perf_counter()
        choose_moves(network, choice, [board])
        times.append((time.perf_counter() - started) * 1000)
    p50, p95 = np.percentile(times, (50, 95)).tolist()
    return Latency(backend, threads, choice, len(times), p50, p95)
