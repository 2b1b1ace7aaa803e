"""What the verbs of `edgechess evaluate` measure with: positions, puzzles, openings, and what is drawn of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from edgechess_training.errors import TrainingError
from edgechess_training.evaluation.evaluation import Wanted

BROAD = "jorgenwh/alpha-nonzero"  # the one collection of puzzles that was not chosen by rating

JobsOption = Annotated[int, typer.Option("--jobs", help="Processes (0: one per core).", min=0)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Options of a command; see `option_group`."""

    data: Annotated[
        Path | None,
        typer.Option("--data", help="A folder of `dataset build`: its evaluation.npy, and train.npy beside it."),
    ] = None
    puzzle_file: Annotated[Path | None, typer.Option("--puzzle-file", help="Lichess's CSV, also .zst.")] = None
    puzzle_source: Annotated[
        str, typer.Option("--puzzle-source", help="Only those of this column Source; `all`: every one.")
    ] = BROAD
    book: Annotated[
        Path | None, typer.Option("--book", help="Openings: PGN or EPD, also .zip, .gz, .zst. Default: our own.")
    ] = None
    seed: Annotated[int, typer.Option("--seed", help="Of everything that is drawn.")] = 1

    def wanted(self) -> Wanted:
        """An evaluation with this and with everything else as usual."""
        return Wanted(
            book=self.book,
            puzzle_file=self.puzzle_file,
            puzzle_source=None if self.puzzle_source == "all" else self.puzzle_source,
            data=self.data,
            seed=self.seed,
        )


def paired(games: int | None) -> None:
    """Raises TrainingError for a number of games that are no pairs."""
    if games is not None and games % 2:
        raise TrainingError(f"--games {games}: games come in pairs, so an even number is needed")
