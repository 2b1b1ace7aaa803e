"""`edgechess evaluate`: how strong a move model is, measured, with a report, pictures and every game."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, cast

import typer

from edgechess_cli.evaluate_options import JobsOption, Material, paired
from edgechess_cli.option_group import grouped
from edgechess_cli.training_tells import EXIT_INTERRUPTED, fail, progress, told
from edgechess_training.evaluation.engine import NODES_DEFAULT, NODES_OF_STRONG, STRONG_ELO
from edgechess_training.evaluation.evaluation import JUDGE_NODES, QUICK, SECTIONS, Evaluation, Sizes
from edgechess_training.evaluation.executors import executor_of
from edgechess_training.evaluation.measured import measured
from edgechess_training.evaluation.report import markdown, write
from edgechess_training.evaluation.sides import Choice
from edgechess_training.evaluation.statistics import Sprt
from edgechess_training.evaluation.subject import subject_of

VERB = "evaluate"
CHOICES = ("pure", "lookahead", "ladder")


@grouped
def command(
    model: Annotated[
        str,
        typer.Argument(
            help="A model as players name it (edgechess@tal, m.json, openai:…), a checkpoint, or a run's folder."
        ),
    ],
    material: Material,
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
    retries: Annotated[
        int | None, typer.Option("--retries", help="Games of the reference demo's test (20).", min=0)
    ] = None,
    puzzles: Annotated[int | None, typer.Option("--puzzles", help="How many (7500).", min=0)] = None,
    positions: Annotated[int | None, typer.Option("--positions", help="Held-out positions (20000).", min=0)] = None,
    centipawns: Annotated[
        int | None, typer.Option("--centipawns", help="Held-out positions that the engine judges (500).", min=0)
    ] = None,
    judge_nodes: Annotated[int, typer.Option("--judge-nodes", help="Of the engine as a judge.", min=1)] = JUDGE_NODES,
    evals: Annotated[Path | None, typer.Option("--evals", help="FEN TAB CENTIPAWNS (White's), also .zst.")] = None,
    threads: Annotated[list[int] | None, typer.Option("--threads", help="For the times of one move (1 and 2).")] = None,
    only: Annotated[list[str] | None, typer.Option("--only", help=f"Only these: {', '.join(SECTIONS)}.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of everything: a first look in two minutes.")] = False,
    jobs: JobsOption = 1,
    ray: Annotated[str | None, typer.Option("--ray", help="Address of a Ray cluster (auto) instead of --jobs.")] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, or cuda (by torch).")] = "cpu",
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of results; the same command goes on there. Default: evaluations/MODEL."),
    ] = None,
) -> None:
    """Play matches, solve puzzles, compare with held-out games; Ctrl-C, and the same command goes on.

    Writes report.md with pictures, figures.json and games.pgn. Exit code: 2 wrong usage, 130 after Ctrl-C.
    """
    with told(VERB):
        sizes = _sizes(QUICK if quick else Sizes(), games, puzzles, positions, centipawns, retries)
        folder = out or Path("evaluations") / _folder_name(model)
        subject = subject_of(model, folder, device=device)
        wanted = dataclasses.replace(
            material.wanted(),
            choices=_choices(choice, text=subject.source is None),
            levels=tuple(elo if elo is not None else () if against else (1350,)),
            against=tuple(against or ()),
            sprt=_sprt(sprt),
            nodes=nodes,
            judge_nodes=judge_nodes,
            eval_file=evals,
            threads=tuple(threads or (1, 2)),
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


def _sizes(
    usual: Sizes, games: int | None, puzzles: int | None, positions: int | None, centipawns: int | None, retries: int | None
) -> Sizes:  # fmt: skip
    paired(games)
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
            fail(VERB, f"{option} {word}: there are {', '.join(there)}")


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
        fail(VERB, f"--sprt {text}: ELO0,ELO1[,ALPHA,BETA] is expected, for example 0,20 or 0,20,0.05,0.05")
    return test


def _folder_name(model: str) -> str:
    name = model.rstrip("/").rpartition("/")[2].removesuffix(".json").removesuffix(".safetensors")
    return "".join(letter if letter.isalnum() or letter in "@._-" else "-" for letter in name) or "model"
