"""`edgechess play`: a match on the table, from the first move to the PGN."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import anyio
import chess
import typer
from rich.console import Console

from edgechess_cli.failures import FAILURES, told
from edgechess_cli.match_folder import MatchFolder
from edgechess_cli.match_options import FAST_SPEED, MatchOptions, MatchSummary
from edgechess_cli.node_match import with_node
from edgechess_cli.prompt import Prompt
from edgechess_cli.real_match import Interrupted, RealMatch, saved_options
from edgechess_cli.terminal import JsonLines, LivePicture, PlainLines, Screen
from edgechess_cli.words import BROKERS, FIRMWARES, WordError, arm_kinds, one_of
from edgechess_inference.errors import PlayerFailed, PlayerWordError
from edgechess_inference.registry import check_word, open_player, split_word
from edgechess_inference.stockfish import find_stockfish
from edgechess_kit.broker import BrokerKind
from edgechess_twin import faults as twin_faults

W = TypeVar("W", bound=str)

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_NOT_FINISHED = 1

OF_SERVERS = ("openai", "bedrock", "imported")
BESIDE_CONTINUE = ("resume", "pgn", "speed", "broker", "as_json", "console")

REPLAYED = "abandoned: replay ended"  # a record without a result was played to its end all the same

NO_STOCKFISH = "Stockfish is not installed: the built-in engine plays (apt-get install stockfish for the real one)"


def command(
    context: typer.Context,
    white: Annotated[
        str | None,
        typer.Option(
            "--white",
            help="Player of White: stockfish[:elo=1350|level=5|nodes=10000|movetime=0.5], random, human, hand, pgn:FILE[#N], builtin,"
            " model:NAME[@ADAPTER], openai:URL#MODEL, bedrock:MODEL_ID, imported:ARN.",
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
    arms: Annotated[
        str, typer.Option("--arms", help="Kinds of White's and Black's arm: dobot or ro1.")
    ] = "dobot,dobot",
    firmware: Annotated[str, typer.Option("--firmware", help="Of the twin's controllers: 4.5 or 4.6.")] = "4.6",
    broker: Annotated[str, typer.Option("--broker", help="auto, mosquitto or embedded.")] = "auto",
    node: Annotated[
        bool, typer.Option("--node", help="Models are served by an inference node, a process of its own, over the bus.")
    ] = False,
    console: Annotated[
        bool | None,
        typer.Option("--console/--no-console", help="Serve the page beside the match (default: yes, but with --json)."),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option("--continue", help="Go on with the match in this folder (beside it: --pgn, --speed, --broker)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One event per line on stdout, last a summary.")] = False,
) -> None:
    """Play a complete match on the software table: every move checked, made, and checked again.

    A human moves at the prompt (type e4 or g1f3) or, from another terminal, with `edgechess twin hand e2e4`.
    Ctrl-C finishes the move under way, parks the arms and says how to go on; Ctrl-C again ends at once.

    Exit code: 0 the match has ended, 1 it could not be played to an end, 2 wrong usage, 130 after Ctrl-C.
    """
    if resume is not None:
        _refuse_beside_continue(context)
        options, folder = _resumed(resume)
        options = dataclasses.replace(
            options,
            pgn=pgn.absolute() if pgn else options.pgn,
            speed=speed if _given(context, "speed") else options.speed,
            broker=_broker(broker) if _given(context, "broker") else options.broker,
        )
    else:
        options = _options(
            white, black, time, seed, faults, no_robot, rotated, max_plies, fen, pgn, speed, arms, firmware, broker
        )
        folder = None
        if node:
            options = _on_a_node(options)
    screen = _screen(options, as_json)
    summary = _play(options, folder, screen, console=not as_json if console is None else console)
    screen.finish(summary)
    abandoned = summary.termination.startswith("abandoned") and summary.termination != REPLAYED
    raise typer.Exit(EXIT_NOT_FINISHED if abandoned else 0)


def _play(options: MatchOptions, folder: MatchFolder | None, screen: Screen, *, console: bool) -> MatchSummary:
    if options.time == "virtual":
        return _play_virtual(options, screen)
    humans = "".join(color for color, word in (("w", options.white), ("b", options.black)) if word == "human")
    failure: BaseExceptionGroup | None = None
    try:
        match = RealMatch(options, folder, screen, Prompt(humans, screen) if humans else None, console=console)
        with screen:
            return anyio.run(match.run)
    except* Interrupted as interrupted:
        failure = interrupted
    except* FAILURES as failed:
        failure = failed
    if failure.subgroup(Interrupted):
        typer.echo(told(failure), err=True)
        raise typer.Exit(EXIT_INTERRUPTED)
    typer.echo(f"edgechess play: {told(failure)}", err=True)
    raise typer.Exit(EXIT_NOT_FINISHED)


def _play_virtual(options: MatchOptions, screen: Screen) -> MatchSummary:
    from edgechess_cli.virtual_match import Stuck, play_virtual  # trio, only where virtual time is asked for

    try:
        with screen:
            return play_virtual(options, screen.show).summary
    except Stuck as stuck:
        typer.echo(f"edgechess play: {stuck}", err=True)
        raise typer.Exit(EXIT_NOT_FINISHED) from stuck
    except KeyboardInterrupt:
        typer.echo("stopped; a match in virtual time cannot be continued, but the same seed plays it again", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _screen(options: MatchOptions, as_json: bool) -> Screen:
    if as_json:
        return JsonLines(sys.stdout)
    console = Console()
    if console.is_terminal and not console.is_dumb_terminal and options.time != "virtual":
        return LivePicture(console, options.white, options.black)
    return PlainLines(sys.stdout)


def _options(
    white: str | None, black: str | None, time: str, seed: int, faults: str, no_robot: bool, rotated: bool,
    max_plies: int | None, fen: str | None, pgn: Path | None, speed: float, arms: str, firmware: str, broker: str,
) -> MatchOptions:  # fmt: skip
    """Checks every word before anything is started; ends with exit code 2 and one line otherwise."""
    default = "stockfish"
    if None in (white, black):
        _checked("stockfish", find_stockfish, PlayerWordError)
        if not find_stockfish():
            typer.echo(NO_STOCKFISH, err=True)
            default = "builtin"
    for option, word in (("--white", white), ("--black", black)):
        if word is not None:
            _checked(option, functools.partial(_check_player, word), PlayerWordError)
    _checked("--faults", lambda: twin_faults.parse(faults), ValueError)
    if fen is not None:
        _checked("--fen", lambda: chess.Board(fen), ValueError)
    if time == "virtual" and "human" in (white, black):
        _fail("a human needs --time real or fast: nobody can type in virtual time")
    for word in (white, black):
        if time == "virtual" and word is not None and split_word(word)[0] in OF_SERVERS:
            _fail(f"{word} needs --time real or fast: a server answers in real time")
    if pgn is not None and not pgn.absolute().parent.is_dir():
        _fail(f"--pgn {pgn}: there is no folder {pgn.absolute().parent}")
    try:
        kinds = arm_kinds(arms)
    except WordError as error:
        _fail(str(error))
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
        arms=kinds,
        firmware=_one_of("--firmware", firmware, FIRMWARES),
        broker=_broker(broker),
    )


def _on_a_node(options: MatchOptions) -> MatchOptions:
    try:
        return with_node(options)
    except PlayerWordError as error:
        _fail(f"--node: {error}")


def _check_player(word: str) -> None:
    """Raises PlayerWordError. The range of an engine's Elo is known to the engine alone: it is asked."""
    check_word(word)
    if "elo=" in word:
        anyio.run(_sit_down, word)


async def _sit_down(word: str) -> None:
    with contextlib.suppress(PlayerFailed):  # an engine that does not start is the director's matter
        player = await open_player(word)
        await player.close()


def _resumed(path: Path) -> tuple[MatchOptions, MatchFolder]:
    folder = MatchFolder(path.absolute())
    try:
        return saved_options(folder), folder
    except (OSError, ValueError) as error:
        _fail(f"--continue {path}: not a match that can go on ({error})")


def _refuse_beside_continue(context: typer.Context) -> None:
    for parameter in context.command.params:
        name = parameter.name or ""
        if _given(context, name) and name not in BESIDE_CONTINUE:
            option = parameter.opts[0]
            _fail(f"{option} cannot be changed by --continue: the match goes on as it was begun")


def _given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _broker(word: str) -> BrokerKind:
    return _one_of("--broker", word, BROKERS)


def _one_of(option: str, word: str, words: tuple[W, ...]) -> W:
    try:
        return one_of(option, word, words)
    except WordError as error:
        _fail(str(error))


def _checked(option: str, check: Callable[[], object], wrong: type[Exception]) -> None:
    try:
        check()
    except wrong as error:
        _fail(f"{option}: {error}")


def _fail(text: str) -> NoReturn:
    typer.echo(f"edgechess play: {text}", err=True)
    raise typer.Exit(EXIT_USAGE)
