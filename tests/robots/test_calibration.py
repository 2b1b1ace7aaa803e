from __future__ import annotations

import datetime
import random
from pathlib import Path

import numpy as np
import pytest

from edgechess_robots.calibration import Calibration, Touch, fit, load, nominal, save
from edgechess_robots.errors import CalibrationRefused
from edgechess_robots.layout import Point, standard_layout
from edgechess_robots.poses import Pose

DATE = datetime.date(2026, 3, 14)
TRUE_BOARD = Pose(600.0, 12.0, -3.0, 0.5, -0.3, -91.0)
CORNERS = [Point(x, y) for x in (-192.5, 192.5) for y in (-192.5, 192.5)]


def touched(points: list[Point], board: Pose = TRUE_BOARD, scale: float = 1.0, sigma: float = 0.0) -> list[Touch]:
    dice = random.Random(7)
    touches = []
    for p in points:
        x, y, z, _ = board.matrix() @ np.array([p.x_mm * scale, p.y_mm * scale, p.z_mm * scale, 1.0])
        touches.append(Touch(p, Point(*(float(v) + dice.gauss(0.0, sigma) for v in (x, y, z)))))
    return touches


def fitted(touches: list[Touch]) -> Calibration:
    return fit(touches, arm_serial="CR10A-1", date=DATE)


def test_exact_touches_give_the_exact_pose_back() -> None:
    calibration = fitted(touched(CORNERS))
    assert np.allclose(calibration.board.matrix(), TRUE_BOARD.matrix(), atol=1e-9)
    assert calibration.residual_mm < 1e-9
    assert calibration.scale == pytest.approx(1.0)
    assert calibration.touches == 4


def test_a_point_goes_to_the_base_frame_and_back() -> None:
    calibration = fitted(touched(CORNERS))
    there = calibration.to_base(Pose(100.0, 50.0, 30.0))
    assert np.allclose(calibration.to_board(there).matrix(), Pose(100.0, 50.0, 30.0).matrix(), atol=1e-9)


def test_noise_shows_as_residual_and_moves_the_board_by_little() -> None:
    calibration = fitted(touched(CORNERS, sigma=0.3))
    assert 0.05 < calibration.residual_mm < 0.6
    assert calibration.residual_mm <= calibration.worst_mm
    off = calibration.board.position_mm - TRUE_BOARD.position_mm
    assert float(np.linalg.norm(off)) < 0.6


def test_points_off_the_plane_fit_too() -> None:
    points = [*CORNERS, Point(0.0, 0.0, 80.0), Point(50.0, 0.0, 40.0)]
    assert np.allclose(fitted(touched(points)).board.matrix(), TRUE_BOARD.matrix(), atol=1e-9)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_too_few_points(count: int) -> None:
    with pytest.raises(CalibrationRefused, match=f"{count} points touched: at least 4"):
        fitted(touched(CORNERS[:count]))


def test_points_on_one_line() -> None:
    line = [Point(x, 0.3 * x) for x in (-150.0, -50.0, 50.0, 150.0)]
    with pytest.raises(CalibrationRefused, match="one line"):
        fitted(touched(line))


def test_mirrored_in_the_plane() -> None:
    touches = touched(CORNERS)
    swapped = [Touch(Point(-t.board.x_mm, t.board.y_mm), t.measured) for t in touches]
    with pytest.raises(CalibrationRefused, match="mirrored"):
        fitted(swapped)


def test_mirrored_in_space() -> None:
    touches = touched([*CORNERS, Point(0.0, 0.0, 120.0)])
    with pytest.raises(CalibrationRefused, match="mirrored"):
        fitted([Touch(Point(-t.board.x_mm, t.board.y_mm, t.board.z_mm), t.measured) for t in touches])


def test_wrong_square_size() -> None:
    with pytest.raises(CalibrationRefused, match=r"1\.0364 times .* nominal size"):
        fitted(touched(CORNERS, scale=57.0 / 55.0))


def test_one_slipped_touch_is_named() -> None:
    touches = touched([*CORNERS, Point(0.0, 0.0), Point(0.0, 100.0)])
    slipped = touches[4].measured
    touches[4] = Touch(touches[4].board, Point(slipped.x_mm, slipped.y_mm, slipped.z_mm + 6.0))
    with pytest.raises(CalibrationRefused, match=r"residual .* exceeds 1.00 mm; point 5 fits worst"):
        fitted(touches)
    loose = fit(touches, arm_serial="x", date=DATE, max_residual_mm=5.0)
    assert loose.residual_mm > 1.0


def test_two_swapped_corners_are_refused() -> None:
    touches = touched(CORNERS)
    touches[0], touches[1] = Touch(touches[0].board, touches[1].measured), Touch(touches[1].board, touches[0].measured)
    with pytest.raises(CalibrationRefused):
        fitted(touches)


def test_nominal_follows_the_layout() -> None:
    base = standard_layout().site("black").base
    calibration = nominal(base, arm_serial="x", date=DATE)
    assert np.allclose(calibration.board.matrix() @ base.matrix(), np.eye(4), atol=1e-9)


def test_saved_and_loaded(tmp_path: Path) -> None:
    calibration = fitted(touched(CORNERS, sigma=0.2))
    path = tmp_path / "white.toml"
    save(calibration, path)
    assert load(path, arm_serial="CR10A-1") == calibration
    assert [p.name for p in tmp_path.iterdir()] == ["white.toml"]


def test_the_file_of_another_arm_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "white.toml"
    save(fitted(touched(CORNERS)), path)
    with pytest.raises(CalibrationRefused, match="made for arm 'CR10A-1', not 'other'"):
        load(path, arm_serial="other")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("x_mm", "y_mm_", "board.x_mm is None"),
        ("date = 2026-03-14", "date = 3", "date is not a date"),
        ("arm_serial", "serial", "arm_serial is missing"),
        ("[board]", "[table]", r"\[board\] is missing"),
        ("scale = ", "scale = nan #", "scale is nan"),
        ("scale = ", "scale = = ", "white.toml"),
    ],
)
def test_a_damaged_file_names_the_key(tmp_path: Path, old: str, new: str, reason: str) -> None:
    path = tmp_path / "white.toml"
    save(fitted(touched(CORNERS)), path)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(CalibrationRefused, match=reason):
        load(path)
