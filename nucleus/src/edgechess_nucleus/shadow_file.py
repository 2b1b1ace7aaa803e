"""Shadows outlive the runtime: one JSON file, replaced as a whole after each change.

A change is on disk before its answer goes out. Shadows are small (8 KiB each) and change at most 200 times a second.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from edgechess_nucleus.errors import NucleusError


class ShadowFileError(NucleusError):
    """The file cannot be read or written; the text names it."""


def read_shadows(path: Path) -> Mapping[str, Any]:
    """What `write_shadows` wrote; nothing when there is no file. Raises ShadowFileError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ShadowFileError(f"{path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise ShadowFileError(f"{path}: no shadows in it: {error}; move it away to start without") from error


def write_shadows(path: Path, shadows: Mapping[str, Any]) -> None:
    """Whole or not at all. Raises OSError."""
    beside = path.with_suffix(".new")
    with beside.open("wb") as file:
        file.write(msgspec.json.encode(shadows))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
