"""Results on the disk as they come, one JSON line per task, so that the same command goes on where it was stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgechess_training.errors import TrainingError

FILE = "results.jsonl"


class Store:
    """One file. Its first line says what is being evaluated: all settings but the sizes, which may grow."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        """Takes up the file of the same settings, or begins it. Raises TrainingError, OSError."""
        self._path = folder / FILE
        self._kept: dict[tuple[str, int], Any] = {}
        folder.mkdir(parents=True, exist_ok=True)
        settings = json.loads(json.dumps(settings))
        if self._path.exists() and self._path.stat().st_size:
            self._read(settings)
        else:
            self._path.write_text(json.dumps(settings) + "\n", encoding="utf-8")

    def _read(self, settings: dict[str, Any]) -> None:
        text = self._path.read_text(encoding="utf-8")
        lines = text.splitlines()
        try:
            found = json.loads(lines[0])
            rows = [json.loads(line) for line in lines[1 : None if text.endswith("\n") else -1]]
            self._kept = {(row["section"], row["number"]): row["value"] for row in rows}
        except (ValueError, KeyError, TypeError) as error:
            raise TrainingError(
                f"{self._path} holds no results of an evaluation ({error}): name another --out"
            ) from error
        if found != settings:
            different = sorted(key for key in {*found, *settings} if found.get(key) != settings.get(key))
            was = ", ".join(f"{key} {found.get(key)}" for key in different)
            raise TrainingError(f"{self._path} holds another evaluation ({was}): name another --out")
        if not text.endswith("\n"):  # it was ended while it wrote
            self._path.write_text("".join(f"{line}\n" for line in lines[:-1]), encoding="utf-8")

    def add(self, section: str, number: int, value: Any) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"section": section, "number": number, "value": value}) + "\n")
        self._kept[section, number] = value

    def has(self, section: str, number: int) -> bool:
        return (section, number) in self._kept

    def values(self, section: str) -> dict[int, Any]:
        """By number, in their order."""
        return {number: self._kept[name, number] for name, number in sorted(self._kept) if name == section}
