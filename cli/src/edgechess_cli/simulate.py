"""`edgechess sim`: many whole games in virtual time with faults, and the invariants at every event."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from edgechess_board.placement import Placement
from edgechess_cli.match_options import MatchOptions, MatchSummary
from edgechess_cli.virtual_match import MatchReport, Stuck, play_virtual
from edgechess_cli.words import arm_kinds
from edgechess_inference.errors import PlayerWordError
from edgechess_inference.registry import check_word
from edgechess_inference.stockfish import find_stockfish
from edgechess_twin import faults as twin_faults

EXIT_BREACH = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """One game. `report` None: it never ended, and `breaches` says so."""

    options: MatchOptions
    report: MatchReport | None
    breaches: tuple[str, ...]
    cpu_s: float


@dataclasses.dataclass(slots=True)
class Tally:
    """The sum over all games."""

    games: int = 0
    plies: int = 0
    confirmed: int = 0
    repaired: int = 0
    helped: int = 0
    kills: int = 0
    links_lost: int = 0
    accidents: int = 0
    breaches: int = 0
    virtual_s: float = 0.0
    longest_without_help: int = 0
    """Games in a row, in the order of their seeds."""
    cpu_s: float = 0.0
    _without_help: int = 0

    def add(self, outcome: Outcome) -> None:
        self.breaches += len(outcome.breaches)
        self.cpu_s += outcome.cpu_s
        report = outcome.report
        if report is None:
            self.games += 1
            self._without_help = 0
            return
        for summary in report.summaries:
            self._add_game(summary)
        self.kills += report.kills
        self.links_lost += report.links_lost
        self.accidents += len(report.accidents)

    def _add_game(self, summary: MatchSummary) -> None:
        self.games += 1
        self._without_help = 0 if summary.helped else self._without_help + 1
        self.longest_without_help = max(self.longest_without_help, self._without_help)
        self.plies += summary.plies
        self.confirmed += summary.confirmed
        self.repaired += summary.repaired
        self.helped += summary.helped
        self.virtual_s += summary.seconds


def breaches_of(report: MatchReport) -> list[str]:
    """The invariants that were broken, and one more that holds at the end: the table shows the final position."""
    found = list(report.breaches)
    expected = Placement.from_fen(report.summary.final_fen)
    if report.final_placement != expected:
        found.append("at the end " + "; ".join(str(d) for d in report.final_placement.differences(expected)))
    found += [
        f"{summary.confirmed} of {summary.plies} plies were confirmed"
        for summary in report.summaries
        if summary.confirmed != summary.plies
    ]
    return found


def command(
    seed: Annotated[int, typer.Option("--seed", help="Seed of the first game; the next game has the next seed.")] = 1,
    games: Annotated[int, typer.Option("--games", help="How many tables.", min=1)] = 20,
    matches: Annotated[
        int, typer.Option("--matches", help="Games on each table; the arms set it up in between.", min=1)
    ] = 1,
    faults: Annotated[str, typer.Option("--faults", help="none, nominal, harsh, or NAME=PROBABILITY,…")] = "nominal",
    strong: Annotated[
        str | None, typer.Option("--strong", help="Player of White in even games and of Black in odd ones.")
    ] = None,
    weak: Annotated[str, typer.Option("--weak", help="The other player.")] = "random",
    max_plies: Annotated[int, typer.Option("--max-plies", help="Length of a game at most.", min=1)] = 300,
    arms: Annotated[
        str, typer.Option("--arms", help="Kinds of White's and Black's arm: dobot or ro1.")
    ] = "dobot,dobot",
    no_robot: Annotated[bool, typer.Option("--no-robot", help="A person moves the pieces.")] = False,
    jobs: Annotated[int, typer.Option("--jobs", help="Processes (0: one per core).", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per game, last the sums.")] = False,
) -> None:
    """Simulate whole games under a seed. Exit 1 if an invariant broke; the seed in the line replays that game.

    A strong player against a random one gives games that end by mate and wander everywhere on the way.
    """
    strong = strong or ("stockfish:nodes=300" if find_stockfish() else "builtin:nodes=300")
    try:
        twin_faults.parse(faults)
        kinds = arm_kinds(arms)
        check_word(strong)
        check_word(weak)
    except (ValueError, PlayerWordError) as error:
        typer.echo(f"edgechess sim: {error}", err=True)
        raise typer.Exit(2) from error
    plans = []
    for number in range(seed, seed + games):
        white, black = (strong, weak) if number % 2 == 0 else (weak, strong)
        plans.append(
            MatchOptions(
                white,
                black,
                "virtual",
                number,
                faults,
                robot=not no_robot,
                rotated=number % 4 == 3,
                max_plies=max_plies,
                matches=matches,
                arms=kinds,
            )
        )
    tally = Tally()
    for outcome in _outcomes(plans, jobs):
        tally.add(outcome)
        _tell(outcome, as_json)
    if as_json:
        sums = {key: value for key, value in dataclasses.asdict(tally).items() if not key.startswith("_")}
        typer.echo(json.dumps({"event": "sums", "faults": faults, "seed": seed, **sums}))
    else:
        typer.echo(
            f"{tally.games} games, {tally.plies} plies ({faults}): {tally.repaired} repaired, {tally.helped} helped, "
            f"longest run without help {tally.longest_without_help} games; {tally.kills} processes killed, {tally.links_lost} links lost, {tally.accidents} accidents, {tally.breaches} breaches; "
            f"{tally.plies / tally.cpu_s:.1f} plies per second and core, {tally.virtual_s / 3600:.1f} h of table time"
        )
    raise typer.Exit(EXIT_BREACH if tally.breaches else 0)


def _outcomes(plans: Sequence[MatchOptions], jobs: int) -> Iterator[Outcome]:
    """In the order of the plans, whoever finishes first."""
    workers = min(jobs or os.cpu_count() or 1, len(plans))
    if workers == 1:
        yield from map(simulate, plans)
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap(simulate, plans)


def simulate(options: MatchOptions) -> Outcome:
    """One game, judged. Never raises for a game that went wrong: that is what it is there to tell."""
    started_s = time.process_time()
    try:
        report = play_virtual(options)
    except Stuck as stuck:
        return Outcome(options, None, (str(stuck),), time.process_time() - started_s)
    return Outcome(options, report, tuple(breaches_of(report)), time.process_time() - started_s)


def _tell(outcome: Outcome, as_json: bool) -> None:
    seed, report = outcome.options.seed, outcome.report
    if as_json:
        game: dict[str, object] = {"event": "game", "seed": seed, "breaches": outcome.breaches}
        if report is not None:
            game |= {"trace": report.trace}
        for summary in report.summaries if report is not None else ():
            typer.echo(json.dumps(summary.as_event() | game))
        if report is None:
            typer.echo(json.dumps(game))
    elif report is not None:
        for summary in report.summaries:
            typer.echo(
                f"seed {seed:6} {summary.result:7} {summary.termination:22} {summary.plies:4} plies  "
                f"{summary.repaired} repaired  {summary.helped} helped  {report.kills} kills  {report.links_lost} links  "
                f"{report.trace[:12]}"
            )
    for breach in outcome.breaches:
        typer.echo(f"seed {seed}: BREACH: {breach}", err=True)
