"""The text of a component's recipe, written from its settings, its topics and the topic table.

What must agree with the code is never typed twice: the defaults and their explanations are those of the component's
settings, the policies follow from what it says and hears. The files under recipes/ are this text; a test compares.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any

import msgspec

from edgechess_cli.component_catalogue import FOR_TESTS, KIT_SETTINGS, NAME_PREFIX, Room, camel
from edgechess_cli.recipe_rights import access_control
from edgechess_kit.topics import PREFIX, Topics
from edgechess_nucleus.recipe import FORMAT_VERSION

INSTALL_TIMEOUT_S = 600  # numpy alone takes half a minute from the card of a small computer
PLACEHOLDER_BUCKET = "BUCKET_NAME"  # GDK's own word
HEAD = "# Written by `edgechess recipes write` from the component's settings and topics: change those, then write it again."


@dataclasses.dataclass(frozen=True, slots=True)
class Built:
    """One artifact: `architecture` in Greengrass' words; `digest` base64 of its SHA-256, where it is built already."""

    architecture: str
    digest: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Naming:
    """What differs between owners: first part of component names, first part of topics, and the artifacts' bucket."""

    component_prefix: str = NAME_PREFIX
    topic_prefix: str = PREFIX
    bucket: str = PLACEHOLDER_BUCKET

    def component(self, room: Room) -> str:
        return f"{self.component_prefix}.{room.short}"


BOTH = (Built("amd64"), Built("aarch64"))


def artifact_stem(room: Room, architecture: str) -> str:
    return f"{room.short}-{architecture}"


def recipe_text(
    room: Room, naming: Naming = Naming(), component_version: str = "", built: Sequence[Built] = BOTH
) -> str:
    """`component_version` empty: that of the installed distribution."""
    release = component_version or version(room.distribution)
    component = naming.component(room)
    lines = [
        HEAD,
        f'RecipeFormatVersion: "{FORMAT_VERSION}"',
        f"ComponentName: {component}",
        f'ComponentVersion: "{release}"',
        "ComponentType: aws.greengrass.generic",
        f"ComponentDescription: {json.dumps(room.description)}",
        "ComponentPublisher: edgechess",
        "ComponentConfiguration:",
        "  DefaultConfiguration:",
        *_settings(room.settings(), "    "),
        *_kit_settings(naming),
        "    accessControl:",
        *_access(access_control(room, component, Topics(naming.topic_prefix)), "      "),
        "Manifests:",
    ]
    for one in built:
        lines += _manifest(room, one, f"s3://{naming.bucket}/{component}/{release}")
    return "\n".join(lines) + "\n"


# -- configuration -------------------------------------------------------------------------------------------------


def default_of(field: Any) -> Any:
    """A setting's default as JSON values, keys of inner settings spelled as in recipes; None: there is none to write."""
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return _plain(msgspec.to_builtins(value), value)


def _plain(built: Any, value: Any) -> Any:
    """Members without a value are left out: nucleus lite makes an empty text of null."""
    match value:
        case msgspec.Struct():
            pairs = ((name, built[name], getattr(value, name)) for name in value.__struct_fields__)
            return {camel(name): _plain(inner, own) for name, inner, own in pairs if inner is not None}
        case list() | tuple():
            return [_plain(inner, own) for inner, own in zip(built, value, strict=True)]
        case _:
            return built


def written_fields(kind: type[msgspec.Struct]) -> list[Any]:
    """The fields that a recipe has: all but those that serve tests, and those whose default is no value at all."""
    return [
        field
        for field in msgspec.structs.fields(kind)
        if not field.name.startswith(FOR_TESTS) and not field.required and default_of(field) is not None
    ]


def _settings(kind: type[msgspec.Struct], indent: str, given: dict[str, Any] | None = None) -> Iterator[str]:
    for field in written_fields(kind):
        value = (given or {}).get(field.name, default_of(field))
        explanation = _explained(field.type)
        if explanation:
            yield f"{indent}# {explanation}"
        if isinstance(value, list) and value:
            yield f"{indent}{camel(field.name)}:"
            yield from (f"{indent}  - {json.dumps(item, ensure_ascii=False)}" for item in value)
        else:
            yield f"{indent}{camel(field.name)}: {json.dumps(value, ensure_ascii=False)}"


def _kit_settings(naming: Naming) -> Iterator[str]:
    given = {"bus": {"prefix": naming.topic_prefix}}
    for section, kind in KIT_SETTINGS.items():
        yield f"    {section}:"
        yield from _settings(kind, "      ", given.get(section))


def _explained(kind: Any) -> str:
    metas = [meta for meta in getattr(kind, "__metadata__", ()) if isinstance(meta, msgspec.Meta)]
    return next((meta.description for meta in metas if meta.description), "")


def _access(tree: dict[str, dict[str, dict[str, Any]]], indent: str) -> Iterator[str]:
    for service, policies in tree.items():
        yield f"{indent}{service}:"
        for name, policy in policies.items():
            yield f"{indent}  {name}:"
            yield f"{indent}    policyDescription: {policy['policyDescription']}"
            yield f"{indent}    operations: {json.dumps(policy['operations'])}"
            yield f"{indent}    resources:"
            yield from (f"{indent}      - {json.dumps(resource)}" for resource in policy["resources"])


# -- manifests -----------------------------------------------------------------------------------------------------


def _manifest(room: Room, built: Built, folder: str) -> Iterator[str]:
    stem = artifact_stem(room, built.architecture)
    install = f"sh '{{artifacts:decompressedPath}}/{stem}/install.sh' '{{work:path}}'"
    yield f"  - Name: Linux {built.architecture}"
    yield "    Platform:"
    yield "      os: linux"
    yield f"      architecture: {built.architecture}"
    yield '      runtime: "*"'
    yield "    Artifacts:"
    yield f"      - Uri: {folder}/{stem}.zip"
    yield "        Unarchive: ZIP"
    if built.digest:
        yield f"        Digest: {json.dumps(built.digest)}"
        yield "        Algorithm: SHA-256"
    yield "    Lifecycle:"
    yield "      install:"
    yield "        # makes {work:path}/venv from what the artifact brings, and reaches for no index"
    yield f"        Script: {install}"
    yield f"        Timeout: {INSTALL_TIMEOUT_S}"
    yield from _script("run", [
        "cd '{work:path}'",
        "echo $$ > run.pid",
        f"exec venv/bin/python -m {room.package}",
    ])  # fmt: skip
    yield "      # Greengrass itself would kill it five seconds after its first word"
    yield from _script("shutdown", [
        f"pid=$(cat '{{work:path}}/run.pid') && grep -qsa {room.package} \"/proc/$pid/cmdline\" || exit 0",
        'kill -TERM "$pid"',
        f'while grep -qsa {room.package} "/proc/$pid/cmdline"; do sleep 0.2; done',
    ], room.shutdown_s)  # fmt: skip
    yield "      # after an error, before it is started again: what a power cut left half installed is installed anew"
    yield from _script("recover", [
        f"'{{work:path}}/venv/bin/python' -c 'import edgechess_kit, {room.package}' && exit 0",
        "rm -rf '{work:path}/venv'",
        install,
    ], INSTALL_TIMEOUT_S)  # fmt: skip


def _script(step: str, lines: Sequence[str], timeout_s: int = 0) -> Iterator[str]:
    yield f"      {step}:"
    yield "        Script: |-"
    yield from (f"          {line}" for line in lines)
    if timeout_s:
        yield f"        Timeout: {timeout_s}"
