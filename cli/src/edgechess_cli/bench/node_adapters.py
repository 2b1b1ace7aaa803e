"""Far more adapters than a node has room for, asked for in turn: right answers, load times, and memory that does not grow."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import chess

from edgechess_cli.bench.figures import Distribution
from edgechess_cli.bench.manager import BenchError
from edgechess_cli.bench.node_rig import (
    Answers,
    adapter_states,
    asking,
    packed_adapter,
    packed_manifest,
    ready,
    running_node,
    until_the_model_plays,
)
from edgechess_cli.bench.stream_peers_adapter import resident_bytes
from edgechess_kit import messages as m
from edgechess_kit.broker import running_broker
from edgechess_kit.topics import Topics

ADAPTERS = 200
ROOM = 8
HOST_ROOM = 16
TURNS = 2  # counted, after a first in which each is loaded once and says what it plays


@dataclasses.dataclass(frozen=True, slots=True)
class Cycle:
    """`wrong`: answers that another adapter gave, or the engine, or that differ from the adapter's first."""

    load_s: list[float]
    answer_s: list[float]
    wrong: int
    on_device: int
    grown_bytes: int
    different: int
    """Moves that were played."""

    def as_figures(self) -> dict[str, Any]:
        return {
            "load": Distribution.of(self.load_s).as_figures("s"),
            "answer": Distribution.of(self.answer_s).as_figures("s"),
            "wrong": self.wrong,
            "on_device": self.on_device,
            "grown_bytes": self.grown_bytes,
            "different_moves": self.different,
        }


async def cycle(count: int, folder: Path) -> Cycle:
    """Raises BenchError, OSError, KitError."""
    path = folder / "bench-base.json"
    base = packed_manifest(path, seed=1)
    stores = {f"a{number:03}": folder / f"a{number:03}.json" for number in range(count)}
    for seed, (_, store) in enumerate(stores.items()):
        packed_adapter(store, base, seed)
    settings = (
        "adapters=" + ",".join(f"{name}={store}" for name, store in stores.items()),
        f"device_adapters={ROOM}",
        f"host_adapters={HOST_ROOM}",
    )
    async with (
        running_broker() as url,
        asking(url) as (bus, answers),
        bus.subscribe(Topics().status) as statuses,
        running_node(url, folder / "adapters.journal", f"bench={path}", *settings) as process,
    ):
        await ready(statuses)
        await until_the_model_plays(answers)
        first = {name: (await _asked(answers, name))[0].lan for name in stores}
        before = resident_bytes(process)
        answer_s, wrong = list[float](), 0
        for _ in range(TURNS):
            for name in stores:
                answer, took_s = await _asked(answers, name)
                answer_s.append(took_s)
                wrong += answer.fallback or answer.adapter != name or answer.lan != first[name]
        grown = resident_bytes(process) - before
        states = await adapter_states(bus)
    if len(states) != count or any(state.loads < 2 for state in states):
        raise BenchError("the adapters did not cycle: each has to be loaded again in its turn")
    if len(set(first.values())) < 2:
        raise BenchError("all adapters play one move: answers by the wrong one would not be noticed")
    on_device = sum(state.tier == "device" for state in states)
    loads = [state.load_max_s for state in states]
    return Cycle(loads, answer_s, wrong, on_device, grown, len(set(first.values())))


async def _asked(answers: Answers, name: str) -> tuple[m.InferenceResponse, float]:
    began = time.perf_counter()
    answer = await answers.ask(chess.STARTING_FEN, f"model:bench@{name}")
    return answer, time.perf_counter() - began
