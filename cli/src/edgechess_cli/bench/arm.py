"""How long one move takes an arm, from parked to measured parked: the driver against the software table, in virtual time.

The moves are drawn from random games by a seed, the same ones at every speed. Each is made by the components' own planner
and the arm's own driver on a table of its own, and the pieces must stand right afterwards: a wrong table fails the bench.
"""

from __future__ import annotations

import dataclasses
import datetime
import random
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import anyio
import chess

from edgechess_arm_controller.hand import Handling
from edgechess_arm_controller.planner import Ground, plan_job
from edgechess_arm_controller.slots import Slots
from edgechess_board.placement import Placement
from edgechess_cli.bench.figures import Distribution, Report, Table, Target
from edgechess_cli.virtual_time import run_virtual
from edgechess_kit.messages import ArmJob
from edgechess_robots.calibration import Calibration, nominal
from edgechess_robots.dobot.driver import DobotArm
from edgechess_robots.dobot.settings import DobotSettings
from edgechess_robots.gradual import at_once
from edgechess_robots.kinematics import PARK_DEG, RO1_PARK_DEG
from edgechess_robots.layout import ArmSite, standard_layout
from edgechess_robots.registry import Connect
from edgechess_robots.shapes import STAUNTON_6
from edgechess_robots.standard_bots.client import Token
from edgechess_robots.standard_bots.driver import StandardBotsArm
from edgechess_robots.standard_bots.settings import StandardBotsSettings
from edgechess_twin.arm_device import ArmDevice
from edgechess_twin.arm_device import Kind as ArmKind
from edgechess_twin.arm_model import EXACT
from edgechess_twin.dobot_device import DobotDevice
from edgechess_twin.memory_stream import MemoryStream, memory_stream_pair
from edgechess_twin.ro1_device import TOKEN, Ro1Device
from edgechess_twin.table import RACKS
from edgechess_twin.world import World

Kind = Literal["quiet", "capture", "castling", "en passant", "promotion"]
KINDS: tuple[Kind, ...] = get_args(Kind)

SPEEDS_MM_S = (250.0, 500.0, 750.0)
TARGET_SPEED_MM_S = 750.0
TARGETS_S: Mapping[Kind, float] = {"quiet": 6.1, "capture": 11.9}  # medians of the best published log, one game
QUIET_FEEDBACK_S = 1.0  # an arm that stands still before its move tells so seldom: nobody measures that
MOVE_LIMIT_S = 300.0
ARMS = ("white", "black")


@dataclasses.dataclass(frozen=True, slots=True)
class Drawn:
    """One move to make: a position and a legal move in it."""

    kind: Kind
    before: str
    after: str
    lan: str

    @property
    def arm(self) -> str:
        return "white" if self.before.split(" ")[1] == "w" else "black"


@dataclasses.dataclass(frozen=True, slots=True)
class Made:
    """`seconds`: virtual, parked to parked. `planning_ms`: of the machine's own time. `wrong`: what did not go right."""

    drawn: Drawn
    seconds: float
    planning_ms: float
    wrong: str | None = None


def kind_of(board: chess.Board, move: chess.Move) -> Kind:
    if move.promotion is not None:
        return "promotion"
    if board.is_castling(move):
        return "castling"
    if board.is_en_passant(move):
        return "en passant"
    return "capture" if board.is_capture(move) else "quiet"


def draw(count: int, seed: int) -> list[Drawn]:
    """`count` moves of each kind from random games."""
    dice = random.Random(f"arm bench {seed}")
    drawn: dict[Kind, list[Drawn]] = {kind: [] for kind in KINDS}
    while any(len(found) < count for found in drawn.values()):
        board = chess.Board()
        for _ in range(200):
            legal = sorted(board.legal_moves, key=chess.Move.uci)
            if not legal:
                break
            offered = {kind_of(board, move): move for move in dice.sample(legal, len(legal))}
            for kind, move in sorted(offered.items()):
                if len(drawn[kind]) < count and dice.random() < (0.05 if kind in ("quiet", "capture") else 0.5):
                    after = board.copy(stack=False)
                    after.push(move)
                    drawn[kind].append(Drawn(kind, board.fen(), after.fen(), move.uci()))
            board.push(dice.choice(legal))
    return [move for kind in KINDS for move in drawn[kind]]


def _device(kind: ArmKind, name: str, world: World, site: ArmSite) -> ArmDevice:
    if kind == "ro1":
        return Ro1Device(name, world, site, hidden=EXACT, start_joints=RO1_PARK_DEG)
    return DobotDevice(name, world, site, hidden=EXACT, start_joints=PARK_DEG, quiet_feedback_s=QUIET_FEEDBACK_S)


def _driver(
    kind: ArmKind, name: str, connect: Connect, calibration: Calibration, speed_mm_s: float
) -> DobotArm | StandardBotsArm:
    if kind == "ro1":
        ro1 = StandardBotsSettings(robot_kind="simulated", max_tool_speed_mm_s=speed_mm_s)
        return StandardBotsArm(name, connect, ro1, Token(TOKEN), calibration)
    dobot = DobotSettings(max_tool_speed_mm_s=speed_mm_s, stale_after_s=2 * QUIET_FEEDBACK_S)
    return DobotArm(name, connect, dobot, calibration)


async def make(drawn: Drawn, speed_mm_s: float, kind: ArmKind = "dobot") -> Made:
    """One move on a table of its own."""
    layout = standard_layout()
    world = World(
        layout, STAUNTON_6, placement=Placement.from_fen(drawn.before.split(" ")[0]), racks=RACKS
    )  # fmt: skip
    base = layout.site(drawn.arm).base
    async with anyio.create_task_group() as tasks:
        devices = {name: _device(kind, name, world, layout.site(name)) for name in ARMS}

        async def connect(port: int) -> MemoryStream:
            near, far = memory_stream_pair()
            tasks.start_soon(devices[drawn.arm].serve, port, far)
            return near

        for device in devices.values():
            tasks.start_soon(device.run)
        calibration = nominal(base, arm_serial="bench", date=datetime.date(2024, 1, 1))
        arm = _driver(kind, drawn.arm, connect, calibration, speed_mm_s)
        tasks.start_soon(arm.run)
        with anyio.fail_after(MOVE_LIMIT_S):
            await arm.ensure_ready()
            made = await _execute(arm, drawn, Ground(layout, STAUNTON_6, Handling(speed_mm_s=speed_mm_s)))
        tasks.cancel_scope.cancel()
    if made.wrong is None and world.placement() != Placement.from_fen(drawn.after.split(" ")[0]):
        made = dataclasses.replace(made, wrong=f"the board shows {world.placement().fen}")
    if made.wrong is None and world.accidents:
        made = dataclasses.replace(made, wrong=", ".join(world.accidents))
    return made


async def _execute(arm: DobotArm | StandardBotsArm, drawn: Drawn, ground: Ground) -> Made:
    job = ArmJob(
        job_id="bench", kind="move", session_id="bench", before=drawn.before, after=drawn.after, lan=drawn.lan
    )  # fmt: skip
    slots = Slots.filled(ground.layout, RACKS)
    began = time.perf_counter()
    parts, _ = at_once(plan_job(job, drawn.arm, slots, ground, arm))
    planning_ms = (time.perf_counter() - began) * 1000.0
    began_s = anyio.current_time()
    for part in parts:
        report = await arm.execute(arm.check(part.plan), 1)
        if report.outcome != "done":
            return Made(drawn, anyio.current_time() - began_s, planning_ms, f"{report.code}: {report.reason}")
    wrong = None if arm.state().parked else "not measured parked"
    return Made(drawn, anyio.current_time() - began_s, planning_ms, wrong)


def measure(count: int, seed: int, kind: ArmKind = "dobot", speeds_mm_s: Sequence[float] = SPEEDS_MM_S) -> Report:
    """`count` moves of each kind at each speed, by an arm of one kind."""
    moves = draw(count, seed)
    made = {speed: [run_virtual(make, drawn, speed, kind, seed=seed) for drawn in moves] for speed in speeds_mm_s}
    rows, figures, targets = [], {}, []
    for speed, results in made.items():
        for what in KINDS:
            taken = Distribution.of([one.seconds for one in results if one.drawn.kind == what])
            rows.append((f"{speed:.0f} mm/s, {what}", str(taken.n), f"{taken.p50:.1f}", f"{taken.p95:.1f}"))
            figures[f"{what.replace(' ', '_')}_{speed:.0f}"] = taken.as_figures("s", 2)
            if speed == TARGET_SPEED_MM_S and what in TARGETS_S:
                targets.append(Target(f"{what} move at {speed:.0f} mm/s, median", taken.p50, TARGETS_S[what], "s"))
    planning = [one.planning_ms for results in made.values() for one in results]
    remark = (
        f"planning a whole job: median {statistics.median(planning):.0f} ms, longest {max(planning):.0f} ms "
        "of this machine's time"
    )
    failures = tuple(
        f"{one.drawn.lan} in {one.drawn.before} at {speed:.0f} mm/s: {one.wrong}"
        for speed, results in made.items()
        for one in results
        if one.wrong is not None
    )
    table = Table(f"{kind}, parked to parked, s", ("speed and kind", "moves", "median", "p95"), tuple(rows))
    planned = {"planning_ms": Distribution.of(planning).as_figures("ms", 1)}
    return Report(
        "arm", {**figures, **planned, "arm": kind, "seed": seed}, (table,), tuple(targets), (remark,), failures
    )
