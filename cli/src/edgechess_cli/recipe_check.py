"""The strict check of a recipe: everything that makes it work on one nucleus and not on the other, or not at all.

The runtime stops at the first mistake; this names all of them. Sources: references "greengrass-recipes" (keys, casing,
variables) and "greengrass-nucleus-lite" (limits, what lite leaves out).
"""

from __future__ import annotations

import re
from pathlib import Path

from edgechess_cli.component_catalogue import room_of
from edgechess_cli.findings import Findings, items, members, text
from edgechess_cli.recipe_check_configuration import ACCESS_CONTROL, check_configuration
from edgechess_cli.recipe_check_policies import Policies
from edgechess_cli.recipe_check_scripts import Scripts
from edgechess_cli.recipe_rights import access_control, rights_of
from edgechess_kit.errors import SettingsError
from edgechess_kit.settings import TransportSettings, load
from edgechess_kit.topics import PREFIX, Topics
from edgechess_nucleus.documents import DocumentError, Mapping, Node, Place, Scalar, Sequence, read_document
from edgechess_nucleus.platform import ARCHITECTURES
from edgechess_nucleus.recipe import (
    ARTIFACT_KEYS,
    LITE_SIZE_LIMIT_BYTES,
    MANIFEST_KEYS,
    STEP_KEYS,
    STEPS,
    TOP_KEYS,
    recipe_of,
)

GENERIC = "aws.greengrass.generic"
PLATFORM_KEYS = ("os", "architecture", "architecture.detail", "runtime")
LITE_RUNTIMES = ("*", "aws_nucleus_lite")
TIMEOUT_LIMIT_S = 86_400  # a step that may take longer than a day is a step that hangs
_VARIABLE = re.compile(r"\{[^{}]+\}\Z")


def check_recipe(path: Path, findings: Findings, policy_ids: dict[str, Place]) -> None:
    """Raises DocumentError when the file cannot be read at all: no YAML, no JSON, no mapping."""
    root = read_document(path)
    size = path.stat().st_size
    if size > LITE_SIZE_LIMIT_BYTES:
        what = f"recipe of {size} bytes; nucleus lite reads {LITE_SIZE_LIMIT_BYTES}"
        findings.add(root.place, what, "shorten it: one script file in the artifact says more than ten lines here")
    _Check(root, findings, policy_ids).run()
    if not findings:
        try:
            recipe_of(root, path)
        except DocumentError as error:
            findings.refused(error)


class _Check:
    def __init__(self, root: Mapping, findings: Findings, policy_ids: dict[str, Place]) -> None:
        self._root = root
        self._findings = findings
        self._ids = policy_ids
        self._parts = members(root, TOP_KEYS, "recipe", findings)
        self._name = text(self._parts.get("ComponentName")) or ""
        self._defaults: Mapping | None = None

    def run(self) -> None:
        for name in ("RecipeFormatVersion", "ComponentName", "ComponentVersion"):
            if name not in self._parts:
                self._findings.add(self._root.place, f"{name} is missing", f"write {name}")
        kind = self._parts.get("ComponentType")
        if kind is not None and text(kind) != GENERIC:
            self._findings.add(kind.place, f"ComponentType {text(kind)}: nucleus lite knows one", f"write {GENERIC}")
        self._configuration()
        dependencies = members_of(self._parts.get("ComponentDependencies"))
        self._scripts = Scripts(self._defaults, tuple(dependencies), self._findings)
        if "Lifecycle" in self._parts:
            self._global_lifecycle(self._parts["Lifecycle"])
        self._manifests()

    # -- configuration and policies ------------------------------------------------------------------------------

    def _configuration(self) -> None:
        part = self._parts.get("ComponentConfiguration")
        inner = members(part, ("DefaultConfiguration",), "ComponentConfiguration", self._findings)
        defaults = inner.get("DefaultConfiguration")
        if not isinstance(defaults, Mapping):
            return
        self._defaults = defaults
        for key, _ in defaults:
            if key.text != ACCESS_CONTROL and key.text.lower() == ACCESS_CONTROL.lower():
                what = f"{key.text}: nucleus lite reads no policies there"
                self._findings.add(key.place, what, f"write {ACCESS_CONTROL}")
        check_configuration(defaults, room_of(self._name), self._findings)
        self._policies(defaults)

    def _policies(self, defaults: Mapping) -> None:
        policies = Policies(self._findings, self._ids)
        access = defaults.get(ACCESS_CONTROL)
        if access is not None:
            policies.check(access)
        room = room_of(self._name)
        if room is None:
            return
        bus, transport = defaults.get("bus"), defaults.get("transport")
        prefix = text(bus.get("prefix")) if isinstance(bus, Mapping) else None
        try:
            routes = load(
                TransportSettings,
                section="transport",
                env={},
                deployed=transport.data() if isinstance(transport, Mapping) else {},
            )
            needed = rights_of(access_control(room, self._name, Topics(prefix or PREFIX), routes))
        except SettingsError:
            return  # said of the value itself
        place = access.place if access is not None else defaults.place
        policies.compare(needed, place, self._name)

    # -- manifests and lifecycles --------------------------------------------------------------------------------

    def _manifests(self) -> None:
        node = self._parts.get("Manifests")
        if node is None:
            what = "Manifests is missing: nucleus lite finds no lifecycle"
            self._findings.add(self._root.place, what, 'write a manifest with Platform {os: linux, runtime: "*"}')
        for manifest in items(node, "Manifests", self._findings):
            self._manifest(manifest)

    def _manifest(self, node: Node) -> None:
        parts = members(node, MANIFEST_KEYS, "Manifests", self._findings)
        self._platform(node, parts.get("Platform"))
        if "Artifacts" not in parts:
            self._findings.add(node.place, "no Artifacts list: nucleus lite demands one", "write Artifacts: []")
        zips = self._artifacts(parts.get("Artifacts"))
        if "Lifecycle" in parts:
            self._lifecycle(parts["Lifecycle"], zips)
        elif "Lifecycle" not in self._parts:
            self._findings.add(node.place, "a manifest without Lifecycle does nothing", "write its steps")

    def _platform(self, manifest: Node, node: Node | None) -> None:
        parts = members_of(node)
        runtime = parts.get("runtime")
        if runtime is None:
            what = "Platform.runtime is missing: nucleus lite passes the manifest over"
            self._findings.add(node.place if node is not None else manifest.place, what, 'write runtime: "*"')
        elif text(runtime) not in LITE_RUNTIMES:
            what = f"Platform.runtime {text(runtime)}: no nucleus is called so"
            self._findings.add(runtime.place, what, 'write runtime: "*"')
        elif text(runtime) != "*":
            self._findings.add(runtime.place, "the Java nucleus passes this manifest over", 'write runtime: "*"')
        system, architecture = parts.get("os"), parts.get("architecture")
        if system is not None and text(system) not in ("linux", "*", "all"):
            self._findings.add(system.place, f"os {text(system)}: nucleus lite runs on linux only", "write linux")
        known = {*ARCHITECTURES.values(), "*"}
        word = text(architecture) or "*"
        if architecture is not None and word not in known and not word.startswith("/"):
            meant = ARCHITECTURES.get(word, ", ".join(sorted(known)))
            self._findings.add(architecture.place, f"architecture {word} is no word of Greengrass", f"write {meant}")

    def _artifacts(self, node: Node | None) -> list[str]:
        zips = []
        for artifact in items(node, "Artifacts", self._findings):
            parts = members(artifact, ARTIFACT_KEYS, "Artifacts", self._findings)
            uri = text(parts.get("Uri"))
            if uri is None:
                self._findings.add(artifact.place, "Artifacts: Uri is missing", "write Uri: s3://bucket/key")
                continue
            if text(parts.get("Unarchive")) == "ZIP":
                zips.append(uri.rstrip("/").rsplit("/", 1)[-1].removesuffix(".zip"))
        return zips

    def _global_lifecycle(self, node: Node) -> None:
        """Its keys are steps, or selections of a manifest with steps below."""
        if not isinstance(node, Mapping):
            members(node, STEPS, "Lifecycle", self._findings)
            return
        names = {item.text for manifest in self._selections() for item in manifest if isinstance(item, Scalar)}
        for key, value in node:
            if key.text in names | {"all"}:
                self._lifecycle(value, [])
        rest = tuple((key, value) for key, value in node if key.text not in names | {"all"})
        if rest:
            self._lifecycle(Mapping(node.place, rest), [])

    def _selections(self) -> list[tuple[Node, ...]]:
        manifests = self._parts.get("Manifests")
        found = [part.get("Selections") for part in getattr(manifests, "items", ()) if isinstance(part, Mapping)]
        return [node.items for node in found if isinstance(node, Sequence)]

    def _lifecycle(self, node: Node, zips: list[str]) -> None:
        parts = members(node, ("Setenv", *STEPS), "Lifecycle", self._findings)
        if not any(step in parts for step in STEPS):
            self._findings.add(node.place, "Lifecycle: no step in it", f"write one of {', '.join(STEPS)}")
        if "run" in parts and "startup" in parts:
            self._findings.add(parts["startup"].place, "run and startup exclude each other", "take one out")
        for step in STEPS:
            if step in parts:
                self._step(step, parts[step], zips)
        self._setenv(parts.get("Setenv"), zips)

    def _step(self, name: str, node: Node, zips: list[str]) -> None:
        if isinstance(node, Scalar):
            self._scripts.check(node, zips)
            return
        known = (*STEP_KEYS, "BootstrapOnRollback") if name == "bootstrap" else STEP_KEYS
        parts = members(node, known, name, self._findings)
        script = parts.get("Script")
        if isinstance(script, Scalar) and script.value is not None:
            self._scripts.check(script, zips)
        else:
            self._findings.add(node.place, f"{name}: Script is missing", "write Script, or the script itself")
        if "Timeout" in parts:
            self._timeout(name, parts["Timeout"])
        if "Skipif" in parts:
            what = f"{name}: Skipif: nucleus lite ignores it and runs the script"
            self._findings.add(parts["Skipif"].place, what, "test for it in the script")
        privilege = parts.get("RequiresPrivilege")
        if privilege is not None and (text(privilege) or "").lower() == "true":
            self._findings.add(privilege.place, f"{name}: runs as root", "do it without, in {work:path}")
        self._setenv(parts.get("Setenv"), zips)

    def _timeout(self, step: str, node: Node) -> None:
        written = text(node) or ""
        if _VARIABLE.match(written):
            what = f"{step}: Timeout {written}: nucleus lite takes numbers only"
            self._findings.add(node.place, what, "write seconds")
        elif not written.isdigit():
            what = (
                f"{step}: Timeout {written!r} is no whole number of seconds; the Java nucleus guesses, lite refuses it"
            )
            self._findings.add(node.place, what, f"write {''.join(re.findall('[0-9]+', written)[:1]) or '60'}")
        elif not 0 < int(written) <= TIMEOUT_LIMIT_S:
            what = f"{step}: Timeout {written}: expected 1 to {TIMEOUT_LIMIT_S} seconds"
            self._findings.add(node.place, what, "write how long it may take")

    def _setenv(self, node: Node | None, zips: list[str]) -> None:
        for value in members_of(node).values():
            if isinstance(value, Scalar):
                self._scripts.check(value, zips)


def members_of(node: Node | None) -> dict[str, Node]:
    return {key.text: value for key, value in node} if isinstance(node, Mapping) else {}
