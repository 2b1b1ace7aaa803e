"""`edgechess table setup`: what it says, and what it refuses before anything is asked."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from edgechess_cli.main import app
from edgechess_cli.setup_command import progress_line
from edgechess_kit.messages import EdgeEvent

NOBODY = "mqtt://127.0.0.1:1"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--fen", "8/8"], 2, "--fen: expected 8 rows"),
        (["--broker", NOBODY], 6, f"no broker answers at {NOBODY}"),
        (["--broker", "nonsense"], 2, "broker"),
    ],
)
def test_one_line_and_a_code(arguments: list[str], code: int, words: str) -> None:
    result = CliRunner().invoke(app, ["table", "setup", *arguments])
    assert result.exit_code == code
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def event(component: str, what: str, **data: object) -> EdgeEvent:
    return EdgeEvent(component=component, kind=what, seq=1, at=0.0, data=data)


def test_each_job_is_a_line_and_what_an_arm_makes_of_it_another() -> None:
    ordered = event("game-manager", "setup-ordered", progress={"jobs": 3}, left=5)
    assert progress_line(ordered) == "  3  5 squares are not right yet"
    homeward = event("game-manager", "setup-ordered", progress={"jobs": 4}, left=0)
    assert progress_line(homeward) == "  4  spare pieces may go home to the racks"
    carries = [
        {"piece": "p", "from_place": "a6", "to_place": "a7"},
        {"piece": "r", "from_place": "tray-white-0", "to_place": "a8"},
    ]
    accepted = event("arm-controller", "job-accepted", kind="setup", arm="black", carries=carries)
    assert progress_line(accepted) == "     black: a6 a7, tray-white-0 a8"
    assert progress_line(event("arm-controller", "job-accepted", kind="move", arm="black", carries=carries)) is None
    assert progress_line(event("game-manager", "confirmed")) is None
