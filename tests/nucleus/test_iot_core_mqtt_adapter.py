"""The IotCore port on real brokers: MQTT 5 on mosquitto, 3.1.1 on the embedded one; a broker that goes and comes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from edgechess_kit.broker import find_embedded, find_mosquitto, running_broker
from edgechess_nucleus.iot_core import IotCoreUnavailable, IotMessage
from edgechess_nucleus.iot_core_mqtt_adapter import SPOOL_LIMIT_BYTES, MqttBroker
from edgechess_nucleus.mqtt_address import AddressError, read_address

pytestmark = pytest.mark.anyio
PATIENCE_S = 20.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def connected(url: str, **options: bool) -> AsyncIterator[MqttBroker]:
    made = MqttBroker(read_address(url), "core-1", **options)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(made.run)
        yield made
        tasks.cancel_scope.cancel()


class Heard:
    def __init__(self) -> None:
        self._send, self._receive = anyio.create_memory_object_stream[IotMessage](100)

    def __call__(self, message: IotMessage) -> None:
        self._send.send_nowait(message)

    async def next(self) -> IotMessage:
        with anyio.fail_after(PATIENCE_S):
            return await self._receive.receive()

    def close(self) -> None:
        self._send.close()
        self._receive.close()


async def gone(broker: MqttBroker) -> None:
    """Its connection is lost, and it knows."""
    with anyio.fail_after(PATIENCE_S):
        while broker.connected:  # noqa: ASYNC110  # the port has no event for it
            await anyio.sleep(0.01)


@pytest.fixture
def heard() -> Any:
    made = Heard()
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")
async def test_mqtt_5(heard: Heard) -> None:
    async with running_broker(kind="mosquitto") as url, connected(url) as broker:
        first = await broker.subscribe("a/#", 1, heard)
        wide_only = Heard()
        second = await broker.subscribe("a/+", 0, wide_only)
        sent = IotMessage(
            "a/b",
            b"\x00payload",
            1,
            user_properties=(("k", "v"), ("k", "w")),
            message_expiry_interval_s=100,
            correlation_data=b"\x01",
            response_topic="r",
            payload_format=0,
            content_type="text/plain",
        )
        broker.publish(sent)
        got = await heard.next()
        assert got == sent
        assert await wide_only.next() == sent
        # once each, though both filters match: the broker was asked for the wider one alone
        broker.publish(IotMessage("a/c", b"2", 1, retain=True))
        assert (await heard.next()).payload == b"2"
        assert (await wide_only.next()).payload == b"2"
        first.end()
        first.end()
        broker.publish(IotMessage("a/d", b"3", 1))  # while one filter takes the other's place nothing is lost
        while (message := await wide_only.next()).payload != b"3":
            assert message.retain  # the narrower filter is new to the broker
        second.end()
        later = Heard()
        await broker.subscribe("a/c", 1, later)
        kept = await later.next()
        assert (kept.payload, kept.retain) == (b"2", True)
        wide_only.close()
        later.close()


@pytest.mark.slow
@pytest.mark.skipif(not find_embedded(), reason="the embedded broker is not installed")
async def test_a_broker_that_speaks_3_1_1_only(heard: Heard) -> None:
    async with running_broker(kind="embedded") as url, connected(url) as broker:
        await broker.subscribe("a", 1, heard)
        broker.publish(IotMessage("a", b"x", 1, response_topic="r"))
        got = await heard.next()
        assert (got.payload, got.response_topic) == (b"x", None)


@pytest.mark.slow
@pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")
async def test_a_broker_that_goes_and_comes(heard: Heard) -> None:
    async with running_broker(kind="mosquitto") as url:
        port = int(url.rpartition(":")[2])  # a free one
    async with connected(f"mqtt://127.0.0.1:{port}") as broker, anyio.create_task_group() as tasks:
        subscribed: list[object] = []

        async def subscribe() -> None:
            subscribed.append(await broker.subscribe("a/b", 1, heard))

        tasks.start_soon(subscribe)
        broker.publish(IotMessage("a/b", b"one", 1))
        broker.publish(IotMessage("a/b", b"two", 1))
        with pytest.raises(IotCoreUnavailable, match="QoS 0"):
            broker.publish(IotMessage("a/b", b"gone", 0))
        for _ in range(2):
            async with running_broker(kind="mosquitto", port=port):
                assert [(await heard.next()).payload for _ in range(2)] == [b"one", b"two"]
            await gone(broker)
            broker.publish(IotMessage("a/b", b"one", 1))
            broker.publish(IotMessage("a/b", b"two", 1))
        assert len(subscribed) == 1  # it was renewed by itself


async def test_without_a_spool_a_broker_that_is_away_is_said_at_once(heard: Heard) -> None:
    async with connected("mqtt://127.0.0.1:1", spools=False) as broker:
        with pytest.raises(IotCoreUnavailable, match="away"):
            broker.publish(IotMessage("a", b"x", 1))
        with pytest.raises(IotCoreUnavailable, match="away"):
            await broker.subscribe("a", 1, heard)


async def test_the_spool_is_bounded(heard: Heard) -> None:
    async with connected("mqtt://127.0.0.1:1") as broker:
        for _ in range(SPOOL_LIMIT_BYTES // 100_101):
            broker.publish(IotMessage("a", bytes(100_000), 1))
        with pytest.raises(IotCoreUnavailable, match="spool is full"):
            broker.publish(IotMessage("a", bytes(100_000), 1))


async def test_a_subscription_that_nobody_answers(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgechess_nucleus.iot_core_mqtt_adapter.SUBSCRIBE_TIMEOUT_S", 0.01)
    async with connected("mqtt://127.0.0.1:1") as broker:
        with pytest.raises(IotCoreUnavailable, match="no answer from the broker"):
            await broker.subscribe("a", 1, heard)
        assert broker._subscriptions == []


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mqtt://192.0.2.1", "loopback only"),
        ("http://127.0.0.1", "expected mqtt://"),
        ("mqtt://user:secret@127.0.0.1", "no credentials"),
        ("mqtt://127.0.0.1:99999", "Port out of range"),
        ("mqtt://127.0.0.1/topic", "expected mqtt://"),
    ],
)
def test_addresses_that_are_refused(url: str, said: str) -> None:
    with pytest.raises(AddressError, match=said) as error:
        read_address(url)
    assert "secret" not in str(error.value)


def test_addresses(tmp_path: Path) -> None:
    assert (read_address("mqtt://localhost").port, read_address("mqtt://[::1]:5").port) == (1883, 5)
    with pytest.raises(AddressError, match="one of the two files is missing"):
        read_address("mqtts://broker", cert_file=tmp_path / "cert.pem")
    (tmp_path / "bad.pem").write_text("no certificate")
    with pytest.raises(AddressError, match=r"bad\.pem: not read as certificates"):
        read_address("mqtts://broker", ca_file=tmp_path / "bad.pem")
    with pytest.raises(AddressError, match=r"bad\.pem with .*: not read as certificate and key"):
        read_address("mqtts://broker", cert_file=tmp_path / "bad.pem", key_file=tmp_path / "bad.pem")
    tls = read_address("mqtts://broker")
    assert tls.port == 8883
    assert tls.tls is not None
