"""What a component may do: its accessControl, read and asked.

    policies, problems = read_policies(configuration.get(("accessControl",)), flavour, thing_name)
    policies.allow("aws.greengrass.ipc.pubsub", "PublishToTopic", "robo-chess/edge/status")

What a policy does not say is denied. The resource is the topic or filter of the request as text. Source: reference
"greengrass-ipc" section 6.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

from edgechess_nucleus.flavour import Flavour

PUBSUB = "aws.greengrass.ipc.pubsub"
MQTT_PROXY = "aws.greengrass.ipc.mqttproxy"
SHADOWS = "aws.greengrass.ShadowManager"
SECRETS = "aws.greengrass.SecretManager"
ANY = "*"
NAMESPACE = "aws.greengrass#"
_ESCAPES = {"${*}": "*", "${?}": "?", "${$}": "$"}
_TOKENS = re.compile(r"\$\{[^}]*\}|[*?]|[^*?$]+|\$")
DECISIONS_LIMIT = 4096  # remembered answers per component; then they are worked out again


@dataclasses.dataclass(frozen=True, slots=True)
class _Policy:
    service: str
    operations: frozenset[str]
    resources: tuple[re.Pattern[str], ...]


class Policies:
    """One component's."""

    def __init__(self, policies: tuple[_Policy, ...]) -> None:
        self._policies = policies
        self._decided: dict[tuple[str, str, str], bool] = {}

    def allow(self, service: str, operation: str, resource: str) -> bool:
        """`operation` without its namespace."""
        question = (service, operation, resource)
        known = self._decided.get(question)
        if known is not None:
            return known
        if len(self._decided) >= DECISIONS_LIMIT:
            self._decided.clear()
        answer = self._decided[question] = any(_allows(policy, *question) for policy in self._policies)
        return answer


def _allows(policy: _Policy, service: str, operation: str, resource: str) -> bool:
    return (
        policy.service == service
        and (ANY in policy.operations or operation in policy.operations)
        and any(pattern.fullmatch(resource) for pattern in policy.resources)
    )


def read_policies(access_control: Any, flavour: Flavour, thing_name: str) -> tuple[Policies, list[str]]:
    """What is wrong with a policy makes it say nothing, as on a core; the list names each such one and why."""
    problems: list[str] = []
    found: list[_Policy] = []
    for service, policies in _members(access_control, "accessControl", problems):
        limit = flavour.policy_limit_bytes
        size = len(json.dumps(policies, separators=(",", ":")).encode())
        if limit is not None and size > limit:
            problems.append(f"accessControl.{service}: {size} bytes of policies, {flavour.name} reads {limit}")
            continue
        for name, policy in _members(policies, f"accessControl.{service}", problems):
            where = f"accessControl.{service}.{name}"
            try:
                found.append(_read_policy(service, policy, flavour, thing_name))
            except ValueError as error:
                problems.append(f"{where}: {error}")
    return Policies(tuple(found)), problems


def _members(value: Any, where: str, problems: list[str]) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return list(value.items())
    if value not in (None, ""):
        problems.append(f"{where}: an object is expected")
    return []


def _read_policy(service: str, policy: Any, flavour: Flavour, thing_name: str) -> _Policy:
    """Raises ValueError."""
    if not isinstance(policy, Mapping):
        raise ValueError("an object with operations and resources is expected")
    operations = _names(policy, "operations")
    resources = _names(policy, "resources")
    if flavour.interpolates_policies:
        resources = [resource.replace("{iot:thingName}", thing_name) for resource in resources]
    patterns = tuple(re.compile(_pattern(resource, service, flavour), re.DOTALL) for resource in resources)
    return _Policy(service, frozenset(name.removeprefix(NAMESPACE) for name in operations), patterns)


def _names(policy: Mapping[str, Any], key: str) -> list[str]:
    names = policy.get(key)
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"{key} is missing, empty or no list of names: nothing is allowed by this policy")
    return names


def _pattern(resource: str, service: str, flavour: Flavour) -> str:
    """A regular expression. Raises ValueError."""
    if service != MQTT_PROXY:
        return _text_pattern(resource)
    parts = resource.split("/")
    below = parts[-1] == "#"
    if below:
        parts.pop()
    pattern = "/".join("[^/#]*" if part == "+" else _text_pattern(part) for part in parts)
    if not below:
        return pattern
    if not parts:
        return ".*"
    return f"{pattern}(/.*)?" if flavour.policy_hash_matches_parent else f"{pattern}/.*"


def _text_pattern(text: str) -> str:
    made = []
    for token in _TOKENS.findall(text):
        if token == ANY:
            made.append(".*")
        elif token in _ESCAPES:
            made.append(re.escape(_ESCAPES[token]))
        elif token == "?" or token.startswith("${"):
            raise ValueError(f"{token} in the resource {text}: only * and the escapes ${{*}} ${{?}} ${{$}} are known")
        else:
            made.append(re.escape(token))
    return "".join(made)
