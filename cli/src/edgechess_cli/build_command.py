"""`edgechess build`: one zip for each component and platform, with everything that it needs, and its recipe."""

from __future__ import annotations

import contextlib
import os
import platform as machine
import re
from importlib import metadata
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from edgechess_cli.artifact import Artifact, write_artifact
from edgechess_cli.built_folder import BuiltFolder
from edgechess_cli.component_catalogue import CATALOGUE, NAME_PREFIX, Room, room_of
from edgechess_cli.recipe_text import PLACEHOLDER_BUCKET, Naming, recipe_text
from edgechess_cli.requirement_closure import Closure, ClosureError, Target, closure, read_pins
from edgechess_cli.wheelhouse import WheelError, Wheelhouse, Workspace, find_workspace
from edgechess_kit.topics import PREFIX
from edgechess_nucleus.platform import ARCHITECTURES
from edgechess_nucleus.versions import Version

PLATFORMS = ("x86_64", "aarch64")
DEFAULT_PYTHON = "3.11"  # Raspberry Pi OS and Debian 12; the oldest that edgechess runs on
OUT = Path("dist") / "greengrass"
EXIT_FAILED = 1
EXIT_USAGE = 2


def command(
    components: Annotated[
        list[str] | None, typer.Argument(help="GameManager, BoardSensor … (default: all).", metavar="[COMPONENT]...")
    ] = None,
    platform: Annotated[
        list[str] | None,
        typer.Option("--platform", help="x86_64 or aarch64; may be repeated (default: this machine's)."),
    ] = None,
    python: Annotated[str, typer.Option("--python", help="The core device's CPython.")] = DEFAULT_PYTHON,
    out: Annotated[Path, typer.Option("--out", help="Folder of recipes/ and artifacts/.")] = OUT,
    version: Annotated[str, typer.Option("--version", help="Component version (default: the distribution's).")] = "",
    wheels: Annotated[
        list[Path] | None, typer.Option("--wheels", help="Folder of wheels of your own, taken first; may be repeated.")
    ] = None,
    prefix: Annotated[str, typer.Option("--prefix", help="First part of the components' names.")] = NAME_PREFIX,
    topics: Annotated[str, typer.Option("--topics", help="First part of every topic.")] = PREFIX,
) -> None:
    """Build artifacts: wheels of the workspace and pinned wheels of others in one zip, installed without a network.

    The same sources give the same bytes. Exit code: 0, 1 when a wheel is missing (the others are built), 2 wrong usage.
    """
    rooms = [_room(name) for name in components] if components else list(CATALOGUE)
    targets = [Target(_platform(name), _python(python)) for name in platform or [_this_machine()]]
    if version:
        _version(version)
    for folder in wheels or []:
        if not folder.is_dir():
            _fail(f"--wheels {folder}: no such folder", EXIT_USAGE)
    try:
        workspace = find_workspace()
        pins = read_pins(workspace.constraints)
    except (ClosureError, WheelError) as error:
        _fail(str(error), EXIT_USAGE)
    built = _Build(workspace, pins, BuiltFolder(out), Naming(prefix, topics, PLACEHOLDER_BUCKET), version)
    with contextlib.closing(Wheelhouse(workspace, cache_home(), wheels or [], _say)) as wheelhouse:
        failures = built.all(rooms, targets, wheelhouse)
    built.show()
    if failures:
        _fail("\n".join(dict.fromkeys(failures)))


class _Build:
    def __init__(
        self, workspace: Workspace, pins: dict[str, str], folder: BuiltFolder, naming: Naming, version: str
    ) -> None:
        self._workspace = workspace
        self._pins = pins
        self._folder = folder
        self._naming = naming
        self._version = version
        self._made: list[tuple[str, str, Artifact]] = []

    def all(self, rooms: list[Room], targets: list[Target], wheelhouse: Wheelhouse) -> list[str]:
        """What could not be built, and why."""
        failures: list[str] = []
        for room in rooms:
            for target in targets:
                try:
                    self._made.append((room.short, target.platform, self._one(room, target, wheelhouse)))
                except (WheelError, ClosureError) as error:
                    failures += [f"{room.short}: {line}" for line in str(error).splitlines()]
                except OSError as error:
                    _fail(f"{error.filename or self._folder.root}: {error.strerror}")
            self._write_recipe(room)
        return failures

    def _one(self, room: Room, target: Target, wheelhouse: Wheelhouse) -> Artifact:
        needed = self._needed(room, target)
        others = wheelhouse.others(needed.pins, target)
        own = [wheelhouse.ours(name) for name in needed.ours]
        [pip] = wheelhouse.others([("pip", self._pins["pip"])], target)
        component, release = self._naming.component(room), self._release(room)
        path = self._folder.artifact_path(room, component, release, ARCHITECTURES[target.platform])
        licence = (self._workspace.root / "LICENSE").read_bytes()
        return write_artifact(path, [*own, *others], pip, target, licence)

    def _needed(self, room: Room, target: Target) -> Closure:
        return closure((room.distribution, *room.requires), target, self._workspace.projects, self._pins)

    def _release(self, room: Room) -> str:
        return self._version or metadata.version(room.distribution)

    def _write_recipe(self, room: Room) -> None:
        """For all platforms that there are artifacts of, also those of earlier builds."""
        component, release = self._naming.component(room), self._release(room)
        there = self._folder.built(room, component, release)
        if there:
            path = self._folder.recipe_path(component, release)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(recipe_text(room, self._naming, release, there), encoding="utf-8")

    def show(self) -> None:
        table = Table("component", "platform", "wheels", "MB", "SHA-256", box=None)
        for short, platform, made in self._made:
            table.add_row(short, platform, str(made.wheels), f"{made.size_bytes / 1e6:.1f}", made.digest[:12])
        if self._made:
            Console(soft_wrap=True).print(table)
            typer.echo(f"artifacts and recipes are in {self._folder.root}")


def cache_home() -> Path:
    """Wheels that were fetched are not fetched again."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "edgechess" / "wheels"


def _this_machine() -> str:
    kernel = machine.machine().lower()
    return "aarch64" if kernel == "arm64" else kernel


def _room(name: str) -> Room:
    room = room_of(name)
    if room is None:
        _fail(f"{name}: no such component; known are {', '.join(one.short for one in CATALOGUE)}", EXIT_USAGE)
    return room


def _platform(name: str) -> str:
    if name not in PLATFORMS:
        _fail(f"--platform {name}: expected {' or '.join(PLATFORMS)}", EXIT_USAGE)
    return name


def _python(version: str) -> str:
    match = re.fullmatch(r"3\.([0-9]{1,2})", version)
    if match is None or int(match[1]) < 11:
        _fail(f"--python {version}: expected 3.11 or newer, as 3.NN", EXIT_USAGE)
    return version


def _version(text: str) -> None:
    try:
        Version.parse(text)
    except ValueError as error:
        _fail(f"--version: {error}", EXIT_USAGE)


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _fail(message: str, code: int = EXIT_FAILED) -> NoReturn:
    for line in message.splitlines():
        typer.echo(f"edgechess build: {line}", err=True)
    raise typer.Exit(code)
