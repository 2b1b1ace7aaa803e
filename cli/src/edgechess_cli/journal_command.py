"""`edgechess journal show`: what a component wrote down before it acted."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from edgechess_cli.match_folder import COMPONENTS, MatchFolder, past_matches
from edgechess_kit.clock import SystemClock
from edgechess_kit.errors import JournalError
from edgechess_kit.journal import Entry, SqliteJournal

app = typer.Typer(help="Read the journals of a match.", no_args_is_help=True)


@app.command()
def show(
    journal: Annotated[
        Path | None,
        typer.Argument(help="A journal file, or a match folder (default: the last match).", metavar="[PATH]"),
    ] = None,
    component: Annotated[str, typer.Option("--component", help="Whose journal of a match folder.")] = "game-manager",
    kind: Annotated[str | None, typer.Option("--kind", help="Only entries of this kind.")] = None,
    session: Annotated[str | None, typer.Option("--session", help="Only entries of this session.")] = None,
    last: Annotated[int | None, typer.Option("--last", help="Only the last N entries.", min=1)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """Print journal entries, oldest first."""
    path = _journal_path(journal, component)
    try:
        reader = SqliteJournal.read_only(path, SystemClock())  # a match may be writing it
        entries = reader.entries(kind=kind, session_id=session)
        reader.close()
    except JournalError as error:
        _fail(str(error))
    for entry in entries[-last:] if last else entries:
        typer.echo(_json_line(entry) if as_json else _line(entry))


def _journal_path(path: Path | None, component: str) -> Path:
    if component not in COMPONENTS:
        _fail(f"--component is {component!r}: expected one of {', '.join(COMPONENTS)}")
    if path is None:
        matches = past_matches()
        if not matches:
            _fail("no match has been played here yet: name a journal file")
        return matches[0].journal(component)
    chosen = MatchFolder(path).journal(component) if path.is_dir() else path
    if not chosen.is_file():
        _fail(f"{chosen} does not exist")
    return chosen


def _fail(text: str) -> NoReturn:
    typer.echo(f"edgechess journal: {text}", err=True)
    raise typer.Exit(2)


def _line(entry: Entry) -> str:
    at = datetime.fromtimestamp(entry.at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    data = " ".join(f"{key}={json.dumps(value)}" for key, value in entry.data.items())
    return f"{entry.seq:6} {at}Z {entry.kind:16} {data}"


def _json_line(entry: Entry) -> str:
    return json.dumps(
        {"seq": entry.seq, "at": entry.at, "kind": entry.kind, "session": entry.session_id, "key": entry.key}
        | {"data": entry.data}
    )
