"""Shadows of things, as Greengrass's shadow manager keeps them: documents with versions, on this machine only.

Pure but for `Shadows.publish`, which is a call. Nothing is synchronised with a cloud. Source: reference
"greengrass-ipc" section 5; AWS IoT developer guide, "Device Shadow service documents" and "Device Shadow MQTT topics".
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from edgechess_nucleus.errors import NucleusError
from edgechess_nucleus.nesting import deeper_than
from edgechess_nucleus.refusal import Refused, not_found

DEPTH_LIMIT = 6  # levels below desired or reported
DOCUMENT_LIMIT_BYTES = 8 * 1024  # desired and reported together
TOKEN_LIMIT_CHARS = 64
THING_LIMIT_CHARS = 128
SHADOW_LIMIT_CHARS = 64
PAGE_DEFAULT, PAGE_LIMIT = 25, 100
_NAME = re.compile(r"[a-zA-Z0-9:_-]+")
_HALVES = ("desired", "reported")
_CODES = {"InvalidArgumentsError": 400, "UnauthorizedError": 401, "ResourceNotFoundError": 404, "ConflictError": 409}

Content = dict[str, Any]
Verb = Literal["get", "update", "delete"]
Publish = Callable[[str, bytes], None]
"""Topic and payload, on the local topics."""


class StoredShadowsError(NucleusError):
    """What was stored is no shadow."""


@dataclasses.dataclass(frozen=True, slots=True)
class ShadowName:
    """`shadow` empty: the classic one. Raises Refused for names that AWS does not take."""

    thing: str
    shadow: str = ""

    def __post_init__(self) -> None:
        _check_name("Thing", self.thing, THING_LIMIT_CHARS)
        if self.shadow:
            _check_name("Shadow", self.shadow, SHADOW_LIMIT_CHARS)

    @property
    def prefix(self) -> str:
        """Of its topics, and its name as a resource of policies."""
        return f"$aws/things/{self.thing}/shadow" + (f"/name/{self.shadow}" if self.shadow else "")


def _check_name(what: str, name: str, limit: int) -> None:
    if not 1 <= len(name) <= limit or not _NAME.fullmatch(name):
        raise _invalid(f"{what} name must be 1 to {limit} characters of a-z, A-Z, 0-9, :, _ and -")


def _invalid(message: str) -> Refused:
    return Refused("InvalidArgumentsError", message)


@dataclasses.dataclass(frozen=True, slots=True)
class _Row:
    """`state` None: deleted; the version goes on counting."""

    version: int
    state: Content | None
    metadata: Content
    at_s: int


class Update(msgspec.Struct, frozen=True, rename="camel"):
    """What an update's payload says."""

    state: Content
    version: int | None = None
    client_token: str | None = None


class Shadows:
    """All shadows of this machine. Times are seconds since the epoch. Every refusal is a Refused.

    `stored` is what `stored()` gave; raises StoredShadowsError for anything else.
    """

    def __init__(self, publish: Publish, stored: Mapping[str, Any] | None = None) -> None:
        self._publish = publish
        self._rows: dict[tuple[str, str], _Row] = {}
        for key, row in (stored or {}).items():
            thing, _, shadow = key.partition("/")
            try:
                self._rows[thing, shadow] = msgspec.convert(row, _Row)
            except msgspec.ValidationError as error:
                raise StoredShadowsError(f"{key}: {error}") from error

    def stored(self) -> dict[str, Any]:
        """Everything, as JSON; what `__init__` takes."""
        return {f"{thing}/{shadow}": msgspec.to_builtins(row) for (thing, shadow), row in self._rows.items()}

    def get(self, name: ShadowName, payload: bytes, now_s: float) -> bytes:
        """The document. `payload` is a request's on a topic, where a client token may stand; otherwise empty."""
        with_token = _token_of(payload)
        row = self._live(name)
        assert row.state is not None
        state = dict(row.state)
        delta, delta_metadata = _difference(state.get("desired", {}), state.get("reported", {}), row.metadata)
        metadata = dict(row.metadata)
        if delta:
            state["delta"] = delta
            metadata["delta"] = delta_metadata
        said = {"state": state, "metadata": metadata, "version": row.version, "timestamp": int(now_s), **with_token}
        return self._accept(name, "get", said)

    def update(self, name: ShadowName, payload: bytes, now_s: float) -> bytes:
        """What was accepted, and its version."""
        request = _read_update(payload)
        row = self._rows.get((name.thing, name.shadow), _Row(0, None, {}, 0))
        if request.version is not None and request.version != row.version:
            raise Refused("ConflictError", "Version conflict")
        at_s = int(now_s)
        state = _merge(row.state or {}, request.state)
        if len(msgspec.json.encode(state)) > DOCUMENT_LIMIT_BYTES:
            raise _invalid(f"The payload exceeds the maximum size allowed, {DOCUMENT_LIMIT_BYTES} bytes")
        metadata = _stamp(row.metadata if row.state is not None else {}, request.state, at_s)
        made = _Row(row.version + 1, state, metadata, at_s)
        self._rows[name.thing, name.shadow] = made
        token = {} if request.client_token is None else {"clientToken": request.client_token}
        sent = {half: request.state[half] for half in _HALVES if half in request.state}
        accepted = {
            "version": made.version,
            **token,
            "timestamp": at_s,
            "state": sent,
            "metadata": _stamp({}, sent, at_s),
        }
        answer = self._accept(name, "update", accepted)
        self._tell_changes(name, row, made, token)
        return answer

    def delete(self, name: ShadowName, payload: bytes, now_s: float) -> bytes:
        """Forgets the document, not its version."""
        with_token = _token_of(payload)
        row = self._live(name)
        self._rows[name.thing, name.shadow] = _Row(row.version + 1, None, {}, int(now_s))
        self._accept(name, "delete", {"version": row.version, "timestamp": int(now_s), **with_token})
        return b""

    def names(self, thing: str, page_size: int | None, next_token: str | None) -> tuple[list[str], str | None]:
        """A page of the named shadows, sorted, and the token of the next page if this one is full."""
        _check_name("Thing", thing, THING_LIMIT_CHARS)
        size = PAGE_DEFAULT if page_size is None else page_size
        if not 1 <= size <= PAGE_LIMIT:
            raise _invalid(f"pageSize must be 1 to {PAGE_LIMIT}")
        known = sorted(
            shadow for (of, shadow), row in self._rows.items() if of == thing and shadow and row.state is not None
        )
        rest = [shadow for shadow in known if next_token is None or shadow > next_token]
        page = rest[:size]
        return page, page[-1] if len(page) == size else None

    def reject(self, name: ShadowName, verb: Verb, refused: Refused, payload: bytes, now_s: float) -> None:
        """Tells the topics why."""
        said: Content = {"code": _CODES.get(refused.kind, 500), "message": refused.message, "timestamp": int(now_s)}
        with contextlib.suppress(Refused):
            said |= _token_of(payload)
        self._publish(f"{name.prefix}/{verb}/rejected", msgspec.json.encode(said))

    def _live(self, name: ShadowName) -> _Row:
        row = self._rows.get((name.thing, name.shadow))
        if row is None or row.state is None:
            raise not_found("No shadow found", "shadow", name.shadow or name.thing)
        return row

    def _accept(self, name: ShadowName, verb: Verb, said: Content) -> bytes:
        payload = msgspec.json.encode(said)
        self._publish(f"{name.prefix}/{verb}/accepted", payload)
        return payload

    def _tell_changes(self, name: ShadowName, before: _Row, after: _Row, token: Content) -> None:
        assert after.state is not None
        delta, metadata = _difference(after.state.get("desired", {}), after.state.get("reported", {}), after.metadata)
        if delta:
            said = {"version": after.version, "timestamp": after.at_s, "state": delta, "metadata": metadata, **token}
            self._publish(f"{name.prefix}/update/delta", msgspec.json.encode(said))
        documents = {
            "previous": {"state": before.state or {}, "metadata": before.metadata, "version": before.version},
            "current": {"state": after.state, "metadata": after.metadata, "version": after.version},
            "timestamp": after.at_s,
            **token,
        }
        self._publish(f"{name.prefix}/update/documents", msgspec.json.encode(documents))


def parse_topic(topic: str) -> tuple[ShadowName, Verb] | None:
    """A request's topic: "$aws/things/T/shadow/update", "$aws/things/T/shadow/name/S/get" …; None for others."""
    match topic.split("/"):
        case ["$aws", "things", thing, "shadow", ("get" | "update" | "delete") as verb]:
            shadow = ""
        case ["$aws", "things", thing, "shadow", "name", shadow, ("get" | "update" | "delete") as verb] if shadow:
            pass
        case _:
            return None
    try:
        return ShadowName(thing, shadow), verb
    except Refused:
        return None


# ---------------------------------------------------------------- documents


def _token_of(payload: bytes) -> Content:
    if not payload.strip():
        return {}
    try:
        said = msgspec.json.decode(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _invalid("Invalid JSON") from error
    token = said.get("clientToken") if isinstance(said, dict) else None
    return _checked_token(token)


def _checked_token(token: Any) -> Content:
    if token is None:
        return {}
    if not isinstance(token, str) or len(token) > TOKEN_LIMIT_CHARS:
        raise _invalid(f"clientToken must be a string of at most {TOKEN_LIMIT_CHARS} characters")
    return {"clientToken": token}


def _read_update(payload: bytes) -> Update:
    try:
        update = msgspec.json.decode(payload, type=Update)
    except msgspec.ValidationError as error:
        raise _invalid(f"Invalid shadow document: {error}") from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _invalid("Invalid JSON") from error
    _checked_token(update.client_token)
    for half, content in update.state.items():
        if half not in _HALVES:
            raise _invalid(f"State contains an invalid node: '{half}'")
        if content is not None and not isinstance(content, dict):
            raise _invalid(f"{half} node must be an object")
        if deeper_than(content, DEPTH_LIMIT):
            raise _invalid(f"JSON contains too many levels of nesting; maximum is {DEPTH_LIMIT}")
    return update


def _merge(old: Content, change: Content) -> Content:
    """Objects merge, null deletes, everything else replaces."""
    result = dict(old)
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            before = result.get(key)
            result[key] = _merge(before if isinstance(before, dict) else {}, value)
        else:
            result[key] = value
    return result


def _stamp(old: Content, change: Content, at_s: int) -> Content:
    """Metadata has the document's shape, with `{"timestamp": …}` for each leaf; a list has one for each element."""
    result = dict(old)
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            before = result.get(key)
            result[key] = _stamp(before if isinstance(before, dict) and not _is_leaf(before) else {}, value, at_s)
        else:
            result[key] = _stamp_leaf(value, at_s)
    return result


def _is_leaf(metadata: Content) -> bool:
    """`{"timestamp": number}`; of an object that has a member of that name, an object stands there."""
    return isinstance(metadata.get("timestamp"), int)


def _stamp_leaf(value: Any, at_s: int) -> Any:
    if isinstance(value, list):
        return [_stamp_leaf(part, at_s) for part in value]
    if isinstance(value, dict):
        return {key: _stamp_leaf(part, at_s) for key, part in value.items()}
    return {"timestamp": at_s}


def _difference(desired: Content, reported: Content, metadata: Content) -> tuple[Content, Content]:
    """What is desired and not reported, and its metadata."""
    return _lacking(desired, reported, metadata.get("desired", {}))


def _lacking(desired: Content, reported: Content, metadata: Content) -> tuple[Content, Content]:
    delta: Content = {}
    stamps: Content = {}
    for key, wanted in desired.items():
        there = reported.get(key)
        if isinstance(wanted, dict) and isinstance(there, dict):
            inner, inner_stamps = _lacking(wanted, there, metadata.get(key, {}))
            if inner:
                delta[key], stamps[key] = inner, inner_stamps
        elif key not in reported or wanted != there:
            delta[key], stamps[key] = wanted, metadata.get(key)
    return delta, stamps
