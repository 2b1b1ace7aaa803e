"""The page's server, by uvicorn, which knows asyncio only."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import socket
from collections.abc import AsyncIterator, Collection, Iterator
from typing import Any

import anyio
import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from edgechess_console.errors import ServerFailed
from edgechess_console.listening import address_of, inherited
from edgechess_console.settings import Settings
from edgechess_kit.listening import BACKLOG, listening

LOG = logging.getLogger(__name__)

STOP_S = 1  # pages are told goodbye before; a stream under way is cut
CONNECTIONS_LIMIT = 400  # at once: a hundred pages with their stream, and a few files each
REQUEST_S = 10.0  # for all bytes of a request, headers and body: the largest has 23 kB
HANDSHAKE_S = 5.0  # of TLS, until which a connection is not counted
FILES_WANTED = 8192  # file descriptors: so many may stand in a handshake or wait for one while everybody else is served
KEEP_ALIVE_S = 15


class _Connection(H11Protocol):
    """One connection. It has to say what it wants in time, and gives way to others as long as it wants nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.opened_s = self.loop.time()
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()
        if len(self.connections) > CONNECTIONS_LIMIT:
            _least_wanted(self.connections).drop()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):  # not the whole of it yet
            if self._patience is None:
                self._wait()
        else:
            self._forget()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    @property
    def wants_something(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def drop(self) -> None:
        """Without waiting for bytes that nobody may ever read."""
        self.transport.abort()
        self.connections.discard(self)  # `connection_lost` comes later, and more may be opened before

    def _wait(self) -> None:
        self._patience = self.loop.call_later(REQUEST_S, self.drop)

    def _forget(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


def _least_wanted(connections: Collection[Any]) -> _Connection:
    """The oldest that wants nothing; where all want something, the newest: who is served stays."""
    idle = [one for one in connections if not one.wants_something]
    found: _Connection = min(idle, key=_age) if idle else max(connections, key=_age)
    return found


def _age(connection: _Connection) -> float:
    return connection.opened_s


class _Server(uvicorn.Server):
    """Signals are the component's own affair."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's for given sockets, but with an end to handshakes that never end."""
        config, loop = self.config, asyncio.get_running_loop()

        def connection() -> _Connection:
            return _Connection(config=config, server_state=self.server_state, app_state={})

        timeout_s = HANDSHAKE_S if config.ssl is not None else None
        self.servers = []
        for sock in sockets or []:
            self.servers.append(
                await loop.create_server(
                    connection, sock=sock, ssl=config.ssl, backlog=BACKLOG, ssl_handshake_timeout=timeout_s
                )
            )
        self.started = True


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, settings: Settings) -> AsyncIterator[str]:
    """Serves for the length of the block; the page's address. Raises ServerFailed."""
    sock = _bound(settings)
    config = uvicorn.Config(
        app,
        http=_Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        h11_max_incomplete_event_size=16_384,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_S,
        ssl_certfile=settings.certificate_file or None,
        ssl_keyfile=settings.key_file or None,
    )
    config.load()
    _want_files()
    server = _Server(config)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_serve, server, sock, name="console server")
        try:
            yield address_of(settings.host, sock.getsockname()[1], secure=bool(settings.certificate_file))
        finally:
            server.should_exit = True


def _want_files() -> None:
    """As many as this process may have without anybody's leave, up to what is enough."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(FILES_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _serve(server: _Server, sock: socket.socket) -> None:
    with anyio.CancelScope(shield=True):  # ends by `should_exit`, so that its sockets are closed in order
        await server.serve(sockets=[sock])


def _bound(settings: Settings) -> socket.socket:
    """Raises ServerFailed."""
    if settings.socket_fd >= 0:
        try:
            return inherited(settings.socket_fd, settings.host)
        except OSError as error:
            raise ServerFailed(f"console: socket_fd {settings.socket_fd}: {error.strerror}") from error
    try:
        return listening(settings.host, settings.port)
    except OSError as error:
        if settings.any_port and settings.port:
            with contextlib.suppress(OSError):
                return listening(settings.host, 0)
        raise ServerFailed(
            f"console: port {settings.port} of {settings.host}: {error.strerror}; name another console.port, or 0 for any"
        ) from error
