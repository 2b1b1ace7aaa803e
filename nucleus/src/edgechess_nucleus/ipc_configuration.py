"""GetConfiguration, UpdateConfiguration and SubscribeToConfigurationUpdate."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from edgechess_nucleus.authority import ACCESS_CONTROL
from edgechess_nucleus.configuration import Configuration, KeyPath
from edgechess_nucleus.flavour import Flavour
from edgechess_nucleus.host import Host
from edgechess_nucleus.ipc_call import EMPTY, Call, Operation, Request
from edgechess_nucleus.ipc_protocol import event
from edgechess_nucleus.nesting import deeper_than
from edgechess_nucleus.refusal import Refused

EVENT = event("ConfigurationUpdateEvents")
DEPTH_LIMIT = 15  # lite's for its documents; Java has none, but a tree is walked recursively
TIME_LIMIT_S = 1e11  # beyond the year 5000: milliseconds, not seconds


class GetConfiguration(Request, frozen=True):
    component_name: str | None = None
    key_path: tuple[str, ...] | None = None


class UpdateConfiguration(Request, frozen=True):
    timestamp: float
    value_to_merge: dict[str, Any]
    key_path: tuple[str, ...] | None = None


class SubscribeToConfigurationUpdate(Request, frozen=True):
    component_name: str | None = None
    key_path: tuple[str, ...] | None = None


@dataclasses.dataclass(eq=False, slots=True)
class _Watch:
    component: str
    path: KeyPath
    call: Call


class ConfigurationOperations:
    """Components' own trees, and one another's to read. Nothing here asks for a policy: the nuclei do not either."""

    def __init__(self, host: Host, flavour: Flavour, wall_clock_s: Callable[[], float]) -> None:
        self._host = host
        self._flavour = flavour
        self._wall_clock_s = wall_clock_s
        self._watches: list[_Watch] = []

    def rows(self) -> tuple[Operation, ...]:
        return (
            Operation("GetConfiguration", GetConfiguration, self._get),
            Operation("UpdateConfiguration", UpdateConfiguration, self._update),
            Operation("SubscribeToConfigurationUpdate", SubscribeToConfigurationUpdate, self._watch, streaming=True),
        )

    def changed(self, component: str, paths: Sequence[KeyPath]) -> None:
        """Tells who watches. One event per changed key."""
        for watch in list(self._watches):
            if watch.component != component:
                continue
            for path in paths:
                if self._concerns(path, watch.path):
                    watch.call.emit(EVENT, _changed(component, path))

    def _get(self, call: Call, request: GetConfiguration) -> bytes:
        component = request.component_name or call.component
        path = request.key_path or ()
        tree = self._tree(component)
        try:
            value = tree.get(path)
            if not isinstance(value, dict):
                value = {tree.spelled(path)[-1]: value}
        except KeyError:
            raise _key_not_found() from None
        return msgspec.json.encode({"componentName": component, "value": value})

    def _update(self, call: Call, request: UpdateConfiguration) -> bytes:
        path, value = request.key_path or (), request.value_to_merge
        if any(self._fold(name) == self._fold(ACCESS_CONTROL) for name in (path[:1] or tuple(value))):
            raise Refused(
                "InvalidArgumentsError", f"Config update is not allowed for following fields [{ACCESS_CONTROL}]"
            )
        if not 0 <= request.timestamp < TIME_LIMIT_S:
            raise Refused("InvalidArgumentsError", "timestamp must be seconds since the epoch")
        if deeper_than(value, DEPTH_LIMIT - len(path)):
            raise Refused("InvalidArgumentsError", f"The configuration has at most {DEPTH_LIMIT} levels")
        tree = self._host.configuration(call.component)
        if tree is None:
            raise Refused("InvalidArgumentsError", f"Component config not found for component {call.component}")
        timestamp_ms = round(request.timestamp * 1000)
        try:
            newest_ms: int | None = tree.timestamp_ms(path)
        except KeyError:
            newest_ms = None  # a new key takes the time of day, whatever the request says (Java)
            timestamp_ms = max(timestamp_ms, round(self._wall_clock_s() * 1000))
        changed = tree.merge(path, value, timestamp_ms)
        if changed:
            self._host.configuration_changed(call.component, changed)
            self.changed(call.component, changed)
        if newest_ms is not None and timestamp_ms < newest_ms and self._flavour.refuses_stale_updates:
            raise Refused(
                "FailedUpdateConditionCheckError",
                "Proposed timestamp is older than the config's latest modified timestamp",
            )
        return EMPTY

    def _watch(self, call: Call, request: SubscribeToConfigurationUpdate) -> bytes:
        component = request.component_name or call.component
        path = request.key_path or ()
        try:
            self._tree(component).get(path)
        except KeyError:
            raise _key_not_found() from None
        watch = _Watch(component, path, call)
        self._watches.append(watch)
        call.at_end(lambda: self._watches.remove(watch))
        return EMPTY

    def _tree(self, component: str) -> Configuration:
        tree = self._host.configuration(component)
        if tree is None:
            raise _key_not_found()
        return tree

    def _concerns(self, changed: KeyPath, watched: KeyPath) -> bool:
        """The key, what is below it, and what is above it when that went as a whole."""
        return all(self._fold(one) == self._fold(other) for one, other in zip(changed, watched, strict=False))

    def _fold(self, name: str) -> str:
        return name.casefold() if self._flavour.fold_case else name


def _key_not_found() -> Refused:
    return Refused("ResourceNotFoundError", "Key not found")


def _changed(component: str, path: KeyPath) -> bytes:
    return msgspec.json.encode({"configurationUpdateEvent": {"componentName": component, "keyPath": path}})
