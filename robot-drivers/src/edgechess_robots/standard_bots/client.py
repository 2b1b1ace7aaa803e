"""A typed client of one RO1: a deadline on every call, an error that says whose fault it was, and nothing sent twice."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from types import TracebackType
from typing import Self

import anyio
import httpx

from edgechess_robots.dobot.tcp import Connect
from edgechess_robots.errors import ArmLost
from edgechess_robots.standard_bots import api_protocol as api
from edgechess_robots.standard_bots.api_protocol import Answer, ApiBroken, Move, Request, RobotKind
from edgechess_robots.standard_bots.wire import TooLong, WireTransport

READ_DEADLINE_S = 1.0  # state is read in milliseconds; a second without it is as blind as a lost link
COMMAND_DEADLINE_S = 3.0  # mode and gripper commands; a gripper's may be answered at the end of its stroke
BRAKES_DEADLINE_S = 10.0  # six brakes open one after another; power-off alone may take 0.6 s by the safety manual
RECOVER_DEADLINE_S = 15.0  # drives are switched on again
BEGIN_DEADLINE_S = 5.0  # a motion is planned before the robot says that it begins
BEAT_DEADLINE_S = 1.0  # a beat not answered by then came too late to count, whatever became of it
STOP_DEADLINE_S = 1.0  # a stop that is not acknowledged in a second is not believed
EMERGENCY_DEADLINE_S = 2.0  # a browser's emergency stop takes up to 1.6 s to act (safety manual, section 4)
ANSWER_BYTES = 1_000_000  # the largest answers we ask for have a few thousand


class Token:
    """A credential: compared and sent, never shown."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Raises ValueError for what cannot stand in a header."""
        if not text or not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError("the token is empty or holds characters that no token has")
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Token(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Token) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


@dataclasses.dataclass(frozen=True, slots=True)
class Site:
    """Which robot. `host` is also what its answers are checked against where `tls` is on (the vendor's tunnel)."""

    host: str
    robot_kind: RobotKind
    token: Token
    tls: bool = False

    @property
    def port(self) -> int:
        return api.TUNNEL_PORT if self.tls else api.PORT

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}" if self.tls else f"http://{host}:{self.port}"


class Client:
    """Every call raises ArmLost (no connection, no answer in time), ApiBroken, ApiRefused or NotOffered.

    An async context manager. Calls may run side by side.
    """

    def __init__(self, connect: Connect, site: Site) -> None:
        self._site = site
        self._wire = WireTransport(connect, ANSWER_BYTES)
        # Whole answers, as they are: no redirects, cookies or retries, of which a robot has none. Deadlines are those of
        # `_send`, in the caller's clock and over the whole exchange.
        self._headers = httpx.Headers(
            [("Accept-Encoding", "identity"), *api.headers(site.robot_kind, site.token.reveal())]
        )
        self._empty = lru_cache(maxsize=64)(self._built)  # the same few are asked for several times a second

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True), anyio.move_on_after(STOP_DEADLINE_S):
            await self._wire.aclose()

    # --- status -------------------------------------------------------------------------------------------------------

    async def health(self) -> api.Health:
        return api.health(await self._send(api.HEALTH, READ_DEADLINE_S))

    async def control_mode(self) -> str:
        return api.control_mode(await self._send(api.CONTROL_MODE, READ_DEADLINE_S))

    async def take_control(self) -> None:
        api.accept(await self._send(api.take_control(), COMMAND_DEADLINE_S))

    async def recovery(self) -> api.Recovery:
        return api.recovery(await self._send(api.RECOVERY, READ_DEADLINE_S))

    async def recover(self) -> None:
        api.accept(await self._send(api.RECOVER, RECOVER_DEADLINE_S))

    async def position(self) -> api.Position:
        return api.position(await self._send(api.POSITION, READ_DEADLINE_S))

    async def flange(self) -> api.Tooltip:
        return api.flange(await self._send(api.FLANGE, READ_DEADLINE_S))

    async def brakes(self) -> str:
        return api.brakes(await self._send(api.BRAKES, READ_DEADLINE_S))

    async def release_brakes(self) -> None:
        api.accept(await self._send(api.set_brakes("disengaged"), BRAKES_DEADLINE_S))

    # --- motion -------------------------------------------------------------------------------------------------------

    async def begin(self, order: Move) -> api.Motion:
        """The controlled motion has begun. Raises NotOffered where this release has none (nothing moved)."""
        return api.motion(await self._send(api.move_controlled(order), BEGIN_DEADLINE_S))

    async def offers_controlled(self) -> bool:
        """Whether this release has controlled motions. Moves nothing."""
        try:
            api.accept(await self._send(api.ASK_CONTROLLED, COMMAND_DEADLINE_S))
        except api.NotOffered:
            return False
        except api.ApiRefused:
            return True  # it knows what was asked for, and refuses an order without a target
        return True

    async def beat(self, motion: str) -> api.Motion:
        return api.motion(await self._send(api.heartbeat(motion), BEAT_DEADLINE_S))

    async def move(self, order: Move, deadline_s: float) -> api.Event:
        """The motion has ended, one way or the other: nothing stops it meanwhile but the robot."""
        return api.event(await self._send(api.move(order), deadline_s))

    async def stop_routine(self) -> None:
        api.accept(await self._send(api.STOP_ROUTINE, STOP_DEADLINE_S))

    async def emergency_stop(self, reason: str) -> None:
        api.accept(await self._send(api.emergency_stop(reason), EMERGENCY_DEADLINE_S))

    # --- gripper ------------------------------------------------------------------------------------------------------

    async def gripper(self) -> api.GripperReport:
        return api.gripper(await self._send(api.GRIPPER, READ_DEADLINE_S))

    async def command_gripper(self, request: Request) -> None:
        api.accept(await self._send(request, COMMAND_DEADLINE_S))

    async def _send(self, request: Request, deadline_s: float) -> Answer:
        site = self._site
        try:
            with anyio.fail_after(deadline_s):
                return await self._exchange(request)
        except TimeoutError:
            raise ArmLost(f"{request.name} was not answered within {deadline_s:g} s") from None
        except httpx.ConnectError as error:
            raise ArmLost(
                f"no connection to {site.host} port {site.port} ({error}): is that the control box's address, is it"
                f" switched on, and in a network that this machine reaches?"
            ) from None
        except httpx.NetworkError as error:
            raise ArmLost(f"{request.name}: the connection broke ({error})") from None
        except TooLong:
            raise ApiBroken(f"{request.name}: answered with more than {ANSWER_BYTES} bytes") from None
        except httpx.RemoteProtocolError as error:
            if "disconnected" in str(error).lower():
                raise ArmLost(f"{request.name}: the connection was closed without an answer") from None
            raise ApiBroken(
                f"what listens at {site.host} port {site.port} does not speak HTTP ({error}): is that an RO1?"
            ) from None

    async def _exchange(self, request: Request) -> Answer:
        response = await self._wire.handle_async_request(self._in_http(request))
        return Answer(request.name, response.status_code, response.content)

    def _in_http(self, request: Request) -> httpx.Request:
        return self._empty(request) if request.body is None else self._built(request)

    def _built(self, request: Request) -> httpx.Request:
        url = _url(self._site.url + request.path)
        return httpx.Request(request.method, url, headers=self._headers, content=request.content())


@lru_cache(maxsize=128)
def _url(text: str) -> httpx.URL:
    return httpx.URL(text)
