from __future__ import annotations

import pytest

from edgechess_robots.states import TRANSITIONS, after, allowed, state_diagram


def test_nothing_but_recovery_leads_from_a_held_arm_to_an_idle_one() -> None:
    for (mode, event), end in TRANSITIONS.items():
        if mode in ("stopped", "fault") and end in ("idle", "moving", "starting"):
            assert event == "recovered"


def test_only_an_idle_arm_begins_to_move() -> None:
    assert [key for key, end in TRANSITIONS.items() if end == "moving"] == [("idle", "begin")]


def test_a_stop_and_a_lost_link_are_met_in_every_mode() -> None:
    for mode in {start for start, _ in TRANSITIONS}:
        assert allowed(mode, "stop")
        assert after(mode, "lost") == "offline"


def test_what_cannot_happen_is_a_defect() -> None:
    with pytest.raises(ValueError, match="stopped cannot meet 'begin'"):
        after("stopped", "begin")


def test_the_diagram_shows_every_change() -> None:
    diagram = state_diagram()
    assert diagram.startswith("stateDiagram-v2\n    [*] --> offline\n")
    assert "    idle --> moving: begin\n" in diagram
    assert diagram.count("-->") == 1 + sum(start != end for (start, _), end in TRANSITIONS.items())
