"""Settings of a component: from a file, the environment and flags, checked before anything is opened.

Later sources win: defaults in the type, then the Greengrass configuration, then the TOML file's `[section]`, then
`EDGECHESS_<SECTION>_<KEY>`, then `--set key=value`. A key may be written robot_enabled, robot-enabled or robotEnabled
(the AWS sample's way). Text is converted to the setting's type, so the "false" that Greengrass nucleus lite makes of a
YAML false is false.
"""

from __future__ import annotations

import logging
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from edgechess_kit.errors import SettingsError

T = TypeVar("T")

log = logging.getLogger(__name__)

ENVIRONMENT_PREFIX = "EDGECHESS_"

Probability = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


class BusSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[bus]`: where the broker is and how the link is protected."""

    broker: Annotated[
        str, msgspec.Meta(description="mqtt://host[:port], loopback only, or mqtts://host[:port]", min_length=1)
    ] = "mqtt://127.0.0.1:1883"
    prefix: Annotated[
        str, msgspec.Meta(description="first part of every topic", pattern=r"^[^+#\s$]+\Z", max_length=200)
    ] = "robo-chess"  # nucleus lite: a whole topic of 256 bytes at most
    ca_file: Annotated[str, msgspec.Meta(description="PEM of the broker's authority; empty: the system's")] = ""
    cert_file: Annotated[str, msgspec.Meta(description="PEM of this component's certificate")] = ""
    key_file: Annotated[str, msgspec.Meta(description="PEM of its private key")] = ""
    alpn: Annotated[
        str, msgspec.Meta(description="TLS application protocol; empty: AWS IoT Core's on port 443, else none")
    ] = ""
    client_id: Annotated[str, msgspec.Meta(description="MQTT client id; empty: prefix and component name")] = ""
    chaos_duplicate: Annotated[Probability, msgspec.Meta(description="deliveries doubled, for tests")] = 0.0
    chaos_delay: Annotated[Probability, msgspec.Meta(description="deliveries delayed, for tests")] = 0.0
    chaos_delay_max_s: Annotated[float, msgspec.Meta(ge=0.0, description="the longest such delay")] = 2.0
    chaos_seed: Annotated[int, msgspec.Meta(description="seed of doubling and delays")] = 0


class TransportSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[transport]`: what carries the messages of each side (`edgechess_kit.topics.SIDES`)."""

    cloud: Annotated[
        Literal["auto", "mqtt", "pubsub", "iot-core"],
        msgspec.Meta(description="cloud/…; auto: iot-core on a Greengrass core, else mqtt"),
    ] = "auto"
    devices: Annotated[
        Literal["auto", "mqtt", "pubsub"],
        msgspec.Meta(description="devices/…; auto: pubsub on a Greengrass core, else mqtt"),
    ] = "auto"
    edge: Annotated[
        Literal["auto", "mqtt", "pubsub"],
        msgspec.Meta(description="edge/… and inference/…; auto: pubsub on a Greengrass core, else mqtt"),
    ] = "auto"
    bridged: Annotated[
        bool, msgspec.Meta(description="an MQTT bridge, which drops retained messages, is between us and the others")
    ] = False


class JournalSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[journal]`: where the component keeps what it must still know after a crash."""

    path: Annotated[str, msgspec.Meta(description='file, or ":memory:"; empty: <component>.journal here')] = ""


def load(
    kind: type[T],
    *,
    section: str,
    file: Path | None = None,
    env: Mapping[str, str] | None = None,
    flags: Mapping[str, str] | None = None,
    deployed: Mapping[str, Any] | None = None,
) -> T:
    """Settings of type `kind`, a msgspec struct. `env` None: the process's environment. `flags` are of this section.

    `deployed` is what the Greengrass configuration says. A key there that we do not know is logged and passed over: a
    core keeps those of older versions of a component until a deployment resets them.

    Raises SettingsError naming the key and its source: unknown, missing, of the wrong type, out of range, or a file
    that cannot be read.
    """
    fields = {field.name: field for field in msgspec.structs.fields(kind)}  # type: ignore[arg-type]
    names = {_folded(name): name for name in fields}
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for key, value in (deployed or {}).items():
        if _folded(key) not in names:
            log.warning("%s.%s (from the Greengrass configuration): no such setting; passed over", section, key)
        elif value is not None:
            name = names[_folded(key)]
            values[name], sources[name] = value, "the Greengrass configuration"
    for key, value, source in _given(section, file, os.environ if env is None else env, flags or {}):
        name = names.get(_folded(key), "")
        if not name:
            known = ", ".join(sorted(fields)) or "none"
            raise SettingsError(f"{section}.{key} (from {source}): no such setting; known are {known}")
        values[name], sources[name] = value, source
    for name, field in fields.items():
        if name in values:
            try:
                values[name] = _convert(values[name], field.type)
            except (msgspec.ValidationError, ValueError) as error:
                raise SettingsError(f"{section}.{name} (from {sources[name]}): {error}") from error
        elif field.required:
            raise SettingsError(
                f"{section}.{name} is missing: set it in [{section}] of the file, in the environment as"
                f" {_variable(section, name)}, or with --set {name}=…"
            )
    try:
        return kind(**values)
    except (ValueError, TypeError) as error:
        raise SettingsError(f"{section}: {error}") from error


def describe(kind: type[Any], section: str) -> list[str]:
    """One line for every setting: name, type, unit, default and what it is. For `--help`."""
    lines = []
    for field in msgspec.structs.fields(kind):
        if field.required:
            default = "required"
        elif field.default_factory is not msgspec.NODEFAULT:
            default = f"default {field.default_factory()!r}"
        else:
            default = f"default {field.default!r}"
        text = _description(field.type)
        unit = _unit(field.name)
        lines.append(
            f"  {section}.{field.name}: {_type_name(field.type)}{f' [{unit}]' if unit else ''}, {default}"
            f"{f'. {text}' if text else ''}"
        )
    return lines


def _given(
    section: str, file: Path | None, env: Mapping[str, str], flags: Mapping[str, str]
) -> Iterator[tuple[str, Any, str]]:
    if file is not None:
        table = _read(file).get(section, {})
        if not isinstance(table, dict):
            raise SettingsError(f"{section} (from {file}): expected a table [{section}]")
        for key, value in table.items():
            yield key, value, str(file)
    prefix = _variable(section, "")
    for variable in sorted(env):
        if variable.startswith(prefix):
            yield variable[len(prefix) :].lower(), env[variable], f"environment {variable}"
    for key, value in flags.items():
        yield key, value, f"--set {key}"


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: not TOML: {error}") from error


def _variable(section: str, name: str) -> str:
    return f"{ENVIRONMENT_PREFIX}{section}_{name}".upper().replace("-", "_")


def _folded(key: str) -> str:
    """Equal for robot_enabled, robot-enabled, robotEnabled and the robotenabled of a host that ignores case."""
    return key.replace("_", "").replace("-", "").lower()


def _convert(value: Any, kind: Any) -> Any:
    if isinstance(value, str) and _is_collection(kind):
        # a list in a flag or an environment variable: JSON, or words between commas
        value = msgspec.json.decode(value) if value.lstrip()[:1] in ("[", "{") else _words(value)
    return msgspec.convert(_named(value, msgspec.inspect.type_info(kind)), kind, strict=False, dec_hook=_special)


def _named(value: Any, info: msgspec.inspect.Type) -> Any:
    """The value with the keys of inner structs spelled as their fields are."""
    match _plain(info), value:
        case msgspec.inspect.StructType(fields=fields), dict():
            known = {_folded(field.name): field for field in fields}
            return {
                known[_folded(key)].encode_name if _folded(key) in known else key: (
                    _named(inner, known[_folded(key)].type) if _folded(key) in known else inner
                )
                for key, inner in value.items()
            }
        case msgspec.inspect.CollectionType(item_type=item) | msgspec.inspect.VarTupleType(item_type=item), list():
            return [_named(inner, item) for inner in value]
        case _:
            return value


def _words(value: str) -> list[str]:
    return [word.strip() for word in value.split(",") if word.strip()]


def _is_collection(kind: Any) -> bool:
    info = _plain(msgspec.inspect.type_info(kind))
    options = info.types if isinstance(info, msgspec.inspect.UnionType) else (info,)
    if any(isinstance(option, msgspec.inspect.StrType) for option in options):
        return False
    return any(
        isinstance(
            option,
            msgspec.inspect.CollectionType
            | msgspec.inspect.TupleType
            | msgspec.inspect.DictType
            | msgspec.inspect.StructType,
        )
        for option in options
    )


def _special(kind: type[Any], value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value).expanduser()
    raise ValueError(f"expected {kind.__name__}")


def _plain(info: msgspec.inspect.Type) -> msgspec.inspect.Type:
    while isinstance(info, msgspec.inspect.Metadata):
        info = info.type
    return info


def _description(kind: Any) -> str:
    for meta in getattr(kind, "__metadata__", ()):
        if isinstance(meta, msgspec.Meta) and meta.description:
            return meta.description
    return ""


def _type_name(kind: Any) -> str:
    kind = getattr(kind, "__origin__", kind) if hasattr(kind, "__metadata__") else kind
    if getattr(kind, "__origin__", None) is Literal:
        return " | ".join(str(value) for value in kind.__args__)
    return kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else str(kind)


# suffixes of names, longest first: the unit that a number is in
_UNITS = {
    "mm_s2": "mm/s²",
    "deg_s": "°/s",
    "mm_s": "mm/s",
    "bytes": "bytes",
    "deg": "°",
    "ms": "ms",
    "mm": "mm",
    "s": "s",
}


def _unit(name: str) -> str:
    return next((unit for suffix, unit in _UNITS.items() if name.endswith(f"_{suffix}")), "")
