"""`edgechess sim`: many whole games in virtual time with faults, and the invariants at every event."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import Annotated

import typer

from edgechess_board.placement import Placement
from edgechess_cli.match_options import MatchOptions
from edgechess_cli.virtual_match import MatchReport, Stuck, play_virtual
from edgechess_inference.errors import PlayerWordError
from edgechess_inference.registry import check_word
from edgechess_twin import faults as twin_faults

EXIT_BREACH = 1


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

    def add(self, report: MatchReport) -> None:
        summary = report.summary
        self.games += 1
        self.plies += summary.plies
        self.confirmed += summary.confirmed
        self.repaired += summary.repaired
        self.helped += summary.helped
        self.kills += report.kills
        self.links_lost += report.links_lost
        self.accidents += len(report.accidents)
        self.breaches += len(report.breaches)
        self.virtual_s += summary.seconds


def breaches_of(report: MatchReport) -> list[str]:
    """The invariants that were broken, and one more that holds at the end: the table shows the final position."""
    found = list(report.breaches)
    expected = Placement.from_fen(report.summary.final_fen)
    if report.final_placement != expected:
        found.append("at the end " + "; ".join(str(d) for d in report.final_placement.differences(expected)))
    if report.summary.confirmed != report.summary.plies:
        found.append(f"{report.summary.confirmed} of {report.summary.plies} plies were confirmed")
    return found


def command(
    seed: Annotated[int, typer.Option("--seed", help="Seed of the first game; the next game has the next seed.")] = 1,
    games: Annotated[int, typer.Option("--games", help="How many games.", min=1)] = 20,
    faults: Annotated[str, typer.Option("--faults", help="none, nominal, harsh, or NAME=PROBABILITY,…")] = "nominal",
    white: Annotated[str, typer.Option("--white", help="Player of White.")] = "random",
    black: Annotated[str, typer.Option("--black", help="Player of Black.")] = "random",
    max_plies: Annotated[int, typer.Option("--max-plies", help="Length of a game at most.", min=1)] = 200,
    no_robot: Annotated[bool, typer.Option("--no-robot", help="A person moves the pieces.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per game, last the sums.")] = False,
) -> None:
    """Simulate whole games under a seed. Exit 1 if an invariant broke; the seed in the line replays that game."""
    try:
        twin_faults.parse(faults)
        check_word(white)
        check_word(black)
    except (ValueError, PlayerWordError) as error:
        typer.echo(f"edgechess sim: {error}", err=True)
        raise typer.Exit(2) from error
    tally = Tally()
    started_s = time.process_time()
    for number in range(games):
        options = MatchOptions(
            white,
            black,
            "virtual",
            seed + number,
            faults,
            robot=not no_robot,
            rotated=number % 4 == 3,
            max_plies=max_plies,
        )
        _game(options, tally, as_json)
    cpu_s = time.process_time() - started_s
    if as_json:
        typer.echo(json.dumps({"event": "sums", **dataclasses.asdict(tally), "cpu_s": cpu_s}))
    else:
        typer.echo(
            f"{tally.games} games, {tally.plies} plies ({faults}): {tally.helped} helped, {tally.kills} processes killed, "
            f"{tally.links_lost} links lost, {tally.accidents} accidents, {tally.breaches} breaches; "
            f"{tally.plies / cpu_s:.1f} plies per second and core, {tally.virtual_s / 3600:.1f} h of table time"
        )
    raise typer.Exit(EXIT_BREACH if tally.breaches else 0)


def _game(options: MatchOptions, tally: Tally, as_json: bool) -> None:
    try:
        report = play_virtual(options)
    except Stuck as stuck:
        tally.breaches += 1
        typer.echo(f"seed {options.seed}: {stuck}", err=True)
        return
    tally.add(report)
    found = breaches_of(report)
    tally.breaches += len(found) - len(report.breaches)
    summary = report.summary
    if as_json:
        typer.echo(
            json.dumps(
                {**summary.as_event(), "event": "game", "seed": options.seed, "trace": report.trace, "breaches": found}
            )
        )
    else:
        typer.echo(
            f"seed {options.seed:6} {summary.result:7} {summary.termination:22} {summary.plies:4} plies  "
            f"{summary.helped} helped  {report.kills} kills  {report.links_lost} links  {report.trace[:12]}"
        )
    for breach in found:
        typer.echo(f"seed {options.seed}: BREACH: {breach}", err=True)
