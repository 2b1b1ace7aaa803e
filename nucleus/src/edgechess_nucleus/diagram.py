"""docs/component-lifecycle.md, generated from the table of states: `python -m edgechess_nucleus.diagram FILE`."""

from __future__ import annotations

import sys
from pathlib import Path

from edgechess_nucleus.lifecycle import BACK_OFF_S, ERROR_WINDOW_S, ERRORS_LIMIT, TIMEOUTS_S, state_diagram

_HEAD = """\
# The life of a component

Generated from `TRANSITIONS` in `edgechess_nucleus/lifecycle.py` by `python -m edgechess_nucleus.diagram`; a test keeps
it current. `run` is up as soon as its process is there, and ends FINISHED with exit code 0; `startup` is up when it
ends with 0 or reports RUNNING. A component whose HARD dependency is neither RUNNING nor FINISHED waits in INSTALLED.
"""


def page() -> str:
    rows = "\n".join(f"| {step} | {f'{limit:g} s' if limit else 'none'} |" for step, limit in TIMEOUTS_S.items())
    errors = (
        f"{ERRORS_LIMIT} errors within {ERROR_WINDOW_S:g} s make it BROKEN until somebody restarts it; before that it is"
        f" started again after {BACK_OFF_S:g} s, twice as long after the next error."
    )
    return f"{_HEAD}\n```mermaid\n{state_diagram()}```\n\n| step | timeout |\n|---|---|\n{rows}\n\n{errors}\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
