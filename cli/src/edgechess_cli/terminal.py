"""Three ways to show a match: a live picture in a terminal, plain lines elsewhere, JSON lines for scripts."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console, RenderableType
from rich.live import Live

from edgechess_cli.match_options import MatchSummary
from edgechess_cli.match_view import EVENT_LINES, SAID_LINES, View, fold, render
from edgechess_kit.bus import Delivery
from edgechess_kit.errors import WireError
from edgechess_kit.topics import Topics

PICTURES_PER_S = 8
DIRECTOR = "match-director"


class Screen(Protocol):
    """Shows what travels on the bus. `say` is for lines that are not on it: where the broker is, what goes on.

    `tell` is for scripts only, `typing` shows the line that a `human` is typing.
    """

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None: ...
    def say(self, text: str) -> None: ...
    def tell(self, event: Mapping[str, object]) -> None: ...
    def typing(self, prompt: str, text: str) -> None: ...
    def show(self, delivery: Delivery) -> None: ...
    def finish(self, summary: MatchSummary) -> None: ...


def closing_line(summary: MatchSummary) -> str:
    helps = f"{summary.helped} helped by a person" if summary.helped else "no help needed"
    return (
        f"{summary.result} by {summary.termination}: {summary.confirmed} of {summary.plies} plies confirmed on the board, "
        f"{helps}, {_models(summary)}{summary.seconds:.0f} s"
    )


def _models(summary: MatchSummary) -> str:
    """How much of a model's game was its own; nothing where no model played."""
    asked = summary.model_moves + summary.fallback_moves
    return f"the engine made {summary.fallback_moves} of {asked} moves of models, " if asked else ""


class _Lines:
    """What the line-by-line screens share."""

    def __init__(self, out: TextIO, topics: Topics | None = None) -> None:
        self._out = out
        self._topics = topics or Topics()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._out.flush()

    def tell(self, event: Mapping[str, object]) -> None:
        """What scripts want to know is for JSON lines."""

    def typing(self, prompt: str, text: str) -> None:
        """The terminal or the script that types sees what it typed."""

    def _print(self, text: str) -> None:
        print(text, file=self._out, flush=True)


class JsonLines(_Lines):
    """Every journal entry of every component as one JSON object per line; last the summary."""

    def say(self, text: str) -> None:
        """Prose has no place among JSON lines."""

    def tell(self, event: Mapping[str, object]) -> None:
        self._print(json.dumps(event))

    def show(self, delivery: Delivery) -> None:
        if delivery.topic != self._topics.events.name:
            return
        with contextlib.suppress(WireError):
            event = delivery.decode(self._topics.events)
            if event.kind == "summary":
                return  # printed last, by `finish`
            self._print(
                json.dumps({"event": event.kind, "component": event.component, "at": event.at} | dict(event.data))
            )

    def finish(self, summary: MatchSummary) -> None:
        self._print(json.dumps(summary.as_event()))


class PlainLines(_Lines):
    """One line per confirmed move and per failure: reads well in a log."""

    def say(self, text: str) -> None:
        self._print(text)

    def typing(self, prompt: str, text: str) -> None:
        """Each question once; a pipe or a terminal that is not drawn on shows the rest by itself."""
        if prompt and not text:
            self._print(prompt)

    def show(self, delivery: Delivery) -> None:
        if delivery.topic != self._topics.events.name:
            return
        with contextlib.suppress(WireError):
            event = delivery.decode(self._topics.events)
            if event.component == DIRECTOR:
                line = move_line(event.kind, dict(event.data))
                if line:
                    self._print(line)

    def finish(self, summary: MatchSummary) -> None:
        self._print(closing_line(summary))


def move_line(kind: str, data: dict[str, object]) -> str | None:
    """A line for the director's events that a reader of a log wants; None for the others."""
    if kind == "confirmed":
        ply = data.get("ply")
        number = f"{(ply + 1) // 2}{'.' if ply % 2 else '…'}" if isinstance(ply, int) else ""
        timings = data.get("timings")
        told = " · ".join(f"{name} {s:.2f} s" for name, s in timings.items()) if isinstance(timings, dict) else ""
        return f"{number:>5} {data.get('san', ''):8} {told}"
    if kind == "failed":
        return f"      {data.get('status', '')} {data.get('reason', '')}"
    if kind == "helped":
        return "      put right by a person"
    return None


class LivePicture:
    """The live picture of `match_view`, drawn a few times a second; its last state stays in the scrollback."""

    def __init__(self, console: Console, white: str, black: str, topics: Topics | None = None) -> None:
        self._console = console
        self._topics = topics or Topics()
        self._view = View(white, black)
        self._live = Live(
            get_renderable=self._picture,
            console=console,
            refresh_per_second=PICTURES_PER_S,
            vertical_overflow="crop",
        )

    def _picture(self) -> RenderableType:
        return render(self._view, self._console.width, self._console.height)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._live.__exit__(kind, error, tb)

    def say(self, text: str) -> None:
        """In the picture while it is drawn, and below it when it is not any more."""
        view = self._view
        said, events = (*view.said, text)[-SAID_LINES:], (*view.events, text)[-EVENT_LINES:]
        self._view = dataclasses.replace(view, said=said, events=events)

    def tell(self, event: Mapping[str, object]) -> None:
        """What scripts want to know is for JSON lines."""

    def typing(self, prompt: str, text: str) -> None:
        self._view = dataclasses.replace(self._view, prompt=f"{prompt}{text}" if prompt else "")

    def show(self, delivery: Delivery) -> None:
        with contextlib.suppress(WireError):
            self._view = fold(self._view, delivery, self._topics)

    def finish(self, summary: MatchSummary) -> None:
        for line in self._view.said[-1:]:  # where the PGN is
            self._console.print(line, highlight=False, soft_wrap=True)
        self._console.print(closing_line(summary), highlight=False, soft_wrap=True)
