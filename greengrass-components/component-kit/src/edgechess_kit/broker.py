"""A local MQTT broker for one machine: mosquitto where it is installed, otherwise the embedded one (amqtt).

    async with running_broker() as url:      # "mqtt://127.0.0.1:41883"
        ...

It listens on loopback only, keeps nothing on disk, and ends with the block, or with this process however that ends. A
broker that others may reach needs certificates on both sides (`BrokerTls`), and then it is mosquitto's job.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import ipaddress
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Literal

import anyio
import anyio.abc

from edgechess_kit.background import Background
from edgechess_kit.errors import BrokerError
from edgechess_kit.guardian import stop_process

BrokerKind = Literal["auto", "mosquitto", "embedded"]

PACKET_LIMIT_BYTES = 131_072  # AWS IoT's own: what is over our limit arrives and is answered 400, not swallowed
QUEUED_LIMIT = 1000  # messages that the broker holds for a slow client, as our own subscriptions do
START_TIMEOUT_S = 15.0  # mosquitto listens after 20 ms, Python with amqtt after 1 s; a busy small machine takes longer
STOP_TIMEOUT_S = 3.0  # mosquitto ends at once, its guardian after 1 s at the latest; amqtt says goodbye to clients
SETTLE_S = 0.05  # mosquitto goes from listening to dead of a bad configuration in under 10 ms
POLL_S = 0.02  # between two looks whether the broker listens
ATTEMPTS = 3  # a port that was free a moment ago can be taken by the time the broker binds it

_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"  # Debian puts mosquitto there, out of an ordinary user's PATH


@dataclasses.dataclass(frozen=True, slots=True)
class BrokerTls:
    """PEM files of the broker. Clients must show a certificate that `ca_file` has signed."""

    ca_file: Path
    cert_file: Path
    key_file: Path


def find_mosquitto() -> str | None:
    """The mosquitto program, also where Debian hides it, or None."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path=_SBIN)


def find_embedded() -> bool:
    """Whether the embedded broker (extra `broker`) is installed."""
    return importlib.util.find_spec("amqtt") is not None


def mosquitto_config(port: int, *, host: str = "127.0.0.1", tls: BrokerTls | None = None) -> str:
    """The text of a mosquitto.conf. Raises BrokerError for a plain listener off loopback."""
    if tls is None and not ipaddress.ip_address(host).is_loopback:
        raise BrokerError(f"a broker on {host} can be reached by others: it needs certificates")
    lines = [
        f"listener {port} {host}",
        "persistence false",
        f"max_packet_size {PACKET_LIMIT_BYTES}",
        f"max_queued_messages {QUEUED_LIMIT}",
        "set_tcp_nodelay true",
        "sys_interval 0",
        "connection_messages false",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
    ]
    if tls is None:
        lines.append("allow_anonymous true")
    else:
        lines += [
            "allow_anonymous false",
            f"cafile {tls.ca_file}",
            f"certfile {tls.cert_file}",
            f"keyfile {tls.key_file}",
            "tls_version tlsv1.2",
            "require_certificate true",
            "use_identity_as_username true",
        ]
    return "\n".join(lines) + "\n"


@asynccontextmanager
async def running_broker(
    port: int | None = None,
    kind: BrokerKind = "auto",
    *,
    host: str = "127.0.0.1",
    tls: BrokerTls | None = None,
    died: Callable[[str], None] | None = None,
) -> AsyncIterator[str]:
    """A broker as a child process; yields its address once it accepts connections. `port` None: a free one.

    Raises BrokerError: none installed, the port taken, or it did not come up (with what it said). `died` is called when it
    ends by itself later, with what to tell a person.
    """
    chosen = _choose(kind, tls)
    attempts = ATTEMPTS if port is None else 1
    with tempfile.TemporaryDirectory(prefix="edgechess-broker-") as folder:
        for attempt in range(1, attempts + 1):
            number = _free_port(host) if port is None else port
            require_free(number, host)
            command = _command(chosen, number, host, tls, Path(folder))
            said = Path(folder, f"said-{attempt}")
            with _writer(said) as output:
                # a session of its own: Ctrl-C in the terminal must reach our components while the broker still runs
                process = await anyio.open_process(
                    command,
                    stdin=subprocess.PIPE,  # the broker ends when it closes, however we died
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            try:
                if await _listening(process, host, number):
                    url = f"{'mqtts' if tls else 'mqtt'}://{host}:{number}"
                    if died is None:  # then there is no task, and blocks need not be left in the order of entering
                        yield url
                        return
                    async with Background() as tasks:
                        tasks.start_soon(_until_dead, process, f"{host}:{number}", said, died, name="broker")
                        yield url
                        tasks.cancel()
                    return
            finally:
                await stop_process(process, STOP_TIMEOUT_S)
                _end_session(process)
        raise BrokerError(f"{chosen} did not start on {host}:{number}: {await _last_words(said)}")


def _end_session(leader: anyio.abc.Process) -> None:
    """A guardian that was killed could not take its broker along. As long as that lives, the number is its session's."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader.pid, signal.SIGKILL)


async def _until_dead(process: anyio.abc.Process, place: str, said: Path, died: Callable[[str], None]) -> None:
    code = await process.wait()
    died(f"the broker on {place} has died (exit code {code}): {await _last_words(said)}")


async def _last_words(said: Path) -> str:
    return (await anyio.Path(said).read_text(errors="replace")).strip()[-500:] or "it said nothing"


def _choose(kind: BrokerKind, tls: BrokerTls | None) -> Literal["mosquitto", "embedded"]:
    if kind in ("auto", "mosquitto") and find_mosquitto():
        return "mosquitto"
    if kind == "mosquitto":
        raise BrokerError("mosquitto is not installed (Debian: apt install mosquitto)")
    if tls is not None:
        raise BrokerError("the embedded broker serves loopback without certificates: install mosquitto for TLS")
    if not find_embedded():
        raise BrokerError("no MQTT broker: install mosquitto, or the embedded one: pip install 'edgechess-kit[broker]'")
    return "embedded"


def _command(
    kind: Literal["mosquitto", "embedded"], port: int, host: str, tls: BrokerTls | None, folder: Path
) -> list[str]:
    tied = ["--folder", str(folder)]
    if kind == "embedded":
        return [
            sys.executable,
            "-m",
            "edgechess_kit.embedded_broker_adapter",
            "--port",
            str(port),
            "--host",
            host,
            *tied,
        ]
    program = find_mosquitto()
    assert program is not None
    config = folder / "mosquitto.conf"
    config.write_text(mosquitto_config(port, host=host, tls=tls), encoding="utf-8")
    if os.geteuid() == 0:
        # mosquitto gives up root before it reads some of its files
        folder.chmod(0o755)
    return [sys.executable, "-m", "edgechess_kit.guardian", *tied, program, "-c", str(config)]


def _writer(path: Path) -> IO[bytes]:
    return path.open("wb")


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def require_free(port: int, host: str = "127.0.0.1") -> None:
    """Raises BrokerError when nobody could listen there."""
    with socket.socket() as probe:
        # as brokers do: connections that a former broker left in TIME_WAIT do not make the port taken
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise BrokerError(f"port {port} on {host} cannot be used for a broker: {error.strerror}") from error


async def _listening(process: anyio.abc.Process, host: str, port: int) -> bool:
    """True when it accepts connections, False when it ended or took too long."""
    accepted = 0
    with anyio.move_on_after(START_TIMEOUT_S):
        while process.returncode is None and accepted < 2:
            try:
                stream = await anyio.connect_tcp(host, port)
            except OSError:
                accepted = 0
                await anyio.sleep(POLL_S)
                continue
            await stream.aclose()
            accepted += 1
            if accepted == 1:
                # mosquitto listens before it reads its certificates, and dies if it may not
                await anyio.sleep(SETTLE_S)
    return accepted == 2 and process.returncode is None
