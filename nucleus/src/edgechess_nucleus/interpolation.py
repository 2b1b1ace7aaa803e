"""Recipe variables: `{configuration:/pointer}`, `{artifacts:path}`, `{work:path}`, `{iot:thingName}` and their kin.

Source: reference "greengrass-recipes". A variable that nobody knows stays as it is written, as on both nuclei; whoever
runs the script is told, because a shell will make something unwanted of it.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgechess_nucleus.configuration import Configuration, ConfigurationError, parse_pointer

_NAME = r"[a-zA-Z0-9-_.]+"
VARIABLE = re.compile(rf"\{{(?:({_NAME}):)?(configuration|artifacts|work|kernel|iot):([^{{}}:\s]+)\}}")


@dataclasses.dataclass(frozen=True, slots=True)
class ComponentPaths:
    """Absolute paths of one deployed component."""

    artifacts: Path
    unarchived: Path
    work: Path


@dataclasses.dataclass(frozen=True, slots=True)
class Variables:
    """What one component's variables stand for.

    `dependencies` are those it names in its recipe, the only ones whose `{name:…}` it may use; empty under lite, which
    has no such variables. `work_slash`: under lite `{work:path}` ends with a slash.
    """

    configuration: Configuration
    paths: ComponentPaths
    root: Path
    thing_name: str
    dependencies: Mapping[str, tuple[Configuration, ComponentPaths]]
    work_slash: bool = False

    def fill(self, text: str) -> Filled:
        """The text with every known variable replaced, once: what a value brings in is not looked into again."""
        unknown: list[str] = []

        def value(match: re.Match[str]) -> str:
            found = self._value(match[1], match[2], match[3])
            if found is None:
                unknown.append(match[0])
                return match[0]
            return found

        return Filled(VARIABLE.sub(value, text), tuple(unknown))

    def _value(self, component: str | None, space: str, key: str) -> str | None:
        configuration, paths = self.configuration, self.paths
        if component is not None:
            if component not in self.dependencies or space not in ("configuration", "artifacts"):
                return None
            configuration, paths = self.dependencies[component]
        known: dict[tuple[str, str], Callable[[], str]] = {
            ("artifacts", "path"): lambda: str(paths.artifacts),
            ("artifacts", "decompressedPath"): lambda: str(paths.unarchived),
            ("work", "path"): lambda: f"{paths.work}/" if self.work_slash else str(paths.work),
            ("kernel", "rootPath"): lambda: str(self.root),
            ("iot", "thingName"): lambda: self.thing_name,
        }
        if space == "configuration":
            return _configured(configuration, key)
        give = known.get((space, key))
        return give() if give is not None else None


@dataclasses.dataclass(frozen=True, slots=True)
class Filled:
    """`unknown` are the variables that stayed as text, as written."""

    text: str
    unknown: tuple[str, ...] = ()


def _configured(configuration: Configuration, pointer: str) -> str | None:
    try:
        return as_text(configuration.get(parse_pointer(pointer)))
    except (KeyError, ConfigurationError):
        return None


def as_text(value: Any) -> str:
    """How a value of the configuration reads inside a script: text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
