"""A whole evaluation: what is wanted becomes sections of tasks, their results become figures.

Every section can be stopped and taken up again; a section whose sizes grow keeps what it has.
"""

from __future__ import annotations

import itertools
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import chess

from edgechess_training.errors import TrainingError
from edgechess_training.evaluation import heldout, judged, latency, matches, puzzles, retries
from edgechess_training.evaluation.engine import EngineCard, EngineSource, card_of, find_engine, nodes_for
from edgechess_training.evaluation.games import Played
from edgechess_training.evaluation.matches import Match, MatchFigures
from edgechess_training.evaluation.network import network_of
from edgechess_training.evaluation.openings import Book, own_book, read_book
from edgechess_training.evaluation.sides import Choice, NetworkSide, PlayerSide
from edgechess_training.evaluation.statistics import Interval, Logistic, Sprt, even_level
from edgechess_training.evaluation.store import Store
from edgechess_training.evaluation.subject import Subject, opponent_of
from edgechess_training.evaluation.sums import added
from edgechess_training.evaluation.work import Executor, Task

SECTIONS = ("matches", "retries", "puzzles", "heldout", "centipawns", "evals", "latency")
RETRIES_ELO = 1350
JUDGE_NODES = 100_000


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything. 0: none. `games` per match, `retries` of the reference's own test."""

    games: int = 400
    puzzles: int = 7500
    positions: int = 20_000
    centipawns: int = 500
    evals: int = 20_000
    retries: int = 20


QUICK = Sizes(games=40, puzzles=500, positions=2000, centipawns=50, evals=2000, retries=4)


@dataclass(frozen=True, slots=True)
class Wanted:
    """`levels`: of Stockfish's UCI_Elo. `against`: words of other opponents. Paths None: that section is left out."""

    choices: tuple[Choice, ...] = ("pure",)
    levels: tuple[int, ...] = (1350,)
    against: tuple[str, ...] = ()
    sprt: Sprt | None = None
    nodes: int | None = None
    """Of the engine per move; None: `engine.nodes_for` its level."""
    judge_nodes: int = JUDGE_NODES
    book: Path | None = None
    puzzle_file: Path | None = None
    puzzle_source: str | None = None
    data: Path | None = None
    eval_file: Path | None = None
    threads: tuple[int, ...] = (1, 2)
    seed: int = 1
    sections: tuple[str, ...] = SECTIONS
    sizes: Sizes = Sizes()


@dataclass(slots=True)
class Figures:
    """Everything that was found. Keys of mappings are choices ("pure", "lookahead", "ladder")."""

    matches: list[MatchFigures] = field(default_factory=list)
    even: dict[str, tuple[Logistic, Interval]] = field(default_factory=dict)
    """The UCI_Elo at which the score would be one half, from all levels that were played."""
    retries: retries.RetriesFigures | None = None
    puzzles: dict[str, puzzles.PuzzleFigures] = field(default_factory=dict)
    heldout: heldout.HeldoutFigures | None = None
    centipawns: dict[str, judged.CentipawnFigures] = field(default_factory=dict)
    evals: judged.EvalFigures | None = None
    latency: list[latency.Latency] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    """Sections that were not done, and why."""


Watch = Callable[[str, int, int], None]
"""Section, tasks done, tasks in all."""


class Evaluation:
    """Of one subject. `games` of each match are there when `run` has returned, or was interrupted."""

    def __init__(self, subject: Subject, wanted: Wanted, out: Path) -> None:
        """Opens what is named, before anything starts. Raises TrainingError."""
        self.subject, self.wanted, self.out = subject, wanted, out
        self.book: Book = read_book(wanted.book) if wanted.book is not None else own_book()
        self.engine: EngineCard | None = card_of(find_engine()) if self._needs_engine() else None
        self.network = network_of(subject.source) if subject.source is not None else None
        self.matches = list(self._matches())
        self.games: dict[str, list[Played]] = {}
        self.figures = Figures()
        self._store = Store(out, self.settings())

    def settings(self) -> dict[str, Any]:
        """All that results depend on, sizes apart."""
        wanted = self.wanted
        return {
            "model": self.subject.name,
            "weights": self.network.digest if self.network is not None else None,
            "adapter": self.subject.source.adapter if self.subject.source is not None else None,
            "engine": self.engine.name if self.engine is not None else None,
            "nodes": wanted.nodes,
            "judgeNodes": wanted.judge_nodes,
            "book": f"{self.book.name} {self.book.digest[:16]}",
            "puzzles": f"{wanted.puzzle_file} {wanted.puzzle_source or 'all'}" if wanted.puzzle_file else None,
            "data": str(wanted.data) if wanted.data else None,
            "evals": str(wanted.eval_file) if wanted.eval_file else None,
            "seed": wanted.seed,
        }

    def machine(self) -> str:
        return f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"

    def run(self, executor: Executor, watch: Watch) -> None:
        """Raises TrainingError, KeyboardInterrupt; what is done is kept, and `figures` hold it."""
        for match in self.matches:
            self._match(match, executor, watch)
        for name in ("retries", "puzzles", "heldout", "centipawns", "evals"):
            if name in self.wanted.sections:
                reason = self._why_not(name)
                if reason is None:
                    getattr(self, f"_{name}")(executor, watch)
                else:
                    self.figures.left_out[name] = reason
        if "latency" in self.wanted.sections and self.subject.source is not None:
            self._latency(watch)

    # ---------------------------------------------------------------- matches

    def _matches(self) -> Iterator[Match]:
        """Raises TrainingError."""
        if "matches" not in self.wanted.sections or not self.wanted.sizes.games:
            return
        wanted = self.wanted
        for choice in wanted.choices:
            first = self.subject.side(choice, wanted.seed)
            name = f"{self.subject.name} ({choice})"
            for level in wanted.levels:
                assert self.engine is not None
                self._check_level(level)
                engine = EngineSource(self.engine.path, level, nodes_for(level, wanted.nodes))
                second = f"{self.engine.name} UCI_Elo {level}, {engine.nodes:,} nodes"
                yield Match(f"match {choice} uci_elo={level}", choice, first, name, engine, second, level, wanted.sprt)
            for word in wanted.against:
                other = opponent_of(word, nodes=wanted.nodes, threads=1, seed=wanted.seed)
                shown = f"{word} ({other.choice})" if isinstance(other, NetworkSide) else word
                yield Match(f"match {choice} {word}", choice, first, name, other, shown, None, wanted.sprt)

    def _check_level(self, level: int) -> None:
        assert self.engine is not None
        low, high = self.engine.elo_low, self.engine.elo_high
        if low is None or high is None or not low <= level <= high:
            raise TrainingError(f"{self.engine.name} plays UCI_Elo {low} to {high}, not {level}")

    def _match(self, match: Match, executor: Executor, watch: Watch) -> None:
        openings = self.book.draw(self.wanted.sizes.games // 2, self.wanted.seed)
        tasks = list(matches.tasks_of(match, openings))
        stop: Callable[[], bool] = lambda: self._decided(match, tasks)  # noqa: E731
        self._do(match.name, tasks, executor, watch, stop)
        games = matches.games_of(self._values(match.name, tasks))
        if games:
            self.games[match.name] = games
            self.figures.matches.append(matches.figures_of(match, games))
        self._fit()

    def _decided(self, match: Match, tasks: Sequence[Task]) -> bool:
        if match.sprt is None:
            return False
        kept = self._values(match.name, tasks)
        unbroken = itertools.takewhile(lambda task: task.number in kept, tasks)  # else short games would speak first
        games = matches.games_of({task.number: kept[task.number] for task in unbroken})
        return match.sprt.verdict(matches.pair_points(games)) is not None

    def _fit(self) -> None:
        for choice in self.wanted.choices:
            levels = {
                float(match.level): matches.pair_points(self.games[match.name])
                for match in self.matches
                if match.level is not None and match.name in self.games and match.choice == choice
            }
            if levels:
                self.figures.even[choice] = even_level(levels, self.wanted.seed)

    # ---------------------------------------------------------------- the other sections

    def _retries(self, executor: Executor, watch: Watch) -> None:
        assert self.engine is not None
        drawn = self.book.draw(self.wanted.sizes.retries, self.wanted.seed)
        openings = [opening for opening in drawn if opening.board().turn == chess.WHITE]  # the engine begins
        engine = EngineSource(self.engine.path, RETRIES_ELO, nodes_for(RETRIES_ELO, self.wanted.nodes))
        source = self.subject.source or PlayerSide(self.subject.ladder_word, self.wanted.seed)
        tasks = list(retries.tasks_of("retries", openings, source, engine))
        self._do("retries", tasks, executor, watch)
        self.figures.retries = retries.figures_of(self._values("retries", tasks))

    def _puzzles(self, executor: Executor, watch: Watch) -> None:
        wanted = self.wanted
        assert wanted.puzzle_file is not None
        assert self.subject.source is not None
        drawn = puzzles.read_puzzles(wanted.puzzle_file, wanted.puzzle_source, wanted.sizes.puzzles, wanted.seed)
        for choice in self._own_choices():
            section = f"puzzles {choice}"
            tasks = list(puzzles.tasks_of(section, drawn, self.subject.source, choice))
            self._do(section, tasks, executor, watch)
            self.figures.puzzles[choice] = puzzles.figures_of(self._values(section, tasks))

    def _heldout(self, executor: Executor, watch: Watch) -> None:
        assert self.wanted.data is not None
        assert self.subject.source is not None
        count = self.wanted.sizes.positions
        sample = heldout.draw_sample(self.wanted.data, count, self.wanted.seed)
        section = f"heldout {count}"
        tasks = list(heldout.tasks_of(section, self.wanted.data, sample, self.subject.source))
        self._do(section, tasks, executor, watch)
        self.figures.heldout = heldout.figures_of(self._values(section, tasks))

    def _centipawns(self, executor: Executor, watch: Watch) -> None:
        assert self.wanted.data is not None
        assert self.engine is not None
        assert self.subject.source is not None
        count = self.wanted.sizes.centipawns
        sample = heldout.draw_sample(self.wanted.data, count, self.wanted.seed, compare=False)
        engine = EngineSource(self.engine.path, None, self.wanted.judge_nodes)
        for choice in self._own_choices():
            section = f"centipawns {choice} {count}"
            work = judged.centipawn_tasks(section, self.wanted.data, sample.rows, self.subject.source, choice, engine)
            tasks = list(work)
            self._do(section, tasks, executor, watch)
            self.figures.centipawns[choice] = judged.centipawn_figures(self._values(section, tasks))

    def _evals(self, executor: Executor, watch: Watch) -> None:
        assert self.wanted.eval_file is not None
        assert self.subject.source is not None
        positions = judged.read_evals(self.wanted.eval_file, self.wanted.sizes.evals, self.wanted.seed)
        tasks = list(judged.eval_tasks("evals", positions, self.subject.source))
        self._do("evals", tasks, executor, watch)
        self.figures.evals = judged.eval_figures(added(self._values("evals", tasks).values()))

    def _latency(self, watch: Watch) -> None:
        assert self.subject.source is not None
        wanted = self.wanted
        self.figures.latency = latency.measure(
            self.subject.source, wanted.threads, self._own_choices(), wanted.seed, partial(watch, "latency")
        )

    # ---------------------------------------------------------------- what they share

    def _do(
        self,
        section: str,
        tasks: Sequence[Task],
        executor: Executor,
        watch: Watch,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        left = [task for task in tasks if not self._store.has(section, task.number)]
        done = len(tasks) - len(left)
        watch(section, done, len(tasks))
        if not left or stop():
            return
        for task, value in executor.results(left):
            self._store.add(section, task.number, value)
            done += 1
            watch(section, done, len(tasks))
            if stop():
                return

    def _values(self, section: str, tasks: Sequence[Task]) -> Mapping[int, Any]:
        kept = self._store.values(section)
        return {task.number: kept[task.number] for task in tasks if task.number in kept}

    def _own_choices(self) -> list[Choice]:
        return [choice for choice in self.wanted.choices if choice != "ladder"]

    def _needs_engine(self) -> bool:
        sections = self.wanted.sections
        playing = "matches" in sections and bool(self.wanted.levels) and self.wanted.sizes.games > 0
        return playing or any(name in sections and self._why_not(name) is None for name in ("retries", "centipawns"))

    def _why_not(self, name: str) -> str | None:
        """None: it can be done."""
        wanted, sizes = self.wanted, self.wanted.sizes
        if self.subject.source is None and (name != "retries" or "ladder" not in wanted.choices):
            return "not a policy network"
        files = {
            "puzzles": wanted.puzzle_file,
            "heldout": wanted.data,
            "centipawns": wanted.data,
            "evals": wanted.eval_file,
        }
        options = {"puzzles": "--puzzle-file", "heldout": "--data", "centipawns": "--data", "evals": "--evals"}
        if name in files and files[name] is None:
            return f"no {options[name]} was named"
        count = sizes.positions if name == "heldout" else getattr(sizes, name)
        return None if count else "none were asked for"
