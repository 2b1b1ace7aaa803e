"""YAML and JSON files whose every node knows its line: recipes and deployment documents.

What is read stays a tree of nodes, so that whoever finds a mistake later (a wildcard in a policy, a version that
nothing satisfies) can still say `file:line`. Scalars are typed as Greengrass' Java nucleus types them (Jackson):
`true` and `false` in any casing, whole and decimal numbers, null; everything else, dates and `yes` included, is text.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import yaml

from edgechess_nucleus.errors import NucleusError

SIZE_LIMIT_BYTES = 1024 * 1024  # of one file; recipes are limited to 16 KiB by nucleus lite
DEPTH_LIMIT = 32  # nucleus lite reads 15 levels; beyond this a file is no document but an attack on our stack

_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_NULLS = ("", "~", "null", "Null", "NULL")


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where a node begins. Line and column count from 1."""

    file: Path
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class DocumentError(NucleusError):
    """What is wrong in a file, as `file:line: what`."""

    def __init__(self, place: Place, what: str) -> None:
        super().__init__(f"{place}: {what}")
        self.place = place
        self.what = what


@dataclasses.dataclass(frozen=True, slots=True)
class Scalar:
    """`text` is what is written; `plain` says that it is unquoted YAML, whose type nucleus lite forgets."""

    place: Place
    value: str | int | float | bool | None
    text: str
    plain: bool = False

    def data(self, *, lose_types: bool = False) -> Any:
        return self.text if lose_types and self.plain and self.value is not None else self.value


@dataclasses.dataclass(frozen=True, slots=True)
class Sequence:
    place: Place
    items: tuple[Node, ...]

    def data(self, *, lose_types: bool = False) -> Any:
        return [item.data(lose_types=lose_types) for item in self.items]


@dataclasses.dataclass(frozen=True, slots=True)
class Mapping:
    """Keys are text, in the file's order and spelling; each knows its place."""

    place: Place
    entries: tuple[tuple[Scalar, Node], ...]

    def data(self, *, lose_types: bool = False) -> Any:
        """Plain dictionaries and lists. `lose_types`: as nucleus lite reads YAML, `true` becomes "true"."""
        return {key.text: node.data(lose_types=lose_types) for key, node in self.entries}

    def get(self, name: str) -> Node | None:
        """The node under this very key."""
        return next((node for key, node in self.entries if key.text == name), None)

    def key(self, name: str) -> Scalar | None:
        return next((key for key, _ in self.entries if key.text == name), None)

    def __iter__(self) -> Iterator[tuple[Scalar, Node]]:
        return iter(self.entries)


Node = Scalar | Sequence | Mapping


def read_document(path: Path) -> Mapping:
    """The mapping that the file holds. Raises DocumentError: unreadable, too large, not YAML (or JSON), no mapping."""
    start = Place(path, 1, 1)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DocumentError(start, f"cannot be read: {error.strerror}") from error
    if len(raw) > SIZE_LIMIT_BYTES:
        raise DocumentError(start, f"{len(raw)} bytes; the limit is {SIZE_LIMIT_BYTES}")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentError(start, f"not UTF-8: byte {error.start}") from error
    return parse_document(text, path)


def parse_document(text: str, path: Path) -> Mapping:
    """As `read_document`, of text that was read from `path` (whose suffix says whether it must be JSON)."""
    is_json = path.suffix == ".json"
    if is_json:
        _require_json(text, path)
    try:
        _require_plain(text, path)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise DocumentError(_mark(path, mark), f"not YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise DocumentError(Place(path, 1, 1), f"not YAML: {error}") from error
    node = _convert(root, path, is_json) if root is not None else None
    if not isinstance(node, Mapping):
        raise DocumentError(node.place if node else Place(path, 1, 1), "expected a mapping of keys to values")
    return node


def _require_json(text: str, path: Path) -> None:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        raise DocumentError(Place(path, error.lineno, error.colno), f"not JSON: {error.msg}") from error
    except RecursionError:
        raise DocumentError(Place(path, 1, 1), f"deeper than {DEPTH_LIMIT} levels") from None


def _require_plain(text: str, path: Path) -> None:
    """No aliases, which could unfold without end, and no depth that costs time or stack. Raises DocumentError."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise DocumentError(_mark(path, event.start_mark), f"alias *{event.anchor}: write it out")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH_LIMIT:
            raise DocumentError(_mark(path, event.start_mark), f"deeper than {DEPTH_LIMIT} levels")


class _Mark(Protocol):
    """PyYAML's, written in Python or in C. Counts from 0."""

    line: int
    column: int


def _mark(path: Path, mark: _Mark | None) -> Place:
    return Place(path, 1, 1) if mark is None else Place(path, mark.line + 1, mark.column + 1)


def _convert(node: yaml.Node, path: Path, is_json: bool) -> Node:
    place = _mark(path, node.start_mark)
    if isinstance(node, yaml.SequenceNode):
        return Sequence(place, tuple(_convert(item, path, is_json) for item in node.value))
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, place, is_json)
    assert isinstance(node, yaml.ScalarNode)  # YAML has three kinds of node
    unquoted = node.style is None
    return Scalar(place, _typed(node.value) if unquoted else node.value, node.value, unquoted and not is_json)


def _mapping(node: yaml.MappingNode, place: Place, is_json: bool) -> Mapping:
    entries: list[tuple[Scalar, Node]] = []
    seen: dict[str, Place] = {}
    for key_node, value_node in node.value:
        key = _convert(key_node, place.file, is_json)
        if not isinstance(key, Scalar):
            raise DocumentError(key.place, "a key must be text")
        if key.text in seen:
            raise DocumentError(key.place, f"{key.text}: given twice, first in line {seen[key.text].line}")
        seen[key.text] = key.place
        entries.append((key, _convert(value_node, place.file, is_json)))
    return Mapping(place, tuple(entries))


def _typed(text: str) -> str | int | float | bool | None:
    if text in _NULLS:
        return None
    if text in ("true", "True", "TRUE"):
        return True
    if text in ("false", "False", "FALSE"):
        return False
    if _INT.match(text):
        return int(text)
    if _FLOAT.match(text):
        return float(text)
    return text


# -- reading with a contract ---------------------------------------------------------------------------------------


def mapping_of(node: Node, what: str) -> Mapping:
    """Raises DocumentError when it is none. An empty value counts as an empty mapping."""
    if isinstance(node, Mapping):
        return node
    if isinstance(node, Scalar) and node.value is None:
        return Mapping(node.place, ())
    raise DocumentError(node.place, f"{what}: expected keys and values, found {found(node)}")


def sequence_of(node: Node, what: str) -> Sequence:
    if isinstance(node, Sequence):
        return node
    raise DocumentError(node.place, f"{what}: expected a list, found {found(node)}")


def text_of(node: Node, what: str) -> str:
    """Text as it is written: an unquoted 1.0 is the text "1.0"."""
    if isinstance(node, Scalar) and node.value is not None:
        return node.text
    raise DocumentError(node.place, f"{what}: expected text, found {found(node)}")


def word_of(node: Node, what: str, words: Iterable[str]) -> str:
    """One of `words`, in this spelling."""
    text = text_of(node, what)
    known = tuple(words)
    if text not in known:
        raise DocumentError(node.place, f"{what}: {text!r} is none of {', '.join(known)}")
    return text


def flag_of(node: Node, what: str) -> bool:
    if isinstance(node, Scalar) and str(node.value).lower() in ("true", "false"):
        return str(node.value).lower() == "true"
    raise DocumentError(node.place, f"{what}: expected true or false, found {found(node)}")


def unknown_key(key: Scalar, known: Iterable[str], where: str) -> DocumentError:
    """The error for a key that is none of the known; it names the right spelling where there is one that is near."""
    names = list(known)
    near = spelling(key.text, names)
    hint = f"; it is spelt {near}" if near else f"; known are {', '.join(names)}"
    return DocumentError(key.place, f"{where}: no such key {key.text}{hint}")


def spelling(text: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant."""
    names = list(known)
    same = [name for name in names if name.lower() == text.lower()]
    near = same or difflib.get_close_matches(text, names, 1, 0.75)
    return near[0] if near else None


def found(node: Node) -> str:
    match node:
        case Mapping():
            return "keys and values"
        case Sequence():
            return "a list"
        case Scalar(value=None):
            return "nothing"
        case _:
            return repr(node.text)
