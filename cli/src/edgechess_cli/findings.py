"""What is wrong in a document, each with its place and its cure, sorted as an editor shows them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from edgechess_nucleus.documents import DocumentError, Mapping, Node, Place, Scalar, Sequence, spelling


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """`cure` is an order: what to write instead."""

    place: Place
    what: str
    cure: str

    def __str__(self) -> str:
        return f"{self.place}:{self.place.column}: {self.what}; {self.cure}"


class Findings:
    """Collects them; what was found at one place once is not said twice."""

    def __init__(self) -> None:
        self._found: dict[tuple[Place, str], Finding] = {}

    def add(self, place: Place, what: str, cure: str) -> None:
        self._found.setdefault((place, what), Finding(place, what, cure))

    def refused(self, error: DocumentError) -> None:
        """What a reader of the runtime refused."""
        self.add(error.place, error.what, "correct it: no nucleus takes it as it is")

    def __bool__(self) -> bool:
        return bool(self._found)

    def sorted(self) -> list[Finding]:
        return sorted(self._found.values(), key=lambda one: (str(one.place.file), one.place.line, one.place.column))


def members(node: Node | None, known: Iterable[str], where: str, findings: Findings) -> dict[str, Node]:
    """The parts of a mapping by their documented key. A misspelt key is found, and still read as what was meant."""
    if not isinstance(node, Mapping):
        if node is not None and not _is_empty(node):
            findings.add(node.place, f"{where} holds no keys", "write keys and values")
        return {}
    names = tuple(known)
    parts: dict[str, Node] = {}
    for key, value in node:
        name = key.text
        if name not in names:
            meant = spelling(name, names)
            if meant is None:
                findings.add(key.place, f"{where}: unknown key {name}", f"known are {', '.join(names)}")
                continue
            case_only = meant.lower() == name.lower()
            why = "keys are case-sensitive on nucleus lite" if case_only else "no nucleus reads it"
            findings.add(key.place, f"{where}: {name}: {why}", f"write {meant}")
            name = meant
        parts.setdefault(name, value)
    return parts


def items(node: Node | None, where: str, findings: Findings) -> tuple[Node, ...]:
    if isinstance(node, Sequence):
        return node.items
    if node is not None:
        findings.add(node.place, f"{where} is no list", "write a list")
    return ()


def text(node: Node | None) -> str | None:
    """A scalar as it is written; None for anything else and for nothing."""
    return node.text if isinstance(node, Scalar) and node.value is not None else None


def texts(node: Node) -> Iterator[Scalar]:
    """Every scalar value below, in the file's order."""
    match node:
        case Scalar():
            yield node
        case Sequence():
            for item in node.items:
                yield from texts(item)
        case Mapping():
            for _, value in node:
                yield from texts(value)


def _is_empty(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None
