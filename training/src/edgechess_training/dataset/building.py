"""`edgechess dataset build`: games in, a dataset folder out, on all processors, going on where it was stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec

from edgechess_training.dataset.errors import DatasetError
from edgechess_training.dataset.folder import Summary
from edgechess_training.dataset.gathering import Plan, gather
from edgechess_training.dataset.parallel import in_order
from edgechess_training.dataset.pgn_files import RawGame, pgn_files, read_games
from edgechess_training.dataset.unit import UNIT_GAMES, Recipe, Report, digest
from edgechess_training.dataset.work_folder import WorkFolder, source_of


class Progress(msgspec.Struct, frozen=True):
    """`read_bytes` of `total_bytes` of stored files; what has become of their games so far."""

    read_bytes: int
    total_bytes: int
    report: Report


Watch = Callable[[Progress], None]
Unit = tuple[int, list[RawGame]]
"""Number of its first game in the whole build, games."""


def build(
    sources: Sequence[Path],
    target: Path,
    recipe: Recipe,
    *,
    jobs: int = 0,
    licence: str = "unknown",
    watch: Watch = lambda progress: None,
) -> Summary:
    """`jobs` 0: one per processor. Raises DatasetError; KeyboardInterrupt leaves what the same call goes on from."""
    files = pgn_files(sources)
    plan = Plan(sources=tuple(source_of(path) for path in files), recipe=recipe, unit_games=UNIT_GAMES)
    work = WorkFolder(target, plan)
    total, whole, units = sum(source.bytes for source in plan.sources), Report(), 0
    read = _Read()
    for number in in_order(_units(files, read), partial(_make, work, recipe), work.has, jobs):
        whole.add(work.report(number, Report))
        units = max(units, number + 1)
        watch(Progress(read.bytes, total, whole))
    if whole.plies == 0:
        raise DatasetError(f"no move is left of {whole.games:,} games: {_why(whole)}")
    summary = gather(work, units, target, plan, whole, licence)
    work.remove()
    return summary


def _why(report: Report) -> str:
    reasons = [f"{count:,} left out by {why}" for why, count in sorted(report.dropped.items())]
    first = f", the first: {report.malformed[0]}" if report.malformed else ""
    return ", ".join([*reasons, f"{report.malformed_games:,} malformed{first}"])


class _Read:
    """How far the reader is, in stored bytes."""

    def __init__(self) -> None:
        self._before = 0
        self._current = 0

    @property
    def bytes(self) -> int:
        return self._before + self._current

    def at(self, stored_bytes: int) -> None:
        self._current = stored_bytes

    def file_done(self) -> None:
        self._before, self._current = self.bytes, 0


def _units(files: Iterable[Path], read: _Read) -> Iterator[Unit]:
    first, gathered = 0, list[RawGame]()
    for path in files:
        for game in read_games(path, read.at):
            gathered.append(game)
            if len(gathered) == UNIT_GAMES:
                yield first, gathered
                first, gathered = first + UNIT_GAMES, []
        read.file_done()
    if gathered:
        yield first, gathered


def _make(work: WorkFolder, recipe: Recipe, number: int, unit: Unit) -> None:
    first, games = unit
    part = digest(first, games, recipe)
    arrays = {"positions": part.positions, "keys": part.keys, "games": part.games}
    work.put(number, arrays, part.report, part.lines)
