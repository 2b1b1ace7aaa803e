"""`edgechess doctor`: what is here, what is missing, and the cure of each."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import platform
import shutil
import sys
from importlib.metadata import version
from typing import Annotated, Literal

import typer

from edgechess_board.serial_adapter import SerialPorts
from edgechess_cli.match_folder import state_home
from edgechess_cli.twin_command import loopback_addresses_work
from edgechess_inference.errors import PlayerWordError
from edgechess_inference.stockfish import find_stockfish
from edgechess_kit.broker import find_mosquitto
from edgechess_kit.greengrass_environment import under_greengrass
from edgechess_robots.registry import arm_kind, arm_names

Verdict = Literal["ok", "note", "missing"]
MARKS: dict[Verdict, str] = {"ok": "ok     ", "note": "note   ", "missing": "MISSING"}


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. "missing": something does not work without it; "note": a fallback serves."""

    what: str
    verdict: Verdict
    found: str


def examine() -> list[Finding]:
    """Looks at the machine; changes nothing."""
    findings = [
        _python(), _stockfish(), _mosquitto(), _greengrass(), _loopback(), _pseudo_terminals(), _state_folder(), _arms()
    ]  # fmt: skip
    ports = SerialPorts().candidates()
    findings.append(
        Finding(
            "board", "ok" if ports else "note", ", ".join(ports) or "no serial board is plugged in; the twin needs none"
        )
    )
    return findings


def _python() -> Finding:
    good = sys.version_info >= (3, 11)
    return Finding("python", "ok" if good else "missing", f"{platform.python_version()} at {sys.executable}")


def _stockfish() -> Finding:
    try:
        path = find_stockfish()
    except PlayerWordError as error:
        return Finding("stockfish", "missing", str(error))
    if path:
        return Finding("stockfish", "ok", str(path))
    return Finding("stockfish", "note", "not found: the player `builtin` serves. apt-get install stockfish")


def _mosquitto() -> Finding:
    path = find_mosquitto()
    if path:
        return Finding("mosquitto", "ok", str(path))
    return Finding("mosquitto", "note", "not found: the embedded broker serves. apt-get install mosquitto")


def _greengrass() -> Finding:
    if importlib.util.find_spec("awsiot") is None:
        return Finding(
            "greengrass", "note", "no awsiotsdk: components speak MQTT only. pip install 'edgechess-kit[greengrass]'"
        )
    under = "a nucleus started this process" if under_greengrass(os.environ) else "no nucleus here; edgechess up is one"
    return Finding("greengrass", "ok", f"awsiotsdk {version('awsiotsdk')}; {under}")


def _loopback() -> Finding:
    if loopback_addresses_work():
        return Finding("loopback", "ok", "addresses beside 127.0.0.1: vendor port numbers on the twin")
    return Finding("loopback", "note", "only 127.0.0.1: the twin's controllers get offset ports")


def _pseudo_terminals() -> Finding:
    good = os.path.exists("/dev/ptmx")
    return Finding(
        "pseudo-terminals", "ok" if good else "missing", "/dev/ptmx" if good else "no /dev/ptmx: no software board"
    )


def _arms() -> Finding:
    """Every registered kind can be imported: one that cannot would be found out when a table starts."""
    for name in arm_names():
        try:
            arm_kind(name)
        except (ValueError, ImportError) as error:
            return Finding("arms", "missing", f"kind {name}: {error}")
    return Finding("arms", "ok", f"{', '.join(arm_names())} (edgechess arm list)")


def _state_folder() -> Finding:
    home = state_home()
    existing = next(path for path in (home, *home.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        return Finding("state", "missing", f"{existing} is not writable: set EDGECHESS_STATE")
    free_gb = shutil.disk_usage(existing).free / 1e9
    return Finding("state", "ok" if free_gb > 0.1 else "missing", f"{home} ({free_gb:.1f} GB free)")


def command(as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False) -> None:
    """Check this machine: Python, Stockfish, broker, loopback addresses, terminals, boards. Exit 1 if something is missing."""
    findings = examine()
    for finding in findings:
        if as_json:
            typer.echo(json.dumps(dataclasses.asdict(finding)))
        else:
            typer.echo(f"{MARKS[finding.verdict]}  {finding.what:18} {finding.found}")
    raise typer.Exit(1 if any(finding.verdict == "missing" for finding in findings) else 0)
