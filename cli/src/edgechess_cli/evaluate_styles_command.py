"""`edgechess evaluate styles`: whose games are these, by the styles that explain them."""

from __future__ import annotations

import hashlib
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from edgechess_cli.evaluate_options import JobsOption
from edgechess_cli.training_tells import EXIT_INTERRUPTED, progress, told
from edgechess_training.errors import TrainingError
from edgechess_training.evaluation import style_report
from edgechess_training.evaluation.executors import executor_of
from edgechess_training.evaluation.network import network_of
from edgechess_training.evaluation.store import Store
from edgechess_training.evaluation.styles import Player, Sampling, StyleFigures, figures_of, players_of, tasks_of
from edgechess_training.evaluation.subject import subject_of
from edgechess_training.evaluation.work import Executor, Task


def styles(
    folder: Annotated[Path, typer.Argument(help="What `edgechess train style --out` made.")],
    base: Annotated[str, typer.Option("--base", help="The model that the styles are for.")] = "model:edgechess",
    only: Annotated[list[str] | None, typer.Option("--only", help="Of the styles, this one; may be repeated.")] = None,
    games: Annotated[int, typer.Option("--games", min=1, help="Later games in a group.")] = 20,
    groups: Annotated[int, typer.Option("--groups", min=1, help="Groups of each player, at most.")] = 4,
    positions: Annotated[int, typer.Option("--positions", min=1, help="Of each group, at most.")] = 400,
    jobs: JobsOption = 1,
    seed: Annotated[int, typer.Option("--seed", help="Of what is drawn.")] = 1,
    out: Annotated[Path, typer.Option("--out", help="Folder of results; the same command goes on there.")] = Path(
        "evaluations/styles"
    ),
) -> None:
    """Which style explains each player's later games best? Writes styles.md, styles.svg and styles.json."""
    with told("evaluate styles"):
        sampling = Sampling(games, groups, positions, seed)
        players = _chosen(players_of(folder, sampling), only or [])
        source = subject_of(base, out).source
        if source is None:
            raise TrainingError(f"{base} is no policy network: styles are for those")
        network = network_of(source)
        store = Store(out, {"styles": network.digest, "sampling": str(sampling), "players": _adapters(players)})
        tasks = list(tasks_of(players, source))
        with closing(executor_of(jobs, None)) as executor:
            whole = _run(store, tasks, executor)
        values = {task.section: found[0] for task in tasks if (found := store.values(task.section))}
        figures = figures_of(players, values, sampling, network.name, network.digest)
        _finish(figures, out)
    if not whole:
        typer.echo("stopped; the same command goes on from there", err=True)
        raise typer.Exit(EXIT_INTERRUPTED)


def _chosen(players: list[Player], only: list[str]) -> list[Player]:
    names = [player.name for player in players]
    for name in only:
        if name not in names:
            raise TrainingError(f"no style is named {name!r}; there are {', '.join(names)}")
    return [player for player in players if not only or player.name in only]


def _adapters(players: list[Player]) -> list[str]:
    """What results depend on: which styles there are, and that they are still the same."""
    digests = [hashlib.sha256(Path(player.adapter).read_bytes()).hexdigest() for player in players]
    return [f"{player.name} {digest[:16]}" for player, digest in zip(players, digests, strict=True)]


def _run(store: Store, tasks: list[Task], executor: Executor) -> bool:
    """False: Ctrl-C ended it."""
    left = [task for task in tasks if not store.has(task.section, task.number)]
    done = len(tasks) - len(left)
    try:
        with progress() as watch:
            for task, value in executor.results(left):
                store.add(task.section, task.number, value)
                done += 1
                watch("players under styles", done, len(tasks))
    except KeyboardInterrupt:
        return False
    return True


def _finish(figures: StyleFigures, out: Path) -> None:
    for file in style_report.write(figures, out):
        typer.echo(f"written: {file}", err=True)
    typer.echo("\n".join(style_report.markdown(figures)))
