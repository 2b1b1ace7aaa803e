"""`edgechess evaluate …`: a model by itself, and what is made of several evaluations: card, curve, styles."""

from __future__ import annotations

from typing import Any

import typer
import typer.core

from edgechess_cli.evaluate_card_command import card
from edgechess_cli.evaluate_command import command
from edgechess_cli.evaluate_curve_command import curve
from edgechess_cli.evaluate_styles_command import styles

USUAL = "strength"
HELP = ("--help",)


class Usual(typer.core.TyperGroup):
    """`edgechess evaluate MODEL` is `edgechess evaluate strength MODEL`: any first word that is no command is a model."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in HELP:
            args = [USUAL, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=Usual,
    help="How strong is a move model? `edgechess evaluate MODEL` measures it; `edgechess evaluate strength --help` tells how.",
    no_args_is_help=True,
)
app.command(USUAL)(command)
app.command()(card)
app.command()(curve)
app.command()(styles)
