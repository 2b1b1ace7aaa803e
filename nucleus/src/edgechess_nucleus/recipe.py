"""Component recipes, RecipeFormatVersion 2020-01-25, YAML or JSON, as typed values whose every part knows its line.

Source: reference "greengrass-recipes". The documented casing is required, because nucleus lite knows no other. Only
where the Java nucleus alone will read the recipe may keys be spelled in another one; that is noted in `notes`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, get_args

from edgechess_nucleus.documents import (
    DocumentError,
    Mapping,
    Node,
    Place,
    Scalar,
    flag_of,
    found,
    mapping_of,
    read_document,
    sequence_of,
    text_of,
    unknown_key,
    word_of,
)
from edgechess_nucleus.flavour import JAVA, LITE, Flavour
from edgechess_nucleus.versions import Range, Version

FORMAT_VERSION = "2020-01-25"
NAME_LIMIT = 128
LITE_SIZE_LIMIT_BYTES = 16 * 1024
SUFFIXES = (".yaml", ".yml", ".json")

StepName = Literal["bootstrap", "install", "run", "startup", "shutdown", "recover"]
STEPS: tuple[StepName, ...] = get_args(StepName)
LITE_STEPS = ("bootstrap", "install", "run", "startup")
Kind = Literal["HARD", "SOFT"]
Access = Literal["OWNER", "NONE", "ALL"]

TOP_KEYS = (
    "RecipeFormatVersion", "ComponentName", "ComponentVersion", "ComponentType", "ComponentDescription",
    "ComponentPublisher", "ComponentSource", "ComponentConfiguration", "ComponentDependencies", "Manifests", "Lifecycle",
)  # fmt: skip
COMPONENT_TYPES = ("aws.greengrass.generic", "aws.greengrass.plugin", "aws.greengrass.lambda", "aws.greengrass.nucleus")
MANIFEST_KEYS = ("Name", "Platform", "Lifecycle", "Selections", "Artifacts")
ARTIFACT_KEYS = ("Uri", "Unarchive", "Permission", "Digest", "Algorithm")
STEP_KEYS = ("Script", "RequiresPrivilege", "Skipif", "Setenv", "Timeout")
_NAME = re.compile(r"[a-zA-Z0-9-_.]+\Z")
_SECONDS = re.compile(r"[0-9]+\Z")
_VARIABLE = re.compile(r"\{[^{}]+\}\Z")


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One script of a life cycle. `timeout` is whole seconds as text, or a variable; None: the step's default."""

    place: Place
    name: StepName
    script: str
    timeout: str | None = None
    requires_privilege: bool = False
    skip_if: str | None = None
    setenv: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Lifecycle:
    place: Place
    steps: tuple[Step, ...] = ()
    setenv: tuple[tuple[str, str], ...] = ()

    def step(self, name: StepName) -> Step | None:
        return next((step for step in self.steps if step.name == name), None)


@dataclasses.dataclass(frozen=True, slots=True)
class Artifact:
    """`digest` is base64 of the file's SHA-256 ("Algorithm" knows nothing else)."""

    place: Place
    uri: str
    unzip: bool = False
    read: Access = "OWNER"
    execute: Access = "NONE"
    digest: str | None = None

    @property
    def file_name(self) -> str:
        return self.uri.rstrip("/").rsplit("/", 1)[-1]


@dataclasses.dataclass(frozen=True, slots=True)
class Dependency:
    place: Place
    name: str
    requirement: Range
    kind: Kind = "HARD"


@dataclasses.dataclass(frozen=True, slots=True)
class Manifest:
    """`lifecycle` None: the recipe's global one, of which `selections` pick the parts."""

    place: Place
    platform: tuple[tuple[str, str], ...]
    lifecycle: Lifecycle | None
    selections: tuple[str, ...] = ("all",)
    artifacts: tuple[Artifact, ...] = ()
    name: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Recipe:
    """`root` is the whole file, for whoever looks closer. `notes` are what was read although it should not be so."""

    file: Path
    root: Mapping
    name: str
    version: Version
    manifests: tuple[Manifest, ...]
    dependencies: tuple[Dependency, ...] = ()
    defaults: Mapping | None = None
    global_lifecycle: Mapping | None = None
    notes: tuple[str, ...] = ()

    @property
    def place(self) -> Place:
        return (self.root.key("ComponentName") or self.root).place

    def lifecycle_of(self, manifest: Manifest) -> Lifecycle:
        """The manifest's own, else what its selections pick of the global one. Raises DocumentError."""
        if manifest.lifecycle is not None:
            return manifest.lifecycle
        if self.global_lifecycle is None:
            return Lifecycle(manifest.place)
        return _Reader(self.file, []).lifecycle(_selected(self.global_lifecycle, manifest.selections))


def read_recipe(path: Path, flavour: Flavour | None = None) -> Recipe:
    """`flavour` None: what both nuclei read. Raises DocumentError, `file:line: what`, for anything else."""
    root = read_document(path)
    if flavour is not JAVA:
        size = path.stat().st_size
        if size > LITE_SIZE_LIMIT_BYTES:
            limit = f"nucleus lite reads {LITE_SIZE_LIMIT_BYTES}"
            raise DocumentError(root.place, f"recipe of {size} bytes; {limit}")
    return recipe_of(root, path, flavour)


def recipe_of(root: Mapping, path: Path, flavour: Flavour | None = None) -> Recipe:
    """As `read_recipe`, of a document that was read already."""
    notes: list[str] = []
    return _Reader(path, notes, any_case=flavour is JAVA, flavour=flavour).recipe(root)


def _selected(node: Mapping, selections: tuple[str, ...]) -> Mapping:
    """Wherever a mapping has a selected key, its value stands for the mapping (the first selection that is there)."""
    chosen = next((picked for name in selections if (picked := node.get(name)) is not None), None)
    if isinstance(chosen, Mapping):
        return chosen
    return Mapping(
        node.place,
        tuple((key, _picked(value, selections)) for key, value in node.entries),
    )


def _picked(node: Node, selections: tuple[str, ...]) -> Node:
    if not isinstance(node, Mapping):
        return node
    chosen = next((picked for name in selections if (picked := node.get(name)) is not None), None)
    return chosen if chosen is not None else node


@dataclasses.dataclass(slots=True)
class _Reader:
    file: Path
    notes: list[str]
    any_case: bool = False
    flavour: Flavour | None = None

    def recipe(self, root: Mapping) -> Recipe:
        parts = self._parts(root, TOP_KEYS, "recipe")
        self._required(parts, ("RecipeFormatVersion", "ComponentName", "ComponentVersion"), root)
        word_of(parts["RecipeFormatVersion"], "RecipeFormatVersion", (FORMAT_VERSION,))
        if "ComponentType" in parts:
            word_of(
                parts["ComponentType"],
                "ComponentType",
                COMPONENT_TYPES[:1] if self.flavour is LITE else COMPONENT_TYPES,
            )
        whole = parts.get("Lifecycle")
        manifests = self._manifests(parts.get("Manifests"), root)
        recipe = Recipe(
            file=self.file,
            root=root,
            name=component_name(parts["ComponentName"]),
            version=_version(parts["ComponentVersion"]),
            manifests=manifests,
            dependencies=self._dependencies(parts.get("ComponentDependencies")),
            defaults=self._defaults(parts.get("ComponentConfiguration")),
            global_lifecycle=mapping_of(whole, "Lifecycle") if whole is not None else None,
        )
        for manifest in manifests:
            if manifest.lifecycle is None and recipe.global_lifecycle is not None:
                self.lifecycle(_selected(recipe.global_lifecycle, manifest.selections))
        return dataclasses.replace(recipe, notes=tuple(self.notes))

    def _defaults(self, node: Node | None) -> Mapping | None:
        if node is None:
            return None
        parts = self._parts(
            mapping_of(node, "ComponentConfiguration"), ("DefaultConfiguration",), "ComponentConfiguration"
        )
        defaults = parts.get("DefaultConfiguration")
        return mapping_of(defaults, "DefaultConfiguration") if defaults is not None else None

    def _dependencies(self, node: Node | None) -> tuple[Dependency, ...]:
        if node is None:
            return ()
        return tuple(self._dependency(key, part) for key, part in mapping_of(node, "ComponentDependencies"))

    def _dependency(self, key: Scalar, node: Node) -> Dependency:
        name = component_name(key)
        mapping = mapping_of(node, name)
        parts = self._parts(mapping, ("VersionRequirement", "DependencyType"), name)
        if "VersionRequirement" not in parts:
            raise DocumentError(key.place, f"{name}: VersionRequirement is missing")
        requirement = parts["VersionRequirement"]
        kind: Kind = "HARD"
        if "DependencyType" in parts:
            word = word_of(parts["DependencyType"], "DependencyType", ("HARD", "SOFT"))
            kind = "SOFT" if word == "SOFT" else "HARD"
        return Dependency(key.place, name, version_range(requirement), kind)

    def _manifests(self, node: Node | None, root: Mapping) -> tuple[Manifest, ...]:
        if node is None:
            return (
                Manifest(root.place, (), None),
            )  # Java: a recipe of a global life cycle alone is for every platform
        return tuple(self._manifest(item) for item in sequence_of(node, "Manifests").items)

    def _manifest(self, node: Node) -> Manifest:
        parts = self._parts(mapping_of(node, "Manifests"), MANIFEST_KEYS, "Manifests")
        lifecycle = parts.get("Lifecycle")
        artifacts = parts.get("Artifacts")
        selections = parts.get("Selections")
        platform = parts.get("Platform")
        return Manifest(
            place=node.place,
            platform=self._texts(platform, "Platform") if platform is not None else (),
            lifecycle=self.lifecycle(mapping_of(lifecycle, "Lifecycle")) if lifecycle is not None else None,
            selections=tuple(text_of(item, "Selections") for item in sequence_of(selections, "Selections").items)
            if selections is not None
            else ("all",),
            artifacts=tuple(self._artifact(item) for item in sequence_of(artifacts, "Artifacts").items)
            if artifacts is not None
            else (),
            name=text_of(parts["Name"], "Name") if "Name" in parts else "",
        )

    def _artifact(self, node: Node) -> Artifact:
        parts = self._parts(mapping_of(node, "Artifacts"), ARTIFACT_KEYS, "Artifacts")
        if "Uri" not in parts:
            raise DocumentError(node.place, "Artifacts: Uri is missing")
        if "Algorithm" in parts:
            word_of(parts["Algorithm"], "Algorithm", ("SHA-256",))
        permission = self._parts(
            mapping_of(parts["Permission"], "Permission") if "Permission" in parts else Mapping(node.place, ()),
            ("Read", "Execute"),
            "Permission",
        )
        artifact = Artifact(
            place=node.place,
            uri=text_of(parts["Uri"], "Uri"),
            unzip=word_of(parts["Unarchive"], "Unarchive", ("NONE", "ZIP")) == "ZIP" if "Unarchive" in parts else False,
            read=_access(permission.get("Read"), "Read", "OWNER"),
            execute=_access(permission.get("Execute"), "Execute", "NONE"),
            digest=text_of(parts["Digest"], "Digest") if "Digest" in parts else None,
        )
        if artifact.file_name in ("", ".", ".."):
            raise DocumentError(parts["Uri"].place, f"Uri: {artifact.uri} names no file")
        return artifact

    def lifecycle(self, node: Mapping) -> Lifecycle:
        parts = self._parts(node, ("Setenv", *STEPS), "Lifecycle")
        steps = [self._step(name, parts[name]) for name in STEPS if name in parts]
        if "run" in parts and "startup" in parts:
            raise DocumentError(parts["startup"].place, "Lifecycle: run and startup exclude each other")
        if self.flavour is LITE:
            self.notes += [f"{s.place}: {s.name}: nucleus lite ignores it" for s in steps if s.name not in LITE_STEPS]
        setenv = self._texts(parts["Setenv"], "Setenv") if "Setenv" in parts else ()
        return Lifecycle(node.place, tuple(steps), setenv)

    def _step(self, name: StepName, node: Node) -> Step:
        if isinstance(node, Scalar):
            return Step(node.place, name, text_of(node, name))
        known = (*STEP_KEYS, "BootstrapOnRollback") if name == "bootstrap" else STEP_KEYS
        parts = self._parts(mapping_of(node, name), known, name)
        if "Script" not in parts:
            raise DocumentError(node.place, f"{name}: Script is missing")
        if "BootstrapOnRollback" in parts:
            flag_of(parts["BootstrapOnRollback"], "BootstrapOnRollback")
        if "Skipif" in parts and self.flavour is LITE:
            self.notes.append(f"{parts['Skipif'].place}: Skipif: nucleus lite ignores it")
        return Step(
            place=node.place,
            name=name,
            script=text_of(parts["Script"], "Script"),
            timeout=_timeout(parts["Timeout"]) if "Timeout" in parts else None,
            requires_privilege=flag_of(parts["RequiresPrivilege"], "RequiresPrivilege")
            if "RequiresPrivilege" in parts
            else False,
            skip_if=_skip_if(parts["Skipif"]) if "Skipif" in parts else None,
            setenv=self._texts(parts["Setenv"], "Setenv") if "Setenv" in parts else (),
        )

    # -- keys ------------------------------------------------------------------------------------------------------

    def _parts(self, node: Mapping, known: Iterable[str], where: str) -> dict[str, Node]:
        """The nodes by documented key. Raises DocumentError for any other key, or for another casing."""
        names = tuple(known)
        parts: dict[str, Node] = {}
        for key, value in node:
            name = key.text
            if name not in names:
                name = self._other_case(key, names, where)
            if name in parts:
                raise DocumentError(key.place, f"{where}: {key.text} and another spelling of it are both given")
            parts[name] = value
        return parts

    def _other_case(self, key: Scalar, names: tuple[str, ...], where: str) -> str:
        if self.any_case:
            same = [name for name in names if name.lower() == key.text.lower()]
            if same:
                self.notes.append(f"{key.place}: {key.text}: spelt {same[0]}; nucleus lite would not read it")
                return same[0]
        raise unknown_key(key, names, where)

    def _required(self, parts: dict[str, Node], names: Iterable[str], root: Mapping) -> None:
        for name in names:
            if name not in parts:
                raise DocumentError(root.place, f"{name} is missing")

    def _texts(self, node: Node, what: str) -> tuple[tuple[str, str], ...]:
        return tuple((key.text, text_of(value, f"{what} {key.text}")) for key, value in mapping_of(node, what))


def component_name(node: Node) -> str:
    """Raises DocumentError for what no component can be called."""
    name = text_of(node, "component name")
    if not _NAME.match(name) or len(name) > NAME_LIMIT or name in (".", ".."):
        raise DocumentError(node.place, f"{name!r} is no component name: letters, digits, - _ . ; at most {NAME_LIMIT}")
    return name


def version_range(node: Node) -> Range:
    try:
        return Range.parse(text_of(node, "VersionRequirement"))
    except ValueError as error:
        raise DocumentError(node.place, str(error)) from error


def _version(node: Node) -> Version:
    try:
        return Version.parse(text_of(node, "ComponentVersion"))
    except ValueError as error:
        raise DocumentError(node.place, str(error)) from error


def _access(node: Node | None, what: str, default: Access) -> Access:
    if node is None:
        return default
    match word_of(node, what, ("OWNER", "NONE", "ALL")):
        case "OWNER":
            return "OWNER"
        case "ALL":
            return "ALL"
        case _:
            return "NONE"


def _timeout(node: Node) -> str:
    text = text_of(node, "Timeout")
    if not _SECONDS.match(text) and not _VARIABLE.match(text):
        raise DocumentError(node.place, f"Timeout: expected whole seconds, found {found(node)}")
    return text


def _skip_if(node: Node) -> str:
    text = text_of(node, "Skipif")
    if text.partition(" ")[0] not in ("onpath", "exists") or not text.partition(" ")[2].strip():
        raise DocumentError(node.place, f'Skipif: {text!r} is neither "onpath PROGRAM" nor "exists FILE"')
    return text
