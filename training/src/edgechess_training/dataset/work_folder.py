"""Where a build keeps its parts until it is whole: what is there need not be made again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from edgechess_training.dataset.bitboards import Keys
from edgechess_training.dataset.errors import DatasetError
from edgechess_training.dataset.unit import GAME, Part, Recipe, Report
from edgechess_training.positions import POSITION, Positions

NAME = ".building"
PLAN = "plan.json"


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One file that games come from. `sha256` is of the file as it lies on disk."""

    name: str
    bytes: int
    sha256: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a build makes of what. Parts of another plan are of no use."""

    sources: tuple[Source, ...]
    recipe: Recipe
    unit_games: int
    version: int = 1  # of the parts' form


class WorkFolder:
    """Part N is three arrays, perhaps lines, and a report that is written last: with it the part is there."""

    def __init__(self, target: Path, plan: Plan) -> None:
        """Goes on with what is there, if it is this plan's. Raises DatasetError where `target` holds something else."""
        self.path = target / NAME
        text = msgspec.json.encode(plan)
        stored = self.path / PLAN
        if stored.is_file() and stored.read_bytes() != text:
            shutil.rmtree(self.path)
        if not self.path.is_dir() and target.is_dir() and any(target.iterdir()):
            raise DatasetError(f"{target} is not empty: name another folder, or remove it")
        self.path.mkdir(parents=True, exist_ok=True)
        _write(stored, text)

    def has(self, number: int) -> bool:
        return self._file(number, "json").is_file()

    def put(self, number: int, part: Part) -> None:
        for name, array in (("positions", part.positions), ("keys", part.keys), ("games", part.games)):
            np.save(self._file(number, f"{name}.npy"), array)
        if part.lines:
            self._file(number, "jsonl").write_text("\n".join(part.lines) + "\n", encoding="utf-8")
        _write(self._file(number, "json"), msgspec.json.encode(part.report))

    def report(self, number: int) -> Report:
        return msgspec.json.decode(self._file(number, "json").read_bytes(), type=Report)

    def positions(self, number: int) -> Positions:
        found: Positions = np.load(self._file(number, "positions.npy"))
        assert found.dtype == POSITION
        return found

    def keys(self, number: int) -> Keys:
        found: Keys = np.load(self._file(number, "keys.npy"))
        return found

    def games(self, number: int) -> np.ndarray[tuple[int], np.dtype[np.void]]:
        found: np.ndarray[tuple[int], np.dtype[np.void]] = np.load(self._file(number, "games.npy"))
        assert found.dtype == GAME
        return found

    def lines(self, number: int) -> Iterator[str]:
        """As many as the part has positions; none where no records were asked for."""
        path = self._file(number, "jsonl")
        if path.is_file():
            with path.open(encoding="utf-8") as lines:
                yield from lines

    def remove(self) -> None:
        shutil.rmtree(self.path)

    def _file(self, number: int, ending: str) -> Path:
        return self.path / f"{number:06d}.{ending}"


def _write(path: Path, content: bytes) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(content)
    fresh.replace(path)
