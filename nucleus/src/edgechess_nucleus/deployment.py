"""Deployment documents: which components run here, in which versions, with what changed in their configuration.

The keys are Greengrass' own. What only this runtime needs to know stands under `localRuntime`, and no cloud ever reads
it; keys that begin with `x-` belong to whoever starts the runtime and are handed on unread.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping as Map
from pathlib import Path
from typing import Any

from edgechess_nucleus.bridge import MappingError, Route, read_mapping
from edgechess_nucleus.configuration import ConfigurationError, parse_pointer
from edgechess_nucleus.documents import (
    DocumentError,
    Mapping,
    Node,
    Place,
    Scalar,
    mapping_of,
    read_document,
    sequence_of,
    text_of,
    unknown_key,
    word_of,
)
from edgechess_nucleus.mqtt_address import AddressError, MqttAddress, read_address
from edgechess_nucleus.recipe import component_name
from edgechess_nucleus.versions import Range

THING_NAME_LIMIT = 128
DEFAULT_THING_NAME = "edgechess-local"
DEFAULT_REGION = "eu-central-1"  # only handed to components as AWS_REGION: nothing here calls a cloud

_TOP = (
    "targetArn", "deploymentName", "components", "deploymentPolicies", "iotJobConfiguration", "parentTargetArn", "tags",
    "localRuntime",
)  # fmt: skip
_COMPONENT = ("componentVersion", "configurationUpdate", "runWith")
_UPDATE = ("merge", "reset")
_LOCAL = ("thingName", "region", "recipes", "artifacts", "secrets", "iotCore", "localMqtt", "mqttTopicMapping")
_BROKER = ("broker", "caFile", "certFile", "keyFile")
_POLICIES = ("failureHandlingPolicy", "componentUpdatePolicy", "configurationValidationPolicy")
_UPDATE_POLICY = ("timeoutInSeconds", "action")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]\Z")
_THING = re.compile(r"[a-zA-Z0-9:_-]+\Z")


@dataclasses.dataclass(frozen=True, slots=True)
class ConfigurationUpdate:
    """`merge` is plain JSON; `reset` are pointers, "" for all of it."""

    merge: Map[str, Any] = dataclasses.field(default_factory=dict)
    reset: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """One component that the document names. `version` may be a range; None: the newest recipe that there is."""

    place: Place
    name: str
    version: Range | None = None
    update: ConfigurationUpdate = ConfigurationUpdate()


@dataclasses.dataclass(frozen=True, slots=True)
class Broker:
    """A broker that the document names. `ca_file` is also what components get as GG_ROOT_CA_PATH."""

    address: MqttAddress
    ca_file: Path | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Policies:
    """`deploymentPolicies`, as far as a redeployment needs them; Greengrass' own defaults.

    `rolls_back`: after a failure what ran before runs again. `asks`: components may put the deployment off, and are
    taken to agree when they are silent for `answer_timeout_s`.
    """

    rolls_back: bool = True
    asks: bool = True
    answer_timeout_s: float = 60.0


@dataclasses.dataclass(frozen=True, slots=True)
class LocalRuntime:
    """`localRuntime`. Paths are absolute; None: whoever starts the runtime says it."""

    thing_name: str = DEFAULT_THING_NAME
    region: str = DEFAULT_REGION
    recipes: Path | None = None
    artifacts: Path | None = None
    secrets: Path | None = None
    iot_core: Broker | None = None
    local_mqtt: Broker | None = None
    bridge: tuple[Route, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Deployment:
    """`extensions` are the `x-…` keys as plain JSON."""

    file: Path
    name: str
    components: tuple[Wanted, ...]
    local: LocalRuntime = LocalRuntime()
    policies: Policies = Policies()
    extensions: Map[str, Any] = dataclasses.field(default_factory=dict)

    def merged(self, more: Map[str, Map[str, Any]]) -> Deployment:
        """With more configuration for components it names; what the document itself says goes first.

        Raises KeyError for a component that it does not name.
        """
        named = {wanted.name for wanted in self.components}
        for name in more:
            if name not in named:
                raise KeyError(name)
        return dataclasses.replace(
            self,
            components=tuple(
                dataclasses.replace(
                    wanted,
                    update=dataclasses.replace(
                        wanted.update, merge=overlaid(more.get(wanted.name, {}), wanted.update.merge)
                    ),
                )
                for wanted in self.components
            ),
        )


def overlaid(below: Map[str, Any], above: Map[str, Any]) -> dict[str, Any]:
    """Objects merge deeply; where both have a value, the one `above` stays."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        both = isinstance(value, Map) and isinstance(under, Map)
        merged[key] = overlaid(under, value) if both and isinstance(under, Map) else value
    return merged


def read_deployment(path: Path) -> Deployment:
    """Raises DocumentError, `file:line: what`."""
    root = read_document(path)
    parts = _parts(root, _TOP, "deployment", extensions=True)
    if "components" not in parts:
        raise DocumentError(root.place, "components is missing")
    components = mapping_of(parts["components"], "components")
    return Deployment(
        file=path,
        name=text_of(parts["deploymentName"], "deploymentName") if "deploymentName" in parts else path.stem,
        components=tuple(_wanted(key, node) for key, node in components),
        local=_local(parts["localRuntime"], path.parent) if "localRuntime" in parts else LocalRuntime(),
        policies=_policies(parts["deploymentPolicies"]) if "deploymentPolicies" in parts else Policies(),
        extensions={key.text: node.data() for key, node in root if key.text.startswith("x-")},
    )


def _parts(node: Mapping, known: tuple[str, ...], where: str, *, extensions: bool = False) -> dict[str, Node]:
    for key, _ in node:
        if key.text not in known and not (extensions and key.text.startswith("x-")):
            raise unknown_key(key, known, where)
    return {key.text: value for key, value in node}


def _wanted(key: Scalar, node: Node) -> Wanted:
    name = component_name(key)
    parts = _parts(mapping_of(node, name), _COMPONENT, name)
    version = None
    if "componentVersion" in parts:
        version_node = parts["componentVersion"]
        try:
            version = Range.parse(text_of(version_node, "componentVersion"))
        except ValueError as error:
            raise DocumentError(version_node.place, str(error)) from error
    update = _update(parts["configurationUpdate"]) if "configurationUpdate" in parts else ConfigurationUpdate()
    return Wanted(key.place, name, version, update)


def _update(node: Node) -> ConfigurationUpdate:
    parts = _parts(mapping_of(node, "configurationUpdate"), _UPDATE, "configurationUpdate")
    merge = _merge(parts["merge"]) if "merge" in parts else {}
    reset = tuple(_pointer(item) for item in sequence_of(parts["reset"], "reset").items) if "reset" in parts else ()
    return ConfigurationUpdate(merge, reset)


def _merge(node: Node) -> Map[str, Any]:
    """An object, or the JSON text of one, as the cloud's documents have it."""
    value = node.data()
    if isinstance(node, Scalar) and isinstance(node.value, str):
        try:
            value = json.loads(node.value)
        except json.JSONDecodeError as error:
            raise DocumentError(node.place, f"merge: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise DocumentError(node.place, "merge: expected an object, or the JSON text of one")
    return value


def _pointer(node: Node) -> str:
    pointer = text_of(node, "reset")
    try:
        parse_pointer(pointer)
    except ConfigurationError as error:
        raise DocumentError(node.place, f"reset: {error}") from error
    return pointer


def _policies(node: Node) -> Policies:
    parts = _parts(mapping_of(node, "deploymentPolicies"), _POLICIES, "deploymentPolicies")
    handling = action = ""
    timeout_s = Policies().answer_timeout_s
    if "failureHandlingPolicy" in parts:
        handling = word_of(parts["failureHandlingPolicy"], "failureHandlingPolicy", ("ROLLBACK", "DO_NOTHING"))
    if "componentUpdatePolicy" in parts:
        node = parts["componentUpdatePolicy"]
        own = _parts(mapping_of(node, "componentUpdatePolicy"), _UPDATE_POLICY, "componentUpdatePolicy")
        if "action" in own:
            action = word_of(own["action"], "action", ("NOTIFY_COMPONENTS", "SKIP_NOTIFY_COMPONENTS"))
        if "timeoutInSeconds" in own:
            timeout_s = _seconds(own["timeoutInSeconds"])
    return Policies(handling != "DO_NOTHING", action != "SKIP_NOTIFY_COMPONENTS", timeout_s)


def _seconds(node: Node) -> float:
    text = text_of(node, "timeoutInSeconds")
    if not text.isdigit():
        raise DocumentError(node.place, f"timeoutInSeconds: {text!r} is no whole number of seconds")
    return float(text)


# -- localRuntime --------------------------------------------------------------------------------------------------


def _local(node: Node, folder: Path) -> LocalRuntime:
    parts = _parts(mapping_of(node, "localRuntime"), _LOCAL, "localRuntime")

    def path(name: str) -> Path | None:
        return (folder / text_of(parts[name], name)).resolve() if name in parts else None

    def broker(name: str) -> Broker | None:
        return _broker(parts[name], name, folder) if name in parts else None

    return LocalRuntime(
        thing_name=_thing_name(parts["thingName"]) if "thingName" in parts else DEFAULT_THING_NAME,
        region=_region(parts["region"]) if "region" in parts else DEFAULT_REGION,
        recipes=path("recipes"),
        artifacts=path("artifacts"),
        secrets=path("secrets"),
        iot_core=broker("iotCore"),
        local_mqtt=broker("localMqtt"),
        bridge=_bridge(parts["mqttTopicMapping"]) if "mqttTopicMapping" in parts else (),
    )


def _thing_name(node: Node) -> str:
    name = text_of(node, "thingName")
    if not _THING.match(name) or len(name) > THING_NAME_LIMIT:
        raise DocumentError(node.place, f"thingName: {name!r}: letters, digits, : _ - ; at most {THING_NAME_LIMIT}")
    return name


def _region(node: Node) -> str:
    region = text_of(node, "region")
    if not _REGION.match(region):
        raise DocumentError(node.place, f"region: {region!r} is no AWS region (they read like eu-central-1)")
    return region


def _broker(node: Node, what: str, folder: Path) -> Broker:
    mapping = mapping_of(node, what)
    parts = _parts(mapping, _BROKER, what)
    if "broker" not in parts:
        raise DocumentError(node.place, f"{what}: broker is missing")

    def file(name: str) -> Path | None:
        return (folder / text_of(parts[name], name)).resolve() if name in parts else None

    try:
        address = read_address(
            text_of(parts["broker"], "broker"),
            ca_file=file("caFile"),
            cert_file=file("certFile"),
            key_file=file("keyFile"),
        )
    except AddressError as error:
        raise DocumentError(node.place, f"{what}: {error}") from error
    return Broker(address, file("caFile"))


def _bridge(node: Node) -> tuple[Route, ...]:
    try:
        return read_mapping(node.data())
    except MappingError as error:
        raise DocumentError(node.place, str(error)) from error
