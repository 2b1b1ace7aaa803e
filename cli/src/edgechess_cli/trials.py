"""`edgechess trials`: thousands of seeded moves on the software table under one strict criterion, and the report."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from edgechess_cli.trials_plan import CLASSES, RO1_PART, Chunk, MoveClass, Wanted, draw, read_games
from edgechess_cli.trials_report import Reliability
from edgechess_cli.trials_store import OtherRun, Store, commit
from edgechess_cli.trials_table import ChunkResult, run_chunk
from edgechess_twin import faults as twin_faults
from edgechess_twin.arm_device import Kind

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

KINDS: dict[str, tuple[Kind, ...]] = {"dobot": ("dobot",), "ro1": ("ro1",), "both": ("dobot", "ro1")}
PLAIN_EVERY = 20  # lines of progress where there is no terminal


def command(
    moves: Annotated[int, typer.Option("--moves", help="In all, over both kinds of arm.", min=1)] = 20_800,
    each: Annotated[
        int, typer.Option("--each", help="Of every class and kind of arm, or as many as --moves leave room for.", min=1)
    ] = 320,
    ro1_part: Annotated[
        float,
        typer.Option("--ro1-part", help="Of all moves with RO1s; never less than --each needs.", min=0.0, max=1.0),
    ] = RO1_PART,
    sweep: Annotated[
        int,
        typer.Option(
            "--sweep", help="Moves per point of the noise sweep, a quarter as many with RO1s; 0: no sweep.", min=0
        ),
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", help="Seed of everything.")] = 1,
    kind: Annotated[str, typer.Option("--kind", help="dobot, ro1 or both.")] = "both",
    classes: Annotated[
        list[str] | None, typer.Option("--class", help=f"Only these classes: {', '.join(CLASSES)}. May be repeated.")
    ] = None,
    faults: Annotated[str, typer.Option("--faults", help="nominal, harsh, none, or NAME=NUMBER,…")] = "nominal",
    games: Annotated[
        Path | None, typer.Option("--games", help="PGN (or .pgn.zst) to draw positions from; without: random play.")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", help="Processes (0: one per core).", min=0)] = 0,
    results: Annotated[
        Path | None,
        typer.Option("--results", help="Kept here as they come (default: bench-results/trials-SEED.jsonl)."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew where results are kept already.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the report here, JSON and pictures beside it.")
    ] = None,
    simulated: Annotated[
        Path | None, typer.Option("--simulated", help="Output of `edgechess sim --json`, for the report.")
    ] = None,
    timed: Annotated[
        list[Path] | None,
        typer.Option("--timed", help="Output of `edgechess bench arm --json`, for the report. May be repeated."),
    ] = None,
) -> None:
    """Try moves of every class on the software table, judged by the world itself; the same command goes on after Ctrl-C.

    Exit code: 0 no target was missed, 1 one was, 2 wrong usage, 130 after Ctrl-C. With fewer than 20,000 trials at nominal
    faults no target is said to be met.
    """
    wanted = Wanted(moves, each, sweep, seed, _kinds(kind), _faults(faults), _classes(classes), ro1_part)
    try:
        drawn = read_games(games) if games is not None else []
        whole_games = _simulated(simulated)
        times = [_timed_arm(path) for path in timed or ()]
    except (OSError, ValueError) as error:
        _fail(str(error))
    chunks, deck = draw(wanted, drawn)
    positions = f"{deck.real} games of {games.name}" if games is not None else "random play"
    run: dict[str, Any] = {**dataclasses.asdict(wanted), "commit": commit(), "positions": positions}
    run = json.loads(json.dumps(run))
    store = _store(results or Path(f"bench-results/trials-{seed}.jsonl"), run, fresh)
    left = [chunk for chunk in chunks if chunk.name not in store.kept]
    interrupted = False
    try:
        _run(chunks, left, store, jobs)
    except KeyboardInterrupt:
        interrupted = True
    report = Reliability(store, run, wanted.kinds, whole_games, times)
    typer.echo(report.text())
    _tell_speed(store)
    if out is not None and store.kept:
        for file in report.write(out):
            typer.echo(f"written: {file}")
    if interrupted:
        done = len(store.kept)
        typer.echo(f"stopped with {done} of {len(chunks)} parts done; the same command goes on from there", err=True)
        raise typer.Exit(EXIT_INTERRUPTED)
    raise typer.Exit(EXIT_FAILED if any(verdict == "missed" for _, verdict in report.verdicts()) else 0)


def _run(chunks: Sequence[Chunk], left: Sequence[Chunk], store: Store, jobs: int) -> None:
    """Raises KeyboardInterrupt; what is done is kept."""
    total = sum(chunk.trials for chunk in chunks)
    done = total - sum(chunk.trials for chunk in left)
    with _progress(total, done) as advance:
        for chunk, result, cpu_s in _results(left, jobs):
            store.add(chunk, result, cpu_s)
            advance(chunk.trials)


def _results(chunks: Sequence[Chunk], jobs: int) -> Iterator[tuple[Chunk, ChunkResult, float]]:
    """As they come."""
    workers = min(jobs or os.cpu_count() or 1, len(chunks))
    if workers <= 1:
        yield from map(_timed, chunks)
        return
    with multiprocessing.get_context("spawn").Pool(workers, _leave_interrupts_to_the_parent) as pool:
        yield from pool.imap_unordered(_timed, chunks)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _timed(chunk: Chunk) -> tuple[Chunk, ChunkResult, float]:
    began_s = time.process_time()
    result = run_chunk(chunk)
    return chunk, result, time.process_time() - began_s


@contextlib.contextmanager
def _progress(total: int, done: int) -> Iterator[Any]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain(total, done)
        return
    columns = (TextColumn("trials"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("trials", total=total, completed=done)
        yield lambda count: progress.advance(task, count)


def _plain(total: int, done: int) -> Any:
    """A line now and then."""
    told = done * PLAIN_EVERY // max(total, 1)

    def advance(count: int) -> None:
        nonlocal done, told
        done += count
        if done * PLAIN_EVERY // total > told:
            told = done * PLAIN_EVERY // total
            print(f"{done} of {total} trials", file=sys.stderr, flush=True)

    return advance


def _tell_speed(store: Store) -> None:
    cpu_s = sum(kept.cpu_s for kept in store.kept.values())
    trials = sum(len(kept.result.trials) for kept in store.kept.values())
    if cpu_s:
        typer.echo(f"{trials} trials, {trials / cpu_s:.1f} per second of processor time")


def _kinds(word: str) -> tuple[Kind, ...]:
    if word not in KINDS:
        _fail(f"--kind is {word!r}: expected one of {', '.join(KINDS)}")
    return KINDS[word]


def _faults(text: str) -> str:
    try:
        twin_faults.parse(text)
    except ValueError as error:
        _fail(f"--faults: {error}")
    return text


def _classes(words: list[str] | None) -> tuple[MoveClass, ...]:
    if not words:
        return CLASSES
    for word in words:
        if word not in CLASSES:
            _fail(f"--class is {word!r}: expected one of {', '.join(CLASSES)}")
    return tuple(known for known in CLASSES if known in words)


def _simulated(path: Path | None) -> dict[str, Any]:
    """The sums, last line of the output. Raises ValueError or OSError."""
    if path is None:
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    sums = json.loads(lines[-1]) if lines else {}
    if not isinstance(sums, dict) or sums.get("event") != "sums":
        raise ValueError(f"--simulated {path}: not the whole output of edgechess sim --json")
    return sums


def _timed_arm(path: Path) -> dict[str, Any]:
    """What a bench of an arm measured. Raises ValueError or OSError."""
    lines = path.read_text(encoding="utf-8").splitlines()
    try:
        measured = json.loads(lines[-1])["results"]["arm"]
    except (IndexError, KeyError, TypeError, ValueError):
        raise ValueError(f"--timed {path}: not the output of edgechess bench arm --json") from None
    if not isinstance(measured, dict):
        raise ValueError(f"--timed {path}: not the output of edgechess bench arm --json")
    return measured


def _store(path: Path, run: dict[str, Any], fresh: bool) -> Store:
    try:
        if fresh:
            path.unlink(missing_ok=True)
        return Store(path, run)
    except (OtherRun, OSError) as error:
        _fail(str(error))


def _fail(text: str) -> NoReturn:
    typer.echo(f"edgechess trials: {text}", err=True)
    raise typer.Exit(EXIT_USAGE)
