"""A component's life as a pure machine: the paths of the reference, and that no events lead out of the table."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgechess_nucleus.diagram import page
from edgechess_nucleus.lifecycle import (
    AT_REST,
    BackedOff,
    Begin,
    DependenciesReady,
    DependencyLost,
    Ended,
    EndProcesses,
    Event,
    Life,
    Pause,
    Reported,
    Restart,
    RunStep,
    StepEnded,
    StepStarted,
    Stop,
    after,
    decide,
)
from edgechess_nucleus.recipe import STEPS

EVENTS: list[Event] = [
    Begin(), DependenciesReady(), DependencyLost(), StepStarted("run"), BackedOff(), Ended(), Restart(), Stop(),
    Reported("RUNNING"), Reported("ERRORED"),
    *(StepEnded(step) for step in STEPS), *(StepEnded(step, "exit code 1") for step in STEPS),
]  # fmt: skip


def told(life: Life, *events: Event, now_s: float = 0.0) -> tuple[Life, list[object]]:
    done: list[object] = []
    for event in events:
        life, effects = decide(life, event, now_s)
        done += effects
    return life, done


def test_a_program_that_stays_up() -> None:
    life, done = told(
        Life(frozenset({"bootstrap", "install", "run"})), Begin(), StepEnded("bootstrap"), StepEnded("install")
    )
    assert life.state == "INSTALLED"
    assert done == [RunStep("bootstrap"), RunStep("install")]
    life, done = told(life, DependenciesReady(), StepStarted("run"))
    assert (life.state, done) == ("RUNNING", [RunStep("run")])
    life, done = told(life, Stop(), Ended())
    assert (life.state, done) == ("STOPPED", [EndProcesses(shutdown=True)])


def test_a_run_script_that_ends_well_is_finished_and_one_without_scripts_too() -> None:
    life, _ = told(Life(frozenset({"run"})), Begin(), DependenciesReady(), StepStarted("run"), StepEnded("run"))
    assert life.state == "FINISHED"
    life, done = told(Life(frozenset()), Begin(), DependenciesReady())
    assert (life.state, done) == ("FINISHED", [])


@pytest.mark.parametrize("up", [StepEnded("startup"), Reported("RUNNING")])
def test_startup_is_up_by_its_end_or_by_its_word(up: Event) -> None:
    life, _ = told(Life(frozenset({"startup"})), Begin(), DependenciesReady())
    assert life.state == "STARTING"
    life, done = told(life, up)
    assert (life.state, done) == ("RUNNING", [])
    assert told(life, StepEnded("startup"))[0].state == "RUNNING"
    assert told(life, StepEnded("startup", "exit code 1"))[0].state == "BACKING_OFF"


def test_an_error_is_recovered_from_with_growing_pauses_and_the_third_breaks_it() -> None:
    life, _ = told(Life(frozenset({"run", "recover"})), Begin())
    for number in (1, 2):
        life, done = told(life, DependenciesReady(), StepStarted("run"), StepEnded("run", "exit code 1"))
        assert (life.state, done[1:]) == ("ERRORED", [EndProcesses(shutdown=False), RunStep("recover")])
        life, done = told(life, StepEnded("recover", "exit code 9"))
        assert (life.state, done) == ("BACKING_OFF", [Pause(float(number))])
        life, done = told(life, BackedOff())
        assert (life.state, done) == ("INSTALLED", [])
    life, done = told(life, DependenciesReady(), StepStarted("run"), Reported("ERRORED"))
    assert (life.state, life.reason) == ("BROKEN", "it reported ERRORED")
    assert done[-1] == EndProcesses(shutdown=False)
    life, done = told(life, Restart())
    assert (life.state, life.errors_s) == ("INSTALLED", ())


def test_errors_are_forgotten_after_an_hour() -> None:
    life, _ = told(Life(frozenset({"run"})), Begin())
    for now_s in (0.0, 1800.0, 3601.0, 5401.0):
        life, _ = told(life, DependenciesReady(), StepStarted("run"), StepEnded("run", "exit code 1"), now_s=now_s)
        assert life.state == "BACKING_OFF"
        life, _ = told(life, BackedOff())
    life, _ = told(life, DependenciesReady(), StepStarted("run"), StepEnded("run", "exit code 1"), now_s=5402.0)
    assert life.state == "BROKEN"


def test_an_install_that_failed_is_tried_from_the_beginning() -> None:
    life, _ = told(Life(frozenset({"install", "run"})), Begin(), StepEnded("install", "exit code 1"))
    assert (life.state, life.reason) == ("BACKING_OFF", "install: exit code 1")
    life, done = told(life, BackedOff())
    assert (life.state, done) == ("INSTALLING", [RunStep("install")])


def test_a_lost_dependency_stops_it_until_it_is_back() -> None:
    life, _ = told(Life(frozenset({"run"})), Begin(), DependenciesReady(), StepStarted("run"), DependencyLost())
    assert life.state == "STOPPING"
    life, _ = told(life, Ended())
    assert (life.state, life.errors_s) == ("INSTALLED", ())


def test_a_stop_overtakes_a_restart() -> None:
    life, _ = told(
        Life(frozenset({"run"})), Begin(), DependenciesReady(), StepStarted("run"), Restart(), Stop(), Ended()
    )
    assert life.state == "STOPPED"


def test_what_the_table_does_not_know_is_a_defect() -> None:
    with pytest.raises(ValueError, match="RUNNING cannot be told 'begin'"):
        after("RUNNING", "begin")


@settings(max_examples=300)
@given(st.sets(st.sampled_from(STEPS)), st.lists(st.sampled_from(EVENTS), max_size=40))
def test_whatever_happens_it_stays_in_the_table_and_can_be_stopped(steps: set[str], events: list[Event]) -> None:
    """Also events that come too late, twice or never should; run and startup exclude each other in a recipe."""
    life = Life(frozenset(step for step in STEPS if step in steps and not (step == "run" and "startup" in steps)))
    for second, event in enumerate(events):
        life, effects = decide(life, event, float(second))
        assert not (life.state in AT_REST and any(isinstance(effect, RunStep | Pause) for effect in effects))
        assert all(effect.step in life.steps for effect in effects if isinstance(effect, RunStep))
        assert len(life.errors_s) <= 3
    life, _ = told(life, Stop(), Ended())
    assert life.state == "STOPPED"


def test_the_diagram_is_current() -> None:
    file = Path(__file__).resolve().parents[2] / "docs" / "component-lifecycle.md"
    assert file.read_text(encoding="utf-8") == page(), "python -m edgechess_nucleus.diagram docs/component-lifecycle.md"
