"""`edgechess train …`: a network of one's own, and styles for it."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Train move models.", no_args_is_help=True)


@app.command()
def policy(
    data: Annotated[Path, typer.Option("--data", help="Dataset folder.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the run.")],
    preset: Annotated[str, typer.Option("--preset")] = "cpu",
    mix: Annotated[list[str] | None, typer.Option("--mix", help="FOLDER:SHARE")] = None,
    evaluation: Annotated[Path | None, typer.Option("--evaluation")] = None,
    resume: Annotated[bool, typer.Option("--resume")] = False,
    decay_from_here: Annotated[int | None, typer.Option("--decay-from-here")] = None,
    threads: Annotated[int | None, typer.Option("--threads")] = None,
) -> None:
    """Train a policy network."""
    import torch

    from edgechess_training.policy import run
    from edgechess_training.policy.presets import PRESETS

    if threads:
        torch.set_num_threads(threads)
    pairs = [(Path(word.rpartition(":")[0]), float(word.rpartition(":")[2])) for word in mix or ()]
    source = run.Data(data, pairs, evaluation)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if resume:
        trainer = run.resume(out, source, device, decay_from_here)
    else:
        trainer = run.begin(out, PRESETS[preset], source, device)
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: stopped.append(number))
    trainer.train(lambda: bool(stopped), lambda report: typer.echo(str(report)))
