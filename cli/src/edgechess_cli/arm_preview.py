"""`edgechess arm preview`: plan one move as the arm controller would, and draw what the arm would do. Nothing moves."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import chess
import typer

from edgechess_arm_controller.choreography import Carry, pieces_on
from edgechess_arm_controller.errors import JobRefused
from edgechess_arm_controller.hand import Handling
from edgechess_arm_controller.motion import Part, Standing
from edgechess_arm_controller.planner import Ground, plan_job
from edgechess_arm_controller.slots import Slots
from edgechess_cli.arm_drawing import Scene, Shown, drawing
from edgechess_kit.messages import ArmJob
from edgechess_robots.arm import ArmState, CheckedPlan, Close, Open, Park, Plan, Straight, Travel, Verify
from edgechess_robots.body import Floats
from edgechess_robots.calibration import nominal
from edgechess_robots.dobot.planner import Geometry, segment
from edgechess_robots.dobot.settings import DobotSettings
from edgechess_robots.gradual import at_once
from edgechess_robots.joint_planner import GRIPPER_S, Reach, checking
from edgechess_robots.kinematics import CR10A, RO1, Joints
from edgechess_robots.layout import TableLayout, standard_layout
from edgechess_robots.poses import Pose
from edgechess_robots.registry import arm_kind
from edgechess_robots.shapes import load_shapes, shipped_sets
from edgechess_robots.standard_bots.orders import motion_s
from edgechess_robots.standard_bots.settings import StandardBotsSettings
from edgechess_twin.table import RACKS

EXIT_USAGE = 2
EXIT_REFUSED = 1
ARMS = ("white", "black")
KINDS = ("dobot", "ro1")
SPEED_MAX_MM_S = 1000.0  # of the arm controller's settings
DRAWN_ON = datetime.date(2024, 1, 1)  # of the nominal calibration: any day does

MotionTime = Callable[[Travel | Straight | Park, Joints, Joints], float]


class NominalArm:
    """An arm on paper: it stands where the layout says, parked, and checks plans as its driver would."""

    def __init__(self, reach: Reach, motion_time: MotionTime, stroke_mm: float) -> None:
        self.reach = reach
        self.motion_time = motion_time
        self.stroke_mm = stroke_mm
        sweep = reach.body.sweep((reach.park_joints_deg,))
        x, y, z = (float(value) for value in sweep.tool_mm[0])
        self.tool = Pose(x, y, z, 180.0, 0.0, float(sweep.yaw_deg[0]))

    @classmethod
    def of(cls, kind: str, name: str, layout: TableLayout, speed_mm_s: float) -> NominalArm:
        calibration = nominal(layout.site(name).base, arm_serial="nominal", date=DRAWN_ON)
        if kind == "dobot":
            geometry = Geometry.of(CR10A, DobotSettings(max_tool_speed_mm_s=speed_mm_s), calibration)
            return cls(
                geometry.reach,
                lambda step, here, end: segment(step, here, end, geometry).duration_s,
                geometry.settings.fingers.stroke_mm,
            )
        ro1 = StandardBotsSettings(robot_kind="simulated", max_tool_speed_mm_s=speed_mm_s)
        reach = Reach(
            RO1, calibration.board.matrix(), ro1.tool_length_mm, ro1.tool_yaw_deg, ro1.park_joints_deg, speed_mm_s,
            ro1.gripper_stroke_mm, ro1.floor_mm,
        )  # fmt: skip
        return cls(reach, lambda step, here, end: motion_s(step, here, end, reach), ro1.gripper_stroke_mm)

    def check(self, plan: Plan) -> CheckedPlan:
        return at_once(checking(plan, self.reach.park_joints_deg, self.reach, self.motion_time))

    def state(self) -> ArmState:
        return ArmState("idle", self.reach.park_joints_deg, self.tool, True, False, None, 0.0)

    def outline(self) -> Floats | None:
        return self.reach.body.links_mm(self.reach.park_joints_deg)

    def seconds(self, checked: CheckedPlan) -> tuple[float, ...]:
        """Of each step, every corner counted as a stop; 0 for fingers that open on the way."""
        taken, here = [], checked.start_joints_deg
        for step, end in zip(checked.plan.steps, checked.joints_deg, strict=True):
            match step:
                case Travel() | Straight() | Park():
                    assert end is not None
                    taken.append(self.motion_time(step, here, end))
                    here = end
                case Open(ahead=True):
                    taken.append(0.0)
                case Open() | Close() | Verify():
                    taken.append(GRIPPER_S / 2.0 if isinstance(step, Verify | Open) else GRIPPER_S)
        return tuple(taken)


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """What is to be drawn, read and checked."""

    board: chess.Board
    move: chess.Move
    arm: str
    kind: str
    set_name: str
    speed_mm_s: float


def preview(
    move: Annotated[str, typer.Option("--move", help="The move: e2e4, or e4 as players write it.")],
    fen: Annotated[str, typer.Option("--fen", help="The position before it.")] = chess.STARTING_FEN,
    set_name: Annotated[
        str, typer.Option("--set", help=f"The set of pieces: {', '.join(shipped_sets())}, or a file.")
    ] = "staunton-6",
    arm: Annotated[str | None, typer.Option("--arm", help="white or black (default: of the side to move).")] = None,
    kind: Annotated[str, typer.Option("--kind", help="dobot or ro1.")] = "dobot",
    speed: Annotated[float, typer.Option("--speed", help="Of the tool above the pieces, mm/s.")] = 250.0,
    out: Annotated[Path, typer.Option("--out", help="Where the picture goes.")] = Path("arm-preview.svg"),
) -> None:
    """Draw how an arm would make a move: from above and from the side, with heights and times. Nothing moves.

    The plan is the arm controller's own, checked as it would be; one that is refused is told, and not drawn (exit code 1).
    """
    try:
        shown = plan_to_show(_asked(fen, move, set_name, arm, kind, speed))
        out.write_text(drawing(shown), encoding="utf-8")
    except JobRefused as refused:
        typer.echo(f"edgechess arm preview: refused ({refused.code}): {refused.reason}", err=True)
        raise typer.Exit(EXIT_REFUSED) from None
    except (ValueError, OSError) as error:
        typer.echo(f"edgechess arm preview: {error}", err=True)
        raise typer.Exit(EXIT_USAGE) from None
    typer.echo(f"{shown.title}: {shown.subtitle}\n{out}")


def _asked(fen: str, move: str, set_name: str, arm: str | None, kind: str, speed: float) -> Asked:
    """Raises ValueError naming the option."""
    try:
        board = chess.Board(fen)
    except ValueError as error:
        raise ValueError(f"--fen: {error}") from error
    try:
        meant = board.parse_san(move)
    except ValueError:
        try:
            meant = board.parse_uci(move)
        except ValueError as error:
            raise ValueError(f"--move {move!r} is no legal move in this position") from error
    if arm is not None and arm not in ARMS:
        raise ValueError(f"--arm {arm!r}: expected {' or '.join(ARMS)}")
    if kind not in KINDS:
        raise ValueError(f"--kind {kind!r}: expected {' or '.join(KINDS)}")
    if not 0.0 < speed <= SPEED_MAX_MM_S:
        raise ValueError(f"--speed {speed:g}: expected more than 0 and at most {SPEED_MAX_MM_S:g} mm/s")
    return Asked(board, meant, arm or chess.COLOR_NAMES[board.turn], kind, set_name, speed)


def plan_to_show(asked: Asked) -> Shown:
    """Raises JobRefused; ValueError or OSError for a set that cannot be used."""
    shapes = load_shapes(asked.set_name)
    layout = standard_layout(shapes.square_mm)
    handling = Handling(speed_mm_s=asked.speed_mm_s)
    slots = Slots.filled(layout, RACKS)
    arms = {name: NominalArm.of(asked.kind, name, layout, asked.speed_mm_s) for name in ARMS}
    arm = arms[asked.arm]
    job = _job(asked)
    parts, checked = at_once(plan_job(job, asked.arm, slots, Ground(layout, shapes, handling), arm, arms))
    assert checked is not None, "a legal move carries something"
    standing = {**pieces_on(job.before), **{slot.name: slot.piece for slot in slots if slot.piece is not None}}
    rounds = arm_kind(asked.kind).capabilities.rounds_corners
    seconds = arm.seconds(checked)
    carries = tuple(part.carry for part in parts)
    return Shown(
        title=f"{asked.board.san(asked.move)}, {asked.arm.title()}'s arm ({asked.kind})",
        subtitle=(
            f"{_in_words(carries)} · {asked.speed_mm_s:.0f} mm/s · set {shapes.name} · "
            f"planned {sum(seconds):.1f} s{', every corner counted as a stop' if rounds else ''}"
        ),
        scenes=_scenes(parts, checked, Standing(standing)),
        seconds=seconds,
        layout=layout,
        shapes=shapes,
        handling=handling,
        arm=asked.arm,
        outlines={name: other.reach.body.links_mm(other.reach.park_joints_deg) for name, other in arms.items()},
        park=arm.tool,
        rounds=rounds,
    )


def _job(asked: Asked) -> ArmJob:
    after = asked.board.copy(stack=False)
    after.push(asked.move)
    return ArmJob(
        job_id="preview", kind="move", session_id="preview", before=asked.board.fen(), after=after.fen(),
        lan=asked.move.uci(),
    )  # fmt: skip


def _scenes(parts: tuple[Part, ...], checked: CheckedPlan, standing: Standing) -> tuple[Scene, ...]:
    scenes, first = [], 0
    for part in parts:
        count = len(part.plan.steps)
        scenes.append(Scene(part, standing, checked.sweeps[first : first + count]))
        standing, first = standing.moved(part.carry), first + count
    return tuple(scenes)


def _in_words(carries: tuple[Carry, ...]) -> str:
    return ", then ".join(str(carry) for carry in carries)
