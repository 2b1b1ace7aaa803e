"""The MQTT link: what addresses it accepts, how it ends, and TLS with certificates on both sides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiomqtt
import anyio
import anyio.lowlevel
import pytest

from edgechess_kit.broker import BrokerTls, find_mosquitto, running_broker
from edgechess_kit.bus import WAITERS_LIMIT
from edgechess_kit.errors import LinkLost, SettingsError, WireError
from edgechess_kit.messages import EdgeStatus
from edgechess_kit.mqtt_adapter import MqttBus, broker_address
from edgechess_kit.settings import BusSettings
from edgechess_kit.topics import Topics

pytestmark = pytest.mark.anyio

TOPICS = Topics()
NOBODY = BusSettings(broker="mqtt://127.0.0.1:1")  # nothing listens on tcpmux


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize(
    ("broker", "host", "port"),
    [
        ("mqtt://127.0.0.1", "127.0.0.1", 1883),
        ("mqtt://localhost:1884", "localhost", 1884),
        ("mqtt://127.3.0.2:5", "127.3.0.2", 5),
        ("mqtt://[::1]:1883", "::1", 1883),
        ("mqtts://127.0.0.1", "127.0.0.1", 8883),
    ],
)
def test_addresses_on_this_machine(broker: str, host: str, port: int) -> None:
    address = broker_address(BusSettings(broker=broker))
    assert (address.host, address.port) == (host, port)
    assert (address.tls is not None) == broker.startswith("mqtts")


@pytest.mark.parametrize(
    ("broker", "said"),
    [
        ("mqtt://192.168.1.7", "plain mqtt is for loopback only"),
        ("mqtt://broker.example.com:1883", "plain mqtt is for loopback only"),
        ("mqtt://localhost.example.com", "plain mqtt is for loopback only"),
        ("mqtts://broker.example.com", "bus.cert_file is missing"),
        ("mqtt://user:secret@127.0.0.1", "no credentials in the address"),
        ("http://127.0.0.1", "expected mqtt://"),
        ("127.0.0.1:1883", "expected mqtt://"),
        ("mqtt://127.0.0.1:99999", "bus.broker"),
        ("mqtt://127.0.0.1/x", "expected mqtt://"),
    ],
)
def test_addresses_that_are_refused(broker: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        broker_address(BusSettings(broker=broker))
    assert "secret" not in str(caught.value)


def test_certificate_files_are_checked_at_once(tmp_path: Path) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"ca_file": str(tmp_path / "none.pem")}, "bus.ca_file"),
        ({"ca_file": str(junk)}, "bus.ca_file"),
        ({"cert_file": str(junk)}, "belong together"),
        ({"cert_file": str(junk), "key_file": str(junk)}, "bus.cert_file"),
    ]
    for settings, said in wrong:
        with pytest.raises(SettingsError, match=said):
            broker_address(BusSettings(broker="mqtts://127.0.0.1", **settings))


async def test_a_component_starts_and_ends_without_a_broker() -> None:
    with anyio.fail_after(5):
        async with MqttBus(NOBODY, "a") as bus:
            assert not bus.connected
            with anyio.move_on_after(0.02) as scope:
                await bus.publish(TOPICS.status, EdgeStatus(component="a", status="ready"))
            assert scope.cancelled_caught


async def test_the_components_own_error_is_not_wrapped() -> None:
    with pytest.raises(KeyError):
        async with MqttBus(NOBODY, "a"):
            raise KeyError


async def test_cancellation_closes_the_bus() -> None:
    with anyio.move_on_after(0.02) as scope:
        async with MqttBus(NOBODY, "a"):
            await anyio.sleep_forever()
    assert scope.cancelled_caught


async def test_only_so_many_wait_for_a_link() -> None:
    async with MqttBus(NOBODY, "a") as bus, anyio.create_task_group() as group:
        for _ in range(WAITERS_LIMIT):
            group.start_soon(bus.publish, TOPICS.status, EdgeStatus(component="a", status="ready"))
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        with pytest.raises(LinkLost, match="100 callers"):
            await bus.publish(TOPICS.status, EdgeStatus(component="a", status="ready"))
        group.cancel_scope.cancel()


async def test_after_its_end_nothing_waits_for_it() -> None:
    async with MqttBus(NOBODY, "a") as bus:
        pass
    with pytest.raises(LinkLost, match="closed"):
        await bus.publish(TOPICS.status, EdgeStatus(component="a", status="ready"))


@pytest.mark.slow
@pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")
async def test_while_the_component_is_cancelled_the_bus_still_carries_its_farewell() -> None:
    with anyio.fail_after(10):
        async with running_broker(kind="mosquitto") as url:
            settings = BusSettings(broker=url)
            async with MqttBus(settings, "watch") as watch, watch.subscribe(TOPICS.status) as seen:
                will = EdgeStatus(component="a", status="lost")
                with anyio.CancelScope() as scope:
                    async with MqttBus(settings, "a", will=will) as bus:
                        try:
                            scope.cancel()
                            await anyio.sleep_forever()
                        finally:
                            with anyio.CancelScope(shield=True):
                                await bus.publish(TOPICS.status, EdgeStatus(component="a", status="stopped"))
                await watch.publish(TOPICS.status, EdgeStatus(component="watch", status="ready"))
                said = [(await anext(seen)).decode(TOPICS.status).status for _ in range(2)]
                assert said == ["stopped", "ready"]


@pytest.mark.slow
@pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")
async def test_tls_with_certificates_on_both_sides(certificates: Path) -> None:
    def settings(url: str, name: str | None, ca: str = "ca") -> BusSettings:
        own: dict[str, Any] = {}
        if name is not None:
            own = {"cert_file": str(certificates / f"{name}.pem"), "key_file": str(certificates / f"{name}.key")}
        return BusSettings(broker=url, ca_file=str(certificates / f"{ca}.pem"), **own)

    tls = BrokerTls(certificates / "ca.pem", certificates / "broker.pem", certificates / "broker.key")
    with anyio.fail_after(20):
        async with running_broker(kind="mosquitto", tls=tls) as url:
            assert url.startswith("mqtts://")
            async with (
                MqttBus(settings(url, "client"), "a") as a,
                MqttBus(settings(url, "client"), "b") as b,
                b.subscribe(TOPICS.status) as seen,
            ):
                await a.publish(TOPICS.status, EdgeStatus(component="a", status="ready"))
                assert (await anext(seen)).decode(TOPICS.status).component == "a"
                for wrong in (
                    settings(url, None),  # no certificate
                    settings(url, "stranger"),  # one that the broker's authority did not sign
                    settings(url, "client", ca="strange-ca"),  # a broker that our authority did not sign
                ):
                    async with MqttBus(wrong, "c") as refused:
                        with anyio.move_on_after(0.6) as scope:
                            await refused.publish(TOPICS.status, EdgeStatus(component="c", status="ready"))
                        assert scope.cancelled_caught
                        assert not refused.connected


@pytest.mark.slow
@pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")
async def test_a_foreign_message_over_our_limit_arrives_so_that_it_can_be_answered() -> None:
    with anyio.fail_after(10):
        async with (
            running_broker(kind="mosquitto") as url,
            MqttBus(BusSettings(broker=url), "a") as bus,
            bus.subscribe(TOPICS.cloud_request) as seen,
            aiomqtt.Client("127.0.0.1", int(url.rpartition(":")[2])) as foreign,
        ):
            await foreign.publish(TOPICS.cloud_request.name, b"x" * 20_000, qos=1)
            await foreign.publish(TOPICS.cloud_request.name, "", qos=1)
            for said in ("20000 bytes", "truncated"):
                with pytest.raises(WireError, match=said):
                    (await anext(seen)).decode(TOPICS.cloud_request)
