"""`edgechess arm`: what can be done with one arm."""

from __future__ import annotations

import typer

from edgechess_cli.arm_bus import park, recover, state, stop
from edgechess_cli.arm_calibrate import calibrate, verify
from edgechess_cli.arm_list import list_kinds
from edgechess_cli.arm_preview import preview
from edgechess_cli.main import PLAIN

ABOUT = "Arms: how they are, how they would move; stopping, calibrating and recovering them."

app = typer.Typer(name="arm", help=ABOUT, no_args_is_help=True, **PLAIN)
app.command("list")(list_kinds)
app.command("preview")(preview)
app.command("calibrate")(calibrate)
app.command("verify")(verify)
for verb in (state, stop, park, recover):
    app.command(verb.__name__)(verb)


@app.callback(help=ABOUT)
def arm() -> None:
    """See `ABOUT`."""
