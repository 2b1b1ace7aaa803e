"""`edgechess train lora`: teach a language model to answer with moves, here or as a SageMaker job."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from edgechess_cli.import_bedrock_command import clients
from edgechess_cli.train_command import app
from edgechess_cli.train_options import DeviceOption, ThreadsOption, prepared, stopping
from edgechess_cli.training_tells import told
from edgechess_inference.errors import InferenceError
from edgechess_training.dataset.folder import EVALUATION_RECORDS, TRAIN_RECORDS
from edgechess_training.errors import TrainingError
from edgechess_training.lora.examples import Examples
from edgechess_training.lora.recipe import LoraRecipe
from edgechess_training.lora.sagemaker_adapter import SageMakerOptions, submit

if TYPE_CHECKING:
    from edgechess_training.lora.tuning import Step, Tuning

__all__ = ["app"]

TOLD_EVERY = 10  # steps, where nobody draws


@app.command()
def lora(
    data: Annotated[Path, typer.Option("--data", help="Dataset folder made with --records.")],
    base: Annotated[
        str | None, typer.Option("--base", help="The language model: a folder, or a name of the Hugging Face hub.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the run and of the adapter.")] = None,
    rank: Annotated[int, typer.Option("--rank", help="Of the adapter's matrices.")] = 16,
    epochs: Annotated[float, typer.Option("--epochs", help="Times through the records.")] = 3.0,
    rate: Annotated[float, typer.Option("--rate", help="Learning rate at its highest.")] = 2e-4,
    batch: Annotated[int, typer.Option("--batch", help="Records per step.")] = 16,
    at_once: Annotated[int, typer.Option("--at-once", help="Of these, in memory together.")] = 4,
    length: Annotated[int, typer.Option("--length", help="Tokens of a record; longer ones are left out.")] = 1024,
    four_bit: Annotated[bool, typer.Option("--four-bit", help="QLoRA: needs CUDA and bitsandbytes.")] = False,
    seed: Annotated[int, typer.Option("--seed", help="Of the adapter and the order.")] = 1,
    merge: Annotated[bool, typer.Option("--merge", help="Write the whole model with the adapter in it too.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    sagemaker: Annotated[
        str | None,
        typer.Option("--sagemaker", metavar="MODEL_ID", help="Submit to JumpStart instead: the base's id there."),
    ] = None,
    role: Annotated[str | None, typer.Option("--role", help="SageMaker: ARN of the job's role.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="SageMaker: s3://BUCKET/PREFIX for data and output.")] = None,
    name: Annotated[str, typer.Option("--name", help="SageMaker: of the job.")] = "edgechess-lora",
    instance: Annotated[str | None, typer.Option("--instance", help="SageMaker: default is the model's.")] = None,
    accept_eula: Annotated[
        bool, typer.Option("--accept-eula", help="SageMaker: you accept the base's licence.")
    ] = False,
    region: Annotated[str | None, typer.Option("--region", help="SageMaker: default is the configuration's.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="SageMaker: print the calls; ask nobody.")] = False,
) -> None:
    """Low-rank adaptation of a language model on records of positions and moves. Ctrl-C saves; --resume goes on."""
    with _told():
        recipe = LoraRecipe(
            rank=rank, alpha=2 * rank, epochs=epochs, rate=rate, batch=batch, at_once=min(at_once, batch),
            length=length, four_bit=four_bit, seed=seed,
        )  # fmt: skip
        if sagemaker is not None:
            options = SageMakerOptions(
                sagemaker, _wanted(role, "--role"), _wanted(to, "--to"), name, instance, accept_eula
            )
            _submit(data, recipe, options, region, dry_run)
            return
        if four_bit and merge:
            raise TrainingError(
                "weights of four bits cannot be merged: leave out --merge and serve the adapter beside its base, or --four-bit"
            )
        target = Path(_wanted(None if out is None else str(out), "--out"))
        records = Examples(data / TRAIN_RECORDS)
        from edgechess_training.lora.tuning import Tuning

        run = Tuning(_wanted(base, "--base"), target, recipe, prepared(device, threads), resume=resume)
        whole = _train(run, records, data / EVALUATION_RECORDS)
        typer.echo(
            f"{target}" if whole else f"{target}: stopped at step {run.step}; the same command with --resume goes on"
        )
        if whole and merge:
            typer.echo(f"{run.merge()}")


def _train(run: Tuning, records: Examples, evaluation: Path) -> bool:
    held_out = Examples(evaluation) if evaluation.is_file() else None
    terminal = Console(stderr=True).is_terminal

    def watch(step: Step) -> None:
        if terminal or step.step % TOLD_EVERY == 0 or step.evaluation is not None:
            typer.echo(_line(step), err=True)

    with stopping() as stop:
        return run.train(records, held_out, stop, watch)


def _line(step: Step) -> str:
    judged = (
        "" if step.evaluation is None else f"  held out: loss {step.evaluation[0]:.3f}, whole {step.evaluation[1]:.1%}"
    )
    return f"{step.step}/{step.steps}  loss {step.loss:.3f}  rate {step.rate:.1e}{judged}"


def _submit(data: Path, recipe: LoraRecipe, options: SageMakerOptions, region: str | None, dry_run: bool) -> None:
    if recipe.four_bit:
        raise TrainingError("--four-bit is for training here; a JumpStart model's own settings say what it does")
    client = None if dry_run else clients(region, None)
    arn = submit(data, recipe, options, client, typer.echo if dry_run else lambda line: None)
    if arn is not None:
        typer.echo(json.dumps({"trainingJob": arn}))


def _wanted(value: Any, option: str) -> str:
    if value is None:
        raise TrainingError(f"{option} is needed")
    return str(value)


@contextmanager
def _told() -> Iterator[None]:
    with told("train lora"):
        try:
            yield
        except InferenceError as error:
            raise TrainingError(str(error)) from error
