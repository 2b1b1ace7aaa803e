"""What every request passes: the host's name, a limit on its rate, and the headers of every answer."""

from __future__ import annotations

from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgechess_console.access import Access, Limit

REQUESTS_S, REQUESTS_BURST = 40.0, 240.0  # of one address: a page loads 25 files, and a classroom shares an address

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)

HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # with "no-referrer" a browser calls the origin of the login form "null"
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


class Guard:
    """In front of the application. The stop passes the limit: whoever needs it needs it now."""

    def __init__(self, app: ASGIApp, access: Access, now: Callable[[], float]) -> None:
        self._app = app
        self._access = access
        self._now = now
        self._limit = Limit(REQUESTS_S, REQUESTS_BURST)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, self._dressed(send))
        else:
            await self._app(scope, receive, self._dressed(send))

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        if not self._access.host_fits(Headers(scope=scope).get("host")):
            return JSONResponse({"status": 403, "reason": "this page answers to 127.0.0.1 and localhost only"}, 403)
        if scope["path"] != "/api/stop" and not self._limit.take(address(scope), self._now()):
            return JSONResponse({"status": 429, "reason": "too many requests"}, 429)
        return None

    def _dressed(self, send: Send) -> Send:
        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
                if self._access.secure:
                    headers["strict-transport-security"] = "max-age=31536000"
            await send(message)

        return dressed


def address(scope: Scope) -> str:
    """Of whoever asks."""
    client = scope.get("client")
    return str(client[0]) if client else ""
