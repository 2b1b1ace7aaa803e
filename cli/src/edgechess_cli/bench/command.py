"""`edgechess bench`: run the benchmarks, print their tables, keep their figures in bench-results/."""

from __future__ import annotations

import enum
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer

from edgechess_cli.bench import arm, console, human_moves, ipc, manager, node, recognition, stream
from edgechess_cli.bench.figures import Report
from edgechess_cli.failures import FAILURES, told
from edgechess_twin.arm_device import Kind as ArmKind

EXIT_FAILED = 1


class Module(enum.StrEnum):
    MANAGER = "manager"
    RECOGNITION = "recognition"
    HUMAN_MOVES = "human-moves"
    IPC = "ipc"
    STREAM = "stream"
    ARM = "arm"
    NODE = "node"
    CONSOLE = "console"


DEFAULT = (
    Module.MANAGER,
    Module.RECOGNITION,
    Module.IPC,
    Module.CONSOLE,
)  # human-moves proves rather than measures, and takes minutes

ModulesArgument = Annotated[
    list[Module] | None, typer.Argument(help="Which benchmarks (default: manager, recognition, ipc and console).")
]


def command(
    modules: ModulesArgument = None,
    moves: Annotated[int, typer.Option("--moves", help="manager: counted moves through each broker.", min=1)] = 300,
    polled: Annotated[
        int, typer.Option("--polled", help="manager: moves of the 3-second polling, 9 s each.", min=0)
    ] = 2,
    real_moves: Annotated[
        int, typer.Option("--real-moves", help="recognition: moves in real time, 1 s each.", min=0)
    ] = 102,
    virtual_moves: Annotated[
        int, typer.Option("--virtual-moves", help="recognition: moves in virtual time.", min=0)
    ] = 500,
    human: Annotated[int, typer.Option("--human-moves", help="human-moves: how many.", min=1)] = 10_000,
    messages: Annotated[
        int, typer.Option("--messages", help="ipc: round trips on each way, and as many in bursts.", min=100)
    ] = 5000,
    arm_moves: Annotated[int, typer.Option("--arm-moves", help="arm: moves of each kind at each speed.", min=1)] = 20,
    kind: Annotated[ArmKind, typer.Option("--kind", help="arm: whose.")] = "dobot",
    size: Annotated[float, typer.Option("--size", help="stream: GB of the checkpoint.", min=0.03, max=8.0)] = 2.2,
    rounds: Annotated[
        int, typer.Option("--rounds", help="stream: counted turns of each loader.", min=1)
    ] = stream.ROUNDS,
    peers: Annotated[bool, typer.Option("--peers", help="stream: install peers into a temporary environment.")] = False,
    device: Annotated[
        str, typer.Option("--device", help="stream: into this torch device (cuda, cuda:1) instead of host memory.")
    ] = "cpu",
    starts: Annotated[int, typer.Option("--starts", help="node: starts of the process.", min=1)] = node.STARTS,
    swaps: Annotated[int, typer.Option("--swaps", help="node: swaps of weights under load.", min=1)] = node.SWAPS,
    turns: Annotated[int, typer.Option("--turns", help="console: with pages and without, 10 moves each.", min=2)] = 20,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the games.")] = 1,
    out: Annotated[Path, typer.Option("--out", help="Folder for results, and for journals while measuring.")] = Path(
        "bench-results"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as one JSON object.")] = False,
) -> None:
    """Measure the manager's overhead per move, the sensor's latency and the local runtime; play people's moves.

    Every figure stands beside the floor of the same run or its limit. A limit that is missed is printed, not an error:
    machines differ. Exit code 1 means that something could not be measured, or that an answer was wrong.
    """
    reports: list[Report] = []
    failure: BaseExceptionGroup | None = None
    try:
        out.mkdir(parents=True, exist_ok=True)
        for module in modules or DEFAULT:
            typer.echo(f"measuring: {module.value} …", err=True)
            match module:
                case Module.MANAGER:
                    report = anyio.run(manager.measure, moves, polled, seed, out)
                case Module.RECOGNITION:
                    report = recognition.measure(real_moves, virtual_moves, seed)
                case Module.STREAM:
                    report = stream.measure(int(size * 1e9), rounds, peers, device)
                    (out / "stream.md").write_text(stream.markdown(report), encoding="utf-8")
                case Module.HUMAN_MOVES:
                    report = anyio.run(human_moves.measure, human, human_moves.FIRST_SEED + seed - 1)
                case Module.IPC:
                    report = anyio.run(ipc.measure, messages)
                case Module.NODE:
                    report = anyio.run(node.measure, starts, swaps)
                case Module.CONSOLE:
                    report = anyio.run(console.measure, turns, seed, out)
                case Module.ARM:
                    report = arm.measure(arm_moves, seed, kind)
            reports.append(report)
            if not as_json:
                typer.echo(f"{report.text()}\n")
    except* (*FAILURES, manager.BenchError) as failed:
        failure = failed
    if failure is not None:
        typer.echo(f"edgechess bench: {told(failure)}", err=True)
        raise typer.Exit(EXIT_FAILED)
    results = {"at": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "machine": machine(), "results": figures_of(reports)}
    file = out / f"{time.strftime('%Y%m%d-%H%M%S')}-{'-'.join(report.module for report in reports)}.json"
    file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    typer.echo(json.dumps(results) if as_json else f"kept in {file}")
    raise typer.Exit(EXIT_FAILED if any(report.failures for report in reports) else 0)


def figures_of(reports: list[Report]) -> dict[str, Any]:
    """By module."""
    return {report.module: report.as_figures() for report in reports}


def machine() -> dict[str, Any]:
    """What the figures depend on, and how busy it was."""
    return {
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load_1_min": round(os.getloadavg()[0], 2),
        "python": sys.version.split()[0],
    }
