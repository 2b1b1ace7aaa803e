"""`edgechess evaluate`: how strong a move model is, measured, with a report, pictures and every game."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, NoReturn, cast

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from edgechess_training.errors import TrainingError
from edgechess_training.evaluation.engine import NODES_DEFAULT, NODES_OF_STRONG, STRONG_ELO
from edgechess_training.evaluation.evaluation import JUDGE_NODES, QUICK, SECTIONS, Evaluation, Sizes, Wanted, Watch
from edgechess_training.evaluation.executors import executor_of
from edgechess_training.evaluation.measured import measured
from edgechess_training.evaluation.report import markdown, write
from edgechess_training.evaluation.sides import Choice
from edgechess_training.evaluation.statistics import Sprt
from edgechess_training.evaluation.subject import subject_of

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
CHOICES = ("pure", "lookahead", "ladder")
BROAD = "jorgenwh/alpha-nonzero"  # the one collection of puzzles that was not chosen by rating
PLAIN_EVERY_S = 15.0  # lines of progress where there is no terminal


def command(
    model: Annotated[
        str,
        typer.Argument(
            help="A model as players name it (edgechess@tal, m.json, openai:…), a checkpoint, or a run's folder."
        ),
    ],
    choice: Annotated[
        list[str] | None,
        typer.Option(
            "--choice", help="pure, lookahead or ladder; may be repeated. Default: pure (text models: ladder)."
        ),
    ] = None,
    elo: Annotated[
        list[int] | None, typer.Option("--elo", help="Stockfish's UCI_Elo; may be repeated. Default: 1350.")
    ] = None,
    against: Annotated[
        list[str] | None, typer.Option("--against", help="Another opponent: stockfish:nodes=1000, model:…, random …")
    ] = None,
    games: Annotated[int | None, typer.Option("--games", help="Per match (400); an even number.", min=0)] = None,
    nodes: Annotated[
        int | None,
        typer.Option(
            "--nodes",
            help=f"Of the engine per move. Default: {NODES_DEFAULT}, above UCI_Elo {STRONG_ELO} {NODES_OF_STRONG}.",
            min=1,
        ),
    ] = None,
    sprt: Annotated[
        str | None,
        typer.Option("--sprt", help="ELO0,ELO1[,ALPHA,BETA]: stop when it is decided; --games is then the most."),
    ] = None,
    book: Annotated[
        Path | None, typer.Option("--book", help="Openings: PGN or EPD, also .zip, .gz, .zst. Default: our own.")
    ] = None,
    retries: Annotated[
        int | None, typer.Option("--retries", help="Games of the reference demo's test (20).", min=0)
    ] = None,
    puzzles: Annotated[int | None, typer.Option("--puzzles", help="How many (7500).", min=0)] = None,
    puzzle_file: Annotated[Path | None, typer.Option("--puzzle-file", help="Lichess's CSV, also .zst.")] = None,
    puzzle_source: Annotated[
        str, typer.Option("--puzzle-source", help="Only those of this column Source; `all`: every one.")
    ] = BROAD,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="A folder of `dataset build`: its evaluation.npy, and train.npy beside it."),
    ] = None,
    positions: Annotated[int | None, typer.Option("--positions", help="Held-out positions (20000).", min=0)] = None,
    centipawns: Annotated[
        int | None, typer.Option("--centipawns", help="Held-out positions that the engine judges (500).", min=0)
    ] = None,
    judge_nodes: Annotated[int, typer.Option("--judge-nodes", help="Of the engine as a judge.", min=1)] = JUDGE_NODES,
    evals: Annotated[Path | None, typer.Option("--evals", help="FEN TAB CENTIPAWNS (White's), also .zst.")] = None,
    threads: Annotated[list[int] | None, typer.Option("--threads", help="For the times of one move (1 and 2).")] = None,
    only: Annotated[list[str] | None, typer.Option("--only", help=f"Only these: {', '.join(SECTIONS)}.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of everything: a first look in two minutes.")] = False,
    jobs: Annotated[int, typer.Option("--jobs", help="Processes (0: one per core).", min=0)] = 1,
    ray: Annotated[str | None, typer.Option("--ray", help="Address of a Ray cluster (auto) instead of --jobs.")] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, or cuda (by torch).")] = "cpu",
    seed: Annotated[int, typer.Option("--seed", help="Of everything that is drawn.")] = 1,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of results; the same command goes on there. Default: evaluations/MODEL."),
    ] = None,
) -> None:
    """Play matches, solve puzzles, compare with held-out games; Ctrl-C, and the same command goes on.

    Writes report.md with pictures, figures.json and games.pgn. Exit code: 2 wrong usage, 130 after Ctrl-C.
    """
    with told():
        sizes = _sizes(QUICK if quick else Sizes(), games, puzzles, positions, centipawns, retries)
        folder = out or Path("evaluations") / _folder_name(model)
        subject = subject_of(model, folder, device=device)
        wanted = Wanted(
            choices=_choices(choice, text=subject.source is None),
            levels=tuple(elo if elo is not None else () if against else (1350,)),
            against=tuple(against or ()),
            sprt=_sprt(sprt),
            nodes=nodes,
            judge_nodes=judge_nodes,
            book=book,
            puzzle_file=puzzle_file,
            puzzle_source=None if puzzle_source == "all" else puzzle_source,
            data=data,
            eval_file=evals,
            threads=tuple(threads or (1, 2)),
            seed=seed,
            sections=_sections(only),
            sizes=sizes,
        )
        evaluation = Evaluation(subject, wanted, folder)
        interrupted = _run(evaluation, jobs, ray)
        for file in write(evaluation):
            typer.echo(f"written: {file}", err=True)
    typer.echo(markdown(measured(evaluation), []))
    if interrupted:
        typer.echo("stopped; the same command goes on from there", err=True)
        raise typer.Exit(EXIT_INTERRUPTED)


def _run(evaluation: Evaluation, jobs: int, ray: str | None) -> bool:
    """True: Ctrl-C ended it. Raises TrainingError."""
    executor = executor_of(jobs, ray)
    try:
        with progress() as watch:
            evaluation.run(executor, watch)
    except KeyboardInterrupt:
        return True
    finally:
        executor.close()
    return False


@contextlib.contextmanager
def told() -> Iterator[None]:
    """A user's mistake is one line."""
    try:
        yield
    except TrainingError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))


@contextlib.contextmanager
def progress() -> Iterator[Watch]:
    """A bar for each section in a terminal, lines elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as picture:
        rows: dict[str, TaskID] = {}

        def watch(section: str, done: int, total: int) -> None:
            if section not in rows:
                rows[section] = picture.add_task(section)
            picture.update(rows[section], completed=done, total=total)

        yield watch


def _plain() -> Watch:
    """A line now and then, and one when a section is done."""
    told_at = time.monotonic()

    def watch(section: str, done: int, total: int) -> None:
        nonlocal told_at
        now = time.monotonic()
        if done == total or now - told_at >= PLAIN_EVERY_S:
            told_at = now
            print(f"{section}: {done} of {total}", file=sys.stderr, flush=True)

    return watch


def _sizes(
    usual: Sizes, games: int | None, puzzles: int | None, positions: int | None, centipawns: int | None, retries: int | None
) -> Sizes:  # fmt: skip
    if games is not None and games % 2:
        _fail(f"--games {games}: games come in pairs, so an even number is needed")
    given = {
        "games": games, "puzzles": puzzles, "positions": positions, "centipawns": centipawns, "retries": retries,
        "evals": positions,
    }  # fmt: skip
    return dataclasses.replace(usual, **{name: value for name, value in given.items() if value is not None})


def _choices(words: list[str] | None, *, text: bool) -> tuple[Choice, ...]:
    found = tuple(dict.fromkeys(words or (["ladder"] if text else ["pure"])))
    _known("--choice", found, CHOICES)
    return cast(tuple[Choice, ...], found)


def _sections(words: list[str] | None) -> tuple[str, ...]:
    found = tuple(words or SECTIONS)
    _known("--only", found, SECTIONS)
    return found


def _known(option: str, words: tuple[str, ...], there: tuple[str, ...]) -> None:
    for word in words:
        if word not in there:
            _fail(f"{option} {word}: there are {', '.join(there)}")


def _sprt(text: str | None) -> Sprt | None:
    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
        make: Callable[..., Sprt] = Sprt
        test = make(*numbers)
        if not (test.elo0 < test.elo1 and 0 < test.alpha < 0.5 and 0 < test.beta < 0.5 and len(numbers) >= 2):
            raise ValueError
    except (ValueError, TypeError):
        _fail(f"--sprt {text}: ELO0,ELO1[,ALPHA,BETA] is expected, for example 0,20 or 0,20,0.05,0.05")
    return test


def _folder_name(model: str) -> str:
    name = model.rstrip("/").rpartition("/")[2].removesuffix(".json").removesuffix(".safetensors")
    return "".join(letter if letter.isalnum() or letter in "@._-" else "-" for letter in name) or "model"


def _fail(text: str) -> NoReturn:
    typer.echo(f"edgechess evaluate: {text}", err=True)
    raise typer.Exit(EXIT_USAGE)
