"""`edgechess twin --arms`: which arms stand at the table, and what people and scripts are told of them."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from edgechess_cli.twin_command import app, devices_event, devices_text
from edgechess_twin.serve import Address, Devices

BOTH = Devices(
    "/tmp/board",
    {
        "white": Address("127.20.0.2", {29999: 29999, 30004: 30004}),
        "black": Address("127.0.0.1", {3000: 3100}, "ro1", "edgechess-twin"),
    },
    "/tmp/control.sock",
)


def test_an_ro1_is_told_with_url_token_and_kind() -> None:
    line = next(line for line in devices_text(BOTH).splitlines() if "black arm" in line)
    assert "http://127.0.0.1:3100" in line
    assert "token edgechess-twin" in line
    assert "robot-kind: simulated" in line


def test_scripts_are_told_the_same() -> None:
    arms = devices_event(BOTH)["arms"]
    assert arms == {
        "white": {"kind": "dobot", "host": "127.20.0.2", "ports": {"29999": 29999, "30004": 30004}},
        "black": {
            "kind": "ro1",
            "host": "127.0.0.1",
            "ports": {"3000": 3100},
            "url": "http://127.0.0.1:3100",
            "token": "edgechess-twin",
        },
    }


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--arms", "kuka"), "dobot,ro1"),
        (("--arms", "dobot,ro1,ro1"), "dobot,ro1"),
        (("--arms", ""), "dobot,ro1"),
        (("--ro1-release", "2030.01"), "2025.08"),
    ],
)
def test_what_is_no_arm_is_refused(arguments: tuple[str, ...], named: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert arguments[0] in result.output
    assert named in result.output
