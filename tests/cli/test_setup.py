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


def test_each_job_is_a_line() -> None:
    progress = {"jobs": 3, "arm": "black", "squares": ["a8", "b8"]}
    event = EdgeEvent(
        component="game-manager", kind="setup-ordered", seq=1, at=0.0, data={"progress": progress, "left": 5}
    )
    assert progress_line(event) == "  3  black: a8, b8   (5 squares are not right yet)"
    tidying = EdgeEvent(
        component="game-manager", kind="setup-ordered", seq=1, at=0.0, data={"progress": {"arm": "white"}}
    )
    assert "spare pieces to the rack" in progress_line(tidying)
