"""`edgechess recipes check|write`: the strict checker, and recipes written from the code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from edgechess_cli.component_catalogue import CATALOGUE, NAME_PREFIX
from edgechess_cli.deployment_check import check_deployment
from edgechess_cli.findings import Findings
from edgechess_cli.recipe_check import check_recipe
from edgechess_cli.recipe_text import PLACEHOLDER_BUCKET, Naming, recipe_text
from edgechess_cli.refusals import refusal
from edgechess_kit.errors import SettingsError
from edgechess_kit.settings import BusSettings, load
from edgechess_nucleus.documents import DocumentError, Mapping, Place, Scalar, read_document
from edgechess_nucleus.recipe import SUFFIXES, component_name

RECIPES = Path(__file__).resolve().parents[3] / "recipes"  # of the workspace
EXIT_FINDINGS = 1
EXIT_USAGE = 2

app = typer.Typer(help="Recipes of components: check them strictly, or write them from the code.")


@app.command()
def check(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Recipes, deployment documents, or folders of them (default: the workspace's recipes)."),
    ] = None,
    recipes: Annotated[
        Path | None, typer.Option("--recipes", help="Where deployments find recipes (default: beside them, or above).")
    ] = None,
) -> None:
    """Find everything in recipes and deployments that one of the two nuclei, or our code, would take amiss.

    Each finding is `file:line:column: what; cure`. Exit code: 0 nothing found, 1 findings, 2 a file that cannot be read.
    """
    found, ids = Findings(), dict[str, Place]()
    wrong = False
    paths = _expanded(files or [RECIPES])
    for path in paths:
        try:
            if _is_deployment(path):
                check_deployment(path, recipes or _recipes_of(path), found)
            else:
                check_recipe(path, found, ids)
        except DocumentError as error:
            there = not isinstance(error.__cause__, OSError)
            typer.echo(f"{error.place}:{error.place.column}: {error.what}" if there else refusal(error), err=True)
            wrong = True
    for finding in found.sorted():
        typer.echo(str(finding))
    if wrong:
        raise typer.Exit(EXIT_USAGE)
    if found:
        raise typer.Exit(EXIT_FINDINGS)
    typer.echo(f"{len(paths)} file{'s' if len(paths) != 1 else ''}: nothing found")


@app.command()
def write(
    out: Annotated[Path, typer.Option("--out", help="Folder to write to (default: the workspace's).")] = RECIPES,
    prefix: Annotated[str, typer.Option("--prefix", help="First part of the components' names.")] = NAME_PREFIX,
    topics: Annotated[str, typer.Option("--topics", help="First part of every topic.")] = Naming().topic_prefix,
    bucket: Annotated[str, typer.Option("--bucket", help="S3 bucket of the artifacts.")] = PLACEHOLDER_BUCKET,
) -> None:
    """Write one recipe for each component, from its settings, its topics and the topic table."""
    try:
        load(BusSettings, section="bus", env={}, flags={"prefix": topics})
        component_name(Scalar(Place(Path("--prefix"), 1, 1), prefix, f"{prefix}.{CATALOGUE[0].short}"))
    except (SettingsError, DocumentError) as error:
        _fail(str(error))
    naming = Naming(prefix, topics, bucket)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for room in CATALOGUE:
            path = out / f"{naming.component(room)}.yaml"
            path.write_text(recipe_text(room, naming), encoding="utf-8")
            typer.echo(str(path))
    except OSError as error:
        _fail(f"{error.filename or out}: {error.strerror}")


def _expanded(paths: list[Path]) -> list[Path]:
    """Folders become the recipes and deployments below them."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(one for one in path.rglob("*") if one.suffix in SUFFIXES and one.is_file())
            if not inside:
                _fail(f"{path}: no recipe in this folder ({', '.join(SUFFIXES)})")
            found += inside
        else:
            found.append(path)
    return found


def _is_deployment(path: Path) -> bool:
    root = read_document(path)
    keys = {key.text.lower() for key, _ in root}
    return "components" in keys and "componentname" not in keys


def _recipes_of(deployment: Path) -> Path:
    """Where the document itself says, else the nearest folder that holds recipes."""
    local = read_document(deployment).get("localRuntime")
    said = local.get("recipes") if isinstance(local, Mapping) else None
    if isinstance(said, Scalar):
        return (deployment.parent / said.text).resolve()
    return next(
        (folder for folder in (deployment.parent.parent, deployment.parent) if _holds_recipes(folder)),
        deployment.parent,
    )


def _holds_recipes(folder: Path) -> bool:
    return any(path.suffix in SUFFIXES and path.name.startswith(NAME_PREFIX) for path in folder.glob("*"))


def _fail(message: str) -> NoReturn:
    typer.echo(f"edgechess: {message}", err=True)
    raise typer.Exit(EXIT_USAGE)
