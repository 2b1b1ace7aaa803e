"""`edgechess evaluate curve`: what a training run kept on its way, measured with the same settings."""

from __future__ import annotations

import dataclasses
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from edgechess_cli.evaluate_options import JobsOption, Material, paired
from edgechess_cli.option_group import grouped
from edgechess_cli.training_tells import EXIT_INTERRUPTED, progress, told
from edgechess_training.evaluation import curve_report, milestones, report
from edgechess_training.evaluation.evaluation import Evaluation, Sizes, Wanted
from edgechess_training.evaluation.executors import executor_of
from edgechess_training.evaluation.measured import measured
from edgechess_training.evaluation.subject import subject_of

REPORT_FILE = "curve.md"


@grouped
def curve(
    run: Annotated[Path, typer.Argument(help="The folder of `edgechess train policy`.")],
    material: Material,
    elo: Annotated[int, typer.Option("--elo", help="Stockfish's UCI_Elo.")] = 1350,
    nodes: Annotated[int | None, typer.Option("--nodes", help="Of the engine per move.", min=1)] = None,
    games: Annotated[int, typer.Option("--games", help="Of each milestone; an even number, 0: none.", min=0)] = 100,
    puzzles: Annotated[int, typer.Option("--puzzles", help="How many.", min=0)] = 2000,
    positions: Annotated[int, typer.Option("--positions", help="Held-out positions.", min=0)] = 5000,
    jobs: JobsOption = 1,
    out: Annotated[Path, typer.Option("--out", help="Folder of results; the same command goes on there.")] = Path(
        "evaluations/curve"
    ),
) -> None:
    """Measure a run's milestones. Writes curve.md, curve.svg and curve.json; Ctrl-C, and the same command goes on."""
    with told("evaluate curve"):
        paired(games)
        wanted = dataclasses.replace(
            material.wanted(),
            levels=(elo,),
            nodes=nodes,
            sections=("matches", "puzzles", "heldout"),
            sizes=Sizes(games, puzzles, positions, 0, 0, 0),
        )
        points, whole = _points(milestones.milestones_of(run), wanted, out, jobs)
        _finish(points, out)
    if not whole:
        typer.echo("stopped; the same command goes on from there", err=True)
        raise typer.Exit(EXIT_INTERRUPTED)


def _points(
    found: list[milestones.Milestone], wanted: Wanted, out: Path, jobs: int
) -> tuple[list[milestones.CurvePoint], bool]:
    """Of those that were measured to the end; False where Ctrl-C came before. Raises TrainingError."""
    points: list[milestones.CurvePoint] = []
    with closing(executor_of(jobs, None)) as executor:
        for milestone in found:
            folder = out / f"{milestone.positions:010}"
            evaluation = Evaluation(subject_of(str(milestone.weights), folder), wanted, folder)
            typer.echo(f"{milestone.positions:,} positions", err=True)
            try:
                with progress() as watch:
                    evaluation.run(executor, watch)
            except KeyboardInterrupt:
                return points, False
            report.write(evaluation)
            points.append(milestones.point_of(milestone, measured(evaluation)))
    return points, True


def _finish(points: list[milestones.CurvePoint], out: Path) -> None:
    """Raises OSError."""
    if not points:
        return
    text = "\n".join(curve_report.markdown(points))
    picture = out / curve_report.PICTURE_FILE
    picture.write_text(curve_report.picture(points), encoding="utf-8")
    page = out / REPORT_FILE
    page.write_text(f"# Strength against compute\n\n{text}\n![curve]({picture.name})\n", encoding="utf-8")
    for file in (milestones.write(points, out), page, picture):
        typer.echo(f"written: {file}", err=True)
    typer.echo(text)
