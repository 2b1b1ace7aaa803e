"""The page's server, by uvicorn, which knows asyncio only."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Iterator

import anyio
import uvicorn
from starlette.types import ASGIApp

from edgechess_console.errors import ServerFailed
from edgechess_console.settings import Settings

LOG = logging.getLogger(__name__)

STOP_S = 1  # pages are told goodbye before; a stream under way is cut
CONNECTIONS_LIMIT = 400  # at once: a hundred pages with their stream, and a few files each
BACKLOG = 128


class _Server(uvicorn.Server):
    """Signals are the component's own affair."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, settings: Settings) -> AsyncIterator[str]:
    """Serves for the length of the block; the page's address. Raises ServerFailed."""
    sock = _bound(settings)
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=CONNECTIONS_LIMIT,
        h11_max_incomplete_event_size=16_384,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=STOP_S,
        ssl_certfile=settings.certificate_file or None,
        ssl_keyfile=settings.key_file or None,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        sock.close()
        files = f"{settings.certificate_file} and {settings.key_file}"
        raise ServerFailed(f"console: {files} are no certificate and its key (PEM): {error}") from error
    server = _Server(config)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_serve, server, sock, name="console server")
        try:
            yield _address(settings, sock.getsockname()[1])
        finally:
            server.should_exit = True


async def _serve(server: _Server, sock: socket.socket) -> None:
    with anyio.CancelScope(shield=True):  # ends by `should_exit`, so that its sockets are closed in order
        await server.serve(sockets=[sock])


def _bound(settings: Settings) -> socket.socket:
    try:
        return _listening(settings.host, settings.port)
    except OSError as error:
        if settings.any_port and settings.port:
            with contextlib.suppress(OSError):
                return _listening(settings.host, 0)
        raise ServerFailed(
            f"console: port {settings.port} of {settings.host}: {error.strerror}; name another console.port, or 0 for any"
        ) from error


def _listening(host: str, port: int) -> socket.socket:
    """Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _address(settings: Settings, port: int) -> str:
    """Without any secret: whoever opens it is asked for a token where there is one."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{'https' if settings.certificate_file else 'http'}://{host}:{port}/"
