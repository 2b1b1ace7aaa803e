"""The configuration of a recipe against the code that reads it: every key read, every setting there, types kept."""

from __future__ import annotations

import json
from collections.abc import Mapping as Map
from typing import Any

import msgspec

from edgechess_cli.component_catalogue import KIT_SETTINGS, Room, camel
from edgechess_cli.findings import Findings, texts
from edgechess_cli.recipe_text import written_fields
from edgechess_kit.errors import SettingsError
from edgechess_kit.settings import load
from edgechess_nucleus.documents import Mapping, Node, Place, Scalar, spelling
from edgechess_nucleus.flavour import LITE
from edgechess_nucleus.interpolation import VARIABLE

ACCESS_CONTROL = "accessControl"
LITE_OBJECTS = 255  # sub-objects and keys of one value that lite reads
LITE_DEPTH = 15
FRAME_MARGIN_BYTES = 500  # headers and the answer's own members around a configuration


def check_configuration(defaults: Mapping, room: Room | None, findings: Findings) -> None:
    """`room` None: a component that is not ours; then only what holds for all."""
    _limits(defaults, findings)
    for value in _own(defaults):
        if isinstance(value, Scalar) and VARIABLE.search(value.text):
            what = f"{value.text}: variables are not replaced in configurations, but on a Java nucleus that is told to"
            findings.add(value.place, what, "replace it in the lifecycle's script")
    if room is not None:
        _sections(defaults, room, findings)


def check_merge(merge: Map[str, Any], place: Place, room: Room, findings: Findings, defaults: Map[str, Any]) -> None:
    """What a deployment merges: keys that the code reads, and values that, on top of the defaults, it takes."""
    for section, kind, given, _ in _split(merge, room):
        for key in given:
            if _field(kind, key) is None:
                findings.add(place, *_unread(section, key, kind))
    for section, kind, given, own in _split({**defaults, **merge}, room):
        if own or section in merge:
            _loads(kind, section, given, place, findings)


def _own(defaults: Mapping) -> list[Scalar]:
    return [found for key, node in defaults if key.text != ACCESS_CONTROL for found in texts(node)]


def _limits(defaults: Mapping, findings: Findings) -> None:
    size = len(json.dumps(defaults.data(), separators=(",", ":")).encode())
    limit = LITE.frame_limit_bytes - FRAME_MARGIN_BYTES
    if size > limit:
        what = f"DefaultConfiguration: {size} bytes of JSON; an answer of nucleus lite holds {limit}"
        findings.add(defaults.place, what, "take out what is not needed")
    _deep(defaults, 1, findings)


def _deep(node: Node, depth: int, findings: Findings) -> None:
    inner = [value for _, value in node] if isinstance(node, Mapping) else list(getattr(node, "items", ()))
    if depth > LITE_DEPTH and inner:
        findings.add(node.place, f"deeper than the {LITE_DEPTH} levels that nucleus lite reads", "flatten it")
        return
    if len(inner) > LITE_OBJECTS:
        findings.add(node.place, f"{len(inner)} members; nucleus lite reads {LITE_OBJECTS}", "split it")
    for value in inner:
        _deep(value, depth + 1, findings)


def _sections(defaults: Mapping, room: Room, findings: Findings) -> None:
    kinds: dict[str, type[msgspec.Struct]] = {room.bus_name: room.settings(), **KIT_SETTINGS}
    own: list[tuple[Scalar, Node]] = []
    for key, node in defaults:
        if key.text in KIT_SETTINGS and isinstance(node, Mapping):
            _section(key.text, KIT_SETTINGS[key.text], key.place, list(node), findings)
        elif key.text != ACCESS_CONTROL:
            own.append((key, node))
    _section(room.bus_name, kinds[room.bus_name], defaults.place, own, findings)
    for section, kind in KIT_SETTINGS.items():
        if defaults.get(section) is None:
            what = f"{section} is missing: the code reads {', '.join(camel(one.name) for one in written_fields(kind))}"
            findings.add(defaults.place, what, f"write {section} with these keys")


def _section(
    section: str, kind: type[msgspec.Struct], place: Place, entries: list[tuple[Scalar, Node]], findings: Findings
) -> None:
    written = {field.name for field in written_fields(kind)}
    good: dict[str, Node] = {}
    for key, node in entries:
        name = _field(kind, key.text)
        if name is None:
            findings.add(key.place, *_unread(section, key.text, kind))
        elif name not in written:
            findings.add(key.place, f"{section}: {key.text} is for tests alone", "take it out")
        else:
            if key.text != camel(name):
                findings.add(key.place, f"{section}: {key.text} is not the documented casing", f"write {camel(name)}")
            good[name] = node
    for name in sorted(written - set(good)):
        what = f"{section}: {camel(name)}, which the code reads, is not in the recipe"
        findings.add(place, what, "write it with its default (edgechess recipes write does)")
    for name, node in good.items():
        _value(kind, section, name, node, findings)


def _value(kind: type[msgspec.Struct], section: str, name: str, node: Node, findings: Findings) -> None:
    """Whether the code takes it, typed (Java) and as the text that nucleus lite makes of a YAML scalar: equally."""
    try:
        typed = getattr(load(kind, section=section, env={}, deployed={name: node.data()}), name)
    except SettingsError as error:
        findings.add(node.place, str(error), "write a value that the code takes")
        return
    try:
        lost = getattr(load(kind, section=section, env={}, deployed={name: node.data(lose_types=True)}), name)
    except SettingsError as error:
        findings.add(node.place, f"as nucleus lite reads it: {error}", "quote it, or write it so that its text says it")
        return
    if lost != typed:
        findings.add(node.place, f"{section}: {camel(name)} is {typed!r} on Java and {lost!r} on lite", "quote it")


def _unread(section: str, key: str, kind: type[msgspec.Struct]) -> tuple[str, str]:
    names = [camel(field.name) for field in msgspec.structs.fields(kind)]
    meant = spelling(key, names)
    return f"{section}: {key}: the code reads no such setting", f"write {meant}" if meant else "take it out"


def _field(kind: type[msgspec.Struct], key: str) -> str | None:
    """As the code finds it: without regard to casing, underscores and hyphens."""
    folded = key.replace("_", "").replace("-", "").lower()
    fields = (field.name for field in msgspec.structs.fields(kind))
    return next((name for name in fields if name.replace("_", "").lower() == folded), None)


def _split(tree: Map[str, Any], room: Room) -> list[tuple[str, type[msgspec.Struct], Map[str, Any], bool]]:
    own = {key: value for key, value in tree.items() if key not in KIT_SETTINGS and key != ACCESS_CONTROL}
    kit = [(name, kind, tree[name], False) for name, kind in KIT_SETTINGS.items() if isinstance(tree.get(name), Map)]
    return [(room.bus_name, room.settings(), own, True), *kit]


def _loads(kind: type[msgspec.Struct], section: str, given: Map[str, Any], place: Place, findings: Findings) -> None:
    try:
        load(kind, section=section, env={}, deployed=dict(given))
    except SettingsError as error:
        findings.add(place, str(error), "merge a value that the code takes")
