from __future__ import annotations

import pytest

from edgechess_robots.timing import Limits, duration_s, joint_duration_s, straight_duration_s, usual_limits


def test_no_distance_takes_no_time() -> None:
    assert duration_s((0.0, 0.0), (usual_limits(1.0), usual_limits(1.0))) == 0.0


def test_jerk_limited_rest_to_rest_of_one_coordinate() -> None:
    # v = 250, a = 500, j = 2500: the speed is reached, so t = d/v + v/a + a/j = 4 + 0.5 + 0.2.
    assert straight_duration_s(1000.0, 0.0, 250.0, 90.0) == pytest.approx(4.7, abs=1e-6)


def test_short_motions_never_reach_their_speed() -> None:
    # Jerk alone limits: four equal phases, d = 2 j t³, each (1 / (2·1000))^(1/3) s.
    limits = Limits(1000.0, 1000.0, 1000.0)
    assert duration_s((1.0,), (limits,)) == pytest.approx(4.0 * (1.0 / 2000.0) ** (1.0 / 3.0), abs=1e-6)


def test_the_slowest_coordinate_leads() -> None:
    alone = joint_duration_s((0.0,), (90.0,), (30.0,))
    assert joint_duration_s((0.0, 0.0), (90.0, 10.0), (30.0, 200.0)) == pytest.approx(alone)
    assert straight_duration_s(1.0, 90.0, 250.0, 30.0) == pytest.approx(alone)


@pytest.mark.parametrize("limits", [(Limits(0.0, 1.0, 1.0),), (), (Limits(1.0, -1.0, 1.0),)])
def test_limits_must_be_positive_and_one_per_distance(limits: tuple[Limits, ...]) -> None:
    with pytest.raises(ValueError, match="positive limits"):
        duration_s((1.0,), limits)


@pytest.mark.parametrize("length_mm", [40.0, 80.0, 120.0, 120.0000000000001, 160.0])
@pytest.mark.parametrize("speed_mm_s", [250.0, 500.0, 750.0])
def test_round_lengths_where_a_phase_of_the_motion_vanishes(length_mm: float, speed_mm_s: float) -> None:
    """Ruckig itself finds nothing for 120.0000000000001 mm at 750 mm/s."""
    near = straight_duration_s(length_mm + 0.01, 0.0, speed_mm_s, 90.0)
    assert straight_duration_s(length_mm, 0.0, speed_mm_s, 90.0) == pytest.approx(near, abs=1e-3)
