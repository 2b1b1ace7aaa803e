"""Whose games are these? Each player's later games, in groups, under every style: the one that explains a group best names its player.

A style explains a move as well as the probability that it gives to it among the legal ones; the network without a style is the
measure of all, but plays no part in the choice. What is asked here is served weights, not those of training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgechess_training.errors import TrainingError
from edgechess_training.evaluation.heldout import judged_move
from edgechess_training.evaluation.network import NetworkSource, network_of
from edgechess_training.evaluation.statistics import Interval, mean_of, share
from edgechess_training.evaluation.work import Task
from edgechess_training.positions import EVALUATION_FILE, open_positions
from edgechess_training.style_folder import packed_style, read_report, style_folders

BASE = ""  # the network without a style, among the names of styles


@dataclass(frozen=True, slots=True)
class Sampling:
    """Groups of `games` that follow one another; at most `groups` of a player, and `positions` of a group, drawn by seed."""

    games: int = 20
    groups: int = 4
    positions: int = 400
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Player:
    """`adapter`: address of the packed style. `groups`: rows of `file`. Empty where there are too few later games."""

    name: str
    full_name: str
    since: str
    file: str
    adapter: str
    groups: tuple[tuple[int, ...], ...]


def players_of(folder: Path, sampling: Sampling) -> list[Player]:
    """Of a folder that `train style` made, by name. Raises TrainingError, OSError."""
    found = [_player(style, sampling) for style in style_folders(folder)]
    if not found:
        raise TrainingError(f"{folder} holds no styles: `edgechess train style … --out {folder}` makes some")
    return found


def _player(folder: Path, sampling: Sampling) -> Player:
    report, address = read_report(folder), packed_style(folder)
    if not address.is_file():
        raise TrainingError(f"{address} is missing: the style {folder.name} was not packed; train it again")
    file = folder / EVALUATION_FILE
    groups = groups_of(open_positions(file)["game"], sampling)
    return Player(folder.name, report.player, report.later_since, str(file), str(address), tuple(groups))


def groups_of(games: Any, sampling: Sampling) -> list[tuple[int, ...]]:
    """Rows of each group, from the number of every row's game. Games over, too few for a group, are left out."""
    numbers = np.unique(games)
    draw = np.random.default_rng(sampling.seed)
    whole = len(numbers) // sampling.games
    chosen = np.sort(draw.permutation(whole)[: sampling.groups])
    found = []
    for group in chosen:
        begin = group * sampling.games
        rows = np.flatnonzero(np.isin(games, numbers[begin : begin + sampling.games]))
        found.append(tuple(np.sort(draw.permutation(rows)[: sampling.positions]).tolist()))
    return found


@dataclass(frozen=True, slots=True)
class StyleWork:
    """One player's groups under one style. Gives the sum of losses of each group, and for each position 1 where the
    likeliest legal move is the one that was played."""

    player: Player
    source: NetworkSource

    def run(self) -> dict[str, Any]:
        network, positions = network_of(self.source), open_positions(Path(self.player.file))
        losses, hits = [], []
        for rows in self.player.groups:
            found = positions[list(rows)]
            logits, _ = network.evaluate_records(found["record"])
            judged = [
                judged_move(row, int(move), record)
                for row, move, record in zip(logits, found["move"], found["record"], strict=True)
            ]
            losses.append(sum(each["loss"] for each in judged))
            hits += [int(each["top1"]) for each in judged]
        return {"losses": losses, "hits": hits}


def tasks_of(players: Sequence[Player], base: NetworkSource) -> Iterator[Task]:
    """Style by style, for each is loaded once."""
    for style in (BASE, *(player.name for player in players)):
        adapter = next((player.adapter for player in players if player.name == style), None)
        source = NetworkSource(base.address, adapter, base.backend, base.threads, base.device)
        for player in players:
            if player.groups:
                yield Task(section_of(player.name, style), 0, StyleWork(player, source))


def section_of(player: str, style: str) -> str:
    return f"games of {player} by {style or 'nobody'}"


@dataclass(frozen=True, slots=True)
class StyleRow:
    """One player. Top-1 on the sampled positions by the base and by the player's own style; `gain`: of the one over the
    other, its interval from the positions' differences. `named`: groups by the style that explains them best."""

    name: str
    player: str
    since: str
    positions: int
    base: Interval
    own: Interval
    gain: Interval
    named: dict[str, int]


@dataclass(frozen=True, slots=True)
class StyleFigures:
    """`right`: share of groups whose own player's style explains them best; chance would be one in as many as
    there are styles, those `left_out` included: of players with too few later games."""

    model: str
    weights: str
    games: int
    positions: int
    rows: tuple[StyleRow, ...]
    groups: int
    right: Interval
    left_out: tuple[str, ...]


def figures_of(
    players: Sequence[Player], values: Mapping[str, Any], sampling: Sampling, model: str, weights: str
) -> StyleFigures:
    """`values`: by `section_of`; players of whom one is missing are left for later."""
    styles = [player.name for player in players]
    rows = [
        _row(player, styles, values)
        for player in players
        if player.groups and all(section_of(player.name, style) in values for style in (BASE, *styles))
    ]
    groups = sum(sum(row.named.values()) for row in rows)
    right = sum(row.named.get(row.name, 0) for row in rows)
    left_out = tuple(player.name for player in players if not player.groups)
    return StyleFigures(
        model, weights, sampling.games, sampling.positions, tuple(rows), groups, share(right, groups), left_out
    )


def _row(player: Player, styles: Sequence[str], values: Mapping[str, Any]) -> StyleRow:
    by_style = {style: values[section_of(player.name, style)] for style in (BASE, *styles)}
    named: dict[str, int] = {}
    for group in range(len(player.groups)):
        best = min(styles, key=lambda style: float(by_style[style]["losses"][group]))
        named[best] = named.get(best, 0) + 1
    base, own = by_style[BASE]["hits"], by_style[player.name]["hits"]
    gain = mean_of([mine - plain for mine, plain in zip(own, base, strict=True)])
    return StyleRow(
        player.name, player.full_name, player.since, len(base), share(sum(base), len(base)),
        share(sum(own), len(own)), gain, dict(sorted(named.items())),
    )  # fmt: skip
