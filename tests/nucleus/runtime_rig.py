"""A runtime over recipes that a test writes: components are small shell scripts."""

from __future__ import annotations

import random
import textwrap
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from edgechess_nucleus.artifacts import FolderSource
from edgechess_nucleus.component import ComponentStatus
from edgechess_nucleus.component_updates import ComponentUpdates
from edgechess_nucleus.configuration import KeyPath
from edgechess_nucleus.deployed import Prepared, prepare
from edgechess_nucleus.deployer import Deployer, Order, Usual
from edgechess_nucleus.deployment import Deployment, read_deployment
from edgechess_nucleus.flavour import JAVA, Flavour
from edgechess_nucleus.lifecycle import State
from edgechess_nucleus.root_folder import RootFolder
from edgechess_nucleus.runtime import Runtime
from edgechess_nucleus.secrets import FileSecrets
from edgechess_nucleus.state import read_state

PATIENT_S = 120.0  # a process starts in milliseconds; a busy machine takes its time


def write_recipe(
    folder: Path, name: str, lifecycle: str, *, version: str = "1.0.0", head: str = "", artifacts: str = ""
) -> Path:
    """`lifecycle`, `head` and `artifacts` are YAML, indented as it comes."""

    def block(text: str, spaces: int) -> str:
        return textwrap.indent(textwrap.dedent(text).strip("\n"), " " * spaces)

    lines = [
        'RecipeFormatVersion: "2020-01-25"',
        f"ComponentName: {name}",
        f'ComponentVersion: "{version}"',
        block(head, 0),
        "Manifests:",
        '  - Platform: {os: linux, runtime: "*"}',
        *(["    Artifacts:", block(artifacts, 6)] if artifacts else []),
        "    Lifecycle:",
        block(lifecycle, 6),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}.yaml"
    path.write_text("\n".join(line for line in lines if line) + "\n", encoding="utf-8")
    return path


class Rig:
    """One root folder, its recipes and what the runtime said."""

    def __init__(self, folder: Path, flavour: Flavour = JAVA) -> None:
        self.folder = folder
        self.recipes = folder / "recipes"
        self.root = RootFolder(folder / "root")
        self.flavour = flavour
        self.lines: list[tuple[str, str]] = []
        self.states: list[tuple[str, State]] = []
        self.news = anyio.Event()
        self.updates = ComponentUpdates()
        self.steps: list[str] = []
        self.revoked: list[str] = []
        self.told: list[tuple[str, tuple[KeyPath, ...]]] = []

    def recipe(self, name: str, lifecycle: str, **more: str) -> Path:
        return write_recipe(self.recipes, name, lifecycle, **more)

    def document(self, *names: str, text: str = "", file: str = "deployment.yaml") -> Path:
        path = self.folder / file
        path.write_text(text or "components:\n" + "".join(f"  {name}: {{}}\n" for name in names), encoding="utf-8")
        return path

    def deployment(self, *names: str, text: str = "") -> Deployment:
        return read_deployment(self.document(*names, text=text))

    def deployer(self, runtime: Runtime) -> Deployer:
        """The rig stands for the IPC server, and hears what the runtime tells it."""
        runtime.serve_with(self)
        usual = Usual(self.recipes, FolderSource(self.folder / "artifacts"), self.flavour, lambda document: document)
        return Deployer(runtime, self.updates, self.root, usual, lambda: 20.0)

    async def deploy(self, runtime: Runtime, *names: str, text: str = "") -> None:
        document = self.document(*names, text=text, file="next.yaml")
        await self.deployer(runtime).deploy(Order(document), self.steps.append)

    def revoke(self, component: str) -> None:
        self.revoked.append(component)

    def configuration_changed(self, component: str, changed: Sequence[KeyPath]) -> None:
        self.told.append((component, tuple(changed)))

    def prepare(self, deployment: Deployment, now_ms: int = 1_000) -> Prepared:
        kept = read_state(self.root.state)
        source = FolderSource(self.folder / "artifacts")
        return prepare(deployment, self.recipes, self.root, kept, source, flavour=self.flavour, now_ms=now_ms)

    @asynccontextmanager
    async def running(self, *names: str, text: str = "", now_ms: int = 1_000) -> AsyncIterator[Runtime]:
        with self.root.locked():
            runtime = Runtime(
                self.prepare(self.deployment(*names, text=text), now_ms), self.root, self.flavour, FileSecrets(),
                clock=lambda: 0.0, rng=random.Random(1), echo=self.echo, observe=self.observe,
            )  # fmt: skip
            async with anyio.create_task_group() as tasks:
                await tasks.start(runtime.run)
                yield runtime
                tasks.cancel_scope.cancel()

    async def until(self, seen: Callable[[], object]) -> None:
        """Waits until it is so; what happens meanwhile is heard."""
        with anyio.fail_after(PATIENT_S):
            while not seen():
                self.news = anyio.Event()
                await self.news.wait()

    async def reached(self, name: str, state: State, times: int = 1) -> None:
        await self.until(lambda: self.states.count((name, state)) >= times)

    def said(self, name: str) -> list[str]:
        return [line for who, line in self.lines if who == name and not line.startswith("[")]

    def notes(self, name: str) -> list[str]:
        return [line[1:-1] for who, line in self.lines if who == name and line.startswith("[")]

    def echo(self, name: str, line: str) -> None:
        self.lines.append((name, line))
        self.news.set()

    def observe(self, status: ComponentStatus) -> None:
        self.states.append((status.name, status.state))
        self.news.set()
