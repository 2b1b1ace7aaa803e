"""Where a match lives on disk: settings of its components, their journals and logs, the PGN."""

from __future__ import annotations

import dataclasses
import json
import os
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgechess_kit.clock import SystemClock
from edgechess_kit.journal import SqliteJournal

COMPONENTS = ("board-sensor", "arm-controller", "game-manager", "match-director")


def state_home() -> Path:
    """`$EDGECHESS_STATE`, else `$XDG_STATE_HOME/edgechess`, else `~/.local/state/edgechess`."""
    named = os.environ.get("EDGECHESS_STATE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "edgechess"


@dataclasses.dataclass(frozen=True, slots=True)
class MatchFolder:
    """One match. Nothing in it is secret; deleting it forgets the match."""

    path: Path

    @classmethod
    def create(cls) -> MatchFolder:
        """A new one, named by the present time. Raises OSError when it cannot be made."""
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:4]}"
        folder = cls(state_home() / "matches" / name)
        for part in ("config", "journal", "logs"):
            (folder.path / part).mkdir(parents=True, exist_ok=True)
        return folder

    def config(self, component: str) -> Path:
        return self.path / "config" / f"{component}.toml"

    def journal(self, component: str) -> Path:
        return self.path / "journal" / f"{component}.sqlite"

    def log(self, component: str) -> Path:
        return self.path / "logs" / f"{component}.log"

    @property
    def pgn(self) -> Path:
        return self.path / "match.pgn"

    @property
    def options(self) -> Path:
        return self.path / "match.json"

    @property
    def world(self) -> Path:
        """The software table as it was left, so that a match goes on where it stood."""
        return self.path / "table.json"

    def last_confirmed_fen(self) -> str | None:
        """The position after the last confirmed move, None before the first. Raises JournalError."""
        path = self.journal("match-director")
        if not path.is_file():
            return None
        reader = SqliteJournal.read_only(path, SystemClock())
        try:
            entry = reader.last(kind="confirmed")
        finally:
            reader.close()
        return None if entry is None else str(entry.data["fen"])


def write_toml(path: Path, tables: Mapping[str, Mapping[str, Any]]) -> None:
    """Plain tables of scalars, arrays and inline tables. JSON's strings are TOML's basic strings."""
    lines = []
    for name, table in tables.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {_toml(value)}" for key, value in table.items() if value is not None]
        lines.append("")
    path.write_text("\n".join(lines), encoding="utf-8")


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, int | float):
        return repr(value)
    return json.dumps(str(value))


def past_matches() -> list[MatchFolder]:
    """Newest first."""
    root = state_home() / "matches"
    if not root.is_dir():
        return []
    folders = [path for path in root.iterdir() if (path / "journal").is_dir()]
    return [MatchFolder(path) for path in sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True)]
