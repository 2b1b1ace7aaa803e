"""The life of one component, decided purely: `decide(life, event, now_s) -> (life, effects)`.

States have the Java nucleus' names where it has them; `BOOTSTRAPPING`, `INSTALLING`, `BACKING_OFF` and `STOPPED` say
what goes on inside its NEW, ERRORED and at the end. Source: reference "greengrass-recipes" (run and startup, timeouts,
broken after three errors in an hour). The manual's diagram is generated from `TRANSITIONS`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal, assert_never

from edgechess_nucleus.host import ReportedState
from edgechess_nucleus.recipe import StepName

State = Literal[
    "NEW", "BOOTSTRAPPING", "INSTALLING", "INSTALLED", "STARTING", "RUNNING", "STOPPING", "ERRORED", "BACKING_OFF",
    "FINISHED", "STOPPED", "BROKEN",
]  # fmt: skip
Word = Literal[
    "begin", "done", "dependencies ready", "up", "ended", "failed", "failed too often", "recovered", "again",
    "install again", "dependency lost", "restart", "stop", "stopped", "stopped to restart",
]  # fmt: skip

TIMEOUTS_S: Mapping[StepName, float | None] = {  # without `Timeout` in the recipe; Java's defaults
    "bootstrap": 120.0,
    "install": 120.0,
    "startup": 120.0,
    "run": None,  # stays up
    "shutdown": 15.0,
    "recover": 60.0,
}
ERRORS_LIMIT = 3  # that many errors within ERROR_WINDOW_S, and it is BROKEN until somebody restarts it
ERROR_WINDOW_S = 3600.0
BACK_OFF_S = 1.0  # before it is started again (lite's RestartSec), doubled with every error of the window

TRANSITIONS: dict[tuple[State, Word], State] = {
    ("NEW", "begin"): "BOOTSTRAPPING",
    ("BOOTSTRAPPING", "done"): "INSTALLING",
    ("INSTALLING", "done"): "INSTALLED",
    ("INSTALLED", "dependencies ready"): "STARTING",
    ("STARTING", "up"): "RUNNING",
    ("STARTING", "ended"): "FINISHED",
    ("RUNNING", "ended"): "FINISHED",
    ("BOOTSTRAPPING", "failed"): "ERRORED",
    ("INSTALLING", "failed"): "ERRORED",
    ("STARTING", "failed"): "ERRORED",
    ("RUNNING", "failed"): "ERRORED",
    ("BOOTSTRAPPING", "failed too often"): "BROKEN",
    ("INSTALLING", "failed too often"): "BROKEN",
    ("STARTING", "failed too often"): "BROKEN",
    ("RUNNING", "failed too often"): "BROKEN",
    ("ERRORED", "recovered"): "BACKING_OFF",
    ("BACKING_OFF", "again"): "INSTALLED",
    ("BACKING_OFF", "install again"): "BOOTSTRAPPING",
    ("STARTING", "dependency lost"): "STOPPING",
    ("RUNNING", "dependency lost"): "STOPPING",
    ("STARTING", "restart"): "STOPPING",
    ("RUNNING", "restart"): "STOPPING",
    ("FINISHED", "restart"): "STOPPING",
    ("BROKEN", "restart"): "NEW",
    ("STOPPED", "restart"): "NEW",
    ("STOPPING", "stopped to restart"): "INSTALLED",
    ("STOPPING", "stopped"): "STOPPED",
    ("BOOTSTRAPPING", "stop"): "STOPPING",
    ("INSTALLING", "stop"): "STOPPING",
    ("STARTING", "stop"): "STOPPING",
    ("RUNNING", "stop"): "STOPPING",
    ("ERRORED", "stop"): "STOPPING",
    ("FINISHED", "stop"): "STOPPING",
    ("STOPPING", "stop"): "STOPPING",
    ("NEW", "stop"): "STOPPED",
    ("INSTALLED", "stop"): "STOPPED",
    ("BACKING_OFF", "stop"): "STOPPED",
    ("BROKEN", "stop"): "STOPPED",
}
SERVING: frozenset[State] = frozenset({"RUNNING", "FINISHED"})  # who depends on it HARD may start
UP: frozenset[State] = frozenset({"STARTING", "RUNNING"})  # its own script is at it
AT_REST: frozenset[State] = frozenset({"FINISHED", "STOPPED", "BROKEN"})  # nothing more happens by itself


# -- events --------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Begin:
    """The deployment is in place."""


@dataclasses.dataclass(frozen=True, slots=True)
class DependenciesReady:
    """Every HARD dependency serves."""


@dataclasses.dataclass(frozen=True, slots=True)
class DependencyLost:
    """A HARD dependency serves no more."""


@dataclasses.dataclass(frozen=True, slots=True)
class StepStarted:
    """The script's process is there."""

    step: StepName


@dataclasses.dataclass(frozen=True, slots=True)
class StepEnded:
    """`error` None: exit code 0, or nothing to do. A script that took too long has ended with an error."""

    step: StepName
    error: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Reported:
    """The component called UpdateState."""

    state: ReportedState


@dataclasses.dataclass(frozen=True, slots=True)
class BackedOff:
    """The pause after an error is over."""


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    """Its processes are gone, after `EndProcesses(shutdown=True)`."""


@dataclasses.dataclass(frozen=True, slots=True)
class Restart:
    """Somebody asked for it. Errors are forgotten."""


@dataclasses.dataclass(frozen=True, slots=True)
class Stop:
    """It is not wanted any more."""


Event = (
    Begin | DependenciesReady | DependencyLost | StepStarted | StepEnded | Reported | BackedOff | Ended | Restart | Stop
)


# -- effects, done in this order; a new list takes the place of what is still under way ----------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class RunStep:
    """Answered by StepEnded, and for `run` by StepStarted before."""

    step: StepName


@dataclasses.dataclass(frozen=True, slots=True)
class EndProcesses:
    """`shutdown`: with the script of that name first; answered by Ended. Otherwise only what is left is ended."""

    shutdown: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Pause:
    """Answered by BackedOff."""

    seconds: float


Effect = RunStep | EndProcesses | Pause


@dataclasses.dataclass(frozen=True, slots=True)
class Life:
    """`steps` are those that the recipe has. `errors_s` are the times of the window's errors, `reason` the last one's.

    `restarting`: what is being stopped is wanted again. `installed`: where to go on after an error. `reported`: it has
    said RUNNING since it was started last.
    """

    steps: frozenset[StepName]
    state: State = "NEW"
    errors_s: tuple[float, ...] = ()
    reason: str | None = None
    restarting: bool = False
    installed: bool = False
    reported: bool = False


Decision = tuple[Life, tuple[Effect, ...]]


def after(state: State, word: Word) -> State:
    """Raises ValueError for a word that cannot be said in this state: a defect of `decide`."""
    try:
        return TRANSITIONS[state, word]
    except KeyError:
        raise ValueError(f"a component that is {state} cannot be told {word!r}") from None


def decide(life: Life, event: Event, now_s: float) -> Decision:
    """What becomes of the component. An event that has come too late to matter changes nothing."""
    match event:
        case Begin() if life.state == "NEW":
            return _install(_to(life, "begin"))
        case DependenciesReady() if life.state == "INSTALLED":
            return _start(_to(life, "dependencies ready"))
        case DependencyLost() if life.state in UP:
            stopping = dataclasses.replace(life, restarting=True, reason="a dependency is gone")
            return _to(stopping, "dependency lost"), (EndProcesses(shutdown=True),)
        case StepStarted(step="run") if life.state == "STARTING":
            return _to(life, "up"), ()
        case StepEnded():
            return _step_ended(life, event, now_s)
        case Reported():
            return _reported(life, event.state, now_s)
        case BackedOff() if life.state == "BACKING_OFF":
            return (_to(life, "again"), ()) if life.installed else _install(_to(life, "install again"))
        case Ended() if life.state == "STOPPING":
            ended = dataclasses.replace(life, restarting=False)
            return _to(ended, "stopped to restart" if life.restarting else "stopped"), ()
        case Restart():
            return _restart(life)
        case Stop() if (life.state, "stop") in TRANSITIONS:
            return _stop(dataclasses.replace(life, restarting=False))
        case Begin() | DependenciesReady() | DependencyLost() | StepStarted() | BackedOff() | Ended() | Stop():
            return life, ()
        case _:
            assert_never(event)


def _to(life: Life, word: Word) -> Life:
    state = after(life.state, word)
    return dataclasses.replace(life, state=state, reported=life.reported and state in UP)


def _install(life: Life) -> Decision:
    """From BOOTSTRAPPING on, past steps that the recipe does not have."""
    if life.state == "BOOTSTRAPPING":
        if "bootstrap" in life.steps:
            return life, (RunStep("bootstrap"),)
        life = _to(life, "done")
    if "install" in life.steps:
        return life, (RunStep("install"),)
    return dataclasses.replace(_to(life, "done"), installed=True), ()


def _start(life: Life) -> Decision:
    for step in ("startup", "run"):
        if step in life.steps:
            return life, (RunStep(step),)
    return _to(life, "ended"), ()


def _step_ended(life: Life, event: StepEnded, now_s: float) -> Decision:
    match event.step, life.state:
        case "recover", "ERRORED":  # even one that failed: there is nothing else to try
            return _back_off(life)
        case ("bootstrap", "BOOTSTRAPPING") | ("install", "INSTALLING") | ("startup" | "run", "STARTING" | "RUNNING"):
            if event.error is not None:
                return _failed(life, f"{event.step}: {event.error}", now_s)
        case _:
            return life, ()
    match event.step:
        case "bootstrap":
            return _install(_to(life, "done"))
        case "install":
            return dataclasses.replace(_to(life, "done"), installed=True), ()
        case "startup":
            return (_to(life, "up") if life.state == "STARTING" else life), ()
        case _:
            return _to(life, "ended"), (EndProcesses(shutdown=False),)


def _reported(life: Life, state: ReportedState, now_s: float) -> Decision:
    if state == "RUNNING":
        life = dataclasses.replace(life, reported=life.state in UP)
        return (_to(life, "up") if life.state == "STARTING" else life), ()
    if life.state in UP:
        return _failed(life, "it reported ERRORED", now_s)
    return life, ()


def _failed(life: Life, reason: str, now_s: float) -> Decision:
    errors_s = (*(at_s for at_s in life.errors_s if at_s > now_s - ERROR_WINDOW_S), now_s)
    life = dataclasses.replace(life, errors_s=errors_s, reason=reason)
    if len(errors_s) >= ERRORS_LIMIT:
        return _to(life, "failed too often"), (EndProcesses(shutdown=False),)
    life = _to(life, "failed")
    if "recover" in life.steps:
        return life, (EndProcesses(shutdown=False), RunStep("recover"))
    life, effects = _back_off(life)
    return life, (EndProcesses(shutdown=False), *effects)


def _back_off(life: Life) -> Decision:
    return _to(life, "recovered"), (Pause(BACK_OFF_S * 2 ** (len(life.errors_s) - 1)),)


def _restart(life: Life) -> Decision:
    life = dataclasses.replace(life, errors_s=(), reason=None)
    match life.state:
        case "STARTING" | "RUNNING" | "FINISHED":
            return _to(dataclasses.replace(life, restarting=True), "restart"), (EndProcesses(shutdown=True),)
        case "BROKEN" | "STOPPED":
            return _install(_to(_to(dataclasses.replace(life, installed=False), "restart"), "begin"))
        case "BACKING_OFF":
            return decide(life, BackedOff(), 0.0)
        case _:
            return life, ()  # it is on its way


def _stop(life: Life) -> Decision:
    again = life.state == "STOPPING"
    life = _to(life, "stop")
    return life, () if again else (EndProcesses(shutdown=life.state == "STOPPING"),)


def state_diagram() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> NEW"]
    lines += [f"    {start} --> {end}: {word}" for (start, word), end in TRANSITIONS.items() if start != end]
    return "\n".join(lines) + "\n"
