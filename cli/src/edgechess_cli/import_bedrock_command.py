"""`edgechess model import-bedrock run|wait|list|delete`: a fine-tuned language model becomes `imported:ARN`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer
from rich.console import Console

from edgechess_inference.bedrock_import_adapter import (
    Client,
    ImportFailed,
    ImportRefused,
    Job,
    ModelImport,
    plan_upload,
)

EXIT_FAILED = 1

app = typer.Typer(
    help="Bring a fine-tuned language model into Amazon Bedrock, and see which are there.", no_args_is_help=True
)

RegionOption = Annotated[str | None, typer.Option("--region", help="Default: what the AWS configuration says.")]
ProfileOption = Annotated[str | None, typer.Option("--profile", help="Of the AWS configuration.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print the calls; ask nobody.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


@app.command()
def run(
    folder: Annotated[Path, typer.Argument(help="A checkpoint as transformers saves it: config.json, *.safetensors …")],
    to: Annotated[str, typer.Option("--to", help="s3://BUCKET[/PREFIX] in the region of the import.")],
    role: Annotated[str, typer.Option("--role", help="ARN of the IAM role with which Bedrock reads the bucket.")],
    name: Annotated[str, typer.Option("--name", help="Of the imported model.")],
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Begin the job and leave.")] = False,
    region: RegionOption = None,
    profile: ProfileOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Upload, begin the import, wait for it. The same command sends nothing twice and finds the job that it began."""
    with _told(), Console(stderr=True).status("reading") as show:
        upload = plan_upload(folder, to, name)
        service = _service(region, profile, dry_run)
        service.upload(upload, lambda sent, total: show.update(f"uploaded {sent / 1e9:.2f} of {total / 1e9:.2f} GB"))
        job = service.begin(upload, name, role)
        if not no_wait and not dry_run:
            job = anyio.run(_ended, service, job.arn, show.update)
    if not dry_run:
        _finish(job, as_json)


@app.command()
def wait(
    job: Annotated[str, typer.Argument(help="ARN or name of an import job.")],
    region: RegionOption = None,
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Wait for a job that was begun before."""
    with _told(), Console(stderr=True).status("asking") as show:
        ended = anyio.run(_ended, _service(region, profile, False), job, show.update)
    _finish(ended, as_json)


@app.command("list")
def list_models(region: RegionOption = None, profile: ProfileOption = None, as_json: JsonOption = False) -> None:
    """The imported models of the account in this region, newest first."""
    with _told():
        models = _service(region, profile, False).models()
    if as_json:
        typer.echo(json.dumps([{"name": m.name, "arn": m.arn, "architecture": m.architecture} for m in models]))
        return
    for model in models:
        typer.echo(f"{model.name}  {model.architecture}  {model.created}  imported:{model.arn}")


@app.command()
def delete(
    model: Annotated[str, typer.Argument(help="Name or ARN of an imported model.")],
    region: RegionOption = None,
    profile: ProfileOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Remove an imported model from Bedrock; its files in S3 stay."""
    with _told():
        _service(region, profile, dry_run).delete(model)
    if not dry_run:
        typer.echo(f"{model} is deleted")


async def _ended(service: ModelImport, job: str, show: Callable[[str], None]) -> Job:
    found = Job(job, "InProgress")
    async for found in service.statuses(job):
        show(f"{found.status}  {found.arn}")
    return found


def _finish(job: Job, as_json: bool) -> None:
    word = f"imported:{job.model}" if job.model else None
    if as_json:
        typer.echo(json.dumps({"job": job.arn, "status": job.status, "player": word}))
    else:
        typer.echo(word or f"{job.status}: edgechess model import-bedrock wait {job.arn}")


def _service(region: str | None, profile: str | None, dry_run: bool) -> ModelImport:
    return ModelImport(None, typer.echo) if dry_run else ModelImport(clients(region, profile))


def clients(region: str | None, profile: str | None) -> Client:
    """Made at their first use. Raises ImportRefused."""
    import boto3
    from botocore.exceptions import BotoCoreError

    made: dict[str, Any] = {}

    def client(service: str) -> Any:
        if service not in made:
            try:
                made[service] = boto3.session.Session(profile_name=profile).client(service, region_name=region)
            except BotoCoreError as error:
                raise ImportRefused(f"{error} (--region or --profile may say it)") from error
        return made[service]

    return client


@contextmanager
def _told() -> Iterator[None]:
    """A user's mistake, or the service's refusal, is one line."""
    try:
        yield
    except (ImportRefused, ImportFailed, OSError) as error:
        typer.echo(f"edgechess model import-bedrock: {error}", err=True)
        raise typer.Exit(EXIT_FAILED if isinstance(error, ImportFailed) else 2) from None
    except KeyboardInterrupt:
        typer.echo("\nedgechess model import-bedrock: stopped; the same command goes on from here", err=True)
        raise typer.Exit(130) from None
