"""`edgechess dataset build`: games in, a dataset folder out, on all processors, going on where it was stopped."""

from __future__ import annotations

import collections
import hashlib
import multiprocessing
import multiprocessing.pool
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from edgechess_training.dataset.errors import DatasetError
from edgechess_training.dataset.folder import Summary
from edgechess_training.dataset.gathering import gather
from edgechess_training.dataset.pgn_files import RawGame, pgn_files, read_games
from edgechess_training.dataset.unit import UNIT_GAMES, Recipe, Report, digest
from edgechess_training.dataset.work_folder import Plan, Source, WorkFolder

READ_BYTES = 1 << 20
AHEAD = 2  # units that wait per worker: enough to keep all busy, few enough to stay small in memory


class Progress(msgspec.Struct, frozen=True):
    """`read_bytes` of `total_bytes` of stored files; what has become of their games so far."""

    read_bytes: int
    total_bytes: int
    report: Report


Watch = Callable[[Progress], None]
Unit = tuple[int, int, list[RawGame]]
"""Number of the unit, number of its first game, games."""


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
    plan = Plan(sources=tuple(_source(path) for path in files), recipe=recipe, unit_games=UNIT_GAMES)
    work = WorkFolder(target, plan)
    total, whole, units = sum(source.bytes for source in plan.sources), Report(), 0
    read = _Read()
    for number in _done(work, _units(files, read), recipe, jobs or os.cpu_count() or 1):
        whole.add(work.report(number))
        units = max(units, number + 1)
        watch(Progress(read.bytes, total, whole))
    summary = gather(work, units, target, plan, whole, licence)
    work.remove()
    return summary


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
    unit, first, gathered = 0, 0, list[RawGame]()
    for path in files:
        for game in read_games(path, read.at):
            gathered.append(game)
            if len(gathered) == UNIT_GAMES:
                yield unit, first, gathered
                unit, first, gathered = unit + 1, first + UNIT_GAMES, []
        read.file_done()
    if gathered:
        yield unit, first, gathered


def _done(work: WorkFolder, units: Iterable[Unit], recipe: Recipe, jobs: int) -> Iterator[int]:
    """Numbers of units whose parts are in the folder, in order."""
    if jobs <= 1:
        for unit in units:
            _make(work, recipe, unit)
            yield unit[0]
        return
    with multiprocessing.get_context("spawn").Pool(jobs, _leave_interrupts_to_the_parent) as pool:
        waiting = collections.deque[tuple[int, multiprocessing.pool.AsyncResult[None] | None]]()
        for unit in units:
            result = None if work.has(unit[0]) else pool.apply_async(_make, (work, recipe, unit))
            waiting.append((unit[0], result))
            while len(waiting) > AHEAD * jobs:
                yield _awaited(*waiting.popleft())
        while waiting:
            yield _awaited(*waiting.popleft())


def _awaited(number: int, result: multiprocessing.pool.AsyncResult[None] | None) -> int:
    if result is not None:
        result.get()
    return number


def _make(work: WorkFolder, recipe: Recipe, unit: Unit) -> None:
    number, first, games = unit
    if not work.has(number):
        work.put(number, digest(first, games, recipe))


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _source(path: Path) -> Source:
    digest_of = hashlib.sha256()
    try:
        with path.open("rb") as stored:
            while block := stored.read(READ_BYTES):
                digest_of.update(block)
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror or error}") from error
    return Source(name=path.name, bytes=path.stat().st_size, sha256=digest_of.hexdigest())
