"""The page's server as an ASGI application: files, the stream, commands, history. API.md is its contract."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from importlib import resources
from importlib.metadata import version
from typing import Any, TypeVar
from urllib.parse import parse_qs

import msgspec
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from edgechess_console.access import Access, Limit, Role, Session
from edgechess_console.aside_adapter import Aside
from edgechess_console.commands import ARM_VERBS, REFILLED, SESSION_VERBS, Answer, Commands, Refused
from edgechess_console.errors import HistoryError
from edgechess_console.guard import Guard, address
from edgechess_console.hub import Hub, TooManyViewers
from edgechess_console.past import Past, looking_at
from edgechess_console.pgn import pgn_text
from edgechess_console.registry import offers
from edgechess_console.stream import EventStream
from edgechess_kit.component import Context
from edgechess_kit.messages import SIZE_LIMIT_BYTES

PAGES = {"/": "index.html", "/stage": "stage.html", "/history": "history.html", "/login": "login.html"}
TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "woff2": "font/woff2",
    "json": "application/json",
}
COMMANDS_S, COMMANDS_BURST = 5.0, 20.0  # of one session: a person who clicks fast
LOGINS_S, LOGINS_BURST = 0.1, 6.0  # of one address: six tries, then one every ten seconds

T = TypeVar("T")
Run = Callable[[Mapping[str, Any], Role], Awaitable[Answer]]


class Application:
    """Routes over a hub, commands and a history. `history`: its file, once all is written; None: there is none, and its
    pages say so."""

    def __init__(
        self,
        context: Context[Any],
        hub: Hub,
        commands: Commands,
        history: Callable[[], Awaitable[str]] | None,
        access: Access,
    ) -> None:
        self._context = context
        self._hub = hub
        self._commands = commands
        self._history = history
        self._aside = Aside()
        self._access = access
        self._command_limit = Limit(COMMANDS_S, COMMANDS_BURST)
        self._login_limit = Limit(LOGINS_S, LOGINS_BURST)
        self._files = _page_files()

    def asgi(self) -> Guard:
        return Guard(Starlette(routes=self._routes()), self._access, self._now)

    def _routes(self) -> list[Route]:
        watch = [
            ("/api/view", self._view),
            ("/api/stream", self._stream),
            ("/api/players", self._players),
            ("/api/history/sessions", self._sessions),
            ("/api/history/session", self._session_record),
            ("/api/history/pgn", self._pgn),
            ("/api/history/leaderboard", self._leaderboard),
            ("/api/history/reliability", self._reliability),
        ]
        commands = self._commands
        runs: dict[str, Run] = {
            f"/api/session/{word}": partial(commands.session, verb) for word, verb in SESSION_VERBS.items()
        }
        runs |= {f"/api/arms/{word}": partial(commands.arms, verb) for word, verb in ARM_VERBS.items()}
        runs["/api/table/refilled"] = partial(commands.arms, REFILLED)
        runs["/api/table/setup"] = commands.setup
        runs["/api/session/next"] = commands.next
        return [
            *(Route(path, partial(self._file, name)) for path, name in PAGES.items()),
            Route("/static/{name:path}", self._static),
            Route("/favicon.ico", partial(self._file, "icon.svg")),
            Route("/api/me", self._me),
            Route("/api/login", self._login, methods=["POST"]),
            Route("/api/logout", self._logout, methods=["POST"]),
            *(Route(path, partial(self._watching, endpoint)) for path, endpoint in watch),
            Route("/api/stop", self._stop, methods=["POST"]),
            *(Route(path, partial(self._command, run), methods=["POST"]) for path, run in runs.items()),
        ]

    def _now(self) -> float:
        return self._context.clock.unix_s()

    # -- files -----------------------------------------------------------------------------------------------------

    async def _file(self, name: str, request: Request) -> Response:
        return self._static_file(name, request)

    async def _static(self, request: Request) -> Response:
        return self._static_file(request.path_params["name"], request)

    def _static_file(self, name: str, request: Request) -> Response:
        """Only names that were found in the package exist. A page that is stale by a version asks, and gets 304."""
        found = self._files.get(name)
        if found is None:
            return _told(404, "there is no such file")
        body, tag = found
        headers = {"etag": tag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(body, media_type=TYPES[name.rpartition(".")[2]], headers=headers)

    # -- who asks --------------------------------------------------------------------------------------------------

    def _cookie_name(self, request: Request) -> str:
        return self._access.cookie_name(request.headers.get("host"))

    def _session(self, request: Request) -> Session | None:
        return self._access.session(request.cookies.get(self._cookie_name(request)), self._now())

    async def _me(self, request: Request) -> Response:
        session = self._session(request)
        fresh = session is None and not self._access.login
        if fresh:
            if not self._access.origin_fits(None, request.headers.get("sec-fetch-site"), None):
                return _told(403, "asked by another site")
            session = self._access.new_session("operator", self._now())
        if session is None:
            return _told(401, "log in first")
        answer = JSONResponse(
            {
                "role": session.role,
                "csrf": self._access.csrf(session),
                "expiresAt": session.expires_at,
                "login": self._access.login,
                "version": version("edgechess-console"),
            }
        )
        if fresh:
            self._set_cookie(request, answer, session)
        return answer

    def _set_cookie(self, request: Request, answer: Response, session: Session) -> None:
        answer.set_cookie(
            self._cookie_name(request),
            self._access.cookie(session),
            max_age=max(int(session.expires_at - self._now()), 1),
            path="/",
            secure=self._access.secure,
            httponly=True,
            samesite="strict",
        )

    async def _login(self, request: Request) -> Response:
        if not self._same_origin(request):
            return _told(403, "asked by another site")
        if not self._login_limit.take(address(request.scope), self._now()):
            return _told(429, "too many tries: wait a minute")
        body = await _body(request)
        if body is None:
            return _told(400, "the form is too large")
        role = self._access.role_of(_form_field(body, "token"))
        if role is None:
            return RedirectResponse("/login?failed=1", 303)
        answer = RedirectResponse("/", 303)
        self._set_cookie(request, answer, self._access.new_session(role, self._now()))
        return answer

    async def _logout(self, request: Request) -> Response:
        session = self._session(request)
        refusal = self._forged(request, session)
        if refusal is not None:
            return refusal
        answer = _told(200, None)
        answer.delete_cookie(
            self._cookie_name(request), path="/", secure=self._access.secure, httponly=True, samesite="strict"
        )
        return answer

    def _same_origin(self, request: Request) -> bool:
        headers = request.headers
        return self._access.origin_fits(headers.get("origin"), headers.get("sec-fetch-site"), headers.get("host"))

    def _forged(self, request: Request, session: Session | None) -> Response | None:
        if session is None:
            return _told(401, "log in first")
        if not self._same_origin(request) or not self._access.csrf_fits(
            session, request.headers.get("x-edgechess-csrf")
        ):
            return _told(403, "this request does not come from the page")
        return None

    # -- watching --------------------------------------------------------------------------------------------------

    async def _watching(self, endpoint: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
        if self._session(request) is None:
            return _told(401, "log in first")
        try:
            return await endpoint(request)
        except HistoryError as error:
            return _told(503, str(error))

    async def _view(self, _: Request) -> Response:
        return _json(self._hub.snapshot())

    async def _stream(self, request: Request) -> Response:
        session = self._session(request)
        assert session is not None, "nobody else watches"
        until, operator = session.expires_at, session.role == "operator"
        return _Watched(EventStream(self._hub, lambda: self._now() < until, operator=operator))

    async def _players(self, _: Request) -> Response:
        return _json(offers())

    # -- history ---------------------------------------------------------------------------------------------------

    async def _asked(self, question: Callable[[Past], T]) -> T:
        """One at a time, and beside everything else. Raises HistoryError."""
        if self._history is None:
            raise HistoryError("no history is kept here: its file cannot be used")
        name = await self._history()

        def work() -> T:
            with looking_at(name) as past:
                return question(past)

        return await self._aside(work)

    async def _sessions(self, request: Request) -> Response:
        query = request.query_params
        before, limit = _float(query.get("before")), int(_float(query.get("limit")) or 50)
        games, more = await self._asked(lambda past: past.games(before, limit))
        return _json({"sessions": games, "more": more})

    async def _session_record(self, request: Request) -> Response:
        session_id = request.query_params.get("id", "")[:128]
        game, moves, records = await self._asked(
            lambda past: (past.game(session_id), past.moves(session_id), past.records(session_id))
        )
        if game is None:
            return _told(404, "there is no such session in the history")
        return _json({"session": game, "moves": moves, "records": records})

    async def _pgn(self, request: Request) -> Response:
        session_id = request.query_params.get("id", "")[:128]
        game, moves = await self._asked(lambda past: (past.game(session_id), past.moves(session_id)))
        if game is None:
            return _told(404, "there is no such session in the history")
        name = "".join(letter for letter in session_id if letter.isascii() and (letter.isalnum() or letter in "-_."))
        headers = {"content-disposition": f'attachment; filename="{name or "game"}.pgn"'}
        return Response(pgn_text(game, moves), media_type="application/x-chess-pgn", headers=headers)

    async def _leaderboard(self, _: Request) -> Response:
        return _json({"players": await self._asked(lambda past: past.leaderboard())})

    async def _reliability(self, request: Request) -> Response:
        days, now = int(_float(request.query_params.get("days")) or 90), self._now()
        return _json({"days": await self._asked(lambda past: past.reliability(days, now))})

    # -- commands --------------------------------------------------------------------------------------------------

    def _refused(self, request: Request) -> Response | None:
        """Why this request may not act."""
        session = self._session(request)
        forged = self._forged(request, session)
        if forged is not None:
            return forged
        assert session is not None
        return None if session.role == "operator" else _told(403, "viewers watch; an operator may do this")

    async def _stop(self, request: Request) -> Response:
        refusal = self._refused(request)
        if refusal is not None:
            return refusal
        answer = await self._commands.stop("operator")
        return JSONResponse(answer.json(), answer.status)

    async def _command(self, run: Run, request: Request) -> Response:
        refusal = self._refused(request)
        if refusal is not None:
            return refusal
        if not self._command_limit.take(request.cookies.get(self._cookie_name(request), ""), self._now()):
            return _told(429, "too many commands")
        body = await _body(request)
        if body is None:
            return _told(400, f"the body is larger than {SIZE_LIMIT_BYTES} bytes")
        try:
            fields = msgspec.json.decode(body or b"{}", type=dict[str, Any])
            answer = await run(fields, "operator")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return _told(400, f"not a JSON object: {str(error)[:200]}")
        except Refused as error:
            return _told(400, str(error))
        return JSONResponse(answer.json(), answer.status)


class _Watched(Response):
    """An event stream, or 503 where too many watch already."""

    def __init__(self, stream: EventStream) -> None:
        super().__init__()
        self._events = stream

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self._events(scope, receive, send)
        except TooManyViewers:
            await _told(503, "as many pages watch as may; close one")(scope, receive, send)


async def _body(request: Request) -> bytes | None:
    """At most as much as a message of the bus; None for more, and for what was cut off: nobody hears the answer then."""
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > SIZE_LIMIT_BYTES:
                return None
    except ClientDisconnect:  # or was thrown out: it took too long
        return None
    return body


def _form_field(body: bytes, name: str) -> str:
    """Of a form as a browser sends it; empty for what is none."""
    try:
        return parse_qs(body.decode(errors="replace"), max_num_fields=4).get(name, [""])[0].strip()
    except ValueError:  # more fields than a form of ours has
        return ""


def _page_files() -> dict[str, tuple[bytes, str]]:
    """Name -> content and tag, of everything that the page is made of."""
    found: dict[str, tuple[bytes, str]] = {}
    for entry in resources.files("edgechess_console").joinpath("page").iterdir():
        if entry.is_file() and entry.name.rpartition(".")[2] in TYPES:
            body = entry.read_bytes()
            found[entry.name] = (body, f'"{hashlib.sha256(body).hexdigest()[:20]}"')
    return found


def _told(status: int, reason: str | None) -> JSONResponse:
    return JSONResponse({"status": status, "reason": reason}, status)


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


def _float(text: str | None) -> float | None:
    """None for what is no finite number."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if abs(value) < 1e15 else None
