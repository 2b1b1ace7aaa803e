"""`edgechess dataset label`: an engine's best move and its win, draw and loss for positions drawn from a dataset.

Plain positions teach a better move than the game's; positions after one random legal move teach how a blunder is
punished, which masters' games hardly show.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import chess
import msgspec
import numpy as np
from numpy.typing import NDArray

from edgechess_inference.errors import PlayerWordError
from edgechess_inference.policy.encoding import decode, encode
from edgechess_inference.policy.moves import index_of
from edgechess_inference.stockfish import find_stockfish
from edgechess_training.dataset import bitboards
from edgechess_training.dataset import folder as f
from edgechess_training.dataset.card import card
from edgechess_training.dataset.errors import DatasetError
from edgechess_training.dataset.game_filter import DRAW, LOSS, WIN
from edgechess_training.dataset.gathering import first_of_each
from edgechess_training.dataset.parallel import in_order
from edgechess_training.dataset.split import FRACTION, game_key, held_out
from edgechess_training.dataset.statistics import Tally
from edgechess_training.dataset.uci_engine import OPTIONS, UciEngine
from edgechess_training.dataset.work_folder import Source, WorkFolder, source_of
from edgechess_training.positions import EVALUATION_FILE, POSITION, TRAIN_FILE, Positions, open_positions, outlooks_path

UNIT_POSITIONS = 2000  # seconds of work; starting an engine takes a third of one
PUBLISHED_EVERY = 10  # units: a trainer can begin while the rest is made
NODES_DEFAULT = 1000

TRAIN_WDL, EVALUATION_WDL = (outlooks_path(Path(name)).name for name in (TRAIN_FILE, EVALUATION_FILE))
"""[positions, 3]: win, draw, loss per mille of the mover, beside the positions of the same name."""


class LabelOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What decides the content, the dataset and the engine apart. `blunders`: share of positions after a random move."""

    positions: int
    blunders: float = 0.0
    nodes: int = NODES_DEFAULT
    seed: int = 1
    fraction: float = FRACTION


class LabelPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What labels are made of."""

    source: Source
    options: LabelOptions
    engine: str
    engine_options: dict[str, str]
    unit_positions: int = UNIT_POSITIONS
    version: int = 1


class LabelReport(msgspec.Struct, kw_only=True):
    """Of one unit. `skipped`: one legal move or none, so that there is nothing to choose."""

    labelled: int = 0
    skipped: int = 0
    blunders: int = 0

    def add(self, other: LabelReport) -> None:
        self.labelled += other.labelled
        self.skipped += other.skipped
        self.blunders += other.blunders


Watch = Callable[[int, int, LabelReport], None]
"""Positions asked, of how many, what became of them."""


def label(
    dataset: Path,
    target: Path,
    options: LabelOptions,
    *,
    program: str | None = None,
    jobs: int = 0,
    licence: str = "unknown",
    watch: Watch = lambda done, total, report: None,
) -> f.Summary:
    """`program`: a UCI engine; None: Stockfish where it is found. Raises DatasetError, TrainingError.

    The folder holds what there is of it every few minutes; `counts` then says less than was asked for.
    """
    _check(options)
    engine = program or _stockfish()
    with UciEngine(engine) as introduced:
        name = introduced.name
    source = dataset / TRAIN_FILE
    stored = source_of(source)
    chosen = _draw(len(open_positions(source)), options)
    work = WorkFolder(target, LabelPlan(source=stored, options=options, engine=name, engine_options=OPTIONS))
    units = [chosen[begin : begin + UNIT_POSITIONS] for begin in range(0, len(chosen), UNIT_POSITIONS)]
    make = partial(_make, work, source, engine, options)
    whole, gather = LabelReport(), partial(_gather, work, target, dataset, stored, options, name, licence)
    for number in in_order(units, make, work.has, jobs):
        whole.add(work.report(number, LabelReport))
        watch(min((number + 1) * UNIT_POSITIONS, len(chosen)), len(chosen), whole)
        if (number + 1) % PUBLISHED_EVERY == 0 and number + 1 < len(units):
            gather(number + 1, whole)
    summary = gather(len(units), whole)
    work.remove()
    return summary


def _check(options: LabelOptions) -> None:
    for name, low, high in (("positions", 1, 2**31), ("nodes", 1, 10**9), ("blunders", 0, 1)):
        value = getattr(options, name)
        if not low <= value <= high:
            raise DatasetError(f"{name} is {value}; it goes from {low:,} to {high:,}")


def _stockfish() -> str:
    try:
        found = find_stockfish()
    except PlayerWordError as error:
        raise DatasetError(str(error)) from error
    if found is None:
        raise DatasetError(
            "Stockfish is not installed: install it (apt install stockfish), or name an engine with --engine"
        )
    return found


def _draw(available: int, options: LabelOptions) -> list[int]:
    """Places in the dataset, none twice."""
    draw = random.Random(f"positions {options.seed}")
    return draw.sample(range(available), min(options.positions, available))


def _make(
    work: WorkFolder, source: Path, engine: str, options: LabelOptions, number: int, places: Sequence[int]
) -> None:
    draw, report = random.Random(f"unit {number} {options.seed}"), LabelReport()
    positions = open_positions(source)[np.array(places)]
    rows: list[tuple[Any, ...]] = []
    shares: list[tuple[int, int, int]] = []
    with UciEngine(engine) as asked:
        for position in positions:
            board = decode(position["record"].tobytes())
            blunder = draw.random() < options.blunders
            if blunder:
                board.push(draw.choice(sorted(board.legal_moves, key=chess.Move.uci)))
            row = _labelled(asked, board, options.nodes)
            if row is None:
                report.skipped += 1
                continue
            record, move, wdl = row
            rows.append(
                (
                    np.frombuffer(record, np.uint8),
                    move,
                    _outcome(wdl),
                    position["game"],
                    int(position["ply"]) + blunder,
                    0,
                )
            )
            shares.append(wdl)
            report.labelled += 1
            report.blunders += blunder
    found = np.array(rows, POSITION)
    work.put(number, {"positions": found, "wdl": np.array(shares, np.uint16).reshape(-1, 3)}, report)


def _labelled(engine: UciEngine, board: chess.Board, nodes: int) -> tuple[bytes, int, tuple[int, int, int]] | None:
    """Record, number of the move, shares. None where there is nothing to choose. Raises DatasetError."""
    if board.legal_moves.count() < 2:
        return None
    judged = engine.judge(board.fen(), nodes)
    if judged is None:
        return None
    try:
        move = board.parse_uci(judged.move)
    except ValueError as error:
        raise DatasetError(f"{engine.name} answered {judged.move} in {board.fen()}: {error}") from error
    return encode(board), index_of(move, board.turn), judged.wdl


def _outcome(wdl: tuple[int, int, int]) -> int:
    """The likeliest end for the mover; of two equal ones the duller."""
    win, draw, loss = wdl
    if draw >= max(win, loss):
        return DRAW
    return WIN if win > loss else LOSS


def _gather(
    work: WorkFolder, target: Path, dataset: Path, source: Source, options: LabelOptions, engine: str, licence: str,
    units: int, report: LabelReport,
) -> f.Summary:  # fmt: skip
    """Writes the folder from the first `units` parts; what was there before is replaced file by file, and is the beginning of
    what comes in its place: who opens it meanwhile finds outlooks for all positions, and perhaps some more."""
    positions: Positions = np.concatenate([work.array(number, "positions") for number in range(units)])
    wdl = np.concatenate([work.array(number, "wdl") for number in range(units)])
    keys = bitboards.keys(positions["record"])
    evaluates = _held_out(positions["game"], options)
    train = ~evaluates & first_of_each(keys, ~evaluates) & ~_occurs(keys, dataset / EVALUATION_FILE)
    unseen = ~np.isin(keys[evaluates], keys[train])
    for name, array in {
        TRAIN_WDL: wdl[train],
        EVALUATION_WDL: wdl[evaluates],
        f.UNSEEN_FILE: unseen,
        EVALUATION_FILE: positions[evaluates],
        TRAIN_FILE: positions[train],
    }.items():
        np.save(work.path / name, array)
        (work.path / name).replace(target / name)
    tally = Tally()
    tally.add(positions[train])
    summary = f.Summary(
        made_by="edgechess dataset label",
        sources=[msgspec.to_builtins(source)],
        options={
            **msgspec.to_builtins(options),
            "engine": engine,
            "engine_options": OPTIONS,
            "label": "best move and likeliest outcome at `nodes` nodes",
        },
        counts={
            "positions_drawn": report.labelled + report.skipped,
            "positions_with_nothing_to_choose": report.skipped,
            "positions_after_a_random_move": report.blunders,
            "train_positions": int(train.sum()),
            "evaluation_positions": int(evaluates.sum()),
            "evaluation_positions_unseen": int(unseen.sum()),
        },
        statistics=tally.statistics(),
        licence=licence,
    )
    (target / f.CARD_FILE).write_text(card(summary), encoding="utf-8")
    f.write_summary(target, summary)
    return summary


def _held_out(games: NDArray[np.uint32], options: LabelOptions) -> NDArray[np.bool_]:
    """Whole games of the dataset, so that neighbours fall on the same side."""
    numbers, places = np.unique(games, return_inverse=True)
    sides = [held_out(game_key((str(number),), options.seed), options.fraction) for number in numbers]
    found: NDArray[np.bool_] = np.array(sides, np.bool_)[places]
    return found


def _occurs(keys: bitboards.Keys, evaluation: Path) -> NDArray[np.bool_]:
    """Which positions the dataset holds out; a label must not tell what is asked later."""
    if not evaluation.is_file() or not len(np.load(evaluation, mmap_mode="r")):
        return np.zeros(len(keys), np.bool_)
    return np.isin(keys, bitboards.keys(np.asarray(open_positions(evaluation)["record"])))
