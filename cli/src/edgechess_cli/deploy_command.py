"""`edgechess deploy`: what `edgechess build` made, to an AWS account, or to a core device or laptop without one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import anyio
import boto3
import typer

from edgechess_cli.build_command import OUT
from edgechess_cli.built_folder import BuiltError, BuiltFolder
from edgechess_cli.deploy_cloud import Calls, Cloud, CloudError, check_region, check_target
from edgechess_cli.deploy_local import lay_out, said, up_command
from edgechess_cli.deploy_plan import JsonObject, Plan, read_plan
from edgechess_cli.recipes_command import RECIPES
from edgechess_cli.refusals import refusal
from edgechess_nucleus.documents import DocumentError
from edgechess_nucleus.flavour import FLAVOURS
from edgechess_nucleus.recipe import SUFFIXES, read_recipe

T = TypeVar("T")

EXIT_FAILED = 1
EXIT_USAGE = 2


class Layout(StrEnum):
    """Who takes the artifacts over."""

    OURS = "ours"
    GREENGRASS_CLI = "greengrass-cli"
    GGL_CLI = "ggl-cli"


def command(
    document: Annotated[
        Path | None, typer.Argument(help="Deployment document (default: one-core.yaml; with --local: local.yaml).")
    ] = None,
    built: Annotated[Path, typer.Option("--built", help="What edgechess build --out filled.")] = OUT,
    version: Annotated[str, typer.Option("--version", help="Component version (default: the newest built).")] = "",
    bucket: Annotated[str, typer.Option("--bucket", help="S3 bucket of the artifacts.")] = "",
    region: Annotated[str, typer.Option("--region", help="AWS region of bucket and core device.")] = "",
    target_arn: Annotated[
        str, typer.Option("--target-arn", help="Thing or thing group (default: as the document says).")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print every call, and ask and change nothing.")] = False,
    previous: Annotated[
        Path | None, typer.Option("--previous", help="With --dry-run: folder of the recipes that are registered.")
    ] = None,
    local: Annotated[
        bool,
        typer.Option(
            "--local", help="Without AWS: run it here until Ctrl-C, or (--layout) fill a core device's folder."
        ),
    ] = False,
    layout: Annotated[Layout, typer.Option("--layout", help="With --local: who takes it over.")] = Layout.OURS,
    out: Annotated[Path, typer.Option("--out", help="With a --layout of a core device: folder to fill.")] = Path(
        "dist/core-device"
    ),
    root: Annotated[
        Path | None, typer.Option("--root", help="With --local: folder of our runtime (default: in the state home).")
    ] = None,
    flavour: Annotated[
        str | None, typer.Option("--flavour", help="With --local: java or lite, whose ways our runtime imitates.")
    ] = None,
) -> None:
    """Upload artifacts, register component versions and create a deployment; or hand the same artifacts over locally.

    --local runs the document in our runtime, as edgechess up does: in this terminal, until Ctrl-C.

    Defaults that changed since the newest registered version are reset on the devices, which would keep the old ones.

    Exit code: 0, 1 when AWS would not, 2 for wrong usage, documents or folders.
    """
    if (root is not None or flavour is not None) and not (local and layout is Layout.OURS):
        _fail("--root and --flavour are of our own runtime: they go with --local and no --layout of a core", EXIT_USAGE)
    if flavour is not None and flavour not in FLAVOURS:
        _fail(f"--flavour is {flavour!r}: expected {' or '.join(FLAVOURS)}", EXIT_USAGE)
    name = "local.yaml" if local and layout is Layout.OURS else "one-core.yaml"
    chosen = document or RECIPES / "deployments" / name
    folder = BuiltFolder(built)
    plan = _usage(lambda: read_plan(chosen, folder, version))
    if local and layout is Layout.OURS:
        _run_here(up_command(chosen, folder, root, flavour), dry_run=dry_run)
        return
    if local:
        _lay_out(plan, layout, out)
        return
    target = target_arn or str(plan.raw.get("targetArn", ""))
    for word, value in (("--bucket", bucket), ("--region", region), ("--target-arn", target)):
        if not value:
            _fail(f"{word} is missing (or --local: without AWS)", EXIT_USAGE)
    _usage(lambda: check_region(region))
    _usage(lambda: check_target(target, region))
    older = _usage(lambda: _previous(previous) if previous is not None else {})
    calls = Calls(None if dry_run else _clients(region), typer.echo)
    if dry_run and previous is None:
        typer.echo("# what has to be reset depends on the version that is registered; --previous DIR shows it here")
    try:
        anyio.run(Cloud(calls, bucket, typer.echo).deploy, plan, target, older)
    except CloudError as error:
        _fail(str(error), EXIT_FAILED)


def _run_here(words: list[str], *, dry_run: bool) -> None:
    """This process becomes the runtime."""
    typer.echo("# runs in this terminal until Ctrl-C:")
    typer.echo(said(["edgechess", *words[3:]]))
    if not dry_run:
        sys.stdout.flush()
        os.execv(words[0], words)


def _lay_out(plan: Plan, layout: Layout, out: Path) -> None:
    try:
        words = lay_out(plan, out.resolve(), lite=layout is Layout.GGL_CLI)
    except OSError as error:
        _fail(f"{error.filename or out}: {error.strerror}", EXIT_USAGE)
    typer.echo(f"# {out} holds recipes/ and artifacts/; on the core device run:")
    typer.echo(said(words))


def _clients(region: str) -> Callable[[str], object]:
    session = boto3.session.Session(region_name=region)
    return lambda service: session.client(service)


def _previous(folder: Path) -> dict[str, JsonObject]:
    """Raises BuiltError or DocumentError."""
    recipes = [read_recipe(path) for path in sorted(folder.glob("*")) if path.suffix in SUFFIXES]
    if not recipes:
        raise BuiltError(f"--previous {folder}: no recipe there")
    return {one.name: one.defaults.data() if one.defaults is not None else {} for one in recipes}


def _usage(make: Callable[[], T]) -> T:
    try:
        return make()
    except DocumentError as error:
        _fail(refusal(error), EXIT_USAGE)
    except (BuiltError, CloudError) as error:
        _fail(str(error), EXIT_USAGE)


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"edgechess deploy: {message}", err=True)
    raise typer.Exit(code)
