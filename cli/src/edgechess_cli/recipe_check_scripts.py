"""Scripts of a lifecycle: variables that stand for something, packages that are brought and not fetched."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgechess_cli.findings import Findings
from edgechess_nucleus.configuration import ConfigurationError, parse_pointer
from edgechess_nucleus.documents import Mapping, Node, Scalar
from edgechess_nucleus.recipe import NAME_LIMIT

LOOKS_LIKE_ONE = re.compile(r"(?<!\$)\{([A-Za-z][\w.-]*(?::[^{}\s]*)*)\}")
SYSTEM = {"artifacts:path", "artifacts:decompressedPath", "work:path", "kernel:rootPath", "iot:thingName"}
_UNPACKED = re.compile(r"\{artifacts:decompressedPath\}/([^/'\"\s]+)")
_INSTALLS = re.compile(r"\b(?:pip3?|uv pip)\s+(?:\S+\s+)*?install\b[^\n;&|]*")
ADVICE = {
    "--break-system-packages": ("breaks the system's own Python", "install into a venv under {work:path}"),
    "sudo ": ("takes root's rights", "install as the component's own user, into {work:path}"),
    "apt-get install": ("changes the system and reaches for the network", "name the package in the manual"),
}


class Scripts:
    """`defaults`: the recipe's configuration; `dependencies`: names of components it depends on; `zips`: what is unpacked."""

    def __init__(self, defaults: Mapping | None, dependencies: Sequence[str], findings: Findings) -> None:
        self._defaults = defaults
        self._dependencies = set(dependencies)
        self._findings = findings

    def check(self, node: Scalar, zips: Sequence[str]) -> None:
        for match in LOOKS_LIKE_ONE.finditer(node.text):
            self._variable(node, match[1], match[0])
        for match in _UNPACKED.finditer(node.text):
            if match[1] not in zips:
                known = ", ".join(zips) or "none: no artifact is unpacked (Unarchive: ZIP)"
                what = f"{match[0]}: no artifact is unpacked there"
                self._findings.add(node.place, what, f"folders are {known}")
        for match in _INSTALLS.finditer(node.text):
            if "--no-index" not in match[0]:
                what = f"{match[0].strip()!r} fetches packages while it is deployed, whatever is newest then"
                self._findings.add(node.place, what, "bring pinned wheels in the artifact; install with --no-index")
        for words, (why, cure) in ADVICE.items():
            if words in node.text:
                self._findings.add(node.place, f"{words.strip()} {why}", cure)

    def _variable(self, node: Scalar, inner: str, whole: str) -> None:
        space, _, rest = inner.partition(":")
        if inner in SYSTEM:
            return
        if space == "configuration":
            self._pointer(node, rest, whole)
        elif space in ("artifacts", "work", "kernel", "iot"):
            known = ", ".join(f"{{{one}}}" for one in sorted(SYSTEM))
            self._findings.add(node.place, f"{whole} stands for nothing", f"known are {known}")
        elif ":" in rest or "." in space:
            self._other(node, space, whole)
        elif rest:
            known = ", ".join(f"{{{one}}}" for one in sorted(SYSTEM))
            self._findings.add(node.place, f"{whole} stands for nothing", f"known are {known}, {{configuration:/…}}")

    def _pointer(self, node: Scalar, pointer: str, whole: str) -> None:
        try:
            path = parse_pointer(pointer)
        except ConfigurationError as error:
            self._findings.add(node.place, f"{whole}: {error}", "write {configuration:/key}")
            return
        found: Node | None = self._defaults
        for key in path:
            found = found.get(key) if isinstance(found, Mapping) else None
        if found is None:
            what = f"{whole}: DefaultConfiguration has nothing there, so it may stay as it is written"
            self._findings.add(node.place, what, "give it a default")

    def _other(self, node: Scalar, component: str, whole: str) -> None:
        if component not in self._dependencies or len(component) > NAME_LIMIT:
            what = f"{whole}: {component} is none of this component's dependencies"
            self._findings.add(node.place, what, "name it under ComponentDependencies, or take it out")
        else:
            what = f"{whole}: nucleus lite has no variables of other components"
            self._findings.add(node.place, what, "pass the value by configuration")
