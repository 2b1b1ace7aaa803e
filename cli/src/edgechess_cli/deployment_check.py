"""The strict check of a deployment document, against the recipes that it deploys.

What a component may do is the recipe's accessControl with the document's merged over it, and it must be what the
component needs with the transports that the document gives it: no more, no less.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping as Map
from pathlib import Path
from typing import Any

from edgechess_cli.component_catalogue import Room, room_of
from edgechess_cli.findings import Findings, text
from edgechess_cli.recipe_check_configuration import ACCESS_CONTROL, check_merge
from edgechess_cli.recipe_check_policies import Policies
from edgechess_cli.recipe_rights import Right, access_control, rights_of
from edgechess_kit.errors import SettingsError
from edgechess_kit.settings import TransportSettings, load
from edgechess_kit.topics import PREFIX, Topics
from edgechess_nucleus.authorization import SHADOWS
from edgechess_nucleus.bridge import NAME as BRIDGE
from edgechess_nucleus.bridge import MappingError, read_mapping
from edgechess_nucleus.deployment import Deployment, Wanted, overlaid, read_deployment
from edgechess_nucleus.documents import (
    DocumentError,
    Mapping,
    Node,
    Place,
    Scalar,
    Sequence,
    parse_document,
    read_document,
)
from edgechess_nucleus.recipe import SUFFIXES, Recipe, read_recipe
from edgechess_nucleus.resolution import Recipes, read_recipes, resolve
from edgechess_nucleus.versions import Version

AWS = "aws.greengrass."  # first part of the names of what AWS provides
AUTH = "aws.greengrass.clientdevices.Auth"
NUCLEUS = "aws.greengrass.Nucleus"
INTERPOLATES = "interpolateComponentConfiguration"
THING = "{iot:thingName}"
_CLIENT_RESOURCE = re.compile(r"mqtt:(clientId|topic|topicfilter):.+\Z")


def check_deployment(path: Path, recipes: Path, findings: Findings) -> None:
    """Raises DocumentError when the document itself cannot be read as one, or there is no folder of recipes."""
    deployment = read_deployment(path)
    root = read_document(path)
    merges = {wanted.name: _merge(root, path, wanted.name) for wanted in deployment.components}
    interpolates = bool((_data(merges.get(NUCLEUS)) or {}).get(INTERPOLATES))
    if deployment.local.recipes is not None or recipes.resolve() != path.parent.resolve():
        _resolved(deployment, recipes, findings)  # else no runtime reads that folder: the document itself is no recipe
    for wanted in deployment.components:
        version = wanted.version.text if wanted.version is not None else ""
        try:
            Version.parse(version)
        except ValueError:
            what = f"{wanted.name}: componentVersion {version or 'is missing'}: the cloud takes one exact version"
            findings.add(wanted.place, what, "write MAJOR.MINOR.PATCH")
        room, merge = room_of(wanted.name), merges[wanted.name]
        if room is not None:
            _ours(_Ours(wanted.name, wanted.place, room, version, merge, interpolates), recipes, findings)
        elif wanted.name == BRIDGE and merge is not None:
            _bridge(merge, findings)
        elif wanted.name == AUTH and merge is not None:
            _clients(merge, findings)


def _resolved(deployment: Deployment, folder: Path, findings: Findings) -> None:
    """The dependencies, as the runtime orders them. What AWS provides has no recipe here; it takes part in no circle."""
    try:
        recipes = read_recipes(folder, None)
        here = {name: [_without_aws(one, recipes) for one in versions] for name, versions in recipes.items()}
        wanted = tuple(one for one in deployment.components if _is_here(one, here))
        resolve(dataclasses.replace(deployment, components=wanted), here)
    except DocumentError as error:
        if isinstance(error.__cause__, OSError):
            raise
        findings.refused(error)


def _without_aws(recipe: Recipe, recipes: Recipes) -> Recipe:
    kept = tuple(one for one in recipe.dependencies if one.name in recipes or not one.name.startswith(AWS))
    return dataclasses.replace(recipe, dependencies=kept)


def _is_here(wanted: Wanted, recipes: Recipes) -> bool:
    versions = recipes.get(wanted.name, ())
    return any(wanted.version is None or wanted.version.allows(one.version) for one in versions)


def recipe_named(folder: Path, component: str, version: str = "") -> Recipe | None:
    """The recipe of a folder with this name, and this version where one is given. Raises DocumentError."""
    for file in sorted(folder.glob("*")):
        if file.suffix in SUFFIXES and file.name.startswith(component):
            recipe = read_recipe(file)
            if recipe.name == component and version in ("", str(recipe.version)):
                return recipe
    return None


@dataclasses.dataclass(frozen=True, slots=True)
class _Ours:
    name: str
    place: Place
    room: Room
    version: str
    merge: Mapping | None
    interpolates: bool


def _ours(one: _Ours, recipes: Path, findings: Findings) -> None:
    recipe = recipe_named(recipes, one.name, one.version)
    if recipe is None:
        findings.add(one.place, f"{one.name} {one.version}: no such recipe in {recipes}", "name one that there is")
        return
    defaults = recipe.defaults.data() if recipe.defaults is not None else {}
    merge = _data(one.merge) or {}
    place = one.merge.place if one.merge is not None else one.place
    check_merge(merge, place, one.room, findings, defaults)
    access = one.merge.get(ACCESS_CONTROL) if one.merge is not None else None
    if access is not None:
        Policies(findings, {}).check(access, thing_name_known=one.interpolates)
    try:
        needed = _needed(one, overlaid(defaults, merge))
    except SettingsError:
        return  # said by check_merge
    granted = rights_of(overlaid(defaults, merge).get(ACCESS_CONTROL))
    for right in sorted(needed - granted):
        what = f"{one.name} needs {right.operation} on {right.resource}, which neither recipe nor merge allows"
        findings.add(place, what, f"merge a policy for {right.service}")
    for right in sorted(granted - needed - rights_of(defaults.get(ACCESS_CONTROL))):
        findings.add(place, f"{one.name} never does {right.operation} on {right.resource}", "take it out")


def _needed(one: _Ours, configuration: Map[str, Any]) -> set[Right]:
    bus = configuration.get("bus")
    prefix = str(bus.get("prefix", PREFIX)) if isinstance(bus, Map) else PREFIX
    transport = configuration.get("transport")
    routes = load(
        TransportSettings, section="transport", env={}, deployed=transport if isinstance(transport, Map) else {}
    )
    return rights_of(access_control(one.room, one.name, Topics(prefix), routes, _shadow(one, configuration)))


def _shadow(one: _Ours, configuration: Map[str, Any]) -> str:
    """The resource, with the thing's name as the document's policy has it."""
    folded = one.room.shadow.replace("_", "")
    named = [str(value) for key, value in configuration.items() if folded and key.lower() == folded]
    if not named or not named[0]:
        return ""
    pattern = re.compile(rf"\$aws/things/[^/*]+/shadow/name/{re.escape(named[0])}\Z")
    granted = rights_of(configuration.get(ACCESS_CONTROL))
    written = [right.resource for right in granted if right.service == SHADOWS and pattern.match(right.resource)]
    return min(written, default=f"$aws/things/{THING}/shadow/name/{named[0]}")


# -- the parts that AWS provides -----------------------------------------------------------------------------------


def _bridge(merge: Mapping, findings: Findings) -> None:
    node = merge.get("mqttTopicMapping")
    if not isinstance(node, Mapping):
        return
    seen: dict[tuple[str, str, str], Place] = {}
    for key, entry in node:
        try:
            [route] = read_mapping({key.text: entry.data()})
        except MappingError as error:
            findings.add(key.place, str(error), "correct it")
            continue
        if "+" in route.topic or "#" in route.topic:
            what = f"mqttTopicMapping.{key.text}: {route.topic} is a wildcard: all that it matches is carried"
            findings.add(key.place, what, "name the topics")
        back = seen.get((route.topic, route.target, route.source))
        if back is not None and not route.prefix:
            what = f"mqttTopicMapping.{key.text}: {route.topic} is carried both ways (line {back.line}): it goes round"
            findings.add(key.place, what, "take one out")
        seen[route.topic, route.source, route.target] = key.place


def _clients(merge: Mapping, findings: Findings) -> None:
    groups = merge.get("deviceGroups")
    if not isinstance(groups, Mapping):
        return
    policies = groups.get("policies")
    names = {key.text for key, _ in policies} if isinstance(policies, Mapping) else set()
    definitions = groups.get("definitions")
    for _, group in definitions if isinstance(definitions, Mapping) else ():
        _group(group, names, findings)
    for key, statements in policies if isinstance(policies, Mapping) else ():
        for _, statement in statements if isinstance(statements, Mapping) else ():
            _statement(key.text, statement, findings)


def _group(group: Node, policies: set[str], findings: Findings) -> None:
    rule = group.get("selectionRule") if isinstance(group, Mapping) else None
    policy = group.get("policyName") if isinstance(group, Mapping) else None
    if rule is None or re.search(r":\s*\*\s*\Z", text(rule) or "*"):
        place = rule.place if rule is not None else group.place
        findings.add(place, "selectionRule takes every client device of the account", "name the things")
    if policy is None or text(policy) not in policies:
        place = policy.place if policy is not None else group.place
        findings.add(place, f"policyName {text(policy) if policy else 'is missing'}: no such policy", "name one")


def _statement(policy: str, statement: Node, findings: Findings) -> None:
    for key in ("operations", "resources"):
        node = statement.get(key) if isinstance(statement, Mapping) else None
        for item in node.items if isinstance(node, Sequence) else ():
            word = text(item) or ""
            if "*" in word or "#" in word or "+" in word:
                findings.add(item.place, f"client policy {policy}: {word} is a wildcard", f"name the {key}")
            elif key == "resources" and not _CLIENT_RESOURCE.match(word):
                what = f"client policy {policy}: {word} is no resource"
                findings.add(item.place, what, "write mqtt:clientId:…, mqtt:topic:… or mqtt:topicfilter:…")


# -- reading -------------------------------------------------------------------------------------------------------


def _merge(root: Mapping, path: Path, component: str) -> Mapping | None:
    """The document's merge for a component; JSON text of one as if it stood there."""
    node: Node | None = root
    for key in ("components", component, "configurationUpdate", "merge"):
        node = node.get(key) if isinstance(node, Mapping) else None
    if isinstance(node, Scalar) and isinstance(node.value, str):
        inner = parse_document(json.dumps(json.loads(node.value)), path)  # that it is JSON, read_deployment has seen
        placed = _placed(inner, node.place)
        assert isinstance(placed, Mapping)
        return placed
    return node if isinstance(node, Mapping) else None


def _placed(node: Node, place: Place) -> Node:
    match node:
        case Mapping():
            return Mapping(
                place,
                tuple((dataclasses.replace(key, place=place), _placed(value, place)) for key, value in node),
            )
        case Sequence():
            return Sequence(place, tuple(_placed(item, place) for item in node.items))
        case _:
            return dataclasses.replace(node, place=place)


def _data(merge: Mapping | None) -> dict[str, Any] | None:
    return merge.data() if merge is not None else None
