"""The bus over MQTT 3.1.1 (aiomqtt on paho). Runs under asyncio only.

    async with MqttBus(settings, "robo-chess-game-manager", will=will) as bus:
        ...

Entering does not wait for the broker: a component starts without one and is served when it comes. The session is
clean, so the broker keeps nothing for us but retained messages; what a caller is still waiting to publish is
published after the reconnect (perhaps twice: at least once is the contract). Subscriptions are renewed by us. One
`aiomqtt.Client` serves one connection and is thrown away.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import logging
import random
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiomqtt
import anyio

from edgechess_kit.background import Background
from edgechess_kit.bus import QUEUE_LIMIT, WAITERS_LIMIT, Delivery, Subscription
from edgechess_kit.errors import LinkLost, SettingsError
from edgechess_kit.link_fault import Fault, fault_of
from edgechess_kit.mailbox import Mailbox
from edgechess_kit.messages import EdgeStatus, Message
from edgechess_kit.settings import BusSettings
from edgechess_kit.topics import Topic, Topics

__all__ = ["Address", "BusSettings", "MqttBus", "broker_address"]

M = TypeVar("M", bound=Message)

log = logging.getLogger(__name__)

BACKOFF_FIRST_S = 0.2  # a broker that restarts is back in about as long
BACKOFF_LAST_S = 10.0  # an operator who plugs the cable back in should not wait longer
STEADY_S = 5.0  # a connection that held this long was a good one: the next outage starts with a short pause again
KEEPALIVE_S = 10  # a half-open link is noticed, and our will fires, within about twice this
CONNECT_TIMEOUT_S = 3.0  # CONNACK; aiomqtt does not notice a broker that dies before it, only this does
ACK_TIMEOUT_S = 10.0  # SUBACK and PUBACK come in milliseconds; then the link is tried again, not blamed
RETRY_PAUSE_S = 0.05  # paho can refuse a call for a moment before it notices that the link is gone
CLOSE_TIMEOUT_S = 2.0  # time for a DISCONNECT; without it our will would cry "lost" over a clean stop
LEAVE_TIMEOUT_S = 1.0  # an UNSUBSCRIBE is a courtesy
PORT_PLAIN, PORT_TLS = 1883, 8883  # IANA
PORT_HTTPS = 443  # for networks that let nothing else out
AWS_ALPN = "x-amzn-mqtt-ca"  # AWS IoT Core's MQTT with client certificates on port 443


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """Where the broker listens; `tls` None is a plain connection, allowed on loopback only."""

    host: str
    port: int
    tls: ssl.SSLContext | None


def broker_address(settings: BusSettings) -> Address:
    """Checks `[bus]` broker and certificate files. Raises SettingsError naming the key."""
    url = urlsplit(settings.broker)
    if url.scheme not in ("mqtt", "mqtts") or not url.hostname or url.path not in ("", "/"):
        raise SettingsError("bus.broker: expected mqtt://host[:port] or mqtts://host[:port]")
    if url.username or url.password:
        raise SettingsError("bus.broker: no credentials in the address; use client certificates")
    try:
        port = url.port or (PORT_TLS if url.scheme == "mqtts" else PORT_PLAIN)
    except ValueError as error:
        raise SettingsError(f"bus.broker: {error}") from error
    loopback = _is_loopback(url.hostname)
    if url.scheme == "mqtt":
        if not loopback:
            raise SettingsError(
                f"bus.broker: {url.hostname} is not this machine: plain mqtt is for loopback only, use mqtts:// with"
                " bus.cert_file and bus.key_file"
            )
        return Address(url.hostname, port, None)
    for key in ("cert_file", "key_file"):
        if not getattr(settings, key) and not loopback:
            raise SettingsError(f"bus.{key} is missing: off loopback a component shows a client certificate")
    return Address(url.hostname, port, _tls(settings, port))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _tls(settings: BusSettings, port: int) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"bus.ca_file {settings.ca_file}: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    alpn = settings.alpn or (AWS_ALPN if port == PORT_HTTPS else "")
    if alpn:
        context.set_alpn_protocols([alpn])
    if bool(settings.cert_file) != bool(settings.key_file):
        raise SettingsError("bus.cert_file and bus.key_file belong together: one of them is missing")
    if settings.cert_file:
        try:
            context.load_cert_chain(settings.cert_file, settings.key_file)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(
                f"bus.cert_file {settings.cert_file} with bus.key_file {settings.key_file}: {error}"
            ) from error
    return context


class _PahoLog(logging.Logger):
    """What paho says in its log and nowhere else: why it lost the socket before the broker had accepted us."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__(f"{log.name}.paho")
        self.parent = log
        self.socket_error: OSError | None = None
        self._quiet = quiet

    def handle(self, record: logging.LogRecord) -> None:
        said = record.args[0] if isinstance(record.args, tuple) and record.args else None
        if isinstance(said, OSError):
            self.socket_error = said
        if not self._quiet:
            super().handle(record)


class _Link:
    """One connection. Calls that wait on it are cancelled when it goes, for aiomqtt would let them time out."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client
        self._calls: list[anyio.CancelScope] = []

    async def call(self, action: Callable[[], Awaitable[Any]]) -> bool:
        """False when the link went, or refused, before the action was acknowledged."""
        with anyio.CancelScope() as scope:
            self._calls.append(scope)
            try:
                await action()
            except aiomqtt.MqttError as error:
                log.debug("bus: %s", error)
                return False
            finally:
                self._calls.remove(scope)
            return True
        return False

    def lose(self) -> None:
        for scope in self._calls:
            scope.cancel()


@dataclasses.dataclass(eq=False, slots=True)
class _Subscriber:
    mailbox: Mailbox
    names: tuple[str, ...]
    link: _Link | None = None
    """The connection on which the broker has acknowledged these names."""


class MqttBus:
    """A Bus; see the module. An async context manager, used once. Raises SettingsError when it is made.

    `client_id` None: the broker's choice, for tools that come and go. Two clients of one id throw each other out.
    """

    def __init__(
        self,
        settings: BusSettings,
        client_id: str | None,
        *,
        will: EdgeStatus | None = None,
        topics: Topics | None = None,
        rng: random.Random | None = None,
        queue_limit: int = QUEUE_LIMIT,
        quiet: bool = False,
    ) -> None:
        """`quiet`: an outage is not logged, for whoever tells the user of `fault` himself."""
        self._address = broker_address(settings)
        self._shows_certificate = bool(settings.cert_file)
        self._outage_level = logging.DEBUG if quiet else logging.WARNING
        self._paho_log = _PahoLog(quiet=quiet)
        self._client_id = client_id
        self._topics = topics or Topics(settings.prefix)
        self._will = will
        self._rng = rng or random.Random()
        self._queue_limit = queue_limit
        self._subscribers: list[_Subscriber] = []
        self._link: _Link | None = None
        self._changed = anyio.Event()  # the link came, or the bus was closed
        self._waiters = 0
        self._closing = anyio.Event()
        self._done = anyio.Event()
        self._reading: anyio.CancelScope | None = None
        self._scope = anyio.CancelScope(shield=True)
        self._tasks = Background()
        self.fault: Fault | None = None
        """Why there was no connection when it was last tried; None while there is one."""

    @property
    def connected(self) -> bool:
        return self._link is not None and not self._closing.is_set()

    async def __aenter__(self) -> MqttBus:
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._run, name=f"mqtt {self._client_id}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._closing.set()
        if self._reading is not None:
            self._reading.cancel()
        with anyio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
            await self._done.wait()
        self._scope.cancel()
        for subscriber in self._subscribers:
            subscriber.mailbox.close()
        self._changed.set()
        return await self._tasks.__aexit__(kind, error, traceback)

    async def publish(self, topic: Topic[M], message: M) -> None:
        payload = topic.encode(message)
        while True:
            link = await self._linked()

            async def send(client: aiomqtt.Client = link.client) -> None:
                await client.publish(topic.name, payload, qos=1, retain=topic.retain, timeout=ACK_TIMEOUT_S)

            if await link.call(send):
                return
            await anyio.sleep(RETRY_PAUSE_S)

    @asynccontextmanager
    async def subscribe(self, *topics: Topic[Any]) -> AsyncIterator[Subscription]:
        """As the port says; waits for the broker. Raises LinkLost when the broker refuses the subscription."""
        names = tuple(dict.fromkeys(topic.name for topic in topics))
        subscriber = _Subscriber(Mailbox(self._queue_limit), names)
        self._subscribers.append(subscriber)
        try:
            await self._activate(subscriber)
            yield subscriber.mailbox
        finally:
            self._subscribers.remove(subscriber)
            await self._leave(names)

    async def _activate(self, subscriber: _Subscriber) -> None:
        while True:
            link = await self._linked()
            if subscriber.link is link:
                return

            async def ask(client: aiomqtt.Client = link.client) -> None:
                await _subscribe(client, subscriber.names)

            if await link.call(ask):
                subscriber.link = link
            else:
                await anyio.sleep(RETRY_PAUSE_S)

    async def _leave(self, names: tuple[str, ...]) -> None:
        wanted = {name for subscriber in self._subscribers for name in subscriber.names}
        unused = [name for name in names if name not in wanted]
        link = self._link
        if link is None or not unused or self._closing.is_set():
            return

        async def leave() -> None:
            await link.client.unsubscribe(unused, timeout=LEAVE_TIMEOUT_S)

        with anyio.CancelScope(shield=True):
            await link.call(leave)

    async def _linked(self) -> _Link:
        while self._link is None or self._closing.is_set():
            if self._closing.is_set():
                raise LinkLost("the bus was closed")
            if self._waiters >= WAITERS_LIMIT:
                raise LinkLost(f"the link is down and {self._waiters} callers wait for it already")
            self._waiters += 1
            try:
                await self._changed.wait()
            finally:
                self._waiters -= 1
        return self._link

    async def _run(self) -> None:
        # shielded: in a component that is being cancelled the bus still carries its farewell; `__aexit__` ends it
        with self._scope:
            pause_s = BACKOFF_FIRST_S
            while not self._closing.is_set():
                started_s = anyio.current_time()
                try:
                    await self._session()
                except (aiomqtt.MqttError, LinkLost, OSError) as error:
                    host, port = self._address.host, self._address.port
                    cause, self._paho_log.socket_error = self._paho_log.socket_error or error, None
                    self.fault = fault_of(cause, host, port, shows_certificate=self._shows_certificate)
                    log.log(self._outage_level, "bus: %s", self.fault.text)
                finally:
                    self._unlink()
                if anyio.current_time() - started_s > STEADY_S:
                    pause_s = BACKOFF_FIRST_S
                with anyio.move_on_after(pause_s * self._rng.uniform(0.5, 1.5)):
                    await self._closing.wait()
                pause_s = min(2 * pause_s, BACKOFF_LAST_S)
        self._done.set()

    async def _session(self) -> None:
        """One connection, from CONNECT until it is lost (raises) or the bus is closed (returns)."""
        client = self._client()
        async with client:
            link = _Link(client)
            subscribers = list(self._subscribers)
            names = tuple(dict.fromkeys(name for subscriber in subscribers for name in subscriber.names))
            if names:
                await _subscribe(client, names)
            for subscriber in subscribers:
                subscriber.link = link
            self._link, self.fault = link, None
            self._changed.set()
            log.info("bus: connected to %s:%d", self._address.host, self._address.port)
            with anyio.CancelScope() as self._reading:
                if self._closing.is_set():
                    return
                async for message in client.messages:
                    self._deliver(message)

    def _client(self) -> aiomqtt.Client:
        will = None
        if self._will is not None:
            topic = self._topics.status
            will = aiomqtt.Will(topic.name, topic.encode(self._will), qos=1, retain=topic.retain)
        return aiomqtt.Client(
            self._address.host,
            self._address.port,
            identifier=self._client_id,
            will=will,
            clean_session=True,
            keepalive=KEEPALIVE_S,
            timeout=CONNECT_TIMEOUT_S,
            tls_context=self._address.tls,
            max_queued_incoming_messages=self._queue_limit,
            max_queued_outgoing_messages=10 * WAITERS_LIMIT,
            # without this, Nagle and delayed acknowledgements cost 40 ms a hop
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
            logger=self._paho_log,
        )

    def _deliver(self, message: aiomqtt.Message) -> None:
        name = message.topic.value
        payload = message.payload if isinstance(message.payload, bytes) else str(message.payload).encode()
        delivery = Delivery(name, payload, retained=message.retain)
        for subscriber in self._subscribers:
            if name in subscriber.names:
                subscriber.mailbox.put(delivery)

    def _unlink(self) -> None:
        self._reading = None
        link, self._link = self._link, None
        if link is not None:
            if not self._closing.is_set():
                self._changed = anyio.Event()
            link.lose()


async def _subscribe(client: aiomqtt.Client, names: tuple[str, ...]) -> None:
    """Raises LinkLost when the broker refuses one of them, aiomqtt.MqttError when it does not answer."""
    codes: Sequence[Any] = await client.subscribe([(name, 1) for name in names], timeout=ACK_TIMEOUT_S)
    for name, code in zip(names, codes, strict=False):
        value: int = code if isinstance(code, int) else code.value
        if value >= 0x80:  # MQTT 3.1.1 section 3.9.3: 0x80 is failure
            raise LinkLost(f"the broker refuses the subscription to {name}")
