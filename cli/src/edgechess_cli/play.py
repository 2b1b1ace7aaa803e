"""`edgechess play`: a match on the table, from the first move to the PGN."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import anyio
import chess
import typer
from rich.console import Console

from edgechess_cli.child_process import ComponentDied
from edgechess_cli.match_folder import MatchFolder
from edgechess_cli.match_options import FAST_SPEED, MatchOptions, MatchSummary
from edgechess_cli.real_match import Interrupted, RealMatch, saved_options
from edgechess_cli.terminal import JsonLines, LivePicture, PlainLines, Screen
from edgechess_inference.errors import PlayerWordError
from edgechess_inference.registry import check_word
from edgechess_inference.stockfish import find_stockfish
from edgechess_kit.errors import KitError
from edgechess_twin import faults as twin_faults

W = TypeVar("W", bound=str)

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_NOT_FINISHED = 1

NO_STOCKFISH = "Stockfish is not installed: the built-in engine plays (apt-get install stockfish for the real one)"


def command(
    white: Annotated[
        str | None,
        typer.Option(
            "--white",
            help="Player of White: stockfish[:elo=1350|level=5|nodes=10000|movetime=0.5], random, human, hand, pgn:FILE[#N], builtin.",
        ),
    ] = None,
    black: Annotated[str | None, typer.Option("--black", help="Player of Black, likewise.")] = None,
    time: Annotated[
        str,
        typer.Option(
            "--time", help="real, fast (the twin's motion sped up, true wires) or virtual (one process, no waiting)."
        ),
    ] = "fast",
    seed: Annotated[int, typer.Option("--seed", help="Seed of everything that is left to chance.")] = 0,
    faults: Annotated[
        str,
        typer.Option("--faults", help="none, nominal, harsh, or NAME=PROBABILITY,… (edgechess twin --list-faults)."),
    ] = "none",
    no_robot: Annotated[
        bool, typer.Option("--no-robot", help="A person moves the pieces; the board is checked all the same.")
    ] = False,
    rotated: Annotated[bool, typer.Option("--rotated", help="The board is turned by 180 degrees.")] = False,
    max_plies: Annotated[int | None, typer.Option("--max-plies", help="End after so many plies.", min=1)] = None,
    fen: Annotated[str | None, typer.Option("--fen", help="Start from this position.")] = None,
    pgn: Annotated[Path | None, typer.Option("--pgn", help="Also write the PGN here.")] = None,
    speed: Annotated[
        float, typer.Option("--speed", help="Factor on the twin's motion in fast time.", min=1.0, max=100.0)
    ] = FAST_SPEED,
    arms: Annotated[str, typer.Option("--arms", help="Kinds of White's and Black's arm.")] = "dobot,dobot",
    firmware: Annotated[str, typer.Option("--firmware", help="Of the twin's controllers: 4.5 or 4.6.")] = "4.6",
    broker: Annotated[str, typer.Option("--broker", help="auto, mosquitto or embedded.")] = "auto",
    resume: Annotated[Path | None, typer.Option("--continue", help="Go on with the match in this folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One event per line on stdout, last a summary.")] = False,
) -> None:
    """Play a complete match on the software table: every move checked, made, and checked again."""
    if resume is not None:
        options, folder = _resumed(resume)
    else:
        options = _options(
            white, black, time, seed, faults, no_robot, rotated, max_plies, fen, pgn, speed, arms, firmware, broker
        )
        folder = None
    screen = _screen(options, as_json)
    summary = _play(options, folder, screen)
    screen.finish(summary)
    raise typer.Exit(0)


def _play(options: MatchOptions, folder: MatchFolder | None, screen: Screen) -> MatchSummary:
    try:
        if options.time == "virtual":
            from edgechess_cli.virtual_match import play_virtual  # trio, only where virtual time is asked for

            with screen:
                return play_virtual(options, screen.show).summary
        match = RealMatch(options, folder, screen)
        with screen:
            return anyio.run(match.run)
    except Interrupted as interrupted:
        typer.echo(f"\n{interrupted}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except (KitError, ComponentDied, OSError) as error:
        typer.echo(f"edgechess play: {error}", err=True)
        raise typer.Exit(EXIT_NOT_FINISHED) from error


def _screen(options: MatchOptions, as_json: bool) -> Screen:
    if as_json:
        return JsonLines(sys.stdout)
    console = Console()
    if console.is_terminal and options.time != "virtual":
        return LivePicture(console, options.white, options.black)
    return PlainLines(sys.stdout)


def _options(
    white: str | None, black: str | None, time: str, seed: int, faults: str, no_robot: bool, rotated: bool,
    max_plies: int | None, fen: str | None, pgn: Path | None, speed: float, arms: str, firmware: str, broker: str,
) -> MatchOptions:  # fmt: skip
    """Checks every word before anything is started; ends with exit code 2 and one line otherwise."""
    default = "stockfish"
    if not find_stockfish() and None in (white, black):
        typer.echo(NO_STOCKFISH, err=True)
        default = "builtin"
    for option, word in (("--white", white), ("--black", black)):
        if word is not None:
            _checked(option, functools.partial(check_word, word), PlayerWordError)
    _checked("--faults", lambda: twin_faults.parse(faults), ValueError)
    if fen is not None:
        _checked("--fen", lambda: chess.Board(fen), ValueError)
    kinds = tuple(part.strip() for part in arms.split(","))
    if kinds != ("dobot", "dobot"):
        _fail(f"--arms is {arms!r}: expected dobot,dobot (other arms arrive with their drivers)")
    return MatchOptions(
        white=white or default,
        black=black or default,
        time=_one_of("--time", time, ("real", "fast", "virtual")),
        seed=seed,
        faults=faults,
        robot=not no_robot,
        rotated=rotated,
        max_plies=max_plies,
        start_fen=fen,
        pgn=pgn.absolute() if pgn else None,
        speed=speed,
        arms=("dobot", "dobot"),
        firmware=_one_of("--firmware", firmware, ("4.5", "4.6")),
        broker=_one_of("--broker", broker, ("auto", "mosquitto", "embedded")),
    )


def _resumed(path: Path) -> tuple[MatchOptions, MatchFolder]:
    folder = MatchFolder(path.absolute())
    try:
        return saved_options(folder), folder
    except (OSError, ValueError) as error:
        _fail(f"--continue {path}: not a match that can go on ({error})")


def _one_of(option: str, word: str, words: tuple[W, ...]) -> W:
    for known in words:
        if word == known:
            return known
    return _fail(f"{option} is {word!r}: expected one of {', '.join(words)}")


def _checked(option: str, check: Callable[[], object], wrong: type[Exception]) -> None:
    try:
        check()
    except wrong as error:
        _fail(f"{option}: {error}")


def _fail(text: str) -> NoReturn:
    typer.echo(f"edgechess play: {text}", err=True)
    raise typer.Exit(EXIT_USAGE)
