"""What is done after a failure is looked at as every plan is: the way home, and putting down what is held."""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Callable

import chess
import numpy as np
import pytest

from edgechess_arm_controller.errors import ArmInTheWay, JobRefused
from edgechess_arm_controller.hand import Handling
from edgechess_arm_controller.homing import plan_placing, plan_way_home
from edgechess_arm_controller.motion import PLACING_OVER, PLACING_PARK
from edgechess_arm_controller.planner import Ground
from edgechess_arm_controller.slots import Slots
from edgechess_kit.messages import ArmJob
from edgechess_robots.arm import ArmState, CheckedPlan, Park, Plan, Straight, Travel
from edgechess_robots.body import Floats, Sweep
from edgechess_robots.calibration import nominal
from edgechess_robots.dobot.planner import Geometry, check_plan
from edgechess_robots.dobot.settings import DobotSettings
from edgechess_robots.gradual import at_once
from edgechess_robots.kinematics import CR10A, PARK_DEG, Joints
from edgechess_robots.layout import standard_layout
from edgechess_robots.poses import Pose
from edgechess_robots.shapes import STAUNTON_6

LAYOUT = standard_layout()
GROUND = Ground(LAYOUT, STAUNTON_6, Handling(speed_mm_s=750.0))
FRESH = Slots.filled(LAYOUT, {"white": "QQRBN", "black": "qqrbn"})
FULL = FRESH
for _number in range(16):
    FULL = FULL.put(f"tray-white-{_number}", "k").put(f"tray-black-{_number}", "K")
Bend = Callable[[Sweep], Sweep]


class ModelArm:
    """The Dobot's own check, at a nominal base, without wires; it stands at its park or at a pose."""

    def __init__(self, name: str, at: Pose | None = None) -> None:
        calibration = nominal(LAYOUT.site(name).base, arm_serial="t", date=datetime.date(2024, 1, 1))
        made = DobotSettings(max_tool_speed_mm_s=750.0)
        self.geometry = Geometry.of(CR10A, made, calibration)
        self.joints: Joints = PARK_DEG
        if at is not None:
            joints = check_plan(Plan((Travel(at, 250.0),)), PARK_DEG, self.geometry).joints_deg[0]
            assert joints is not None
            self.joints = (joints[0], joints[1], joints[2], joints[3], joints[4], joints[5])
        sweep = self.geometry.body.sweep((self.joints,))
        x, y, z = (float(value) for value in sweep.tool_mm[0])
        self.tool = Pose(x, y, z, 180.0, 0.0, float(sweep.yaw_deg[0]))
        self.bends: dict[type, Bend] = {}
        self.bent_steps: dict[int, Bend] = {}

    def check(self, plan: Plan) -> CheckedPlan:
        checked = check_plan(plan, self.joints, self.geometry)
        sweeps = []
        for index, (step, sweep) in enumerate(zip(plan.steps, checked.sweeps, strict=True)):
            bend = self.bends.get(type(step)) or self.bent_steps.get(index)
            sweeps.append(bend(sweep) if bend is not None and sweep is not None else sweep)
        return dataclasses.replace(checked, sweeps=tuple(sweeps))

    def state(self) -> ArmState:
        return ArmState("idle", self.joints, self.tool, self.joints == PARK_DEG, True, None, 0.0)

    def outline(self) -> Floats | None:
        return self.geometry.body.links_mm(self.joints)


def sagging(by_mm: float) -> Bend:
    """The hand hangs lower by so much in the middle of the way."""

    def bend(sweep: Sweep) -> Sweep:
        low = sweep.tool_mm.copy()
        low[:, 2] -= by_mm * np.sin(np.linspace(0.0, math.pi, len(low)))
        return Sweep(low, sweep.yaw_deg, sweep.links_mm)

    return bend


def links_lower(by_mm: float) -> Bend:
    def bend(sweep: Sweep) -> Sweep:
        links = sweep.links_mm.copy()
        links[:, 2:, 2] -= by_mm
        return Sweep(sweep.tool_mm, sweep.yaw_deg, links)

    return bend


def standing_at(place: str, z_mm: float, yaw_deg: float = 0.0) -> Pose:
    at = LAYOUT.place(place)
    return Pose(at.x_mm, at.y_mm, z_mm, 180.0, 0.0, yaw_deg)


def home(arm: ModelArm, name: str, other: ModelArm, slots: Slots = FRESH, *, held: bool = True) -> Plan:
    others = {name: arm, {"white": "black", "black": "white"}[name]: other}
    return at_once(plan_way_home(name, arm.tool, slots, GROUND, arm, others, held=held, open_first=False))


@pytest.mark.parametrize("slots", [FRESH, FULL], ids=["empty trays", "full trays"])
@pytest.mark.parametrize("name", ["white", "black"])
def test_from_wherever_a_failure_leaves_it_there_is_a_way_home(name: str, slots: Slots) -> None:
    other = ModelArm({"white": "black", "black": "white"}[name])
    places = [f"{file}{rank}" for file in "adh" for rank in "1458"]
    for place in (*places, f"tray-{name}-0", f"tray-{name}-15", f"rack-{name}-4"):
        for z_mm in (25.0, 150.0):
            plan = home(ModelArm(name, standing_at(place, z_mm)), name, other, slots)
            assert isinstance(plan.steps[-1], Park), place


def test_a_way_home_that_sags_begins_higher() -> None:
    arm, other = ModelArm("white", standing_at("d5", 40.0)), ModelArm("black")
    straight = home(arm, "white", other).steps[0]
    arm.bends[Park] = sagging(95.0)
    raised = home(arm, "white", other).steps[0]
    assert isinstance(straight, Straight)
    assert isinstance(raised, Straight)
    assert raised.target.z_mm > straight.target.z_mm + 5.0


@pytest.mark.parametrize(("step", "bend"), [(Park, sagging(400.0)), (Straight, links_lower(200.0))])
def test_a_way_home_that_nothing_clears_is_refused_and_names_the_place(step: type, bend: Bend) -> None:
    arm = ModelArm("white", standing_at("d5", 40.0))
    arm.bends[step] = bend
    with pytest.raises(JobRefused, match=r"whatever stands at \w\d is in its way home") as refused:
        home(arm, "white", ModelArm("black"))
    assert refused.value.code == "clearance"


def test_an_arm_that_stands_in_the_way_home_is_named() -> None:
    white, black = ModelArm("white", standing_at("e4", 60.0)), ModelArm("black", standing_at("d5", 60.0))
    with pytest.raises(ArmInTheWay, match="arm black is in its way home") as refused:
        home(white, "white", black)
    assert refused.value.arm == "black"


AFTER_E4 = "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq - 0 1"
REPAIR = ArmJob(
    job_id="r", kind="repair", session_id="s", before="rnbqkbnr/pppppppp/8/8/8/8/PPPP1PPP/RNBQKBNR w - - 0 1",
    after=AFTER_E4,
)  # fmt: skip


def put(arm: ModelArm, other: ModelArm) -> tuple[CheckedPlan, str]:
    part, checked = at_once(plan_placing(REPAIR, "white", "P", FRESH, GROUND, arm, {"white": arm, "black": other}))
    return checked, part.carry.to_place


def test_a_held_piece_is_put_where_it_belongs() -> None:
    assert chess.Board(AFTER_E4).piece_at(chess.E4) is not None
    assert put(ModelArm("white"), ModelArm("black"))[1] == "e4"


def test_a_way_to_put_it_down_that_sags_is_raised() -> None:
    arm = ModelArm("white")
    level = put(arm, ModelArm("black"))[0].plan.steps[PLACING_OVER]
    arm.bent_steps[PLACING_OVER] = sagging(120.0)
    raised = put(arm, ModelArm("black"))[0].plan.steps[PLACING_OVER]
    assert isinstance(level, Travel)
    assert isinstance(raised, Travel)
    assert raised.target.z_mm > level.target.z_mm


@pytest.mark.parametrize("step", [PLACING_OVER, PLACING_PARK])
def test_a_piece_in_the_way_of_putting_it_down_is_named(step: int) -> None:
    arm = ModelArm("white")
    arm.bent_steps[step] = sagging(400.0)
    words = r"white pawn hand-white to e4: the white \w+ at \w\d is in the way"
    with pytest.raises(JobRefused, match=words) as refused:
        put(arm, ModelArm("black"))
    assert refused.value.code == "clearance"


def test_an_arm_in_the_way_of_putting_it_down_is_named() -> None:
    with pytest.raises(ArmInTheWay, match="white pawn hand-white to e4: arm black is in the way"):
        put(ModelArm("white"), ModelArm("black", standing_at("e5", 120.0)))
