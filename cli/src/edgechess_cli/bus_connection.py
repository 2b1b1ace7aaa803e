"""Connecting a command to a bus: the options every such command shares, and one clear line when it fails."""

from __future__ import annotations

import dataclasses
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import anyio
import typer

from edgechess_kit.bus import Bus
from edgechess_kit.errors import SettingsError
from edgechess_kit.greengrass_environment import environment
from edgechess_kit.mqtt_adapter import PORT_TLS, MqttBus, broker_address
from edgechess_kit.settings import BusSettings, TransportSettings
from edgechess_kit.topics import PREFIX, Topics
from edgechess_kit.transports import open_bus

CONNECT_TIMEOUT_S = 5.0
NUCLEUS_TIMEOUT_S = 10.0

BrokerOption = Annotated[
    str, typer.Option("--broker", help="mqtt://HOST:PORT, or mqtts:// with the certificates below.")
]
PrefixOption = Annotated[str, typer.Option("--prefix", help="Prefix of every topic.")]
CaOption = Annotated[Path | None, typer.Option("--ca", help="Certificate authority of the broker (PEM).")]
CertOption = Annotated[Path | None, typer.Option("--cert", help="Client certificate (PEM).")]
KeyOption = Annotated[Path | None, typer.Option("--key", help="Key of the client certificate (PEM).")]
EndpointOption = Annotated[
    str | None,
    typer.Option("--endpoint", help="AWS IoT Core: …-ats.iot.REGION.amazonaws.com; with --cert and --key."),
]
PortOption = Annotated[int, typer.Option("--port", help="Of the endpoint; on 443 by ALPN.", min=1, max=65535)]
AlpnOption = Annotated[str, typer.Option("--alpn", help="TLS application protocol (default: AWS's on 443, else none).")]
GreengrassOption = Annotated[
    bool, typer.Option("--greengrass", help="By IPC, through the nucleus that started this process.")
]

DEFAULT_BROKER = "mqtt://127.0.0.1:1883"
_OPTIONS = {"ca_file": "--ca", "cert_file": "--cert", "key_file": "--key", "broker": "--broker", "alpn": "--alpn"}


class NoBroker(RuntimeError):
    """Nothing answers at the broker's address, or it refuses us; the text says what to do."""


@dataclasses.dataclass(frozen=True, slots=True)
class Connection:
    """Where the bus of a command is, as its options say."""

    broker: str = DEFAULT_BROKER
    prefix: str = PREFIX
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    endpoint: str | None = None
    port: int = PORT_TLS
    alpn: str = ""
    greengrass: bool = False

    @property
    def topics(self) -> Topics:
        return Topics(self.prefix)

    @property
    def where(self) -> str:
        """For messages."""
        if self.greengrass:
            return "the nucleus"
        return self.broker if self.endpoint is None else f"{self.endpoint}:{self.port}"

    @property
    def of_the_cloud(self) -> bool:
        """Only the cloud's topics are to be seen there, not what the components of a table say to each other."""
        return self.endpoint is not None

    def settings(self) -> BusSettings:
        """Raises SettingsError."""
        if self.endpoint is not None and ("/" in self.endpoint or ":" in self.endpoint):
            raise SettingsError(f"--endpoint is {self.endpoint!r}: expected a host name alone; the port is --port")
        for option, path in (("--cert", self.cert), ("--key", self.key)):
            if self.endpoint is not None and path is None:
                raise SettingsError(f"{option} is missing: AWS IoT Core wants a client certificate and its key")
        _require_pem("--ca", self.ca)
        _require_pem("--cert", self.cert)
        _require_pem("--key", self.key)
        return BusSettings(
            broker=self.broker if self.endpoint is None else f"mqtts://{self.endpoint}:{self.port}",
            prefix=self.prefix,
            ca_file=str(self.ca) if self.ca else "",
            cert_file=str(self.cert) if self.cert else "",
            key_file=str(self.key) if self.key else "",
            alpn=self.alpn,
        )

    def checked(self) -> BusSettings:
        """Settings that a bus can be opened with by somebody else. Raises SettingsError in the words of the options."""
        settings = self.settings()
        try:
            broker_address(settings)
        except SettingsError as error:
            raise SettingsError(_in_our_words(str(error))) from error
        return settings


def _require_pem(option: str, path: Path | None) -> None:
    """Raises SettingsError."""
    if path is None:
        return
    try:
        text = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{option} {path}: {error.strerror}: name a PEM file that can be read") from error
    if b"-----BEGIN " not in text:
        raise SettingsError(f"{option} {path}: no PEM in it: name the file that begins with -----BEGIN")


@asynccontextmanager
async def connect(connection: Connection) -> AsyncIterator[Bus]:
    """A connected bus. Raises SettingsError for what cannot be used, NoBroker when nothing answers or we are refused."""
    async with _by_ipc(connection) if connection.greengrass else _by_mqtt(connection) as bus:
        yield bus


@asynccontextmanager
async def _by_mqtt(connection: Connection) -> AsyncIterator[Bus]:
    async with _mqtt_bus(connection) as bus:
        with anyio.move_on_after(CONNECT_TIMEOUT_S):
            while not bus.connected and not (bus.fault and bus.fault.definite):  # noqa: ASYNC110  (a state, no event)
                await anyio.sleep(0.02)
        if not bus.connected:
            raise NoBroker(_no_broker(connection, bus.fault.text if bus.fault else "no answer"))
        yield bus


def _mqtt_bus(connection: Connection) -> MqttBus:
    try:
        return MqttBus(connection.settings(), client_id=f"cli-{uuid.uuid4().hex[:12]}", quiet=True)
    except SettingsError as error:
        raise SettingsError(_in_our_words(str(error))) from error


def _in_our_words(text: str) -> str:
    for key, option in _OPTIONS.items():
        text = text.replace(f"bus.{key}", option)
    return text


def _no_broker(connection: Connection, why: str) -> str:
    if connection.of_the_cloud or connection.broker.startswith("mqtts:"):
        return f"no connection to {connection.where}: {why}"
    return (
        f"no broker answers at {connection.broker} ({why})."
        " Is a match running (edgechess play prints its broker), or mosquitto?"
    )


@asynccontextmanager
async def _by_ipc(connection: Connection) -> AsyncIterator[Bus]:
    # awsiotsdk is an extra, and slow to import
    from edgechess_kit.greengrass_host import GreengrassHost

    async with GreengrassHost(environment(os.environ)) as host:
        settings = BusSettings(prefix=connection.prefix)
        async with open_bus("cli", settings, TransportSettings(), connection.topics, host) as bus:
            with anyio.move_on_after(NUCLEUS_TIMEOUT_S):
                while not bus.connected:  # noqa: ASYNC110  (a state, no event)
                    await anyio.sleep(0.02)
            if not bus.connected:
                raise NoBroker(f"the nucleus does not answer: {host.trouble}")
            yield bus
