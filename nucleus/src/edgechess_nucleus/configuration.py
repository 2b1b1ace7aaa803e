"""One component's configuration: a tree of JSON objects whose leaves know when they were last written.

Objects are nodes; everything else, arrays too, is a leaf. A leaf is overwritten by an equally old or newer value only.
Timestamps are milliseconds since the epoch. Source: reference "greengrass-ipc" section 5 and "greengrass-recipes",
configuration merge.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgechess_nucleus.errors import NucleusError

DEFAULTS_TIMESTAMP_MS = 1  # Java's resolveConfigurationToApply: older than everything that a person or component wrote

KeyPath = tuple[str, ...]
Pointer = str
"""RFC 6901: "" is the whole tree, "/a/b" a key; "~1" is a slash and "~0" a tilde inside one."""


class ConfigurationError(NucleusError):
    """A path that leads through a leaf, a pointer that does not parse, or an object where a leaf belongs."""


@dataclasses.dataclass(slots=True)
class _Leaf:
    value: Any
    timestamp_ms: int


@dataclasses.dataclass(slots=True)
class _Object:
    children: dict[str, tuple[str, _Leaf | _Object]]
    """By key as compared; the name as first written beside the child."""


class Configuration:
    """A tree. `fold_case` True (the Java nucleus): "Port" and "port" are one key, spelled as first written."""

    def __init__(self, defaults: Mapping[str, Any] | None = None, *, fold_case: bool) -> None:
        self._fold_case = fold_case
        self._root = _Object({})
        self.add_defaults(defaults or {})

    def get(self, path: Sequence[str] = ()) -> Any:
        """A copy of the value there: a dict for an object. Raises KeyError when there is none."""
        return _plain(self._find(path))

    def spelled(self, path: Sequence[str]) -> KeyPath:
        """The path as its keys were first written. Raises KeyError."""
        node: _Leaf | _Object = self._root
        names = []
        for key in path:
            if not isinstance(node, _Object):
                raise KeyError(tuple(path))
            name, node = node.children[self._key(key)]
            names.append(name)
        return tuple(names)

    def timestamp_ms(self, path: Sequence[str] = ()) -> int:
        """Of the leaf, or of the newest leaf below (0 in an empty object). Raises KeyError."""
        return _newest(self._find(path))

    def snapshot(self) -> dict[str, Any]:
        """The whole tree as plain JSON."""
        return {name: _plain(child) for name, child in self._root.children.values()}

    def stamped(self) -> dict[str, Any]:
        """The whole tree with its timestamps, as JSON: an object is a dict, a leaf `[value, timestamp_ms]`."""
        return _stamped(self._root)

    @classmethod
    def of_stamped(cls, stamped: Mapping[str, Any], *, fold_case: bool) -> Configuration:
        """What `stamped` gave. Raises ConfigurationError for anything else."""
        made = cls(fold_case=fold_case)
        made._root = made._of_stamped(stamped)
        return made

    def merge(self, path: Sequence[str], value: Any, timestamp_ms: int) -> list[KeyPath]:
        """Objects merge deeply, all else replaces; leaves newer than `timestamp_ms` stay.

        Gives the paths of the leaves that changed, in the order of `value`. Raises ConfigurationError when `path` is
        empty and `value` no object.
        """
        if not path:
            if not isinstance(value, Mapping):
                raise ConfigurationError(
                    "the configuration itself is an object: a value without a key cannot be merged"
                )
            return self._merge_object(self._root, value, timestamp_ms, ())
        node, names = self._root, list[str]()
        for key in path[:-1]:
            name, child = node.children.get(self._key(key), (key, None))
            if isinstance(child, _Leaf) and child.timestamp_ms > timestamp_ms:
                return []
            if not isinstance(child, _Object):
                child = _Object({})
                node.children[self._key(key)] = (name, child)
            names.append(name)
            node = child
        return self._merge_child(node, path[-1], value, timestamp_ms, tuple(names))

    def add_defaults(self, defaults: Mapping[str, Any]) -> list[KeyPath]:
        """Merges at the oldest timestamp, and only where nothing is yet: existing values always stay."""
        return self._add(self._root, defaults, ())

    def reset(self, pointers: Sequence[Pointer], defaults: Mapping[str, Any]) -> list[KeyPath]:
        """Removes what each pointer names and puts the value of `defaults` there, if it has one.

        Gives the named paths whose value is now another. Raises ConfigurationError for a pointer that does not parse.
        """
        changed = []
        for pointer in pointers:
            path = parse_pointer(pointer)
            before = self._get_or_none(path)
            self._remove(path)
            self.add_defaults(_only(defaults, path, self._key))
            if self._get_or_none(path) != before:
                changed.append(path)
        return changed

    # ------------------------------------------------------------ inside

    def _key(self, name: str) -> str:
        return name.casefold() if self._fold_case else name

    def _find(self, path: Sequence[str]) -> _Leaf | _Object:
        node: _Leaf | _Object = self._root
        for name in path:
            if not isinstance(node, _Object):
                raise KeyError(tuple(path))
            _, node = node.children[self._key(name)]
        return node

    def _get_or_none(self, path: Sequence[str]) -> _Leaf | Any | None:
        try:
            return self.get(path)
        except KeyError:
            return None

    def _merge_object(self, node: _Object, value: Mapping[str, Any], at_ms: int, above: KeyPath) -> list[KeyPath]:
        changed = []
        for name, part in value.items():
            changed += self._merge_child(node, name, part, at_ms, above)
        return changed

    def _merge_child(self, node: _Object, key: str, value: Any, at_ms: int, above: KeyPath) -> list[KeyPath]:
        name, child = node.children.get(self._key(key), (key, None))
        if isinstance(child, _Leaf) and child.timestamp_ms > at_ms:
            return []
        if isinstance(value, Mapping):
            if isinstance(child, _Object):
                return self._merge_object(child, value, at_ms, (*above, name))
            made = _Object({})
            node.children[self._key(key)] = (name, made)
            below = self._merge_object(made, value, at_ms, (*above, name))
            return below or [(*above, name)]
        if child is not None and _newest(child) > at_ms:
            return []
        node.children[self._key(key)] = (name, _Leaf(value, at_ms))
        same = isinstance(child, _Leaf) and child.value == value and type(child.value) is type(value)
        return [] if same else [(*above, name)]

    def _add(self, node: _Object, defaults: Mapping[str, Any], above: KeyPath) -> list[KeyPath]:
        changed = []
        for name, value in defaults.items():
            _, child = node.children.get(self._key(name), (name, None))
            if child is None:
                changed += self._merge_child(node, name, value, DEFAULTS_TIMESTAMP_MS, above)
            elif isinstance(child, _Object) and isinstance(value, Mapping):
                changed += self._add(child, value, (*above, name))
        return changed

    def _remove(self, path: KeyPath) -> None:
        if not path:
            self._root = _Object({})
            return
        node = self._root
        for name in path[:-1]:
            _, child = node.children.get(self._key(name), (name, None))
            if not isinstance(child, _Object):
                return
            node = child
        node.children.pop(self._key(path[-1]), None)

    def _of_stamped(self, stamped: Any) -> _Object:
        if not isinstance(stamped, Mapping):
            raise ConfigurationError(f"a stored configuration is made of objects, not of {type(stamped).__name__}")
        made = _Object({})
        for name, part in stamped.items():
            match part:
                case [value, int(timestamp_ms)]:
                    made.children[self._key(name)] = (name, _Leaf(value, timestamp_ms))
                case _:
                    made.children[self._key(name)] = (name, self._of_stamped(part))
        return made


def parse_pointer(pointer: Pointer) -> KeyPath:
    """Raises ConfigurationError."""
    if pointer and not pointer.startswith("/"):
        raise ConfigurationError(f'the pointer "{pointer}" must be "" or begin with "/"')
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])


def _plain(node: _Leaf | _Object) -> Any:
    if isinstance(node, _Leaf):
        return node.value
    return {name: _plain(child) for name, child in node.children.values()}


def _stamped(node: _Object) -> dict[str, Any]:
    return {
        name: [child.value, child.timestamp_ms] if isinstance(child, _Leaf) else _stamped(child)
        for name, child in node.children.values()
    }


def _newest(node: _Leaf | _Object) -> int:
    if isinstance(node, _Leaf):
        return node.timestamp_ms
    return max((_newest(child) for _, child in node.children.values()), default=0)


def _only(tree: Mapping[str, Any], path: KeyPath, key: Callable[[str], str]) -> dict[str, Any]:
    """Nothing of the tree but what stands at `path`."""
    if not path:
        return dict(tree)
    for name, value in tree.items():
        if key(name) == key(path[0]):
            if len(path) == 1:
                return {name: value}
            below = _only(value, path[1:], key) if isinstance(value, Mapping) else {}
            return {name: below} if below else {}
    return {}
