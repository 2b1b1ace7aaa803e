"""`edgechess train …`: a network of one's own, styles for it, and adapters for language models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from edgechess_cli.train_options import DeviceOption, LicenceOption, ThreadsOption, prepared, stopping
from edgechess_cli.train_style_command import style
from edgechess_cli.training_tells import told
from edgechess_training.errors import TrainingError

if TYPE_CHECKING:
    from edgechess_training.policy.compute import Device
    from edgechess_training.policy.recipe import Recipe
    from edgechess_training.policy.report import Report
    from edgechess_training.policy.run import Data
    from edgechess_training.policy.trainer import Pace, Trainer

HOUR_S = 3600.0

app = typer.Typer(help="Train move models: the policy network, and styles for it.", no_args_is_help=True)


@app.command()
def policy(
    out: Annotated[Path, typer.Option("--out", help="The run's folder.")],
    data: Annotated[Path | None, typer.Option("--data", help="Dataset folder, made by `edgechess dataset`.")] = None,
    mix: Annotated[
        list[str] | None, typer.Option("--mix", metavar="FOLDER:SHARE", help="A further dataset; 0.2 is a fifth.")
    ] = None,
    evaluation: Annotated[
        Path | None, typer.Option("--evaluation", help="Positions to score on (default: the dataset's evaluation.npy).")
    ] = None,
    preset: Annotated[str, typer.Option("--preset", help="tiny (minutes), cpu (as shipped), gpu.")] = "cpu",
    init: Annotated[
        str | None,
        typer.Option("--init", help="Begin with these weights: model:edgechess, an address, a run's folder."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    positions: Annotated[int | None, typer.Option("--positions", min=1, help="End after so many.")] = None,
    hours: Annotated[float | None, typer.Option("--hours", min=0.001, help="End after about this time.")] = None,
    decay_from_here: Annotated[
        int | None, typer.Option("--decay-from-here", min=1, help="With --resume: finish within so many positions.")
    ] = None,
    batch: Annotated[int | None, typer.Option("--batch", min=1, help="Positions per step.")] = None,
    rate: Annotated[float | None, typer.Option("--rate", min=0.0, help="Of the usual learning rate.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Of weights and order.")] = None,
    mirror: Annotated[bool, typer.Option("--mirror/--no-mirror", help="See some positions in a mirror.")] = True,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    pack: Annotated[Path | None, typer.Option("--pack", help="At the end, pack the model: STORE/NAME.json.")] = None,
    licence: LicenceOption = "unknown",
) -> None:
    """Train a policy network on positions. Ctrl-C saves; the same command with --resume goes on."""
    given = {"batch": batch, "rate": rate, "seed": seed, "positions": positions}
    changes = {name: value for name, value in given.items() if value is not None} | (
        {} if mirror else {"mirror": False}
    )
    with told("train policy"):
        if resume and (changes or init):
            raise TrainingError(f"--resume goes on with the run's own recipe; leave out {', '.join(changes) or 'init'}")
        if decay_from_here and not resume:
            raise TrainingError("--decay-from-here is for a run that goes on: add --resume")
        if pack is not None and pack.suffix != ".json":
            raise TrainingError(f"{pack}: a packed model is STORE/NAME.json")
        where = prepared(device, threads)
        source = _data(data, mix, evaluation)
        pace = _pace(hours)
        if resume:
            from edgechess_training.policy import run

            trainer = run.resume(out, source, where, pace, decay_from_here)
        else:
            trainer = _begun(out, preset, init, changes, source, where, pace, endless=hours is None)
        _train(trainer)
        if pack is not None:
            from edgechess_training.policy import run

            typer.echo(f"{pack}: {run.pack(out, pack, licence):,} bytes")


def _begun(
    out: Path,
    preset: str,
    init: str | None,
    changes: dict[str, Any],
    data: Data | None,
    device: Device,
    pace: Pace,
    *,
    endless: bool,
) -> Trainer:
    from edgechess_training.policy import run
    from edgechess_training.policy.network_weights import weights_of_word

    if data is None:
        raise TrainingError("no data: name a dataset folder with --data (`edgechess dataset build` makes one)")
    recipe, weights = _recipe(preset, changes, endless=endless), None
    if init is not None:
        architecture, weights = weights_of_word(init)
        recipe = _changed(recipe, {"architecture": architecture})
    return run.begin(out, recipe, data, device, pace, weights)


def _recipe(preset: str, changes: dict[str, Any], *, endless: bool) -> Recipe:
    """A preset's own number of positions is for runs that are given neither that nor a time."""
    from edgechess_training.policy.presets import PRESETS

    if preset not in PRESETS:
        raise TrainingError(f"no preset {preset!r}; there are {', '.join(PRESETS)}")
    return _changed(PRESETS[preset], ({} if endless else {"positions": None}) | changes)


def _changed(recipe: Recipe, changes: dict[str, Any]) -> Recipe:
    import msgspec

    return msgspec.structs.replace(recipe, **changes)


def _data(folder: Path | None, mix: list[str] | None, evaluation: Path | None) -> Data | None:
    from edgechess_training.policy.run import Data

    if folder is None:
        if mix or evaluation:
            raise TrainingError("--mix and --evaluation go with --data")
        return None
    scored = None if evaluation is None else str(evaluation.resolve())
    return Data(folder=str(folder.resolve()), mixed=tuple(_share(word) for word in mix or ()), evaluation=scored)


def _share(word: str) -> tuple[str, float]:
    folder, _, share = word.rpartition(":")
    try:
        return str(Path(folder).resolve()), float(share)
    except ValueError:
        raise TrainingError(f"--mix {word}: say FOLDER:SHARE, for example data/puzzles:0.1") from None


def _pace(hours: float | None) -> Pace:
    from edgechess_training.policy.trainer import Pace

    return Pace(limit_s=None if hours is None else hours * HOUR_S)


def _train(trainer: Trainer) -> None:
    """Until it is done or somebody stops it."""
    folder = trainer.folder
    with stopping() as stop, _watching(trainer) as watch:
        trainer.train(stop, watch)
    state = trainer.state
    end = "done" if state.done else "saved; --resume goes on"
    typer.echo(f"{folder}: {state.positions:,} positions, {state.spent_s:,.0f} s of compute; {end}; see curves.txt")


@contextmanager
def _watching(trainer: Trainer) -> Iterator[Callable[[Report], None]]:
    """On a terminal a bar and the scores, elsewhere a line per report."""
    console = Console()
    if not console.is_terminal:
        yield lambda report: typer.echo(_line(report))
        return
    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        decay = trainer.state.decay
        task = progress.add_task("warming up", total=decay.end if decay else None)

        def watch(report: Report) -> None:
            end = trainer.state.decay
            progress.update(task, completed=report.positions, total=end.end if end else None, description=_line(report))
            if report.score is not None:
                progress.console.print(_line(report))

        yield watch


def _line(report: Report) -> str:
    score = report.score
    text = f"{report.positions:,} positions  loss {report.loss:.3f}  outlook {report.outlook_loss:.3f}  "
    text += f"rate {report.factor:.2f}  {report.rate:.0f}/s"
    if score is not None:
        text += f"  unseen: loss {score.nll:.3f}  top-1 {score.top1:.1%}  legal {score.legal:.1%}"
    return text


app.command()(style)
