"""What the runtime remembers from one start to the next: `config/state.json` under its root.

Configurations are kept with the times of their leaves: what a component or a deployment wrote must stay newer than
what a recipe's defaults say.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from edgechess_nucleus.errors import NucleusError

FORMAT = 1


class StateError(NucleusError):
    """The file cannot be read or written; the text names it and what helps."""


@dataclasses.dataclass(frozen=True, slots=True)
class KeptComponent:
    """`configuration` is `Configuration.stamped`; `bootstrapped`: this version's bootstrap script has succeeded."""

    version: str
    configuration: Mapping[str, Any]
    bootstrapped: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class KeptState:
    """`deployment` is the fingerprint of the last one: the same again is a restart, and changes no configuration."""

    deployment: str = ""
    components: Mapping[str, KeptComponent] = dataclasses.field(default_factory=dict)


class _File(msgspec.Struct, forbid_unknown_fields=True):
    format: int
    deployment: str
    components: dict[str, KeptComponent]


def read_state(path: Path) -> KeptState:
    """Nothing kept yet: the empty state. Raises StateError."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return KeptState()
    except OSError as error:
        raise StateError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        file = msgspec.json.decode(raw, type=_File)
    except msgspec.DecodeError as error:
        raise StateError(f"{path}: {error}: delete it to begin with an empty state") from error
    if file.format != FORMAT:
        raise StateError(f"{path}: format {file.format}, and this runtime knows {FORMAT}: choose another root folder")
    return KeptState(file.deployment, file.components)


def write_state(path: Path, state: KeptState) -> None:
    """Whole or not at all, also when the power goes. Raises StateError."""
    text = json.dumps({"format": FORMAT, **dataclasses.asdict(state)}, indent=1, default=dict)
    fresh = path.with_name(f".{path.name}.new")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise StateError(f"{path}: cannot be written: {error.strerror}") from error
