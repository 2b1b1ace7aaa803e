"""Results of trials on the disk: one JSON line per chunk, so that a run that was ended goes on where it stood."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from edgechess_cli.trials_plan import Chunk, MoveClass
from edgechess_cli.trials_table import ChunkResult, Trial
from edgechess_twin.arm_device import Kind


class OtherRun(ValueError):
    """The file holds results of something else; the text says of what."""


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """One chunk that is done."""

    name: str
    point: str
    kind: Kind
    cpu_s: float
    result: ChunkResult


class Store:
    """One file. The first line says what run it is of."""

    def __init__(self, path: Path, run: dict[str, Any]) -> None:
        """Takes up a file of the same run, or begins it. Raises OtherRun, or OSError."""
        self._path = path
        self.kept: dict[str, Kept] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size:
            self._read(run)
        else:
            path.write_text(json.dumps(run) + "\n", encoding="utf-8")

    def _read(self, run: dict[str, Any]) -> None:
        lines = self._path.read_text(encoding="utf-8").splitlines()
        try:
            found = json.loads(lines[0])
            for line in lines[1:]:
                data = json.loads(line)
                kept = _kept(data)
                self.kept[kept.name] = kept
        except (ValueError, KeyError, TypeError) as error:
            raise OtherRun(f"{self._path}: not results of trials ({error}); --fresh begins anew") from error
        if found != run:
            different = sorted(key for key in {*found, *run} if found.get(key) != run.get(key))
            was = ", ".join(f"{key} {found.get(key)}" for key in different)
            raise OtherRun(f"{self._path} holds another run ({was}): --results names another file, --fresh begins anew")

    def add(self, chunk: Chunk, result: ChunkResult, cpu_s: float) -> None:
        """Written whole: a run may be ended at any time."""
        trials = [[getattr(trial, name) for name in _FIELDS] for trial in result.trials]
        line = {
            "chunk": chunk.name, "point": chunk.point, "kind": chunk.kind, "cpu_s": round(cpu_s, 3),
            "refused": result.refused, "trials": trials,
        }  # fmt: skip
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.kept[chunk.name] = Kept(chunk.name, chunk.point, chunk.kind, cpu_s, result)

    def trials(self, point: str, kind: Kind | None = None, move: MoveClass | None = None) -> list[Trial]:
        return [
            trial
            for kept in self.kept.values()
            if kept.point == point and kind in (None, kept.kind)
            for trial in kept.result.trials
            if move in (None, trial.kind)
        ]

    def refusals(self, point: str, kind: Kind) -> Iterator[str]:
        for kept in self.kept.values():
            if kept.point == point and kept.kind == kind and kept.result.refused:
                yield kept.result.refused


_FIELDS = tuple(field.name for field in dataclasses.fields(Trial))


def _kept(data: dict[str, Any]) -> Kept:
    trials = []
    for row in data["trials"]:
        fields = dict(zip(_FIELDS, row, strict=True))
        fields |= {name: tuple(fields[name]) for name in ("unnoticed", "causes")}
        trials.append(Trial(**fields))
    if data["kind"] not in get_args(Kind):
        raise ValueError(f"kind {data['kind']!r}")
    result = ChunkResult(tuple(trials), data["refused"])
    return Kept(data["chunk"], data["point"], data["kind"], data["cpu_s"], result)


def commit() -> str:
    """Of the tree that this command runs from; "unknown" outside of one, with "+" when it was changed since."""
    try:
        here = Path(__file__).resolve().parent
        head = _git(here, "rev-parse", "--short", "HEAD")
        return head + ("+" if _git(here, "status", "--porcelain", "--untracked-files=no", "--", ":/*.py") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()
