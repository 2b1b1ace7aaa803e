"""Calibration: where the board is in an arm's base frame, from points of the board that the tool tip touched.

A rigid fit (Kabsch). The same touches tell how good it is: the residual, and whether the scale is right, so that a wrong
square size, a slipped touch or a swapped pair of corners is refused rather than played with.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import tomllib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from edgechess_robots.errors import CalibrationRefused
from edgechess_robots.layout import Point
from edgechess_robots.poses import Matrix, Pose

MIN_TOUCHES = 4
MAX_RESIDUAL_MM = 1.0  # four corners touched with σ 0.5 mm fit to about 0.6 mm (reference "robot-motion" section C)
MAX_SCALE_ERROR = 0.01  # a 55 mm square taken for 57 mm is 3.6 %; touches of σ 0.5 mm on a board's corners give 0.15 %
MIN_SPREAD_MM = 50.0  # of the touches across their best line: below this the turn about that line is a guess


@dataclasses.dataclass(frozen=True, slots=True)
class Touch:
    """One point of the board (board frame) and where the arm measured its tool tip there (base frame), mm."""

    board: Point
    measured: Point


@dataclasses.dataclass(frozen=True, slots=True)
class Calibration:
    """`board` is the pose of the board frame in the arm's base frame."""

    board: Pose
    residual_mm: float
    """Root mean square distance between touched and fitted points."""
    worst_mm: float
    scale: float
    """Fitted size over nominal size; 1 when the board's squares have the size that the layout says."""
    touches: int
    arm_serial: str
    date: datetime.date

    def to_base(self, in_board: Pose) -> Pose:
        return self.board @ in_board

    def to_board(self, in_base: Pose) -> Pose:
        return Pose.from_matrix(_inverse(self.board) @ in_base.matrix())


def fit(
    touches: Sequence[Touch],
    *,
    arm_serial: str,
    date: datetime.date,
    max_residual_mm: float = MAX_RESIDUAL_MM,
    max_scale_error: float = MAX_SCALE_ERROR,
) -> Calibration:
    """The rigid transform that fits best. The arm stands upright on the board's level, so its z and the board's agree:
    corners touched in the wrong order make the board face down, and are told apart from a good fit by that.

    Raises CalibrationRefused saying what is wrong: too few, too close to one line, mirrored, wrong scale, residual.
    """
    if len(touches) < MIN_TOUCHES:
        raise CalibrationRefused(f"{len(touches)} points touched: at least {MIN_TOUCHES} are needed")
    nominal = np.array([[t.board.x_mm, t.board.y_mm, t.board.z_mm] for t in touches])
    measured = np.array([[t.measured.x_mm, t.measured.y_mm, t.measured.z_mm] for t in touches])
    if not np.isfinite(measured).all() or not np.isfinite(nominal).all():
        raise CalibrationRefused("a touched point is not a finite number")
    from_centre, to_centre = nominal.mean(axis=0), measured.mean(axis=0)
    a, b = nominal - from_centre, measured - to_centre
    for points, whose in ((a, "board"), (b, "measured")):
        spread = float(np.linalg.svd(points, compute_uv=False)[1]) / len(touches) ** 0.5
        if spread < MIN_SPREAD_MM:
            raise CalibrationRefused(f"the {whose} points lie too close to one line ({spread:.0f} mm across it)")

    u, sizes, vt = np.linalg.svd(a.T @ b)
    handedness = float(np.sign(np.linalg.det(vt.T @ u.T)))
    flat = float(sizes[2]) < 1e-3 * float(sizes[1])
    signs = np.array([1.0, 1.0, handedness])
    rotation = vt.T @ np.diag(signs) @ u.T
    if rotation[2, 2] < 0.0 or (handedness < 0.0 and not flat):
        raise CalibrationRefused("the points are mirrored: two of them were probably touched in each other's place")

    scale = float((sizes * signs).sum() / (a * a).sum())
    misses = np.linalg.norm(a @ rotation.T - b, axis=1)
    residual = float(np.sqrt((misses**2).mean()))
    if abs(scale - 1.0) > max_scale_error:
        raise CalibrationRefused(
            f"the touched points are {scale:.4f} times the board's nominal size: is the square size right?"
        )
    if residual > max_residual_mm:
        worst = int(misses.argmax()) + 1
        raise CalibrationRefused(
            f"residual {residual:.2f} mm exceeds {max_residual_mm:.2f} mm; point {worst} fits worst ({misses.max():.2f} mm)"
        )
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = to_centre - rotation @ from_centre
    return Calibration(Pose.from_matrix(matrix), residual, float(misses.max()), scale, len(touches), arm_serial, date)


@lru_cache(maxsize=16)
def _inverse(board: Pose) -> Matrix:
    """Asked for with every measurement of an arm, and the same all the time."""
    return board.inverse().matrix()


def nominal(base: Pose, *, arm_serial: str, date: datetime.date) -> Calibration:
    """The calibration of an arm that stands exactly where the layout says (`base`: its base frame in the board frame)."""
    return Calibration(base.inverse(), 0.0, 0.0, 1.0, 0, arm_serial, date)


def save(calibration: Calibration, path: Path) -> None:
    """Writes TOML; whole or not at all."""
    c = calibration
    lines = [
        "# Pose of the board frame in the arm's base frame: mm, and degrees about the fixed axes x, y, z.",
        f"arm_serial = {json.dumps(c.arm_serial)}",
        f"date = {c.date.isoformat()}",
        f"touches = {c.touches}",
        f"residual_mm = {c.residual_mm!r}",
        f"worst_mm = {c.worst_mm!r}",
        f"scale = {c.scale!r}",
        "[board]",
        *(f"{field.name} = {float(getattr(c.board, field.name))!r}" for field in dataclasses.fields(Pose)),
    ]
    beside = path.with_name(path.name + ".new")
    beside.write_text("\n".join(lines) + "\n", encoding="utf-8")
    os.replace(beside, path)


def load(path: Path, *, arm_serial: str | None = None) -> Calibration:
    """Reads what `save` wrote. Raises CalibrationRefused naming the file and the key, or when the file belongs to
    another arm than `arm_serial`; OSError when it cannot be read."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CalibrationRefused(f"{path}: {error}") from error
    serial, date, board = data.get("arm_serial"), data.get("date"), data.get("board")
    if not isinstance(serial, str):
        raise CalibrationRefused(f"{path}: arm_serial is missing")
    if arm_serial is not None and serial != arm_serial:
        raise CalibrationRefused(f"{path}: made for arm {serial!r}, not {arm_serial!r}")
    if not isinstance(date, datetime.date) or isinstance(date, datetime.datetime):
        raise CalibrationRefused(f"{path}: date is not a date")
    if not isinstance(board, dict):
        raise CalibrationRefused(f"{path}: [board] is missing")
    pose = Pose(*(_number(path, board, field.name, "board.") for field in dataclasses.fields(Pose)))
    return Calibration(
        pose,
        _number(path, data, "residual_mm"),
        _number(path, data, "worst_mm"),
        _number(path, data, "scale"),
        int(_number(path, data, "touches")),
        serial,
        date,
    )


def _number(path: Path, table: dict[str, object], key: str, prefix: str = "") -> float:
    value = table.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or not np.isfinite(value):
        raise CalibrationRefused(f"{path}: {prefix}{key} is {value!r}: expected a number")
    return float(value)
