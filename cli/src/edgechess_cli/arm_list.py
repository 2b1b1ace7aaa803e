"""`edgechess arm list`: every kind of arm that is installed, and what it can do."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Annotated

import typer

from edgechess_robots.registry import ArmKind, DeadMan, arm_kind, arm_names

WORDS = {
    "rounds_corners": "rounds corners",
    "feels_grasp": "feels what it grasps",
    "guided_by_request": "hand guiding by software",
}


DEAD_MAN: Mapping[DeadMan, str] = {
    "always": "stops when we die",
    "never": "does not stop when we die",
    "by release": "whether it stops when we die is up to the robot's release: its state tells, once it is ready",
}


def list_kinds(as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False) -> None:
    """List the installed kinds of arm with their capabilities and limits."""
    for name in arm_names():
        try:
            kind = arm_kind(name)
        except ValueError as error:
            typer.echo(f"edgechess arm list: {error}", err=True)
            continue
        typer.echo(json.dumps(kind_event(kind)) if as_json else kind_text(kind))


def kind_event(kind: ArmKind[object]) -> dict[str, object]:
    return {
        "name": kind.name,
        "title": kind.title,
        "ports": kind.ports,
        "capabilities": dataclasses.asdict(kind.capabilities),
        "limits": dataclasses.asdict(kind.limits),
        "options": kind.option_names,
    }


def kind_text(kind: ArmKind[object]) -> str:
    limits = kind.limits
    can = [word for field, word in WORDS.items() if getattr(kind.capabilities, field)]
    cannot = [word for field, word in WORDS.items() if not getattr(kind.capabilities, field)]
    return "\n".join(
        [
            f"{kind.name:8} {kind.title}",
            f"         reach {limits.reach_mm:.0f} mm, {limits.payload_kg:g} kg, {limits.tool_speed_mm_s:.0f} mm/s; ports {', '.join(map(str, kind.ports))}",
            f"         can: {', '.join(can) or 'nothing more'}" + (f"; cannot: {', '.join(cannot)}" if cannot else ""),
            f"         {DEAD_MAN[kind.capabilities.dead_man]}",
            f"         options: {', '.join(kind.option_names)}",
        ]
    )
