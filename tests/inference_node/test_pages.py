"""`/healthz` and `/metrics`, and the settings around them."""

from __future__ import annotations

import socket
from typing import Any

import anyio
import httpx
import pytest

from edgechess_inference_node.errors import PageServerFailed
from edgechess_inference_node.http_adapter import pages
from edgechess_inference_node.metrics import SERIES_LIMIT, Metrics
from edgechess_inference_node.settings import Settings, named_address
from edgechess_kit.errors import SettingsError
from edgechess_kit.settings import load


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
async def test_both_pages_are_served_and_gone_afterwards() -> None:
    served = pages("127.0.0.1", 0, lambda: (True, {"status": "ready"}), lambda: "x 1\n")
    async with served as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        health, metrics, none = [await client.get(path) for path in ("/healthz", "/metrics", "/")]
    assert (health.status_code, health.json()) == (200, {"status": "ready"})
    assert metrics.text == "x 1\n"
    assert metrics.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert none.status_code == 404
    with pytest.raises(OSError):
        await anyio.connect_tcp("127.0.0.1", port)


def test_a_counter_keeps_every_digit() -> None:
    metrics = Metrics()
    metrics.requests[(("player", "p"), ("status", "200"))] = 12_345_678
    text = metrics.text({"share": {(): 0.1234567}, "in_work": {(): 3.0}})
    assert 'edgechess_inference_requests_total{player="p",status="200"} 12345678\n' in text
    assert "edgechess_inference_share 0.1234567\n" in text
    assert "edgechess_inference_in_work 3\n" in text


def test_a_mirror_is_a_folder_that_has_all_models() -> None:
    Settings(mirrors=("https://other/store", "/mnt/store"))
    with pytest.raises(ValueError, match="name the folder"):
        Settings(mirrors=("https://other/store/chess.json",))


@pytest.mark.anyio
async def test_who_is_not_ready_says_503() -> None:
    async with pages("127.0.0.1", 0, lambda: (False, {}), str) as port, httpx.AsyncClient() as client:
        assert (await client.get(f"http://127.0.0.1:{port}/healthz")).status_code == 503


@pytest.mark.anyio
async def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PageServerFailed, match=f"port {port} of 127.0.0.1: Address already in use; set http_port"):
            async with pages("127.0.0.1", port, lambda: (True, {}), str):
                pass


@pytest.mark.anyio
async def test_a_node_tells_how_long_adapters_take_and_how_far_weights_are(rig: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with rig.node(inline=False, http_port=port), httpx.AsyncClient() as client:
        text = ""
        with anyio.fail_after(30):
            while not text:
                try:
                    text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
                except httpx.ConnectError:
                    await anyio.sleep(0.01)
    for name in ("adapter_latency_mean_seconds", "model_landed_bytes", "adapter_requests", "model_swaps"):
        assert f"# TYPE edgechess_inference_{name} gauge\n" in text


@pytest.mark.anyio
async def test_a_node_whose_port_is_in_use_answers_all_the_same_and_says_so(rig: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        async with rig.node(inline=False, http_port=taken.getsockname()[1]) as asker:
            assert (await asker.ask("a", "random")).status == 200
            await asker.until(lambda: "are not served" in (asker.health[-1].reason or ""))
            assert asker.health[-1].status == "ready"  # nobody who plays is worse off


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.com"])
def test_the_pages_are_never_served_off_loopback(host: str) -> None:
    with pytest.raises(SettingsError, match="served on loopback only"):
        load(Settings, section="inference-node", env={}, flags={"http_host": host})


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        ("chess=/m/one.json", "chess", "/m/one.json"),
        ("/m/one.json", "one", "/m/one.json"),
        ("s3://bucket/one.json", "one", "s3://bucket/one.json"),
        ("https://host/one.json?a=b", "one.json?a=b", "https://host/one.json?a=b"),
    ],
)
def test_names_of_models(text: str, name: str, address: str) -> None:
    assert named_address(text) == (name, address)


@pytest.mark.parametrize("models", ["a@b=/m/one.json", "/m/one.json,/n/one.json", "=x"])
def test_names_that_cannot_be(models: str) -> None:
    with pytest.raises(SettingsError, match="inference-node"):
        load(Settings, section="inference-node", env={}, flags={"models": models})


def test_metrics_are_prometheus_text() -> None:
    metrics = Metrics()
    metrics.requested('model:"x"\n', 200)
    metrics.moved("model:x", "engine", 0.02)
    metrics.moved("model:x", "model", 70.0)
    metrics.attempted("model:x", "a1", "illegal", 0.3)
    lines = metrics.text({"in_work": {(): 2.0}}).splitlines()
    assert 'edgechess_inference_requests_total{player="model:\\"x\\"\\n",status="200"} 1' in lines
    assert 'edgechess_inference_moves_total{by="engine",player="model:x"} 1' in lines
    assert 'edgechess_inference_attempts_total{adapter="a1",outcome="illegal",player="model:x"} 1' in lines
    assert 'edgechess_inference_answer_seconds_bucket{player="model:x",le="0.025"} 1' in lines
    assert 'edgechess_inference_answer_seconds_bucket{player="model:x",le="60"} 1' in lines
    assert 'edgechess_inference_answer_seconds_bucket{player="model:x",le="+Inf"} 2' in lines
    assert 'edgechess_inference_answer_seconds_count{player="model:x"} 2' in lines
    assert "edgechess_inference_in_work 2" in lines
    assert (metrics.answered, metrics.fallbacks) == (2, 1)
    assert all(line.startswith(("#", "edgechess_inference_")) for line in lines)


def test_metrics_do_not_grow_without_end() -> None:
    metrics = Metrics()
    for number in range(3 * SERIES_LIMIT):
        metrics.requested(f"random:{number}", 400)
    assert len(metrics.requests) <= SERIES_LIMIT + 1
    assert sum(metrics.requests.values()) == 3 * SERIES_LIMIT
