"""A whole job is looked at along the arm's real way before anything moves: pieces, links, the other arm."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import math
from collections.abc import Mapping, Sequence

import chess
import numpy as np
import pytest

from edgechess_arm_controller import motion
from edgechess_arm_controller.clearance import Field, Hand, corner, links_room_mm, room_mm, travel_z_mm
from edgechess_arm_controller.errors import JobRefused
from edgechess_arm_controller.hand import Handling
from edgechess_arm_controller.motion import Part
from edgechess_arm_controller.planner import Ground, plan_job
from edgechess_arm_controller.slots import Slots
from edgechess_kit.messages import ArmJob
from edgechess_robots.arm import ArmState, CheckedPlan, Open, Plan, Straight, Travel
from edgechess_robots.body import Floats, Sweep, gap_mm
from edgechess_robots.calibration import nominal
from edgechess_robots.dobot.planner import Geometry, check_plan, motion_times
from edgechess_robots.dobot.settings import DobotSettings
from edgechess_robots.errors import PlanRefused
from edgechess_robots.gradual import Gradual, at_once
from edgechess_robots.joint_planner import checking
from edgechess_robots.kinematics import CR10A, PARK_DEG, Branch, Chain, Joints
from edgechess_robots.layout import standard_layout
from edgechess_robots.poses import Matrix, Pose
from edgechess_robots.shapes import STAUNTON_6

LAYOUT = standard_layout()
HANDLING = Handling(speed_mm_s=750.0)
GROUND = Ground(LAYOUT, STAUNTON_6, HANDLING)
FRESH = Slots.filled(LAYOUT, {"white": "QQRBN", "black": "qqrbn"})
OLD_PARK: Joints = (-80.0, 15.0, -130.0, 25.0, 90.0, -80.0)  # turned to the arm's own right, far away


class ModelArm:
    """The Dobot's own check, at a nominal base, without wires."""

    def __init__(self, name: str, joints: Joints = PARK_DEG, **settings: object) -> None:
        calibration = nominal(LAYOUT.site(name).base, arm_serial="t", date=datetime.date(2024, 1, 1))
        made = DobotSettings(max_tool_speed_mm_s=750.0, park_joints_deg=joints, **settings)  # type: ignore[arg-type]
        self.geometry = Geometry.of(CR10A, made, calibration)
        self.joints = joints
        self.checks = 0
        sweep = self.geometry.body.sweep((joints,))
        x_mm, y_mm, z_mm = (float(v) for v in sweep.tool_mm[0])
        self.tool = Pose(x_mm, y_mm, z_mm, 180.0, 0.0, float(sweep.yaw_deg[0]))

    def check(self, plan: Plan) -> CheckedPlan:
        self.checks += 1
        return check_plan(plan, self.joints, self.geometry)

    def state(self) -> ArmState:
        return ArmState("idle", self.joints, self.tool, True, False, None, 0.0)

    def outline(self) -> Floats | None:
        return self.geometry.body.links_mm(self.joints)


class Bent(ModelArm):
    """An arm whose way to the first piece sags by so much in the middle."""

    def __init__(self, sag_mm: float, step: int = motion.APPROACH) -> None:
        super().__init__("white")
        self.sag_mm, self.step = sag_mm, step

    def check(self, plan: Plan) -> CheckedPlan:
        checked = super().check(plan)
        sweep = checked.sweeps[self.step]
        assert sweep is not None
        low = sweep.tool_mm.copy()
        low[:, 2] -= self.sag_mm * np.sin(np.linspace(0.0, math.pi, len(low)))
        bent = Sweep(low, sweep.yaw_deg, sweep.links_mm)
        return dataclasses.replace(
            checked, sweeps=(*checked.sweeps[: self.step], bent, *checked.sweeps[self.step + 1 :])
        )


def job(fen: str, lan: str) -> ArmJob:
    board = chess.Board(fen)
    board.push_uci(lan)
    return ArmJob(job_id="1", kind="move", session_id="s", before=fen, after=board.fen(), lan=lan)


def planned(arm: ModelArm, fen: str, lan: str, others: Mapping[str, object] | None = None) -> tuple[Part, ...]:
    name = "white" if " w " in fen else "black"
    return at_once(plan_job(job(fen, lan), name, FRESH, GROUND, arm, others))[0]


def straights(part: Part) -> list[Straight]:
    return [step for step in part.plan.steps if isinstance(step, Straight)]


@pytest.mark.parametrize("name", ["white", "black"])
def test_all_first_moves_are_planned_at_the_first_attempt(name: str) -> None:
    arms = {side: ModelArm(side) for side in ("white", "black")}
    board = chess.Board()
    if name == "black":
        board.push_uci("e2e4")
    for move in sorted(board.legal_moves, key=chess.Move.uci):
        arms[name].checks = 0
        (part,) = planned(arms[name], board.fen(), move.uci(), arms)
        assert arms[name].checks == 1
        assert not any(isinstance(step, Travel) for step in part.plan.steps)
        assert straights(part)[0].blend_mm > 0.0


def test_a_way_that_really_runs_lower_is_raised_over_what_stands_there() -> None:
    honest = straights(planned(ModelArm("white"), chess.STARTING_FEN, "e2e4")[0])[0]
    sagging = Bent(90.0)
    raised = straights(planned(sagging, chess.STARTING_FEN, "e2e4")[0])[0]
    assert sagging.checks > 1
    assert raised.target.z_mm > honest.target.z_mm + 20.0


def test_a_way_that_nothing_clears_is_refused_and_names_the_piece() -> None:
    with pytest.raises(JobRefused, match=r"white pawn e2 to e4: the white \w+ at \w\d is in the way") as refused:
        planned(Bent(400.0), chess.STARTING_FEN, "e2e4")
    assert refused.value.code == "clearance"


def test_a_descent_that_is_not_straight_is_refused_at_once() -> None:
    class Leaning(Bent):
        def check(self, plan: Plan) -> CheckedPlan:
            checked = ModelArm.check(self, plan)
            sweep = checked.sweeps[motion.LOWER]
            assert sweep is not None
            tool = sweep.tool_mm + np.linspace(0.0, 1.0, len(sweep.tool_mm))[:, None] * np.array([25.0, 0.0, 0.0])
            sweeps = list(checked.sweeps)
            sweeps[motion.LOWER] = Sweep(tool, sweep.yaw_deg, sweep.links_mm)
            return dataclasses.replace(checked, sweeps=tuple(sweeps))

    arm = Leaning(0.0)
    with pytest.raises(JobRefused, match="is in the way"):
        planned(arm, chess.STARTING_FEN, "e2e4")
    assert arm.checks <= 2  # once more with the corner above it sharp


def test_the_other_arm_in_the_way_is_named() -> None:
    reaching = ModelArm("black")
    above = Pose(0.0, 0.0, 60.0, 180.0, 0.0, 45.0)
    reaching.joints = CR10A.solve(reaching.geometry.reach.flange(above), reaching.geometry.reach.branch, PARK_DEG)
    white = ModelArm("white")
    assert planned(white, chess.STARTING_FEN, "e2e4", {"white": white, "black": ModelArm("black")})
    with pytest.raises(JobRefused, match="arm black is in the way") as refused:
        planned(white, "4k3/8/8/8/3P4/8/8/4K3 w - - 0 1", "d4d5", {"white": white, "black": reaching})
    assert refused.value.code == "clearance"
    assert planned(white, "4k3/8/8/8/3P4/8/8/4K3 w - - 0 1", "d4d5", {"white": white, "black": object()})


def test_links_that_hang_low_are_seen() -> None:
    field = Field.of([("e4", 27.5, -27.5, 20.0, 95.0), ("a8", -192.5, 192.5, 20.0, 95.0)])
    body = ModelArm("white").geometry.body
    sweep = body.sweep((PARK_DEG,))
    room, _ = links_room_mm(sweep, field, HANDLING)
    assert room > 0.0
    low = Sweep(sweep.tool_mm, sweep.yaw_deg, sweep.links_mm.copy())
    low.links_mm[:, 3:6] = (27.5, -27.5, 100.0)
    room, place = links_room_mm(low, field, HANDLING)
    assert (room < 0.0, place) == (True, "e4")


def test_fingers_are_opened_no_wider_than_they_go() -> None:
    class Narrow(ModelArm):
        stroke_mm = 38.0

    (part,) = planned(Narrow("white"), "4k3/8/8/8/8/8/8/R3K3 w - - 0 1", "a1d1")
    assert [step.width_mm for step in part.plan.steps if isinstance(step, Open)] == [38.0, 34.0]
    Narrow.stroke_mm = 25.0
    with pytest.raises(JobRefused, match="the white rook is 22 mm wide where it is grasped: the fingers open 25 mm"):
        planned(Narrow("white"), "4k3/8/8/8/8/8/8/R3K3 w - - 0 1", "a1d1")


def test_a_limit_is_named_with_the_carry() -> None:
    short = ModelArm("white")
    slow = dataclasses.replace(short.geometry.reach, max_tool_speed_mm_s=100.0)
    short.geometry = dataclasses.replace(short.geometry, reach=slow)
    with pytest.raises(JobRefused, match=r"white pawn e2 to e4: step 1 \(straight\): speed 750 mm/s") as refused:
        planned(short, chess.STARTING_FEN, "e2e4")
    assert refused.value.code == "limits"


def test_from_a_far_park_the_first_way_is_a_joint_motion() -> None:
    class NoStraightStart(ModelArm):
        def check(self, plan: Plan) -> CheckedPlan:
            if any(isinstance(step, Straight) and number < 2 for number, step in enumerate(plan.steps)):
                raise PlanRefused("limits", "step 1 (straight): too near to the shoulder")
            return super().check(plan)

    (part,) = planned(NoStraightStart("white", OLD_PARK), chess.STARTING_FEN, "e2e4")
    assert isinstance(part.plan.steps[motion.APPROACH], Travel)


def test_parked_arms_are_clear_of_an_arm_anywhere_above_the_table() -> None:
    parked, other = ModelArm("white").outline(), ModelArm("black")
    assert parked is not None
    places = [f"{file}{rank}" for file in "abcdefgh" for rank in "1278"]
    places += [f"tray-{arm}-{slot}" for arm in ("white", "black") for slot in range(16)]
    postures = []
    for place in places:
        at = LAYOUT.place(place)
        for z_mm, yaw_deg in ((30.0, 0.0), (200.0, 45.0), (100.0, 90.0)):
            try:
                flange = other.geometry.reach.flange(Pose(at.x_mm, at.y_mm, z_mm, 180.0, 0.0, yaw_deg))
                postures.append(CR10A.solve(flange, other.geometry.reach.branch, PARK_DEG))
            except ValueError:
                continue  # its own check would refuse that
    assert len(postures) > 150
    assert gap_mm(other.geometry.body.sweep(postures).links_mm, parked) > 25.0


# ---- the parts of it


def test_the_height_of_a_way_counts_what_is_beside_it() -> None:
    field = Field.of([("x", 0.0, 0.0, 15.0, 60.0)])
    pawn = STAUNTON_6["pawn"]
    over = travel_z_mm((-100.0, 0.0), (100.0, 0.0), Hand(16.0, pawn), field, HANDLING)
    assert over == 60.0 + 25.0 + 30.0
    beside = travel_z_mm((-100.0, 60.0), (100.0, 60.0), Hand(16.0, pawn), field, HANDLING)
    assert beside == 25.0 + 30.0
    before = travel_z_mm((-200.0, 0.0), (-100.0, 0.0), Hand(16.0, pawn), field, HANDLING)
    assert before == beside
    tower = Field.of([("x", 0.0, 55.0, 15.0, 200.0)])  # beside the fingers, but under the palm
    assert travel_z_mm((-100.0, 0.0), (100.0, 0.0), Hand(16.0, pawn), tower, HANDLING) == 200.0 + 25.0 - 90.0


def test_room_is_above_or_beside() -> None:
    field = Field.of([("x", 0.0, 0.0, 15.0, 60.0)])
    hand = Hand(20.0)

    def room(x: float, y: float, z: float, yaw: float = 0.0) -> float:
        return float(room_mm(np.array([[x, y, z]]), np.array([yaw]), hand, field, HANDLING)[0, 0])

    assert room(0.0, 0.0, 60.0 + 12.0 + 10.0) == pytest.approx(0.0)
    assert room(39.0, 0.0, 30.0) == pytest.approx(0.0)  # fingers out to 20, base 15, gap 4
    assert room(0.0, 28.0, 30.0) == pytest.approx(math.hypot(10.0, 19.0) - 15.0 - 4.0)  # inner edge, half a width
    assert room(28.0, 0.0, 30.0, 90.0) == pytest.approx(room(0.0, 28.0, 30.0))
    assert room(0.0, 60.0, -40.0) < 0.0  # the palm is wide, and now it is low


def test_a_rounded_corner_stays_between_its_chord_and_its_point() -> None:
    points = corner((0.0, 0.0, 0.0), (0.0, 0.0, 100.0), (100.0, 0.0, 100.0), 40.0)
    assert points[0] == pytest.approx((0.0, 0.0, 60.0))
    assert points[-1] == pytest.approx((40.0, 0.0, 100.0))
    for x, _, z in points:  # on the circle about (40, 60)
        assert math.hypot(x - 40.0, z - 60.0) == pytest.approx(40.0)


class Counted(Chain):
    """Counts the postures that are solved."""

    solved = 0

    def solve(self, flange: Matrix, branch: Branch, near_deg: Sequence[float]) -> Joints:
        type(self).solved += 1
        return super().solve(flange, branch, near_deg)


class GradualArm(ModelArm):
    def __init__(self) -> None:
        super().__init__("white")
        fields = {field.name: getattr(CR10A, field.name) for field in dataclasses.fields(CR10A)}
        self.geometry = dataclasses.replace(
            self.geometry, reach=dataclasses.replace(self.geometry.reach, chain=Counted(**fields))
        )

    def checking(self, plan: Plan) -> Gradual[CheckedPlan]:
        return checking(plan, self.joints, self.geometry.reach, motion_times(self.geometry))


def test_a_long_plan_is_made_in_slices_of_one_motion() -> None:
    before = "rnbqkbnr/pppppppp/8/8/PPPPPPPP/8/8/RNBQKBNR w KQkq - 0 1"
    repair = ArmJob(job_id="1", kind="repair", session_id="s", before=before, after=chess.STARTING_FEN, arm="white")
    arm, slices = GradualArm(), [0]
    Counted.solved = 0
    work = plan_job(repair, "white", FRESH, GROUND, arm)
    while True:
        try:
            next(work)
        except StopIteration as end:
            parts, _ = end.value
            break
        slices.append(Counted.solved)
    assert len(parts) == 8
    longest = max(later - earlier for earlier, later in itertools.pairwise(slices))
    assert longest <= 31, "600 mm in samples of 20 mm"
    assert slices[-1] > 5 * longest, "so it would have been one long slice"
