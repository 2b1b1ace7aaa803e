"""How `edgechess dataset`, `train` and `evaluate` speak: a mistake is one line, progress a bar or a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn, Protocol

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from edgechess_training.errors import TrainingError

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
LINE_EVERY_S = 15.0  # a log that nobody draws on wants few lines


@contextmanager
def told(command: str) -> Iterator[None]:
    """A user's mistake, a file that cannot be used, and torch that is not there, are one line of this command."""
    try:
        yield
    except ImportError as error:
        fail(command, f"{error.name} is not installed: pip install 'edgechess-training[torch]'")
    except TrainingError as error:
        fail(command, str(error))
    except OSError as error:
        fail(command, f"{error.filename}: {error.strerror}" if error.filename else str(error))


def fail(command: str, text: str) -> NoReturn:
    """Ends the process."""
    typer.echo(f"edgechess {command}: {text}", err=True)
    raise typer.Exit(EXIT_USAGE) from None


class Show(Protocol):
    def __call__(self, row: str, done: int, total: int, note: str = "") -> None:
        """`done` of `total` of what `row` names; `note`: what became of it so far."""


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Show]:
    """A bar for each row in a terminal, lines elsewhere, nothing where it is to be quiet."""
    console = Console(stderr=True)
    if quiet:
        yield _nothing
    elif console.is_terminal:
        with _bars(console) as show:
            yield show
    else:
        yield _lines()


def _nothing(row: str, done: int, total: int, note: str = "") -> None:
    return


@contextmanager
def _bars(console: Console) -> Iterator[Show]:
    columns = (
        TextColumn("{task.fields[row]}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %  {task.description}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as picture:
        tasks: dict[str, TaskID] = {}

        def show(row: str, done: int, total: int, note: str = "") -> None:
            if row not in tasks:
                tasks[row] = picture.add_task("", row=row)
            picture.update(tasks[row], completed=done, total=total, description=note)

        yield show


def _lines() -> Show:
    """One now and then, and one when a row is done."""
    shown_at = time.monotonic()

    def show(row: str, done: int, total: int, note: str = "") -> None:
        nonlocal shown_at
        now = time.monotonic()
        if done == total or now - shown_at >= LINE_EVERY_S:
            shown_at = now
            print(f"{row}: {done / max(1, total):.0%}  {note}".rstrip(), file=sys.stderr, flush=True)

    return show
