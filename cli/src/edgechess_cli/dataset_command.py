"""`edgechess dataset …`: positions to learn from, out of games, puzzles and an engine's judgement."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from edgechess_cli.training_tells import EXIT_INTERRUPTED, progress, told

app = typer.Typer(
    help="Make datasets: for our own network (numpy) and for language models (JSON lines).", no_args_is_help=True
)

OutOption = Annotated[Path, typer.Option("--out", help="The dataset's folder.")]
JobsOption = Annotated[int, typer.Option("--jobs", "-j", min=0, help="Processes (0: one per processor).")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")]
LicenceOption = Annotated[str, typer.Option("--licence", help="SPDX expression for the data card.")]


@app.command()
def build(
    sources: Annotated[list[Path], typer.Argument(help="PGN files, .pgn.zst files, and folders of them.")],
    out: OutOption,
    player: Annotated[
        list[str] | None, typer.Option("--player", help="Only this player's moves; all words must fit. Repeatable.")
    ] = None,
    winner_only: Annotated[bool, typer.Option("--winner-only", help="Only moves of the side that won.")] = False,
    both_sides: Annotated[bool, typer.Option("--both-sides", help="With --player: the opponent's moves too.")] = False,
    min_elo: Annotated[int, typer.Option("--min-elo", min=0, help="Of both players; unrated games are left out.")] = 0,
    since: Annotated[str | None, typer.Option("--since", help="YYYY[.MM[.DD]]")] = None,
    until: Annotated[str | None, typer.Option("--until", help="YYYY[.MM[.DD]]")] = None,
    unique: Annotated[
        str, typer.Option("--unique", help="What occurs once in training: position, move (position and move), none.")
    ] = "position",
    seed: Annotated[int, typer.Option("--seed", help="Of the split.")] = 1,
    evaluation: Annotated[float, typer.Option("--evaluation", help="Share of games held out.")] = 0.02,
    records: Annotated[
        str, typer.Option("--records", help="JSON lines for language models: none, concise, history.")
    ] = "none",
    form: Annotated[
        str, typer.Option("--form", help="Of the JSON lines: jumpstart (with template.json) or huggingface.")
    ] = "jumpstart",
    licence: LicenceOption = "unknown",
    jobs: JobsOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Read games, check every move, and write positions. The same command goes on where it was stopped."""
    from edgechess_training.dataset.building import build as build_dataset
    from edgechess_training.dataset.game_filter import Filter
    from edgechess_training.dataset.unit import recipe_of

    with _told(), progress(quiet=as_json) as show:
        wanted = Filter(
            players=tuple(player or ()),
            winner_only=winner_only,
            both_sides=both_sides,
            min_elo=min_elo,
            since=since,
            until=until,
        )
        recipe = recipe_of(wanted, seed=seed, fraction=evaluation, unique=unique, records=records, form=form)
        summary = build_dataset(
            sources,
            out,
            recipe,
            jobs=jobs,
            licence=licence,
            watch=lambda p: show(
                "read", p.read_bytes, p.total_bytes, f"{p.report.kept:,} games, {p.report.malformed_games:,} malformed"
            ),
        )
    _finish(out, summary.counts, as_json, summary.malformed)


@app.command()
def puzzles(
    source: Annotated[Path, typer.Argument(help="Lichess's table of puzzles: .csv or .csv.zst")],
    out: OutOption,
    without_source: Annotated[
        list[str] | None,
        typer.Option(
            "--without-source", help="Left out with every position of theirs. '' for none.", show_default=False
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the split.")] = 1,
    evaluation: Annotated[float, typer.Option("--evaluation", min=0, max=0.99, help="Share held out.")] = 0.02,
    licence: LicenceOption = "CC0-1.0",
    as_json: JsonOption = False,
) -> None:
    """The solver's moves as positions. The puzzles that `edgechess evaluate` counts are left out: jorgenwh/alpha-nonzero."""
    from edgechess_training.dataset.puzzles import HELD_OUT_SOURCES, PuzzleOptions, build_puzzles

    without = HELD_OUT_SOURCES if without_source is None else tuple(name for name in without_source if name)
    options = PuzzleOptions(without_sources=without, seed=seed, fraction=evaluation)
    with _told(again="begins again"):
        summary = build_puzzles(source, out, options, licence)
    _finish(out, summary.counts, as_json, summary.malformed)


@app.command()
def label(
    dataset: Annotated[Path, typer.Argument(help="The dataset whose training positions are labelled.")],
    out: OutOption,
    positions: Annotated[int, typer.Option("--positions", min=1, help="How many to draw.")] = 100_000,
    blunders: Annotated[
        float, typer.Option("--blunders", min=0, max=1, help="Share that is labelled after one random legal move.")
    ] = 0.0,
    nodes: Annotated[int, typer.Option("--nodes", min=1, help="Of the engine, per position.")] = 1000,
    engine: Annotated[str | None, typer.Option("--engine", help="A UCI engine (default: Stockfish).")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of draw and split.")] = 1,
    evaluation: Annotated[float, typer.Option("--evaluation", min=0, max=0.99, help="Share of games held out.")] = 0.02,
    licence: LicenceOption = "unknown",
    jobs: JobsOption = 0,
    as_json: JsonOption = False,
) -> None:
    """An engine's best move and its win, draw and loss for positions of a dataset. Usable while it grows; goes on where it was stopped."""
    from edgechess_training.dataset.labelling import LabelOptions
    from edgechess_training.dataset.labelling import label as label_positions

    options = LabelOptions(positions=positions, blunders=blunders, nodes=nodes, seed=seed, fraction=evaluation)
    with _told(), progress(quiet=as_json) as show:
        summary = label_positions(
            dataset,
            out,
            options,
            program=engine,
            jobs=jobs,
            licence=licence,
            watch=lambda done, total, report: show("labelled", done, total, f"{report.labelled:,} positions"),
        )
    _finish(out, summary.counts, as_json, summary.malformed)


def _finish(out: Path, counts: dict[str, int], as_json: bool, malformed: list[str]) -> None:
    if as_json:
        typer.echo(json.dumps({"dataset": str(out), "counts": counts}))
        return
    for line in malformed[:10]:
        typer.echo(line, err=True)
    if len(malformed) > 10:
        typer.echo(f"… and {len(malformed) - 10} more: {out}/dataset.json", err=True)
    for name, count in counts.items():
        typer.echo(f"{count:>12,}  {name.replace('_', ' ')}")
    typer.echo(str(out))


@contextmanager
def _told(again: str = "goes on from here") -> Iterator[None]:
    """A user's mistake is one line; an interrupted run says what the same command then does."""
    with told("dataset"):
        try:
            yield
        except KeyboardInterrupt:
            typer.echo(f"\nedgechess dataset: stopped; the same command {again}", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None
