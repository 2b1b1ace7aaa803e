"""What `edgechess up` prints: lines for a person, or JSON for a script."""

from __future__ import annotations

import dataclasses
import json
from typing import Protocol

from rich.console import Console
from rich.text import Text

from edgechess_nucleus.component import ComponentStatus

COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "bright_cyan", "bright_magenta", "bright_green")


class Teller(Protocol):
    """Tells the operator what happens. `echo` and `observe` are called by the runtime."""

    def say(self, text: str) -> None: ...
    def where(self, facts: dict[str, str]) -> None: ...
    def ready(self) -> None: ...
    def echo(self, component: str, line: str) -> None: ...
    def observe(self, status: ComponentStatus) -> None: ...


class LineTeller:
    """The lines of all components, each behind the component's name in its colour."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._styles: dict[str, str] = {}

    def say(self, text: str) -> None:
        self._console.print(text, markup=False)

    def where(self, facts: dict[str, str]) -> None:
        for name, value in facts.items():
            self.say(f"  {name:14} {value}")
        self.say("Ctrl-C stops everything in order.")

    def ready(self) -> None:
        self.say("every component is ready: publish a start, then moves (edgechess publish --help)")

    def echo(self, component: str, line: str) -> None:
        style = self._styles.setdefault(component, COLOURS[len(self._styles) % len(COLOURS)])
        short = component.rpartition(".")[2]
        self._console.print(Text.assemble((f"{short:15} ", style), line))

    def observe(self, status: ComponentStatus) -> None:
        """The runtime's own lines in the log say what matters."""


class JsonTeller:
    """One JSON object a line: `{"event": "state", …}` at every change, `nucleus` and `ready` once each."""

    def say(self, text: str) -> None:
        """Prose has no place among JSON lines."""

    def where(self, facts: dict[str, str]) -> None:
        print(json.dumps({"event": "nucleus", **facts}), flush=True)

    def ready(self) -> None:
        print(json.dumps({"event": "ready"}), flush=True)

    def echo(self, component: str, line: str) -> None:
        """It is in the component's log."""

    def observe(self, status: ComponentStatus) -> None:
        print(json.dumps({"event": "state", **dataclasses.asdict(status)}), flush=True)
