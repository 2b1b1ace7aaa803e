"""`/healthz` and `/metrics` on loopback, by starlette and uvicorn, which know asyncio only."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator

import anyio
import anyio.abc
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from edgechess_inference_node.errors import PageServerFailed
from edgechess_kit.listening import listening

STOP_S = 2.0  # an answer under way is a few kilobytes
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Healthz = Callable[[], tuple[bool, dict[str, object]]]
"""Whether a load balancer should send questions here, and what a person reads."""


class _Server(uvicorn.Server):
    """Signals are the component's own affair."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def pages(host: str, port: int, healthz: Healthz, metrics: Callable[[], str]) -> AsyncIterator[int]:
    """Serves both for the length of the block; the port (0: any free one). Raises PageServerFailed."""
    sock = _bound(host, port)
    config = uvicorn.Config(
        _application(healthz, metrics),
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=int(STOP_S),
    )
    server = _Server(config)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_serve, server, sock, name="pages")
        try:
            yield sock.getsockname()[1]
        finally:
            server.should_exit = True


async def _serve(server: _Server, sock: socket.socket) -> None:
    with anyio.CancelScope(shield=True):  # ends by `should_exit`, so that its sockets are closed in order
        await server.serve(sockets=[sock])


def _bound(host: str, port: int) -> socket.socket:
    try:
        return listening(host, port)
    except OSError as error:
        raise PageServerFailed(
            f"/healthz and /metrics are not served: port {port} of {host}: {error.strerror};"
            " set http_port to another one, or to 0 for none"
        ) from error


def _application(healthz: Healthz, metrics: Callable[[], str]) -> Starlette:
    async def health(_: Request) -> Response:
        ready, told = healthz()
        return JSONResponse(told, status_code=200 if ready else 503)

    async def numbers(_: Request) -> Response:
        return PlainTextResponse(metrics(), media_type=METRICS_TYPE)

    return Starlette(routes=[Route("/healthz", health), Route("/metrics", numbers)])
