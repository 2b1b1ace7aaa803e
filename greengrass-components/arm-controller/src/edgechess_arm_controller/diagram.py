"""docs/arm-controller-phases.md, generated from the table of phases: `python -m edgechess_arm_controller.diagram FILE`."""

from __future__ import annotations

import sys
from pathlib import Path

from edgechess_arm_controller.state import PHASES

_HEAD = """\
# The phases of an arm in the arm controller

Generated from `PHASES` in `edgechess_arm_controller/state.py` by `python -m edgechess_arm_controller.diagram`; a
test keeps it current. Phases are what the controller makes of an arm's modes (`arm-states.md`): whether it may be used,
must be brought home, or needs a person.

- `away`: no fresh measurement.
- `returned`: measured again, or stopped by the controller; it must be brought back.
- `bringing`: being stopped, released and made ready, without motion.
- `unsure`: ready to move, but perhaps not parked or not empty-handed.
- `ready`: parked and empty, or executing a job.
- `loaded`: parked with a piece that it is known to hold; only a repair or a setup, which puts it down, or a person's `recover` helps.
- `blocked`: only a person's `recover` helps.

"""


def page() -> str:
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> away"]
    for phase, following in PHASES.items():
        lines += [f"    {phase} --> {other}" for other in PHASES if other in following]
    return _HEAD + "\n".join([*lines, "```", ""])


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
