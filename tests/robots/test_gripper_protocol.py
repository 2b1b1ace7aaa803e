from __future__ import annotations

import pytest

from edgechess_robots.dobot.gripper_protocol import Fingers


@pytest.mark.parametrize(
    ("fingers", "width", "position"),
    [
        (Fingers(95.0, True), 95.0, 1000),
        (Fingers(95.0, True), 0.0, 0),
        (Fingers(95.0, True), 19.0, 200),
        (Fingers(95.0, False), 95.0, 0),
        (Fingers(95.0, False), 19.0, 800),
        (Fingers(80.0, True), 100.0, 1000),
        (Fingers(80.0, True), -5.0, 0),
    ],
)
def test_widths_and_positions(fingers: Fingers, width: float, position: int) -> None:
    assert fingers.position(width) == position


def test_a_position_is_a_width_again() -> None:
    for fingers in (Fingers(95.0, True), Fingers(95.0, False)):
        assert fingers.width_mm(fingers.position(20.9)) == pytest.approx(20.9, abs=0.06)
