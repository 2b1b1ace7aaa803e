"""The inference node as a component of `edgechess up`: asked over the local broker, commanded, looked at, swapped."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import chess
import httpx
import pytest

from edgechess_kit import messages as m
from edgechess_kit.mqtt_adapter import MqttBus
from edgechess_kit.topics import Topics

from .conftest import LIMIT_S, Command, connected

pytestmark = [pytest.mark.slow, pytest.mark.anyio]

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
PATIENT_S = LIMIT_S
T = Topics()
DOCUMENT = """
deploymentName: node
components:
  io.edgechess.InferenceNode:
    componentVersion: 0.1.0
    configurationUpdate:
      merge: {{models: ["tiny={model}"], httpPort: {port}}}
localRuntime:
  recipes: {recipes}
  mqttTopicMapping: {mapping}
"""


@pytest.fixture
def root(short_path: Path) -> Path:
    return short_path


@pytest.fixture
def tiny(tmp_path: Path) -> Any:
    """Packs small policy networks by their seed; the address."""
    np = pytest.importorskip("numpy")
    pytest.importorskip("onnxruntime")
    from edgechess_inference.policy.architecture import Architecture, weights_of
    from edgechess_inference.policy.checkpoint import pack_policy

    shape = Architecture(trunk="residual", width=8, blocks=1)

    def packed(seed: int) -> str:
        draw = np.random.default_rng(seed)
        weights = {k: (0.1 * draw.standard_normal(size)).astype(np.float32) for k, size in weights_of(shape).items()}
        pack_policy(tmp_path / f"tiny-{seed}.json", shape, weights)
        return str(tmp_path / f"tiny-{seed}.json")

    return packed


def mapping() -> str:
    """As the repository's own deployment has it."""
    from edgechess_nucleus.documents import read_document

    whole = read_document(RECIPES / "deployments" / "local.yaml").data()["localRuntime"]["mqttTopicMapping"]
    return json.dumps({name: route for name, route in whole.items() if name.startswith("Node")})


@asynccontextmanager
async def up(command: Command, *words: str) -> AsyncIterator[dict[str, str]]:
    """Where everything is, once every component is ready. Leaving the block is Ctrl-C, and must end well."""
    line = command.line("up", *words, "--json")
    async with await anyio.open_process(
        line, env=command.environment, stdin=subprocess.DEVNULL, stderr=None
    ) as process:
        assert process.stdout is not None
        where: dict[str, str] = {}
        events = b""
        with anyio.fail_after(PATIENT_S):
            while b'{"event": "ready"}' not in events:
                events += await process.stdout.receive()
        for text in events.splitlines():
            if b'"event": "nucleus"' in text:
                where = json.loads(text)
        try:
            yield where
        finally:
            process.terminate()
        with anyio.fail_after(PATIENT_S):
            async for _ in process.stdout:
                pass  # a full pipe would hold it up
            assert await process.wait() == 0


async def ask(bus: MqttBus, number: int) -> m.InferenceResponse:
    request = m.InferenceRequest(
        request_id=f"asked-{number}", player="model:tiny", fen=chess.STARTING_FEN, timeout_s=10.0
    )
    with anyio.fail_after(PATIENT_S):
        async with bus.subscribe(T.inference_response) as answers:
            await bus.publish(T.inference_request, request)
            async for delivery in answers:
                answer = delivery.decode(T.inference_response)
                if answer.request_id == request.request_id:
                    return answer
    raise AssertionError


async def test_a_node_under_the_runtime_is_asked_commanded_and_swapped(
    edgechess: Command, root: Path, tiny: Any
) -> None:
    one, two = tiny(1), tiny(2)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    document = root / "node.yaml"
    document.write_text(DOCUMENT.format(model=one, port=port, recipes=RECIPES, mapping=mapping()))
    async with up(edgechess, str(document), "--root", str(root)) as where:
        broker = where["local_mqtt"]

        async def said(*words: str) -> dict[str, Any]:
            done = await anyio.to_thread.run_sync(lambda: edgechess.run(*words, "--broker", broker, "--json"))
            assert done.returncode == 0, done.stderr
            found: dict[str, Any] = json.loads(done.stdout)
            return found

        async with connected(broker, "asker") as bus:
            first = await ask(bus, 0)
            assert first.status == 200  # the model's move or, as long as it streams in, the engine's
            number = 0
            with anyio.fail_after(PATIENT_S):
                while first.fallback:
                    number += 1
                    first = await ask(bus, number)
            assert chess.Move.from_uci(first.lan or "") in chess.Board().legal_moves
            assert (await said("node", "status"))["models"][0]["state"] == "serving"
            swapped = await said("node", "swap", "tiny", two)
            assert (swapped["status"], swapped["models"][0]["swaps"]) == (200, 1)
            second = await ask(bus, number + 1)
            assert (second.fallback, second.weights == first.weights) == (False, False)
        async with httpx.AsyncClient() as client:
            health = (await client.get(f"http://127.0.0.1:{port}/healthz")).json()
            metrics = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
        assert (health["status"], health["models"]) == ("ready", {"tiny": "serving"})
        assert 'edgechess_inference_model_swaps{model="tiny"} 1' in metrics
        assert 'edgechess_inference_moves_total{by="model",player="model:tiny"}' in metrics
