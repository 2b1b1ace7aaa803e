"""docs/component-lifecycle.md, generated from the table of states: `python -m edgechess_nucleus.diagram FILE`."""

from __future__ import annotations

import sys
from pathlib import Path

from edgechess_nucleus.lifecycle import BACK_OFF_S, ERROR_WINDOW_S, ERRORS_LIMIT, TIMEOUTS_S, state_diagram
from edgechess_nucleus.runtime import STEADY_S

_HEAD = """\
# The life of a component

Generated from `TRANSITIONS` in `edgechess_nucleus/lifecycle.py` by `python -m edgechess_nucleus.diagram`; a test keeps
it current. `run` is up as soon as its process is there, and ends FINISHED with exit code 0; `startup` is up when it
ends with 0 or reports RUNNING. A component whose HARD dependency is neither RUNNING nor FINISHED waits in INSTALLED.
"""

_REDEPLOYMENT = """\
## Another deployment while it runs

`edgechess up deploy DOCUMENT` does, in this order:

1. Reads the document and the recipes, puts artifacts in their place, resolves configurations. What is wrong is said
   with file and line, and nothing that runs was touched. Under `localRuntime` only the folders of recipes and artifacts
   may differ from what the runtime was started with, and `x-software-table` must stay as it is.
2. Asks every component that called SubscribeToComponentUpdates. One that answers DeferComponentUpdate is asked again
   when its time is up (ours put a deployment off as long as a move is under way); silence is consent after
   `deploymentPolicies.componentUpdatePolicy.timeoutInSeconds`, and SKIP_NOTIFY_COMPONENTS asks nobody. Nucleus lite
   has no such question, and neither has this runtime in its flavour.
3. Ends what the document does not name any more, and what starts afresh: another version, other artifacts, a script
   that reads differently once its variables are filled in, or a component that was BROKEN. Dependents end first. Who
   depends HARD on one of these stands still in INSTALLED meanwhile, and is not installed again.
4. Puts all configurations in force at once, by the nuclei's rules: RESET removes, the recipe's defaults fill what is not
   there and never overwrite, MERGE overlays. Subscribers get an event for each key whose value is another.
5. Starts what is new or was ended, dependencies first, and waits until all of it has served for {steady_s:g} s.
6. When one is BROKEN instead, what ran before runs again, with versions, configuration and accessControl as they were
   before step 3, unless `failureHandlingPolicy` is DO_NOTHING. What an install script did outside of its work folder is
   not undone, and a bootstrap of the former version does not run again.

The post-update event ends it either way. The next `edgechess up` goes by the document that it is given, not by this one.
"""


def page() -> str:
    rows = "\n".join(f"| {step} | {f'{limit:g} s' if limit else 'none'} |" for step, limit in TIMEOUTS_S.items())
    errors = (
        f"{ERRORS_LIMIT} errors within {ERROR_WINDOW_S:g} s make it BROKEN until somebody restarts it; before that it is"
        f" started again after {BACK_OFF_S:g} s, twice as long after the next error."
    )
    return (
        f"{_HEAD}\n```mermaid\n{state_diagram()}```\n\n| step | timeout |\n|---|---|\n{rows}\n\n{errors}\n\n"
        + _REDEPLOYMENT.format(steady_s=STEADY_S)
    )


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
