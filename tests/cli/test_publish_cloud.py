"""`edgechess publish --endpoint` against a broker that wants client certificates, as AWS IoT Core does, and by ALPN."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import chess
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from anyio.streams.tls import TLSListener

from edgechess_cli import bus_connection
from edgechess_kit import messages as m
from edgechess_kit.broker import BrokerTls, find_mosquitto, running_broker
from edgechess_kit.mqtt_adapter import AWS_ALPN, MqttBus, broker_address
from edgechess_kit.settings import BusSettings
from edgechess_kit.topics import Topics

from ..kit.certificates import issued

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed"),
]


@pytest.fixture(scope="module")
def certificates() -> Iterator[Path]:
    with issued() as folder:
        yield folder


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal("asyncio") as portal:
        yield portal


class Core:
    """AWS IoT Core on this machine: a TLS broker, and in front of it one that speaks ALPN alone."""

    def __init__(self, folder: Path, name: str = "broker") -> None:
        self.folder = folder
        self.name = name
        self.port = self.alpn_port = 0
        self.asked: list[m.GameRequest] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Core]:
        files = BrokerTls(self.folder / "ca.pem", self.folder / f"{self.name}.pem", self.folder / f"{self.name}.key")
        async with running_broker(kind="mosquitto", tls=files) as url, anyio.create_task_group() as tasks:
            self.port = int(url.rpartition(":")[2])
            if self.name == "broker":
                await tasks.start(self._manage, url)
            self.alpn_port = await tasks.start(self._speak_alpn)
            yield self
            tasks.cancel_scope.cancel()

    async def _manage(self, url: str, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        topics = Topics()
        settings = BusSettings(
            broker=url, ca_file=str(self.folder / "ca.pem"),
            cert_file=str(self.folder / "client.pem"), key_file=str(self.folder / "client.key"),
        )  # fmt: skip
        async with MqttBus(settings, "core-1") as bus, bus.subscribe(topics.cloud_request) as requests:
            task_status.started()
            async for delivery in requests:
                request = delivery.decode(topics.cloud_request)
                self.asked.append(request)
                status = 400 if request.lan == "d2d4" else 200
                await bus.publish(topics.cloud_response, m.GameResponse(status=status, task_token=request.task_token))  # type: ignore[arg-type]

    async def _speak_alpn(self, *, task_status: anyio.abc.TaskStatus[int]) -> None:
        """Port 443 of AWS: who does not ask for its protocol is turned away; the rest goes on to the broker."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.folder / "ca.pem"))
        context.load_cert_chain(self.folder / "broker.pem", self.folder / "broker.key")
        context.verify_mode = ssl.CERT_REQUIRED
        context.set_alpn_protocols([AWS_ALPN])
        inner = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        inner.load_cert_chain(self.folder / "client.pem", self.folder / "client.key")

        async def serve(client: anyio.abc.ByteStream) -> None:
            async with client:
                if client.extra(anyio.streams.tls.TLSAttribute.alpn_protocol) != AWS_ALPN:
                    return
                async with (
                    await anyio.connect_tcp(
                        "127.0.0.1", self.port, ssl_context=inner, tls_standard_compatible=False
                    ) as broker,
                    anyio.create_task_group() as both,
                ):
                    both.start_soon(_pump, client, broker)
                    both.start_soon(_pump, broker, client)

        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        port: int = listener.extra(anyio.abc.SocketAttribute.local_port)
        task_status.started(port)
        await TLSListener(listener, context, standard_compatible=False).serve(serve)


async def _pump(source: anyio.abc.ByteStream, target: anyio.abc.ByteStream) -> None:
    try:
        async for data in source:
            await target.send(data)
        await target.aclose()
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        return


@pytest.fixture(scope="module")
def core(portal: BlockingPortal, certificates: Path) -> Iterator[Core]:
    with portal.wrap_async_context_manager(Core(certificates).running()) as core:
        yield core


def words(folder: Path, port: int, *, who: str = "client", ca: str = "ca") -> tuple[str, ...]:
    return (
        "--endpoint", "127.0.0.1", "--port", str(port), "--ca", str(folder / f"{ca}.pem"),
        "--cert", str(folder / f"{who}.pem"), "--key", str(folder / f"{who}.key"), "--session", "s",
    )  # fmt: skip


def test_a_request_goes_out_and_its_answer_comes_back(edgechess: Any, core: Core) -> None:
    done = edgechess("publish", "start", *words(core.folder, core.port))
    assert (done.code, done.out.strip(), done.err) == (0, "200 started", "")
    assert core.asked[-1].action == "start"
    done = edgechess("publish", "move", "d4", "--fen", chess.STARTING_FEN, *words(core.folder, core.port))
    assert done.code == 4


def test_on_another_port_by_alpn(edgechess: Any, core: Core) -> None:
    done = edgechess("publish", "start", "--alpn", AWS_ALPN, *words(core.folder, core.alpn_port))
    assert (done.code, done.out.strip(), done.err) == (0, "200 started", "")


def test_port_443_asks_for_awss_protocol_by_itself(certificates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(ssl.SSLContext, "set_alpn_protocols", lambda self, names: asked.append(names))
    for port in (443, 8883):
        settings = BusSettings(broker=f"mqtts://127.0.0.1:{port}", ca_file=str(certificates / "ca.pem"))
        broker_address(settings)
    assert asked == [["x-amzn-mqtt-ca"]]


def test_without_alpn_that_port_turns_us_away(edgechess: Any, core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus_connection, "CONNECT_TIMEOUT_S", 1.0)
    done = edgechess("publish", "start", *words(core.folder, core.alpn_port))
    assert done.code == 6
    assert f"no connection to 127.0.0.1:{core.alpn_port}" in done.err


@pytest.mark.parametrize(
    ("changed", "code", "said"),
    [
        (
            {"ca": "strange-ca"},
            6,
            "cannot be trusted (self-signed certificate in certificate chain): a wrong authority?",
        ),
        ({"who": "stranger"}, 6, "refuses our certificate (TLSV1_ALERT_UNKNOWN_CA)"),
        ({"who": "nobody"}, 2, "--cert"),
        ({"ca": "nothing"}, 2, "--ca"),
    ],
)
def test_wrong_papers_get_one_clear_line(
    edgechess: Any, core: Core, changed: dict[str, str], code: int, said: str
) -> None:
    done = edgechess("publish", "start", *words(core.folder, core.port, **changed))
    assert (done.code, done.out) == (code, "")
    assert len(done.err.strip().split("\n")) == 1, done.err
    assert said in done.err


def test_a_broker_of_another_region(edgechess: Any, portal: BlockingPortal, certificates: Path) -> None:
    with portal.wrap_async_context_manager(Core(certificates, "elsewhere").running()) as elsewhere:
        done = edgechess("publish", "start", *words(certificates, elsewhere.port))
    assert done.code == 6
    assert "is for another name: a wrong address or region?" in done.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--endpoint", "https://a.example.com", "--cert", "x", "--key", "x"), "expected a host name alone"),
        (("--endpoint", "a.example.com:443", "--cert", "x", "--key", "x"), "expected a host name alone"),
        (("--endpoint", "a.example.com"), "--cert is missing"),
        (("--endpoint", "a.example.com", "--cert", "x"), "--key is missing"),
        (("--greengrass",), "SVCUID is not set"),
    ],
)
def test_wrong_usage_is_2(edgechess: Any, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], said: str) -> None:
    monkeypatch.setenv("AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT", "/tmp/nucleus.socket")
    monkeypatch.delenv("SVCUID", raising=False)
    done = edgechess("publish", "start", "--session", "s", *options)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_a_move_to_the_cloud_says_its_position(edgechess: Any, core: Core) -> None:
    done = edgechess("publish", "move", "e4", *words(core.folder, core.port))
    assert done.code == 2
    assert "--fen is missing" in done.err


def test_a_host_that_does_not_exist(edgechess: Any, certificates: Path) -> None:
    there = words(certificates, 8883)
    done = edgechess("publish", "start", *there[2:], "--endpoint", "a1-ats.iot.nowhere-1.invalid")
    assert done.code == 6
    assert "there is no host named a1-ats.iot.nowhere-1.invalid: a wrong address or region?" in done.err
