"""docs/arm-states.md, generated from the table of modes: `python -m edgechess_robots.diagram FILE`."""

from __future__ import annotations

import sys
from pathlib import Path

from edgechess_robots.states import state_diagram

_HEAD = """\
# The modes of an arm

Generated from `TRANSITIONS` in `edgechess_robots/states.py` by `python -m edgechess_robots.diagram`; a test keeps it
current. A mode is what was measured, never what was told. "linked-held": a stop, an alarm or a link that was lost in
motion came before, and holds the arm. "linked-alarm": the controller met an emergency stop while nobody listened, or
another alarm while it held the arm. Out of `stopped` and `fault` leads only `recover`, and it clears no alarm without
a person's word.

"""


def page() -> str:
    return f"{_HEAD}```mermaid\n{state_diagram()}```\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
