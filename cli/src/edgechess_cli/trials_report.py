"""docs/reliability.md, its pictures, and the same figures as JSON, from the results that are kept."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from edgechess_cli import trials_plot
from edgechess_cli.trials_figures import Figures, causes
from edgechess_cli.trials_judge import CENTRED_MM, MOVED_MM
from edgechess_cli.trials_plan import CLASSES, SWEEP
from edgechess_cli.trials_plot import NAMES, Row
from edgechess_cli.trials_store import Store
from edgechess_cli.trials_table import Trial
from edgechess_twin.arm_device import Kind

TARGET = 0.999
LEAST_TRIALS = 20_000  # below these numbers a target that was not missed is not met either
LEAST_EACH = 300  # of every class and kind of arm
GAMES_TARGET = 10  # in a row without help
LEAST_GAMES = 100
UNNOTICED_SHOWN = 5
HELPED_SHOWN = 12


Verdict = Literal["met", "missed", "not decided"]


class Reliability:
    """One run, as far as it has come. `run` is what the store's first line says of it."""

    def __init__(
        self,
        store: Store,
        run: Mapping[str, Any],
        kinds: Sequence[Kind],
        games: Mapping[str, Any],
        timed: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """`games`: whole simulated games, the sums of `edgechess sim --json`; `timed`: what `edgechess bench arm --json` says of
        each kind of arm. Empty where there are none."""
        self._store = store
        self._run = run
        self._kinds = kinds
        self._games = games
        self._timed = timed

    @property
    def total(self) -> Figures:
        return Figures.of(self._store.trials(""))

    def table(self) -> list[tuple[str, str, Figures]]:
        """Kind, class, figures; the classes that were tried and the sum of each kind."""
        rows: list[tuple[str, str, Figures]] = []
        for kind in self._kinds:
            tried = {move: self._store.trials("", kind, move) for move in CLASSES}
            rows += [(kind, str(move), Figures.of(found)) for move, found in tried.items() if found]
            rows.append((kind, "all", Figures.of(self._store.trials("", kind))))
        return rows

    def swept(self) -> list[tuple[str, list[tuple[float, Kind, Figures]]]]:
        panels = []
        for name, values in SWEEP.items():
            points = [
                (value, kind, Figures.of(self._store.trials(f"{name}={value:g}", kind)))
                for value in values
                for kind in self._kinds
            ]
            if any(figures.n for _, _, figures in points):
                panels.append((name, points))
        return panels

    def verdicts(self) -> list[tuple[str, Verdict]]:
        """The targets, and what the trials say of them. They are set for nominal faults and for numbers that decide them:
        with less, a target can be missed, but not met."""
        every = [trial for kept in self._store.kept.values() for trial in kept.result.trials]
        total = self.total
        low, high = total.interval
        wrong = sum(trial.wrong for trial in every)
        part = f"{total.part * 100:.2f} % [{low * 100:.2f}, {high * 100:.2f}]"
        nominal = self._run.get("faults") == "nominal"
        enough = nominal and self._enough(total)
        below = total.part < TARGET if enough else nominal and high < TARGET
        return [
            (
                f"at least {TARGET * 100:g} % of all moves end right without a person's help: {part}",
                _verdict(below, enough),
            ),
            (
                f"no confirmation of a wrong map at any noise: {wrong} of {len(every)}",
                _verdict(wrong > 0, enough and bool(self.swept())),
            ),
            (
                f"every failure noticed before the move is confirmed: {total.unnoticed} unnoticed of {total.n}",
                _verdict(nominal and total.unnoticed > 0, enough),
            ),
            (
                f"every request answered: {total.silent} never of {total.n}",
                _verdict(nominal and total.silent > 0, enough),
            ),
            *self._of_the_times(),
            *self._of_the_games(),
        ]

    def _enough(self, total: Figures) -> bool:
        every_class = all(
            len(self._store.trials("", kind, move)) >= LEAST_EACH for kind in get_args(Kind) for move in CLASSES
        )
        return total.n >= LEAST_TRIALS and every_class

    def _of_the_times(self) -> Iterator[tuple[str, Verdict]]:
        for timed in self._timed:
            for target in timed["targets"]:
                sentence = f"{target['name']}: {target['measured']:.1f} s of at most {target['limit']:g}"
                yield f"{NAMES[timed['arm']]}, {sentence}", "met" if target["met"] else "missed"

    def _of_the_games(self) -> Iterator[tuple[str, Verdict]]:
        games = self._games
        if not games:
            return
        enough = games["games"] >= LEAST_GAMES and games["faults"] == "nominal"
        sentence = f"{LEAST_GAMES} consecutive games end correctly: {games['games']} games, {games['breaches']} broken invariants"
        yield sentence, _verdict(games["breaches"] > 0, enough)
        longest = games["longest_without_help"]
        sentence = f"at least {GAMES_TARGET} games in a row without help: {longest}"
        yield sentence, _verdict(enough and longest < GAMES_TARGET, enough)

    def text(self) -> str:
        """For the terminal."""
        lines = [_line(kind, move, figures) for kind, move, figures in self.table()]
        lines += [
            f"{verdict.upper() if verdict == 'missed' else verdict:11}  {sentence}"
            for sentence, verdict in self.verdicts()
        ]
        return "\n".join(lines)

    def write(self, path: Path) -> list[Path]:
        """The report and, beside it, JSON and pictures. Raises OSError."""
        rows = [Row(move, kind, figures) for kind, move, figures in self.table()]
        pictures = {"": trials_plot.parts(rows), "-time": trials_plot.times(rows)}
        if panels := self.swept():
            pictures["-sweep"] = trials_plot.sweep(panels)
        written = [path, path.with_suffix(".json")]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.markdown(path.stem), encoding="utf-8")
        written[1].write_text(json.dumps(self.as_json(), indent=1) + "\n", encoding="utf-8")
        for suffix, picture in pictures.items():
            file = path.with_name(f"{path.stem}{suffix}.svg")
            file.write_text(picture, encoding="utf-8")
            written.append(file)
        return written

    def as_json(self) -> dict[str, Any]:
        classes = [{"kind": kind, "class": move, **figures.as_json()} for kind, move, figures in self.table()]
        points = [
            {"fault": name, "value": value, "kind": kind, **figures.as_json()}
            for name, panel in self.swept()
            for value, kind, figures in panel
        ]
        targets = [{"target": sentence, "verdict": verdict} for sentence, verdict in self.verdicts()]
        return {
            "run": dict(self._run),
            "targets": targets,
            "classes": classes,
            "sweep": points,
            "games": dict(self._games),
            "times": [dict(timed) for timed in self._timed],
        }

    # -- the document ----------------------------------------------------------------------------------------------

    def markdown(self, stem: str) -> str:
        sections = [
            self._head(),
            self._classes(stem),
            self._times(),
            self._why(),
            self._sweep(stem),
            self._whole_games(),
            self._how(),
        ]
        return "\n".join(section for section in sections if section)

    def _head(self) -> str:
        run = self._run
        lines = [
            "# Reliability",
            "",
            "How often a move ends right, how often the arms put it right themselves, and how often a person is needed. Measured on",
            "the software table in virtual time, with the components that run for real; this page is written by `make trials`.",
            "",
            f"Seed {run.get('seed')}, commit {run.get('commit')}, faults {run.get('faults')}, {self.total.n} trials. "
            f"Positions from {run.get('positions')}.",
            "",
            *(f"- **{verdict}**: {sentence}" for sentence, verdict in self.verdicts()),
            "",
            f"*Not decided*: not missed, but with fewer than {LEAST_TRIALS:,} trials at nominal faults, or than {LEAST_EACH} of a class and kind of arm,",
            "nobody can say that it was met.",
            "",
            "A trial is **right** when, judged by the world itself at the instant of the confirmation, the placement is exact, every",
            f"piece of the table stands upright, every piece of the board stands within {CENTRED_MM:g} mm of its square's centre, and no piece that the",
            f"move does not touch has moved by more than {MOVED_MM:g} mm. *Recovered*: right after repairs by the arms. *Helped*: a person was needed,",
            "or the criterion was not met. *Silent*: never answered, or the arms were never free again. *Wrong*: confirmed although a piece",
            "stands on another square than was confirmed. *Unnoticed*: confirmed, every piece on its square, but another part of the",
            "criterion not met. Times are from the request to its answer.",
            "",
        ]
        return "\n".join(lines)

    def _classes(self, stem: str) -> str:
        lines = [
            "## By class and arm",
            "",
            "| arm | class | trials | at once | recovered | helped | silent | right | 95 % interval | wrong | unnoticed | median s | p95 s |",
            "|---|---|--:|--:|--:|--:|--:|--:|---|--:|--:|--:|--:|",
        ]
        for kind, move, f in self.table():
            low, high = f.interval
            lines.append(
                f"| {NAMES[kind]} | {move} | {f.n} | {f.good} | {f.recovered} | {f.helped} | {f.silent} | {f.part * 100:.2f} % | "
                f"{low * 100:.2f}–{high * 100:.2f} % | {f.wrong} | {f.unnoticed} | {f.median_s:.1f} | {f.p95_s:.1f} |"
            )
        pictures = f"\n![right without help]({stem}.svg)\n\n![time per move]({stem}-time.svg)\n"
        return "\n".join(lines) + "\n" + pictures

    def _times(self) -> str:
        if not self._timed:
            return ""
        lines = [
            "## Time per move",
            "",
            "Of an arm, from parked to measured parked, without faults, moves of random games; feedback as often as from the makers'",
            "controllers (`edgechess bench arm`). Targets: medians of the best published log, one game.",
            "",
            "| arm | speed and class | moves | median s | p95 s |",
            "|---|---|--:|--:|--:|",
        ]
        for timed in self._timed:
            for name, figures in timed.items():
                kind, _, speed = name.rpartition("_")
                if speed.isdecimal():
                    what = f"{speed} mm/s, {kind.replace('_', ' ')}"
                    lines.append(
                        f"| {NAMES[timed['arm']]} | {what} | {figures['n']} | {figures['p50_s']:.1f} | {figures['p95_s']:.1f} |"
                    )
        return "\n".join(lines) + "\n"

    def _why(self) -> str:
        trials = self._store.trials("")
        found = causes(trials)
        if not found:
            return ""
        lines = ["## What went wrong", "", "| first cause | recovered | not right |", "|---|--:|--:|"]
        lines += [f"| {name} | {recovered} | {helped} |" for name, recovered, helped in found]
        lines += ["", self._bound(trials)]
        silent = [trial for trial in trials if trial.outcome == "silent"]
        if silent:
            lines += ["", "Silent, the first of them:", ""]
            lines += [f"- {trial.what}: {trial.code}" for trial in silent[:HELPED_SHOWN]]
        helped = [trial for trial in trials if trial.outcome == "helped" and not trial.causes]
        if helped:
            lines += ["", "Helped without an accident of the table, the first of them:", ""]
            lines += [f"- {trial.what}: {trial.code or '; '.join(trial.unnoticed)}" for trial in helped[:HELPED_SHOWN]]
        unnoticed = [trial for trial in trials if trial.unnoticed]
        if unnoticed:
            lines += ["", "Unnoticed, the first of them:", ""]
            lines += [
                f"- {trial.what}: {'; '.join(trial.unnoticed)} ({', '.join(trial.causes) or 'no accident'})"
                for trial in unnoticed[:UNNOTICED_SHOWN]
            ]
        return "\n".join(lines) + "\n"

    def _bound(self, trials: Sequence[Trial]) -> str:
        """What the arms make of a table on which nothing falls over by itself."""
        steady = Figures.of([trial for trial in trials if not _fell(trial)])
        low, high = steady.interval
        return (
            f"Of the {steady.n} trials in which no piece slipped and none was bumped, {steady.right} ended right without help: "
            f"{steady.part * 100:.3f} % [{low * 100:.3f}, {high * 100:.3f}]. What slips or is bumped over lies, and an arm takes only what stands."
        )

    def _sweep(self, stem: str) -> str:
        panels = self.swept()
        if not panels:
            return ""
        lines = [
            "## Noise",
            "",
            "The same faults with one of them changed; the first value of each is the nominal one.",
            "",
            "| fault | value | arm | trials | right | 95 % interval | recovered | helped | wrong | unnoticed |",
            "|---|--:|---|--:|--:|---|--:|--:|--:|--:|",
        ]
        for name, points in panels:
            for value, kind, f in points:
                refused = list(self._store.refusals(f"{name}={value:g}", kind))
                if not f.n:
                    words = f"calibration refused: {refused[0]}" if refused else "not tried"
                    lines.append(f"| {name} | {value:g} | {NAMES[kind]} | 0 | {words} | | | | | |")
                    continue
                low, high = f.interval
                lines.append(
                    f"| {name} | {value:g} | {NAMES[kind]} | {f.n} | {f.part * 100:.2f} % | "
                    f"{low * 100:.1f}–{high * 100:.1f} % | {f.recovered} | {f.helped} | {f.wrong} | {f.unnoticed} |"
                )
        return "\n".join(lines) + f"\n\n![noise]({stem}-sweep.svg)\n"

    def _whole_games(self) -> str:
        games = self._games
        if not games:
            return ""
        return "\n".join(
            [
                "## Whole games",
                "",
                f"{games['games']} simulated games with {games['faults']} faults, {games['plies']} plies, {games['confirmed']} confirmed: "
                f"{games['repaired']} repairs by the arms, {games['helped']} helps by a person, {games['breaches']} broken invariants; "
                f"{games['kills']} processes killed and {games['links_lost']} links lost on the way. "
                f"Longest run without help: **{games['longest_without_help']} games**. Made by `edgechess sim`.",
                "",
            ]
        )

    def _how(self) -> str:
        return "\n".join(
            [
                "## How it is measured",
                "",
                "The faults are those of `edgechess twin --list-faults` at their nominal size, all at once: arms that scatter, calibration touched by",
                "hand (anew for every 60 moves or so), pieces left off-centre, grasps that miss, pieces that slip, neighbours that are bumped,",
                "bytes and links lost, messages doubled and delayed, processes killed. A piece that slips falls over, and an arm takes only what",
                "stands: a slip is a person's help by the model's own rule, so the rate of slips bounds what can be right without help.",
                "",
                "Moves are made in stretches of games, so that pieces stand as the arms have put them. *Restore* is a table on which one to five",
                "pieces were put elsewhere, or another position altogether, set up with what lies on board, trays and racks. Seconds are the",
                "table's own at the default 250 mm/s. In virtual time feedback comes every 200 ms (Dobot) and state once a second (RO1),",
                "more rarely than from real controllers, which makes a motion's end known up to 0.2 s later.",
                "",
            ]
        )


def _verdict(missed: bool, enough: bool) -> Verdict:
    return "missed" if missed else "met" if enough else "not decided"


def _fell(trial: Trial) -> bool:
    return any(cause.startswith(("slip ", "bump ")) for cause in trial.causes)


def _line(kind: str, move: str, f: Figures) -> str:
    low, high = f.interval
    return (
        f"{kind:6} {move:11} {f.n:6}  right {f.part * 100:7.3f} % [{low * 100:.3f}, {high * 100:.3f}]  recovered {f.recovered:4}  "
        f"helped {f.helped:3}  silent {f.silent}  wrong {f.wrong}  unnoticed {f.unnoticed}  median {f.median_s:5.1f} s  p95 {f.p95_s:5.1f} s"
    )
