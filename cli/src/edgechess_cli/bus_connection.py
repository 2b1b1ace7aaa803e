"""Connecting a command to a broker: the settings every such command shares, and one clear line when it fails."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import anyio
import typer

from edgechess_kit.mqtt_adapter import MqttBus
from edgechess_kit.settings import BusSettings

CONNECT_TIMEOUT_S = 5.0

BrokerOption = Annotated[
    str, typer.Option("--broker", help="mqtt://HOST:PORT, or mqtts:// with the certificates below.")
]
PrefixOption = Annotated[str, typer.Option("--prefix", help="Prefix of every topic.")]
CaOption = Annotated[Path | None, typer.Option("--ca", help="Certificate authority of the broker (PEM).")]
CertOption = Annotated[Path | None, typer.Option("--cert", help="Client certificate (PEM).")]
KeyOption = Annotated[Path | None, typer.Option("--key", help="Key of the client certificate (PEM).")]

DEFAULT_BROKER = "mqtt://127.0.0.1:1883"


class NoBroker(RuntimeError):
    """Nothing answers at the broker's address; the text says what to do."""


@asynccontextmanager
async def connect(
    broker: str, *, prefix: str, ca: Path | None = None, cert: Path | None = None, key: Path | None = None
) -> AsyncIterator[MqttBus]:
    """A connected bus. Raises SettingsError for an address that cannot be used, NoBroker when nothing answers."""
    settings = BusSettings(
        broker=broker,
        prefix=prefix,
        ca_file=str(ca) if ca else "",
        cert_file=str(cert) if cert else "",
        key_file=str(key) if key else "",
    )
    async with MqttBus(settings, client_id=f"cli-{uuid.uuid4().hex[:12]}") as bus:
        with anyio.move_on_after(CONNECT_TIMEOUT_S):
            while not bus.connected:  # noqa: ASYNC110  (the bus port tells a state, not an event)
                await anyio.sleep(0.02)
        if not bus.connected:
            raise NoBroker(
                f"no broker answers at {broker}. Is a match running (edgechess play prints its broker), or mosquitto?"
            )
        yield bus
