"""A node as a process, a store for it, and somebody who asks: what `edgechess bench node` measures with."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.abc
import chess
import numpy as np

from edgechess_cli.bench.manager import BenchError
from edgechess_cli.child_process import interpreter
from edgechess_cli.node_control import ask as command
from edgechess_inference.adapters.lora import pack_adapter
from edgechess_inference.policy.architecture import Architecture, weights_of
from edgechess_inference.policy.checkpoint import pack_policy
from edgechess_inference.weights.manifest import Manifest
from edgechess_inference.weights.safetensors_file import header_bytes
from edgechess_kit import messages as m
from edgechess_kit.bus import Subscription
from edgechess_kit.mqtt_adapter import MqttBus
from edgechess_kit.settings import BusSettings
from edgechess_kit.topics import Topics

NETWORK = Architecture(trunk="residual", width=64, blocks=4)
STREAMED = Architecture(trunk="residual", width=224, blocks=18, squeeze=4)  # 65 MB: several chunks at once
STREAM_BYTES_S = 4e6  # of them all together: they come for a quarter of a minute
NODE = "inference-node"
START_LIMIT_S = 60.0
STRONG = 20.0  # an adapter's factors beside the base's weights: each is to play moves of its own
T = Topics()


class Answers:
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

    async def ask(self, fen: str, player: str = "model:bench") -> m.InferenceResponse:
        """Raises BenchError."""
        self._number += 1
        request_id, event, found = f"bench-{self._number}", anyio.Event(), list[m.InferenceResponse]()
        self._waiting[request_id] = (event, found)
        request = m.InferenceRequest(request_id=request_id, player=player, fen=fen)
        await self._bus.publish(T.inference_request, request)
        with anyio.move_on_after(START_LIMIT_S):
            await event.wait()
        if not found or found[0].status != 200:
            raise BenchError(f"the node gave no move: {found[0].reason if found else 'silence'}")
        return found[0]


async def ready(statuses: Subscription) -> None:
    with anyio.fail_after(START_LIMIT_S):
        async for delivery in statuses:
            status = delivery.decode(T.status)
            if (status.component, status.status) == (NODE, "ready"):
                return


@asynccontextmanager
async def asking(url: str) -> AsyncIterator[tuple[MqttBus, Answers]]:
    async with (
        MqttBus(BusSettings(broker=url), "bench") as bus,
        bus.subscribe(T.inference_response) as deliveries,
        anyio.create_task_group() as tasks,
    ):
        answers = Answers(bus)
        tasks.start_soon(answers.listen, deliveries)
        yield bus, answers
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def running_node(url: str, journal: Path, model: str, *more: str) -> AsyncIterator[int]:
    """Its process id. `more`: further settings."""
    settings = (f"bus.broker={url}", f"journal.path={journal}", f"models={model}", "http_port=0", *more)
    flags = [part for setting in settings for part in ("--set", setting)]
    arguments = interpreter(["-m", "edgechess_inference_node", "--log-level", "ERROR", *flags])
    process = await anyio.open_process(arguments, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=None)
    try:
        yield process.pid
    finally:
        with anyio.CancelScope(shield=True):
            process.terminate()
            await process.wait()
            await process.aclose()


@asynccontextmanager
async def slow_store(folder: Path) -> AsyncIterator[str]:
    """Serves a folder at STREAM_BYTES_S over all connections together; its URL."""
    server = ["-m", "edgechess_cli.bench.object_server_adapter", str(folder), "--rate", str(STREAM_BYTES_S)]
    process = await anyio.open_process(interpreter(server), stdin=subprocess.PIPE, stderr=None)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(await process.stdout.receive())}"
    finally:
        with anyio.CancelScope(shield=True):
            process.terminate()
            await process.wait()
            await process.aclose()


async def swap(bus: MqttBus, number: int, source: str) -> None:
    """Raises BenchError."""
    control = m.InferenceControl(command="swap", request_id=f"swap-{number}", model="bench", source=source)
    with anyio.fail_after(START_LIMIT_S):
        answer = await command(bus, T, control)
    if answer.status != 200:
        raise BenchError(f"swap {number}: {answer.status}: {answer.reason}")


async def until_the_model_plays(answers: Answers) -> None:
    with anyio.fail_after(START_LIMIT_S):
        while (await answers.ask(chess.STARTING_FEN)).fallback:  # noqa: ASYNC110  (the node's state, no event of ours)
            await anyio.sleep(0.1)


def packed(path: Path, seed: int, network: Architecture = NETWORK) -> str:
    """A network of random weights; its address."""
    packed_manifest(path, seed, network)
    return str(path)


def packed_manifest(path: Path, seed: int, network: Architecture = NETWORK) -> Manifest:
    draw, shapes = np.random.default_rng(seed), weights_of(network)
    weights = {key: 0.4 * draw.standard_normal(shape, dtype=np.float32) for key, shape in shapes.items()}
    return pack_policy(path, network, weights)


def packed_adapter(path: Path, base: Manifest, seed: int) -> str:
    """Low-rank factors for one layer, as peft saves them, then packed."""
    draw, layer = np.random.default_rng(seed), "blocks.0.conv1"
    out, inward = weights_of(NETWORK)[f"{layer}.weight"]
    factors = {
        f"base_model.model.{layer}.lora_A.weight": draw.normal(size=(4, inward)).astype(np.float32),
        f"base_model.model.{layer}.lora_B.weight": (STRONG * draw.normal(size=(out, 4))).astype(np.float32),
    }
    folder = path.with_suffix(".peft")
    folder.mkdir()
    header = header_bytes([(name, "F32", array.shape) for name, array in factors.items()], {})
    (folder / "adapter_model.safetensors").write_bytes(header + b"".join(a.tobytes() for a in factors.values()))
    (folder / "adapter_config.json").write_text(json.dumps({"lora_alpha": 4.0, "r": 4}))
    pack_adapter(folder, path, [base])
    return str(path)


async def adapter_states(bus: MqttBus) -> list[m.AdapterState]:
    """Of all, page by page. Raises BenchError."""
    states: list[m.AdapterState] = []
    while True:
        after = states[-1].adapter if states else ""
        control = m.InferenceControl(command="list", request_id=f"list-{len(states)}", after=after)
        with anyio.fail_after(START_LIMIT_S):
            page = await command(bus, T, control)
        if page.status != 200:
            raise BenchError(f"the node does not list its adapters: {page.reason}")
        states += page.adapters
        if not page.more:
            return states
