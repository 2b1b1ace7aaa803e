"""The event stream of one page, as an answer of the server."""

from __future__ import annotations

from collections.abc import Callable

import anyio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from edgechess_console.hub import Hub, Viewer

STALL_S = 30.0  # a page that takes no byte for so long, with a beat every second, is closed; it comes back by itself

HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store", "x-accel-buffering": "no"}


class EventStream(Response):
    """Ends when the page goes, stalls, or `allowed` says no more. Raises TooManyViewers before anything is sent."""

    def __init__(self, hub: Hub, allowed: Callable[[], bool], *, operator: bool = False) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self._hub = hub
        self._allowed = allowed
        self._operator = operator
        self._sent = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._hub.viewer(operator=self._operator) as viewer:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._until_gone, receive, tasks.cancel_scope, name="page gone")
                tasks.start_soon(self._until_stalled, tasks.cancel_scope, name="page stalled")
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await self._tell(viewer, send)
                tasks.cancel_scope.cancel()

    async def _tell(self, viewer: Viewer, send: Send) -> None:
        body = b": edgechess\n\nretry: 1000\n\n"
        while self._allowed():
            await send({"type": "http.response.body", "body": body, "more_body": True})
            self._sent += 1
            body = await viewer.next()
        await send({"type": "http.response.body", "body": b'event: bye\ndata: {"reason":"log in again"}\n\n'})

    async def _until_stalled(self, scope: anyio.CancelScope) -> None:
        """One look in so long, and no timer for each frame: there are ten a second for each page."""
        sent = -1
        while sent != self._sent:
            sent = self._sent
            await anyio.sleep(STALL_S)
        scope.cancel()

    @staticmethod
    async def _until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()
