"""The connection to a Greengrass nucleus over IPC (awsiotsdk), and the two buses on it. Runs under asyncio only.

    async with NucleusLink(socket_path, token) as link, IpcBus(link, PUBSUB, probe="robo-chess/edge/probe/x") as bus:
        ...

One client for a process; it never reconnects by itself, so a lost one is thrown away, a new one made, and every stream
opened again. Events come on the client's one network thread, which only hands them over: their order is kept, and
nothing there can block. Every call has a deadline. Nucleus lite never ends the stream of a plain call, which would
cost 6 kB a call for ever (reference greengrass-nucleus-lite, 2): we end it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import math
import random
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, TypeVar

import anyio
import msgspec
from awscrt.exceptions import AwsCrtError
from awscrt.io import ClientBootstrap, DefaultHostResolver, EventLoopGroup, SocketDomain, SocketOptions
from awsiot import eventstreamrpc
from awsiot.greengrasscoreipc import model
from awsiot.greengrasscoreipc.client import GreengrassCoreIPCClient

from edgechess_kit.background import Background
from edgechess_kit.bus import QUEUE_LIMIT, WAITERS_LIMIT, Delivery, Subscription
from edgechess_kit.errors import IpcRefused, IpcUnanswered, LinkLost, SettingsError, WireError
from edgechess_kit.mailbox import Mailbox
from edgechess_kit.messages import Message
from edgechess_kit.topics import Topic

M = TypeVar("M", bound=Message)

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 10.0  # as the stock client; a nucleus on the same machine answers in milliseconds
CALL_TIMEOUT_S = 10.0  # local answers take a millisecond; IoT Core's spooler or broker may take seconds
OPEN_TIMEOUT_S = 40.0  # SubscribeToIoTCore was seen to take 30 s while the core boots (nucleus#1767)
CLOSE_AFTER_S = 0.1  # the nucleus ends the stream of a call itself, if it does, right after its answer
CLOSE_TIMEOUT_S = 2.0
RESUBSCRIBE_WAIT_S = 5.0  # publishers wait for the subscriptions first: an answer must find its reader
BACKOFF_FIRST_S = 0.2
BACKOFF_LAST_S = 10.0
STEADY_S = 5.0  # a connection that held this long was a good one: the next outage starts with a short pause again
ECHO_TIMEOUT_S = 5.0  # our own message comes back in milliseconds, through IoT Core in a tenth of a second
HEALS = 2  # subscriptions are renewed so often before the whole connection is


class HandOver:
    """From the client's network thread to the event loop: in order, bounded, the oldest dropped and counted."""

    def __init__(self, limit: int = 4 * QUEUE_LIMIT) -> None:
        self.dropped = 0
        self._loop = asyncio.get_running_loop()
        self._limit = limit
        self._queue: deque[tuple[Callable[[Any], None], Any]] = deque()
        self._lock = threading.Lock()
        self._waking = False

    def put(self, take: Callable[[Any], None], item: Any) -> None:
        """Callable from any thread; never waits for the loop."""
        with self._lock:
            if len(self._queue) == self._limit:
                self._queue.popleft()
                self.dropped += 1
            self._queue.append((take, item))
            wake, self._waking = not self._waking, True
        if wake:
            self.soon(self._drain)

    def soon(self, function: Callable[..., object], *arguments: Any) -> None:
        """Like `put`, for what must not be dropped. After the loop's end there is nobody left to be told."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)

    def _drain(self) -> None:
        with self._lock:
            items = list(self._queue)
            self._queue.clear()
            self._waking = False
        for take, item in items:
            take(item)  # quick, and outside of any task: it may set an event, not start a task


class _Lifecycle:
    """What the client says of its connection, on its own thread."""

    def __init__(self, hand_over: HandOver, lost: anyio.Event) -> None:
        self._hand_over = hand_over
        self._lost = lost

    def on_connect(self) -> None:
        return  # the future of `connect` says so too

    def on_ping(self, headers: Any, payload: bytes) -> None:
        return  # neither nucleus sends one

    def on_disconnect(self, reason: Exception | None) -> None:
        self._hand_over.soon(self._lost.set)

    def on_error(self, error: Exception) -> bool:
        log.warning("greengrass: %s", error)
        return True


class _Handler:
    """What the client says of one stream, on its own thread."""

    def __init__(self, hand_over: HandOver, take: Callable[[Any], None], ended: anyio.Event) -> None:
        self._hand_over = hand_over
        self._take = take
        self._ended = ended

    def on_stream_event(self, event: Any) -> None:
        self._hand_over.put(self._take, event)

    def on_stream_error(self, error: Exception) -> bool:
        log.warning("greengrass: a stream failed: %s", error)
        return True  # closed, and opened again

    def on_stream_closed(self) -> None:
        self._hand_over.soon(self._ended.set)


class _Connection:
    """One connection of one client, used until it is lost."""

    def __init__(self, client: Any, hand_over: HandOver, lost: anyio.Event) -> None:
        self.lost = lost
        self.hand_over = hand_over
        self._client = client
        self._loop = asyncio.get_running_loop()

    async def call(self, name: str, request: Any, timeout_s: float) -> Any:
        operation, response = await self._begin(name, request, timeout_s)
        self._loop.call_later(CLOSE_AFTER_S, operation.close)
        return response

    async def open(self, name: str, request: Any, handler: _Handler) -> Any:
        """An open stream; whoever opened it calls its `close`."""
        operation, _ = await self._begin(name, request, OPEN_TIMEOUT_S, handler)
        return operation

    async def _begin(self, name: str, request: Any, timeout_s: float, *handler: _Handler) -> tuple[Any, Any]:
        """Raises IpcRefused or IpcUnanswered."""
        operation: Any = None
        response: Any = None
        try:
            with anyio.fail_after(timeout_s):
                operation = getattr(self._client, f"new_{name}")(*handler)
                await asyncio.wrap_future(operation.activate(request))
                response = await asyncio.wrap_future(operation.get_response())
        except eventstreamrpc.ErrorShape as error:
            raise IpcRefused(name, type(error).__name__, getattr(error, "message", None) or "") from error
        except TimeoutError as error:
            raise IpcUnanswered(f"{name}: no answer within {timeout_s:g} s") from error
        except (RuntimeError, AwsCrtError) as error:
            raise IpcUnanswered(f"{name}: {error or type(error).__name__}") from error
        finally:
            if response is None and operation is not None:
                operation.close()
        return operation, response

    async def close(self) -> None:
        with anyio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
            closed = self._client.close()
            try:
                await asyncio.wrap_future(closed)
            except (RuntimeError, AwsCrtError):
                return  # that is how it says that it was lost


class Stream:
    """A subscription to the nucleus that outlives connections. Made by `NucleusLink.stream`."""

    def __init__(
        self, link: NucleusLink, operation: str, request: Any, take: Callable[[Any], None], *, optional: bool
    ) -> None:
        self._link = link
        self._operation = operation
        self._request = request
        self._take = take
        self._optional = optional
        self._scope = anyio.CancelScope()
        self._ended = anyio.Event()
        self._changed = anyio.Event()
        self._refusal: IpcRefused | None = None
        self.is_open = False

    async def active(self) -> None:
        """Waits until it is open. Raises IpcRefused when the nucleus will not have it."""
        while not self.is_open:
            if self._refusal is not None:
                raise self._refusal
            await self._changed.wait()

    async def change(self) -> None:
        """Waits until it is opened, closed or refused next."""
        await self._changed.wait()

    def renew(self) -> None:
        """Closes it and opens it again."""
        self._ended.set()

    def end(self) -> None:
        self._scope.cancel()

    async def run(self) -> None:
        with self._scope:
            pause_s = BACKOFF_FIRST_S
            while True:
                connection = await self._link.joined()
                self._ended = anyio.Event()
                try:
                    await self._serve(connection)
                    pause_s = BACKOFF_FIRST_S
                except IpcRefused as error:
                    self._say(refusal=error)
                    if self._optional and error.lacking:
                        log.info("greengrass: this nucleus has no %s; going without", self._operation)
                        return
                    log.log(logging.WARNING if pause_s == BACKOFF_FIRST_S else logging.DEBUG, "greengrass: %s", error)
                except IpcUnanswered as error:
                    log.info("greengrass: %s", error)
                await anyio.sleep(pause_s)
                pause_s = min(2 * pause_s, BACKOFF_LAST_S)

    async def _serve(self, connection: _Connection) -> None:
        handler = _Handler(connection.hand_over, self._take, self._ended)
        operation = await connection.open(self._operation, self._request, handler)
        try:
            self._say(is_open=True)
            await self._ended.wait()
        finally:
            self._say()
            operation.close()

    def _say(self, *, is_open: bool = False, refusal: IpcRefused | None = None) -> None:
        self.is_open, self._refusal = is_open, refusal
        self._changed.set()
        self._changed = anyio.Event()


class NucleusLink:
    """The process's one connection to the nucleus; an async context manager, used once.

    Entering does not wait for the nucleus: a component starts without one and is served when it comes.
    """

    def __init__(self, socket_path: str, token: str, *, rng: random.Random | None = None) -> None:
        self._socket_path = socket_path
        self._token = token
        self.rng = rng or random.Random()
        self._streams: list[Stream] = []
        self._joined: _Connection | None = None  # streams may be opened on it
        self._connection: _Connection | None = None  # and calls made: the subscriptions are back
        self._changed = anyio.Event()
        self._waiters = 0
        self._closing = anyio.Event()
        self._scope = anyio.CancelScope(shield=True)
        self._tasks = Background()
        self.trouble: str | None = "not yet connected to the nucleus"

    @property
    def connected(self) -> bool:
        return self._connection is not None and not self._closing.is_set()

    async def __aenter__(self) -> NucleusLink:
        # awsiot logs at ERROR what it raises as well; we say it in our words, once
        logging.getLogger(eventstreamrpc.__name__).setLevel(logging.CRITICAL)
        self._hand_over = HandOver()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._run, name="greengrass nucleus")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._closing.set()
        self._changed.set()
        self._scope.cancel()
        self._tasks.cancel()
        return await self._tasks.__aexit__(kind, error, traceback)

    async def call(self, name: str, request: Any, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        """One operation, `name` as in the client's `new_<name>`. Waits for the link, then `timeout_s` at most.

        Raises IpcRefused, IpcUnanswered, LinkLost when the link was closed or too many wait for it already.
        """
        connection = await self._waited(lambda: self._connection)
        return await connection.call(name, request, timeout_s)

    def stream(self, operation: str, request: Any, take: Callable[[Any], None], *, optional: bool = False) -> Stream:
        """Opened as soon as there is a connection, and again after every loss. `take` gets events, in the loop.

        `optional`: ends by itself on a nucleus that does not have the operation.
        """
        stream = Stream(self, operation, request, take, optional=optional)
        self._streams.append(stream)
        self._tasks.start_soon(self._tend, stream, name=f"greengrass {operation}")
        return stream

    async def joined(self) -> _Connection:
        return await self._waited(lambda: self._joined)

    def renew(self) -> None:
        """Gives the connection up for a new one."""
        if self._joined is not None:
            self._joined.lost.set()

    async def _tend(self, stream: Stream) -> None:
        try:
            await stream.run()
        except LinkLost:
            return  # closed meanwhile
        finally:
            self._streams.remove(stream)

    async def _waited(self, which: Callable[[], _Connection | None]) -> _Connection:
        while True:
            if self._closing.is_set():
                raise LinkLost("the link to the nucleus was closed")
            connection = which()
            if connection is not None:
                return connection
            if self._waiters >= WAITERS_LIMIT:
                raise LinkLost(f"the nucleus is away and {self._waiters} callers wait for it already")
            self._waiters += 1
            try:
                await self._changed.wait()
            finally:
                self._waiters -= 1

    async def _run(self) -> None:
        # shielded: in a component that is being cancelled the link still carries its farewell; `__aexit__` ends it
        with self._scope:
            group = EventLoopGroup(num_threads=1)
            bootstrap = ClientBootstrap(group, DefaultHostResolver(group))
            pause_s = BACKOFF_FIRST_S
            while True:
                started_s = anyio.current_time()
                try:
                    await self._session(bootstrap)
                except IpcUnanswered as error:
                    self.trouble = f"no nucleus: {error}"
                    log.warning("greengrass: %s", error)
                if anyio.current_time() - started_s > STEADY_S:
                    pause_s = BACKOFF_FIRST_S
                await anyio.sleep(pause_s * self.rng.uniform(0.5, 1.5))
                pause_s = min(2 * pause_s, BACKOFF_LAST_S)

    async def _session(self, bootstrap: Any) -> None:
        """One connection, until it is lost. Raises IpcUnanswered when there is none to be had."""
        lost = anyio.Event()
        connection = _Connection(await self._connect(bootstrap, lost), self._hand_over, lost)
        try:
            self._joined = connection
            self._announce()
            await self._resubscribed()
            self._connection, self.trouble = connection, None
            self._announce()
            log.info("greengrass: connected to the nucleus")
            await lost.wait()
            self.trouble = "the connection to the nucleus is lost"
            log.warning("greengrass: %s", self.trouble)
        finally:
            self._joined = self._connection = None
            for stream in self._streams:
                stream.renew()
            await connection.close()

    async def _connect(self, bootstrap: Any, lost: anyio.Event) -> Any:
        options = SocketOptions()
        options.domain = SocketDomain.Local
        connection = eventstreamrpc.Connection(
            host_name=self._socket_path,
            port=0,
            bootstrap=bootstrap,
            socket_options=options,
            connect_message_amender=eventstreamrpc.MessageAmendment.create_static_authtoken_amender(self._token),
        )
        try:
            with anyio.fail_after(CONNECT_TIMEOUT_S):
                await asyncio.wrap_future(connection.connect(_Lifecycle(self._hand_over, lost)))
        except TimeoutError as error:
            connection.close()
            raise IpcUnanswered(f"no answer at {self._socket_path} within {CONNECT_TIMEOUT_S:g} s") from error
        except (RuntimeError, AwsCrtError) as error:
            # a nucleus that denies access closes at once, and which of the two the client sees first is chance
            denied = isinstance(error, eventstreamrpc.AccessDeniedError) or "SOCKET_CLOSED" in str(error)
            hint = " (is SVCUID that of one of its components?)" if denied else ""
            raise IpcUnanswered(f"{self._socket_path}: {error}{hint}") from error
        return GreengrassCoreIPCClient(connection)

    async def _resubscribed(self) -> None:
        with anyio.move_on_after(RESUBSCRIBE_WAIT_S):
            for stream in list(self._streams):
                try:
                    await stream.active()
                except IpcRefused:
                    continue  # its own task says so

    def _announce(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


@dataclasses.dataclass(frozen=True, slots=True)
class Service:
    """One of the nucleus's two ways to publish and subscribe."""

    name: str
    publish: str
    message: Callable[[str, bytes, str], Any]
    """The request that publishes: topic, payload, QoS."""
    subscribe: str
    interest: Callable[[str], Any]
    payload: Callable[[Any], bytes | None]
    subscribe_wait_s: float
    """Longer than this nobody waits for a subscription: it is opened as soon as that can be."""
    probe_period_s: float


def _pubsub_message(topic: str, payload: bytes, qos: str) -> Any:
    # binary, as the MQTT bridge delivers it: what is between the braces stays ours, byte for byte
    content = model.PublishMessage(binary_message=model.BinaryMessage(message=payload))
    return model.PublishToTopicRequest(topic=topic, publish_message=content)


def _pubsub_payload(event: Any) -> bytes | None:
    if event.binary_message is not None:
        return event.binary_message.message or b""
    return None if event.json_message is None else msgspec.json.encode(event.json_message.message)


def _iot_core_payload(event: Any) -> bytes | None:
    payload: bytes | None = event.message and event.message.payload
    return payload or b""


PUBSUB = Service(
    name="pub/sub",
    publish="publish_to_topic",
    message=_pubsub_message,
    subscribe="subscribe_to_topic",
    interest=lambda topic: model.SubscribeToTopicRequest(
        topic=topic, receive_mode=model.ReceiveMode.RECEIVE_ALL_MESSAGES
    ),
    payload=_pubsub_payload,
    subscribe_wait_s=math.inf,
    probe_period_s=15.0,  # a local message is nothing; a subscription that is lost is missed for this long
)
IOT_CORE = Service(
    name="IoT Core",
    publish="publish_to_iot_core",
    message=lambda topic, payload, qos: model.PublishToIoTCoreRequest(topic_name=topic, payload=payload, qos=qos),
    subscribe="subscribe_to_iot_core",
    interest=lambda topic: model.SubscribeToIoTCoreRequest(topic_name=topic, qos="1"),
    payload=_iot_core_payload,
    subscribe_wait_s=10.0,  # a core that is offline still finishes the move that is under way
    probe_period_s=60.0,  # AWS bills by the message: 43,000 a month are some cents
)


@dataclasses.dataclass(eq=False, slots=True)
class _Subscriber:
    mailbox: Mailbox
    names: tuple[str, ...]


class IpcBus:
    """A Bus over one service of the nucleus: no retained messages, no wills, at most once; an async context manager.

    `probe` is a topic of our own: what we publish there must come back, or our subscriptions are lost without a word
    (nucleus lite loses those to IoT Core when its MQTT client restarts) and are renewed.
    """

    def __init__(self, link: NucleusLink, service: Service, *, probe: str, queue_limit: int = QUEUE_LIMIT) -> None:
        self._link = link
        self._service = service
        self._probe_name = probe
        self._queue_limit = queue_limit
        self._streams: dict[str, Stream] = {}
        self._subscribers: list[_Subscriber] = []
        self._echo: tuple[bytes, anyio.Event] = (b"", anyio.Event())
        self._tasks = Background()
        self._worries: str | None = None
        self._me = b"%016x" % link.rng.getrandbits(64)  # beyond IoT Core there may be another core of our prefix

    @property
    def connected(self) -> bool:
        return self._link.connected

    @property
    def trouble(self) -> str | None:
        """Why messages may be missing now, for the operator."""
        if self._worries is not None:
            return f"{self._service.name}: {self._worries}"
        closed = [name for name, stream in self._streams.items() if not stream.is_open]
        return f"{self._service.name}: not subscribed to {', '.join(closed)}" if closed else None

    async def __aenter__(self) -> IpcBus:
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._probe, name=f"greengrass probe of {self._service.name}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        for subscriber in self._subscribers:
            subscriber.mailbox.close()
        for stream in self._streams.values():
            stream.end()
        self._tasks.cancel()
        return await self._tasks.__aexit__(kind, error, traceback)

    async def publish(self, topic: Topic[M], message: M) -> None:
        """As the port says. Raises SettingsError when the recipe's accessControl does not allow the topic."""
        request = self._service.message(topic.name, topic.encode(message), "1")
        pause_s = BACKOFF_FIRST_S
        while True:
            try:
                await self._link.call(self._service.publish, request)
            except IpcRefused as error:
                self._judge(error, topic.name)
            except IpcUnanswered as error:
                self._worry(str(error))
            else:
                self._worries = None
                return
            await anyio.sleep(pause_s)
            pause_s = min(2 * pause_s, BACKOFF_LAST_S)

    @asynccontextmanager
    async def subscribe(self, *topics: Topic[Any]) -> AsyncIterator[Subscription]:
        """As the port says. Raises SettingsError when the recipe's accessControl does not allow a topic."""
        names = tuple(dict.fromkeys(topic.name for topic in topics))
        subscriber = _Subscriber(Mailbox(self._queue_limit), names)
        self._subscribers.append(subscriber)
        try:
            with anyio.move_on_after(self._service.subscribe_wait_s):
                for name, stream in [(name, self._stream(name)) for name in names]:
                    await self._opened(name, stream)
            yield subscriber.mailbox
        finally:
            self._subscribers.remove(subscriber)
            self._leave(names)

    async def _opened(self, name: str, stream: Stream) -> None:
        while True:
            try:
                return await stream.active()
            except IpcRefused as error:
                self._judge(error, name)
            await stream.change()

    def _stream(self, name: str) -> Stream:
        if name not in self._streams:
            self._streams[name] = self._link.stream(
                self._service.subscribe, self._service.interest(name), lambda event: self._deliver(name, event)
            )
        return self._streams[name]

    def _leave(self, names: tuple[str, ...]) -> None:
        wanted = {name for subscriber in self._subscribers for name in subscriber.names}
        for name in names:
            if name not in wanted and name in self._streams:
                self._streams.pop(name).end()

    def _deliver(self, name: str, event: Any) -> None:
        payload = self._service.payload(event)
        if payload is None:
            log.warning("greengrass: a message on %s holds neither bytes nor JSON", name)
            return
        delivery = Delivery(name, payload)
        for subscriber in self._subscribers:
            if name in subscriber.names:
                subscriber.mailbox.put(delivery)

    def _judge(self, error: IpcRefused, topic: str) -> None:
        """Raises what no patience cures."""
        if error.kind == "UnauthorizedError":
            raise SettingsError(f"{topic}: the recipe's accessControl does not allow it ({error})") from error
        if error.kind == "InvalidArgumentsError":
            raise WireError(topic, f"refused by the nucleus: {error.text or error.kind}") from error
        self._worry(str(error))

    def _worry(self, text: str) -> None:
        if self._worries is None:
            log.warning("greengrass: %s: %s", self._service.name, text)
        self._worries = text

    # ---------------------------------------------------------------- the loopback probe

    async def _probe(self) -> None:
        stream: Stream | None = None
        number = failures = 0
        while True:
            await anyio.sleep(self._service.probe_period_s)
            if not self._streams or not self._link.connected:
                continue
            number += 1
            try:
                stream = stream or self._probe_stream()
                heard = await self._echoed(stream, number)
            except IpcRefused as error:
                if error.kind == "UnauthorizedError":
                    log.warning("greengrass: lost subscriptions will not be noticed: %s: %s", self._probe_name, error)
                    return
                self._worry(str(error))  # it was not published, so nothing follows from the silence
            except IpcUnanswered as error:
                self._worry(str(error))
            except LinkLost:
                return
            else:
                failures = 0 if heard else failures + 1
                self._heal(stream, failures)

    def _probe_stream(self) -> Stream:
        return self._link.stream(self._service.subscribe, self._service.interest(self._probe_name), self._hear_echo)

    async def _echoed(self, stream: Stream, number: int) -> bool:
        """Raises IpcRefused or IpcUnanswered when our own message could not be published."""
        with anyio.move_on_after(OPEN_TIMEOUT_S):
            await stream.active()
        payload = b'{"probe":%d,"by":"%s"}' % (number, self._me)
        heard = anyio.Event()
        self._echo = (payload, heard)
        # QoS 0: a core that is offline must refuse it, not keep it for later
        await self._link.call(self._service.publish, self._service.message(self._probe_name, payload, "0"))
        with anyio.move_on_after(ECHO_TIMEOUT_S):
            await heard.wait()
        return heard.is_set()

    def _heal(self, probe: Stream, failures: int) -> None:
        if failures == 0:
            self._worries = None
            return
        self._worry("subscriptions were lost without a word")
        if failures > HEALS:
            self._link.renew()
            return
        for stream in (*self._streams.values(), probe):
            stream.renew()

    def _hear_echo(self, event: Any) -> None:
        said, heard = self._echo
        if self._service.payload(event) == said:
            heard.set()
