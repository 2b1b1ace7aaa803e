"""The shadow operations, and the same shadows on local topics."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

import anyio
import msgspec

from edgechess_nucleus.authority import Authority
from edgechess_nucleus.authorization import SHADOWS
from edgechess_nucleus.ipc_call import Call, Operation, Request
from edgechess_nucleus.pubsub import LocalMessage, LocalTopics
from edgechess_nucleus.rate_limit import RateLimit
from edgechess_nucleus.refusal import Refused
from edgechess_nucleus.shadow_file import write_shadows
from edgechess_nucleus.shadows import ShadowName, Shadows, Verb, parse_topic

log = logging.getLogger(__name__)

REQUESTS_PER_S, REQUESTS_PER_THING_PER_S = 200.0, 20.0  # the shadow manager's defaults
THINGS_LIMIT = 1024  # whose rate is remembered
TOPICS: Final = "$aws/things/+/shadow/#"


class ThingShadow(Request, frozen=True):
    thing_name: str
    shadow_name: str = ""


class UpdateThingShadow(ThingShadow, frozen=True, kw_only=True):
    payload: bytes


class ListNamedShadows(Request, frozen=True):
    thing_name: str
    next_token: str | None = None
    page_size: int | None = None


class ShadowOperations:
    """Requests come as operations and, from whoever may publish there, on the shadows' own topics."""

    def __init__(
        self,
        topics: LocalTopics,
        authority: Authority,
        shadows: Shadows,
        wall_clock_s: Callable[[], float],
        file: Path | None,
    ) -> None:
        self._file = file
        self._authority = authority
        self._wall_clock_s = wall_clock_s
        self._shadows = shadows
        self._rate = RateLimit(REQUESTS_PER_S)
        self._rates: dict[str, RateLimit] = {}
        self._topics = topics

    def listen(self) -> None:
        """From now on, to requests on local topics."""
        self._topics.attach(TOPICS, SHADOWS, self._on_topic)

    def rows(self) -> tuple[Operation, ...]:
        return (
            Operation("GetThingShadow", ThingShadow, self._get),
            Operation("UpdateThingShadow", UpdateThingShadow, self._update),
            Operation("DeleteThingShadow", ThingShadow, self._delete),
            Operation("ListNamedShadowsForThing", ListNamedShadows, self._list),
        )

    def _get(self, call: Call, request: ThingShadow) -> bytes:
        return self._ask(call, "GetThingShadow", request, "get", b"")

    def _update(self, call: Call, request: UpdateThingShadow) -> bytes:
        return self._ask(call, "UpdateThingShadow", request, "update", request.payload)

    def _delete(self, call: Call, request: ThingShadow) -> bytes:
        return self._ask(call, "DeleteThingShadow", request, "delete", b"")

    def _ask(self, call: Call, operation: str, request: ThingShadow, verb: Verb, payload: bytes) -> bytes:
        name = ShadowName(request.thing_name, request.shadow_name)
        self._authority.require(call.component, SHADOWS, operation, name.prefix)
        self._limit(name.thing)
        return msgspec.json.encode({"payload": self._do(name, verb, payload)})

    def _list(self, call: Call, request: ListNamedShadows) -> bytes:
        self._authority.require(call.component, SHADOWS, "ListNamedShadowsForThing", request.thing_name)
        self._limit(request.thing_name)
        names, token = self._shadows.names(request.thing_name, request.page_size, request.next_token)
        said = {"results": names, "timestamp": self._wall_clock_s()} | ({} if token is None else {"nextToken": token})
        return msgspec.json.encode(said)

    def _on_topic(self, message: LocalMessage) -> None:
        asked = parse_topic(message.topic)
        if asked is None:
            return
        name, verb = asked
        try:
            self._limit(name.thing)
            self._do(name, verb, message.payload)
        except Refused as refused:
            log.debug("%s: %s", message.topic, refused)

    def _do(self, name: ShadowName, verb: Verb, payload: bytes) -> bytes:
        act = {"get": self._shadows.get, "update": self._shadows.update, "delete": self._shadows.delete}[verb]
        try:
            answer = act(name, payload, self._wall_clock_s())
            if verb != "get" and self._file is not None:
                self._keep(self._file)
            return answer
        except Refused as refused:
            self._shadows.reject(name, verb, refused, payload, self._wall_clock_s())
            raise

    def _keep(self, file: Path) -> None:
        try:
            write_shadows(file, self._shadows.stored())
        except OSError as error:
            log.error("%s: shadows are not kept: %s", file, error.strerror)
            raise Refused("ServiceError", "The shadow could not be kept") from error

    def _limit(self, thing: str) -> None:
        now_s = anyio.current_time()
        if len(self._rates) >= THINGS_LIMIT:
            self._rates.clear()
        of_thing = self._rates.setdefault(thing, RateLimit(REQUESTS_PER_THING_PER_S))
        if not (self._rate.take(now_s) and of_thing.take(now_s)):
            raise Refused("ServiceError", "Too Many Requests")
