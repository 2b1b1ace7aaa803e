"""`edgechess evaluate card`: the card of a model, out of what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgechess_cli.training_tells import told
from edgechess_training.evaluation import curve_report, measured, milestones, run_facts, style_report
from edgechess_training.evaluation.card import Card, markdown


def card(
    figures: Annotated[
        list[Path],
        typer.Option(
            "--figures", help="figures.json of an evaluation, or its folder; the plain model's first. Repeatable."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The page; its pictures go beside it.")],
    run: Annotated[Path | None, typer.Option("--run", help="The training run's folder: recipe, data, compute.")] = None,
    curve: Annotated[
        list[Path] | None,
        typer.Option("--curve", help="curve.json of `evaluate curve`, or its folder; of several runs, repeatable."),
    ] = None,
    styles: Annotated[
        Path | None, typer.Option("--styles", help="styles.json of `evaluate styles`, or its folder.")
    ] = None,
    notes: Annotated[Path | None, typer.Option("--notes", help="Markdown about the data: sources and rights.")] = None,
    licence: Annotated[str, typer.Option("--licence", help="SPDX expression, of the weights.")] = "CC0-1.0",
) -> None:
    """Write a model's card: strength with intervals, anchors, data, recipe, compute, styles, limits. Measures nothing."""
    with told("evaluate card"):
        found = Card(
            found=[measured.read(path) for path in figures],
            licence=licence,
            run=None if run is None else run_facts.read(run),
            curve=milestones.together(curve or ()),
            styles=None if styles is None else style_report.read(styles),
            notes=None if notes is None else notes.read_text(encoding="utf-8"),
        )
        for file in _write(found, out):
            typer.echo(f"written: {file}", err=True)


def _write(found: Card, out: Path) -> list[Path]:
    """Raises OSError."""
    drawn: dict[str, str] = {}
    if found.curve:
        drawn["curve"] = curve_report.picture(found.curve)
    if found.styles is not None:
        drawn["styles"] = style_report.picture(found.styles)
    names = {what: f"{out.stem}-{what}.svg" for what in drawn}
    out.parent.mkdir(parents=True, exist_ok=True)
    for what, svg in drawn.items():
        (out.parent / names[what]).write_text(svg, encoding="utf-8")
    out.write_text(markdown(found, names), encoding="utf-8")
    return [out, *(out.parent / name for name in names.values())]
