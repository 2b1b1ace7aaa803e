"""`edgechess train style`: adapters that make a packed policy network choose as one player did, each from a file of games."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgechess_cli.train_options import DeviceOption, LicenceOption, ThreadsOption, prepared, stopping
from edgechess_cli.training_tells import told
from edgechess_training.errors import TrainingError
from edgechess_training.style_folder import REPORT_FILE, StyleReport

if TYPE_CHECKING:
    from edgechess_training.policy.compute import Device
    from edgechess_training.policy.network_weights import PackedNetwork
    from edgechess_training.policy.style import StyleOptions


def style(
    games: Annotated[list[Path], typer.Argument(help="PGN files, one per player, and folders of them.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the styles; each becomes NAME.json in it.")],
    base: Annotated[
        str, typer.Option("--base", help="The packed model they are for: model:NAME or an address.")
    ] = "model:edgechess",
    player: Annotated[
        str | None, typer.Option("--player", help="Whose moves (default: who plays most of a file's games).")
    ] = None,
    only: Annotated[list[str] | None, typer.Option("--only", help="Of the files, those with this name.")] = None,
    rank: Annotated[int, typer.Option("--rank", min=1, max=64, help="Of the adapter.")] = 8,
    positions: Annotated[int, typer.Option("--positions", min=1, help="To learn from, per player.")] = 60_000,
    rate: Annotated[float, typer.Option("--rate", min=0.0, help="Learning rate.")] = 2e-3,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 1,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    licence: LicenceOption = "unknown",
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object per player.")] = False,
) -> None:
    """Learn from a player's earlier games, measure on the later ones, pack. Players whose report is there are left alone."""
    with told("train style"):
        where = prepared(device, threads)
        from edgechess_training.dataset.pgn_files import pgn_files
        from edgechess_training.policy.network_weights import packed_network
        from edgechess_training.policy.style import StyleOptions

        files = _chosen(pgn_files(games), only or ())
        if player is not None and len(files) > 1:
            raise TrainingError(f"--player goes with one file of games, not {len(files)}")
        network, options = packed_network(base), StyleOptions(rank=rank, positions=positions, rate=rate, seed=seed)
        with stopping() as stop:
            for path in files:
                folder = out / path.name.partition(".")[0].lower()
                if (folder / REPORT_FILE).exists():
                    typer.echo(f"{folder}: there already", err=True)
                elif not stop():
                    report = _one(path, player, folder, network, options, where, licence, stop)
                    if report is not None:
                        typer.echo(json.dumps(asdict(report)) if as_json else _line(report))


def _chosen(files: list[Path], only: list[str] | tuple[str, ...]) -> list[Path]:
    by_name = {path.name.partition(".")[0].lower(): path for path in files}
    unknown = [name for name in only if name.lower() not in by_name]
    if unknown:
        raise TrainingError(f"no file of games is named {unknown[0]!r}; there are {', '.join(sorted(by_name))}")
    return [by_name[name.lower()] for name in only] if only else files


def _one(
    path: Path,
    player: str | None,
    folder: Path,
    network: PackedNetwork,
    options: StyleOptions,
    device: Device,
    licence: str,
    stop: Callable[[], bool],
) -> StyleReport | None:
    from edgechess_training.policy.player_games import read_player
    from edgechess_training.policy.style import pack_style, train_style

    report = train_style(folder, network, read_player(path, player), options, device, stop)
    if report is not None:
        pack_style(folder, network, licence)
    return report


def _line(report: StyleReport) -> str:
    gain = report.style_top1 - report.base_top1
    return (
        f"{report.name} ({report.player}): later games since {report.later_since or '?'}, {report.later_positions:,} positions:"
        f" top-1 {report.base_top1:.1%} → {report.style_top1:.1%} ({gain:+.1%}),"
        f" loss {report.base_nll:.3f} → {report.style_nll:.3f}"
    )
