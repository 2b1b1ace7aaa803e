"""The life of an arm as a table: which event leads from which mode to which.

Shared by the drivers; the manual's diagram is generated from the table. "held" is not a mode but the reason why a new
link leads to `stopped`: a stop, an alarm or a link lost in motion holds the arm until `recover`. "linked-alarm" is a new
link to a controller that met an alarm while nobody listened.
"""

from __future__ import annotations

from typing import Literal

from edgechess_robots.arm import Mode

Event = Literal[
    "linked", "linked-held", "linked-alarm", "ready", "unready", "begin", "end", "stop", "alarm", "recovered", "lost"
]  # fmt: skip

TRANSITIONS: dict[tuple[Mode, Event], Mode] = {
    ("offline", "linked"): "starting",
    ("offline", "linked-held"): "stopped",
    ("offline", "linked-alarm"): "fault",
    ("offline", "stop"): "offline",
    ("starting", "ready"): "idle",
    ("starting", "stop"): "stopped",
    ("starting", "alarm"): "fault",
    ("idle", "begin"): "moving",
    ("idle", "unready"): "starting",
    ("idle", "stop"): "stopped",
    ("idle", "alarm"): "fault",
    ("moving", "end"): "idle",
    ("moving", "stop"): "stopped",
    ("moving", "alarm"): "fault",
    ("stopped", "stop"): "stopped",
    ("stopped", "alarm"): "fault",
    ("stopped", "recovered"): "idle",
    ("fault", "stop"): "fault",
    ("fault", "alarm"): "fault",
    ("fault", "recovered"): "idle",
    ("starting", "lost"): "offline",
    ("idle", "lost"): "offline",
    ("moving", "lost"): "offline",
    ("stopped", "lost"): "offline",
    ("fault", "lost"): "offline",
    ("offline", "lost"): "offline",
}


def allowed(mode: Mode, event: Event) -> bool:
    return (mode, event) in TRANSITIONS


def after(mode: Mode, event: Event) -> Mode:
    """The next mode. Raises ValueError for an event that cannot happen in this mode: a defect of the driver."""
    try:
        return TRANSITIONS[mode, event]
    except KeyError:
        raise ValueError(f"an arm that is {mode} cannot meet {event!r}") from None


def state_diagram() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> offline"]
    lines += [f"    {start} --> {end}: {event}" for (start, event), end in TRANSITIONS.items() if start != end]
    return "\n".join(lines) + "\n"
