"""`edgechess arm`: what can be done with one arm."""

from __future__ import annotations

import typer

from edgechess_cli.arm_preview import preview
from edgechess_cli.main import PLAIN

app = typer.Typer(name="arm", help="Arms: how they would move.", no_args_is_help=True, **PLAIN)
app.command("preview")(preview)


@app.callback()
def arm() -> None:
    """Arms: how they would move."""
