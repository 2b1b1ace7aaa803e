"""docs/game-manager-states.md, generated from the machine's table: `python -m edgechess_game_manager.diagram FILE`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from edgechess_game_manager.machine import TABLE
from edgechess_game_manager.state import PHASES, Stage

_HEAD = """\
# The states of the game manager

Generated from `TABLE` in `edgechess_game_manager/machine.py` by `python -m edgechess_game_manager.diagram`; a test keeps
it current. Events that are not in a stage's rows change nothing there.

"no-session", "ready" and "ended" are rest. In the others one request is under way: a second request is answered 400
`busy`, for good (whoever wants the table later asks with a new token), and a repeat of its own token waits for the one
answer. Each way out of a request writes its outcome and its answer with one commit before the answer is sent.
"Restored" is the first event of a process, at the stage that the journal was folded to.

A start is taken at rest only. It succeeds when the board shows `before`, and then replaces the session, whatever its id;
a session at exactly that position with the same id goes on with its history (a requester that lost its memory asks so).
A start that fails leaves the session before it as it was. An executor of `person`, or `robotEnabled: false`, keeps the
arm parked. After a restart the last answer is sent once more, unchanged: it may have been lost on its way to the bus.

"Verdict seen" is the word of whoever owns the match that the game is over (`edge/session/control` with a `result`). It
counts for the running session only, once per request id; while a move is under way it is written down and takes effect
with that move's answer, unless the move itself ended the game.

"""


def diagram() -> str:
    """Mermaid: transitions between stages. What stays in a stage is in the table below it."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> no_session"]
    edges: dict[tuple[Stage, Stage], list[str]] = {}
    for (stage, event), row in TABLE.items():
        for target, words in row.to.items():
            if target is not stage:
                label = f"{_event(event)}: {words}" if words else _event(event)
                edges.setdefault((stage, target), []).append(label)
    lines += [f'    state "{stage.value}" as {_id(stage)}' for stage in Stage]
    for (stage, target), labels in edges.items():
        # mermaid ends a label at a semicolon and takes a second colon badly
        text = " / ".join(labels).replace(":", " –").replace(";", ",")
        lines.append(f"    {_id(stage)} --> {_id(target)}: {text}")
    return "\n".join([*lines, "```"])


def table() -> str:
    """Every row of the transition table."""
    lines = ["| stage | event | leads to |", "|---|---|---|"]
    for (stage, event), row in TABLE.items():
        ways = [f"{target.value}{f' ({words})' if words else ''}" for target, words in row.to.items()]
        lines.append(f"| {stage.value} | {_event(event)} | {' · '.join(ways)} |")
    return "\n".join(lines)


def phases() -> str:
    """Which stage is which phase on the wire."""
    return "\n".join(f"- `{stage.value}` is phase `{phase}`" for stage, phase in PHASES.items())


def page() -> str:
    return f"{_HEAD}{diagram()}\n\nOn the wire (`edge/session/state`, `detail.phase`):\n{phases()}\n\n{table()}\n"


def _id(stage: Stage) -> str:
    return stage.value.replace("-", "_")


def _event(event: type) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", " ", event.__name__).lower()


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
