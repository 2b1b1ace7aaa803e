"""One client of the IPC server: a socket, a `Connection`, and the calls that are open on it."""

from __future__ import annotations

import logging
import math
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio
import anyio.abc
import msgspec

from edgechess_nucleus.flavour import Flavour
from edgechess_nucleus.ipc_call import Operation
from edgechess_nucleus.ipc_outlet import Batch, Outlet
from edgechess_nucleus.ipc_protocol import (
    Close,
    Connected,
    Connection,
    Event,
    Request,
    Send,
    StreamEnded,
    Template,
    error,
    response,
)
from edgechess_nucleus.readable_adapter import take_each
from edgechess_nucleus.refusal import Kind, Refused

log = logging.getLogger(__name__)

CHUNK_BYTES = 64 * 1024  # what one read takes; about a hundred small requests
HANDSHAKE_TIMEOUT_S = 10.0  # the stock client gives up a connection after as long
FAREWELL_TIMEOUT_S = 0.2  # for the last words to a client that is thrown out; the stock one closes at once
CALLS_LIMIT = 1000  # subscriptions and waiting operations of one client
SERVICE = "aws.greengrass#GreengrassCoreIPC"
_SHOWN_CHARS = 100  # of an operation's name that nobody knows

KINDS: tuple[Kind, ...] = (
    "UnauthorizedError",
    "InvalidArgumentsError",
    "ServiceError",
    "ResourceNotFoundError",
    "ConflictError",
    "FailedUpdateConditionCheckError",
)
_ERRORS: Mapping[str, Template] = {kind: error(kind) for kind in KINDS}


class Table:
    """The operations that are served, ready to be called."""

    def __init__(self, operations: tuple[Operation, ...], flavour: Flavour) -> None:
        self.rows = {
            operation.name: (
                operation,
                msgspec.json.Decoder(operation.request),
                response(operation.name, ends=flavour.ends_unary_streams and not operation.streaming),
            )
            for operation in operations
            if operation.name in flavour.operations
        }


class OpenCall:
    """A Call; see ipc_call."""

    __slots__ = ("_clean_up", "_ended", "_session", "_stream", "component")

    def __init__(self, session: Session, stream: int, component: str) -> None:
        self.component = component
        self._session = session
        self._stream = stream
        self._clean_up: Callable[[], None] | None = None
        self._ended = False

    def emit(self, template: Template, payload: bytes) -> None:
        self._session.emit(self._stream, template, payload)

    def at_end(self, clean_up: Callable[[], None]) -> None:
        if self._ended:
            clean_up()
        else:
            self._clean_up = clean_up

    def end(self) -> None:
        self._ended = True
        if self._clean_up is not None:
            self._clean_up()
            self._clean_up = None


class Session:
    """Serves one client until it leaves, breaks the protocol, or `end` is called. Owns the socket."""

    def __init__(
        self,
        sock: socket.socket,
        table: Table,
        flavour: Flavour,
        batch: Batch,
        component_of: Callable[[str], str | None],
    ) -> None:
        self.component: str | None = None
        self._socket = sock
        self._rows = table.rows
        self._flavour = flavour
        self._batch = batch
        self._component_of = component_of
        self._connection = Connection(
            frame_limit_bytes=flavour.frame_limit_bytes, speaks_on_stream_0=flavour.speaks_on_stream_0
        )
        self._outlet = Outlet(sock, batch)
        self._left = False
        self._calls: dict[int, OpenCall] = {}
        self._waiting: deque[Event] = deque()
        """Read, and not carried out yet: the client has to read its answers first."""
        self._tasks: anyio.abc.TaskGroup | None = None
        self._patience = anyio.CancelScope()

    async def run(self) -> None:
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                tasks.start_soon(self._outlet.run, name="ipc outlet")
                self._patience = anyio.CancelScope(deadline=anyio.current_time() + HANDSHAKE_TIMEOUT_S)
                with self._patience:
                    await self._read()
                await self._say_farewell()
                tasks.cancel_scope.cancel()
        finally:
            self._connection.lose()
            self._outlet.lose()
            for call in list(self._calls.values()):
                call.end()
            self._calls.clear()
            self._socket.close()

    async def _say_farewell(self) -> None:
        """Waits a moment for the client to close first: one that sees last words and the end at once may read neither."""
        with anyio.move_on_after(FAREWELL_TIMEOUT_S):
            await self._outlet.drained()
            if self._flavour.speaks_on_stream_0 and not self._left:
                await take_each(self._socket, lambda: self._receive() != b"")

    def end(self) -> None:
        """Its component has another token now."""
        if self._tasks is not None:
            self._tasks.cancel_scope.cancel()

    def emit(self, stream: int, template: Template, payload: bytes) -> None:
        data = self._connection.emit(stream, template, payload)
        if data:
            self._outlet.offer(data)

    # ------------------------------------------------------------ what the client does

    async def _read(self) -> None:
        while not self._left and (self._waiting or not self._connection.closed):
            if self._carry_on():
                await take_each(self._socket, self._take)
            await self._outlet.drained()

    def _take(self) -> bool:
        """What is there now; False when nothing more is to be read at present. Answers leave at once: between a request
        and its answer the event loop does not turn."""
        data = self._receive()
        if data is None:
            return True
        if not data:
            self._left = True
            return False
        self._waiting.extend(self._connection.receive(data))
        return self._carry_on()

    def _carry_on(self) -> bool:
        """One request at a time, as long as the client reads its answers: they may be many times as long."""
        while self._waiting and not self._outlet.overfull:
            with self._batch:
                while self._waiting and not self._outlet.overfull:
                    self._carry_out(self._waiting.popleft())
        return not (self._connection.closed or self._outlet.overfull)

    def _receive(self) -> bytes | None:
        """Empty at the end, None when there is nothing."""
        try:
            return self._socket.recv(CHUNK_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def _carry_out(self, event: Event) -> None:
        match event:
            case Request(stream, name, payload):
                self._begin(stream, name, payload)
            case StreamEnded(stream):
                call = self._calls.pop(stream, None)
                if call is not None:
                    call.end()
            case Send(data):
                self._outlet.put(data)
            case Connected(token):
                self._answer_connect(token)
            case Close(reason):
                log.info("%s: closed: %s", self.component or "a client", reason)

    def _answer_connect(self, token: str) -> None:
        self.component = self._component_of(token)
        if self.component is None:
            log.warning("a client with a wrong token was refused")
            self._outlet.put(self._connection.refuse())
            return
        self._patience.deadline = math.inf
        self._outlet.put(self._connection.accept())

    def _begin(self, stream: int, name: str, payload: bytes) -> None:
        row = self._rows.get(name)
        assert self.component is not None
        try:
            if row is None:
                shown = name[:_SHOWN_CHARS]
                raise Refused("ServiceError", f"Operation aws.greengrass#{shown} is not supported by Greengrass")
            if len(self._calls) >= CALLS_LIMIT:
                raise Refused("ServiceError", f"{CALLS_LIMIT} operations of this client are open already")
            operation, decoder, template = row
            try:
                request = decoder.decode(payload)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as failed:
                raise Refused("InvalidArgumentsError", f"{name}: {failed}") from failed
            call = OpenCall(self, stream, self.component)
            try:
                answer = operation.handle(call, request)
            except RecursionError as failed:
                raise Refused("InvalidArgumentsError", f"{name}: nested too deeply") from failed
            if isinstance(answer, bytes):
                self._respond(stream, call, template, answer, operation.streaming)
            else:
                self._wait(stream, call, template, answer, operation.streaming)
        except Refused as refused:
            self._refuse(stream, refused)

    def _wait(self, stream: int, call: OpenCall, template: Template, answer: Awaitable[bytes], streaming: bool) -> None:
        assert self._tasks is not None
        self._calls[stream] = call
        self._tasks.start_soon(self._respond_later, stream, call, template, answer, streaming, name="ipc call")

    async def _respond_later(
        self, stream: int, call: OpenCall, template: Template, answer: Awaitable[bytes], streaming: bool
    ) -> None:
        try:
            payload = await answer
        except Refused as refused:
            self._calls.pop(stream, None)
            self._refuse(stream, refused)
        else:
            self._respond(stream, call, template, payload, streaming)

    def _respond(self, stream: int, call: OpenCall, template: Template, payload: bytes, streaming: bool) -> None:
        self._outlet.put(self._connection.respond(stream, template, payload, streaming=streaming))
        if not streaming:
            return
        if stream in self._connection.streams:
            self._calls[stream] = call
        else:
            call.end()  # the client ended it before it was answered

    def _refuse(self, stream: int, refused: Refused) -> None:
        payload = msgspec.json.encode(self._error(refused))
        self._outlet.put(self._connection.respond(stream, _ERRORS[refused.kind], payload))

    def _error(self, refused: Refused) -> dict[str, Any]:
        if not self._flavour.full_errors:
            return {"_message": refused.message, "_errorCode": refused.kind}
        return {
            "_service": SERVICE,
            "_message": refused.message,
            "_errorCode": refused.kind,
            "message": refused.message,
            **refused.members,
        }
