"""Policies of a recipe or of a deployment: exact, of a service that exists, no larger than lite reads, as the code needs."""

from __future__ import annotations

import json
import re

from edgechess_cli.findings import Findings, items, members, text
from edgechess_cli.recipe_rights import OPERATIONS, Right
from edgechess_nucleus.authorization import MQTT_PROXY, NAMESPACE
from edgechess_nucleus.documents import Mapping, Node, Place, spelling
from edgechess_nucleus.flavour import LITE

POLICY_KEYS = ("policyDescription", "operations", "resources")
_ESCAPED = re.compile(r"\$\{[*?$]\}")
THING_NAME = "{iot:thingName}"


class Policies:
    """`ids` are the policy names of all files that are checked together: they must differ on one device."""

    def __init__(self, findings: Findings, ids: dict[str, Place]) -> None:
        self._findings = findings
        self._ids = ids
        self.granted: dict[Right, Place] = {}

    def check(self, access: Node, *, thing_name_known: bool = False) -> None:
        """`thing_name_known`: the nucleus is told to put the thing's name into configurations."""
        if not isinstance(access, Mapping):
            self._findings.add(access.place, "accessControl holds no services", "write services and their policies")
            return
        for key, policies in access:
            self._service(key.text, key.place, policies)
        if not thing_name_known:
            self._thing_names()

    def _service(self, service: str, place: Place, policies: Node) -> None:
        if service not in OPERATIONS:
            meant = spelling(service, OPERATIONS) or ", ".join(OPERATIONS)
            self._findings.add(place, f"accessControl: {service} is no service that we know", f"write {meant}")
        if not isinstance(policies, Mapping):
            self._findings.add(place, f"accessControl: {service} holds no policies", "write a policy by its name")
            return
        limit = LITE.policy_limit_bytes
        size = len(json.dumps(policies.data(), separators=(",", ":")).encode())
        if limit is not None and size > limit:
            what = f"accessControl: {size} bytes of policies for {service}; nucleus lite reads {limit}"
            self._findings.add(place, what, "shorten names and descriptions, or split the component")
        for name, policy in policies:
            self._policy(service, name.text, name.place, policy)

    def _policy(self, service: str, name: str, place: Place, policy: Node) -> None:
        first = self._ids.setdefault(name, place)
        if first != place:
            self._findings.add(place, f"policy {name}: the same name as in {first}", "give every policy its own name")
        parts = members(policy, POLICY_KEYS, f"policy {name}", self._findings)
        operations, resources = parts.get("operations"), parts.get("resources")
        for key in ("operations", "resources"):
            if not items(parts.get(key), f"policy {name}: {key}", self._findings):
                self._findings.add(
                    place, f"policy {name}: {key} is missing or empty, so it allows nothing", "name them"
                )
        for operation in items(operations, name, self._findings):
            self._operation(service, name, operation)
        for resource in items(resources, name, self._findings):
            self._resource(service, name, resource)
            for operation in items(operations, name, self._findings):
                right = Right(service, (text(operation) or "").removeprefix(NAMESPACE), text(resource) or "")
                self.granted.setdefault(right, resource.place)

    def _operation(self, service: str, name: str, node: Node) -> None:
        operation = text(node) or ""
        if operation == "*":
            self._findings.add(node.place, f"policy {name}: operations: * allows all", "name the operations")
            return
        known = [f"{NAMESPACE}{one}" for one in OPERATIONS.get(service, ())]
        if known and operation not in known:
            meant = spelling(operation, known) or ", ".join(known)
            self._findings.add(node.place, f"policy {name}: {service} has no operation {operation}", f"write {meant}")

    def _resource(self, service: str, name: str, node: Node) -> None:
        resource = text(node) or ""
        bare = _ESCAPED.sub("", resource)
        wild = "*" in bare or (service == MQTT_PROXY and any(part in "+#" for part in bare.split("/") if part))
        if wild:
            what = f"policy {name}: resource {resource} is a wildcard: any topic that it matches is allowed"
            self._findings.add(node.place, what, "name the topics")
        elif "?" in bare or "${" in bare:
            self._findings.add(node.place, f"policy {name}: {resource}: no nucleus reads this", "escape it: ${?} ${$}")
        elif not resource:
            self._findings.add(node.place, f"policy {name}: an empty resource", "name a topic")
        elif len(resource.encode()) > LITE.topic_limit_bytes:
            what = (
                f"policy {name}: a topic of {len(resource.encode())} bytes; nucleus lite takes {LITE.topic_limit_bytes}"
            )
            self._findings.add(node.place, what, "shorten the prefix")

    def _thing_names(self) -> None:
        for right, place in self.granted.items():
            if THING_NAME in right.resource:
                self._findings.add(
                    place,
                    f"{right.resource}: the Java nucleus puts no name there by itself",
                    "set aws.greengrass.Nucleus interpolateComponentConfiguration to true in the deployment, and"
                    " give this policy there",
                )

    def compare(self, needed: set[Right], place: Place, component: str) -> None:
        """With what the code does."""
        for right in sorted(needed - set(self.granted)):
            what = f"{component} needs {right.operation} on {right.resource}, which no policy allows"
            self._findings.add(place, what, f"add it to {right.service} (edgechess recipes write does)")
        for right in sorted(set(self.granted) - needed):
            what = f"{component} never does {right.operation} on {right.resource}"
            self._findings.add(self.granted[right], what, "take it out")
