"""The last step of a build: parts become one training file without repetitions and one evaluation file with every ply.

Memory: about twenty bytes per position of the build, and one part at a time.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgechess_training.dataset import folder as f
from edgechess_training.dataset.bitboards import Keys, keys
from edgechess_training.dataset.card import card
from edgechess_training.dataset.llm_records import write_template
from edgechess_training.dataset.statistics import Tally
from edgechess_training.dataset.unit import Recipe, Report
from edgechess_training.dataset.work_folder import Source, WorkFolder
from edgechess_training.positions import EVALUATION_FILE, POSITION, TRAIN_FILE

PARTITION = 1 << 23  # keys that are sorted at once: 200 MB with what sorting needs

Mask = NDArray[np.bool_]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a build makes of what."""

    sources: tuple[Source, ...]
    recipe: Recipe
    unit_games: int
    version: int = 1  # of the parts' form


def gather(work: WorkFolder, units: int, target: Path, plan: Plan, report: Report, licence: str) -> f.Summary:
    """Writes all files of `target` beside it first; `dataset.json` last of all."""
    first_times, held_out = _games(work, units, report.games)
    stored, trains, evaluates = _positions(work, units, first_times, held_out)
    if plan.recipe.unique != "none":
        trains &= first_of_each(stored, trains)
    named = _position_keys(work, units) if plan.recipe.unique == "move" else stored
    unseen = ~np.isin(named[evaluates], named[trains])
    np.save(work.path / f.UNSEEN_FILE, unseen)
    del stored, named
    statistics = _write(work, units, trains, evaluates)
    summary = f.Summary(
        made_by="edgechess dataset build",
        sources=[msgspec.to_builtins(source) for source in plan.sources],
        options=msgspec.to_builtins(plan.recipe),
        counts={
            "games_read": report.games,
            **{f"games_left_out_by_{why}": count for why, count in sorted(report.dropped.items())},
            "games_malformed": report.malformed_games,
            "games_kept": int(first_times.sum()),
            "games_repeated": report.kept - int(first_times.sum()),
            "games_evaluation": int((first_times & held_out).sum()),
            "plies_replayed": report.plies,
            "train_positions": int(trains.sum()),
            "evaluation_positions": int(evaluates.sum()),
            "evaluation_positions_unseen": int(unseen.sum()),
        },
        statistics=statistics,
        malformed=report.malformed,
        licence=licence,
    )
    for name in f.DATA_FILES:
        if (work.path / name).is_file():
            (work.path / name).replace(target / name)
    write_template(target, plan.recipe.records, plan.recipe.form)
    (target / f.CARD_FILE).write_text(card(summary), encoding="utf-8")
    f.write_summary(target, summary)
    return summary


def _games(work: WorkFolder, units: int, count: int) -> tuple[Mask, Mask]:
    """By number of the game: does it come for the first time, is it held out?"""
    first_times, held_out = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
    games = np.concatenate([work.array(unit, "games") for unit in range(units)])
    _, firsts = np.unique(games["key"], return_index=True)
    first_times[games["number"][firsts]] = True
    held_out[games["number"]] = games["evaluation"]
    return first_times, held_out


def _positions(work: WorkFolder, units: int, first_times: Mask, held_out: Mask) -> tuple[Keys, Mask, Mask]:
    """Of all positions: their keys, which may train, which evaluate."""
    stored, trains, evaluates = [], [], []
    for unit in range(units):
        games = work.array(unit, "positions")["game"]
        stored.append(work.array(unit, "keys"))
        trains.append(first_times[games] & ~held_out[games])
        evaluates.append(first_times[games] & held_out[games])
    return np.concatenate(stored), np.concatenate(trains), np.concatenate(evaluates)


def _position_keys(work: WorkFolder, units: int) -> Keys:
    """Of positions alone, where the parts name them with their moves: a position that was trained on is no unseen one, whatever
    was played there."""
    return np.concatenate([keys(work.array(unit, "positions")["record"]) for unit in range(units)])


def first_of_each(named: Keys, among: Mask) -> Mask:
    """Where a key stands for the first time. Keys are sorted a share at a time, by their highest bits."""
    bits = max(0, (len(named) // PARTITION).bit_length())
    shares = (named >> np.uint64(64 - bits)).astype(np.uint32) if bits else np.zeros(len(named), np.uint32)
    found = np.zeros(len(named), np.bool_)
    for share in range(1 << bits):
        places = np.flatnonzero(among & (shares == share))
        _, firsts = np.unique(named[places], return_index=True)
        found[places[firsts]] = True
    return found


def _write(work: WorkFolder, units: int, trains: Mask, evaluates: Mask) -> dict[str, Any]:
    """The data files, into the work folder. Returns statistics of the training positions."""
    tally, begin = Tally(), 0
    with ExitStack() as stack:
        sides = [
            _Side(stack, work.path, TRAIN_FILE, f.TRAIN_RECORDS, trains),
            _Side(stack, work.path, EVALUATION_FILE, f.EVALUATION_RECORDS, evaluates),
        ]
        for unit in range(units):
            positions = work.array(unit, "positions")
            span = slice(begin, begin + len(positions))
            tally.add(positions[trains[span]])
            for side in sides:
                side.add(positions, span)
            for number, line in enumerate(work.lines(unit), begin):
                for side in sides:
                    side.tell(number, line)
            begin = span.stop
    return tally.statistics()


class _Side:
    """One side of the split while it is written; its records' file is made by the first line."""

    def __init__(self, stack: ExitStack, folder: Path, name: str, records: str, mask: Mask) -> None:
        self._stack, self._records, self._mask = stack, folder / records, mask
        self._records.unlink(missing_ok=True)
        self._array = f.new_array(folder / name, POSITION, int(mask.sum()))
        self._filled = 0
        self._lines: TextIO | None = None

    def add(self, positions: NDArray[np.void], span: slice) -> None:
        chosen = positions[self._mask[span]]
        self._array[self._filled : self._filled + len(chosen)] = chosen
        self._filled += len(chosen)

    def tell(self, number: int, line: str) -> None:
        if self._mask[number]:
            if self._lines is None:
                self._lines = self._stack.enter_context(self._records.open("w", encoding="utf-8"))
            self._lines.write(line)
