"""The table: one world, the devices in front of it, and the person beside it."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal, get_args

import anyio
import anyio.abc

from edgechess_board.placement import Placement
from edgechess_robots.layout import TableLayout, standard_layout
from edgechess_robots.shapes import STAUNTON_6, ShapeSet
from edgechess_twin.arm_device import ArmDevice, Kind
from edgechess_twin.arm_model import Joints
from edgechess_twin.dgt_device import SQUARE_S, BoardOptions, DgtDevice
from edgechess_twin.dobot_controller import START_JOINTS
from edgechess_twin.dobot_device import DobotDevice
from edgechess_twin.errors import HandError, TwinError
from edgechess_twin.faults import NONE, Faults
from edgechess_twin.left_table import TableLeft
from edgechess_twin.memory_stream import MemoryStream, memory_stream_pair
from edgechess_twin.person import Person
from edgechess_twin.ro1_controller import START_JOINTS as RO1_START_JOINTS
from edgechess_twin.ro1_device import Ro1Device
from edgechess_twin.ro1_gripper import GripperKind
from edgechess_twin.ro1_routes import Release
from edgechess_twin.world import XYZ, World

START = Placement.from_fen("rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR")
RACKS = {"white": "QQRBN", "black": "qqrbn"}  # spare pieces beside each arm, slot 0 first
KINDS: tuple[Kind, ...] = get_args(Kind)
LINK_LOST_WITHIN_S = 5.0  # a link of the fault "link-lost" goes at any time within a move


@dataclasses.dataclass(frozen=True)
class TableOptions:
    """What table to build. `speed` scales the motion of arms and hands; wires, scans and feedback keep true time."""

    seed: int = 0
    faults: Faults = NONE
    speed: float = 1.0
    rotated: bool = False
    arms: tuple[str, ...] = ("white", "black")
    kinds: tuple[Kind, ...] = ()
    """One per arm, in order; empty: every arm is a Dobot."""
    layout: TableLayout = dataclasses.field(default_factory=standard_layout)
    shapes: ShapeSet = STAUNTON_6
    placement: Placement = START
    left: TableLeft | None = None
    """Pieces and arms as an earlier table was left; `placement` then says nothing."""
    firmware: Literal["4.5", "4.6"] = "4.6"
    """Of the Dobots' controllers."""
    ro1_release: Release = "2026.09"
    """As which generation of its software an RO1 answers."""
    ro1_gripper: GripperKind = "onrobot_2fg7"
    bluetooth: bool = False
    clock: bool = False
    serial_number: str = "01025"
    square_s: float = SQUARE_S
    quiet_feedback_s: float | None = None
    """Of Dobots of which nothing new is to be told, in virtual time; None: the vendor's own period always."""

    def kind(self, arm: str) -> Kind:
        return dict(zip(self.arms, self.kinds, strict=True))[arm] if self.kinds else "dobot"


class Table:
    """The physical world with its devices. Works under asyncio and trio, in real and in virtual time."""

    def __init__(self, options: TableOptions | None = None) -> None:
        """Raises TwinError when kinds and arms do not fit together."""
        self.options = options = options or TableOptions()
        _check_kinds(options)
        self.world = World(
            options.layout,
            options.shapes,
            seed=options.seed,
            faults=options.faults,
            speed=options.speed,
            placement=options.placement,
            racks={name: RACKS[name] for name in options.arms if name in RACKS},
            left=options.left.pieces if options.left is not None else None,
        )
        self.board = DgtDevice(
            self.world,
            BoardOptions(
                rotated=options.rotated,
                bluetooth=options.bluetooth,
                clock=options.clock,
                serial_number=options.serial_number,
                long_serial_number=options.serial_number.rjust(10, "0"),
                square_s=options.square_s,
            ),
            seed=options.seed,
        )
        self.arms: dict[str, ArmDevice] = {
            name: self._ro1(name) if options.kind(name) == "ro1" else self._dobot(name) for name in options.arms
        }
        self.person = Person(self.world, guide=self._guide if self.arms else None)
        self._tasks: anyio.abc.TaskGroup | None = None
        self._links: dict[str, list[tuple[anyio.CancelScope, anyio.abc.ByteStream]]] = {}

    def _dobot(self, name: str) -> DobotDevice:
        options = self.options
        return DobotDevice(
            name,
            self.world,
            options.layout.site(name),
            seed=options.seed,
            faults=options.faults,
            speed=options.speed,
            firmware=options.firmware,
            quiet_feedback_s=options.quiet_feedback_s,
            start_joints=self._left_joints(name) or START_JOINTS,
        )

    def _ro1(self, name: str) -> Ro1Device:
        options = self.options
        return Ro1Device(
            name,
            self.world,
            options.layout.site(name),
            seed=options.seed,
            faults=options.faults,
            speed=options.speed,
            release=options.ro1_release,
            gripper=options.ro1_gripper,
            start_joints=self._left_joints(name) or RO1_START_JOINTS,
        )

    def _left_joints(self, name: str) -> Joints | None:
        """Where the arm was left, if it was one of the same kind."""
        left = self.options.left
        if left is None or left.kinds.get(name, "dobot") != self.options.kind(name):
            return None
        return left.joints.get(name)

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """All devices, until cancelled. Started when their wires can be opened."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            tasks.start_soon(self.board.run, name="dgt scan")
            for name, arm in self.arms.items():
                tasks.start_soon(arm.run, name=f"arm {name}")
            if self.options.faults.link_lost:
                tasks.start_soon(self._lose_links, name="links")
            task_status.started()
            try:
                await anyio.sleep_forever()
            finally:
                self._tasks = None

    def arm_device(self, name: str) -> ArmDevice:
        """Raises TwinError for a name that no arm has."""
        try:
            return self.arms[name]
        except KeyError:
            raise TwinError(f"arm {name!r}: this table has {', '.join(self.arms) or 'none'}") from None

    def dobot(self, name: str) -> DobotDevice:
        """An arm that is a Dobot. Raises TwinError."""
        arm = self.arm_device(name)
        if not isinstance(arm, DobotDevice):
            raise TwinError(f"arm {name!r} is no Dobot")
        return arm

    def ro1(self, name: str) -> Ro1Device:
        """An arm that is an RO1. Raises TwinError."""
        arm = self.arm_device(name)
        if not isinstance(arm, Ro1Device):
            raise TwinError(f"arm {name!r} is no RO1")
        return arm

    # -- wires -----------------------------------------------------------------------------------------------------

    async def open_board(self) -> anyio.abc.ByteStream:
        """An in-memory wire to the board. A second one takes the board from the first, as a replugged cable does."""
        near, far = memory_stream_pair()
        self._running().start_soon(self.serve_board, far, name="board wire")
        return near

    async def connect_arm(self, name: str, port: int) -> anyio.abc.ByteStream:
        """An in-memory wire to one port of an arm's controller."""
        self.arm_device(name)
        near, far = memory_stream_pair()
        self._running().start_soon(self.serve_arm, name, port, far, name=f"arm wire {name} {port}")
        return near

    async def serve_board(self, stream: anyio.abc.ByteStream) -> None:
        """One host of the board on this wire, until it goes or the link is lost."""
        with anyio.CancelScope() as scope:
            link = (scope, stream)
            self._links.setdefault("board", []).append(link)
            try:
                await self.board.serve(stream)
            finally:
                self._links["board"].remove(link)

    async def serve_arm(self, name: str, port: int, stream: anyio.abc.ByteStream) -> None:
        """One client of an arm's controller on this wire, until it goes or the link is lost."""
        with anyio.CancelScope() as scope:
            link = (scope, stream)
            self._links.setdefault(name, []).append(link)
            try:
                await self.arms[name].serve(port, stream)
            finally:
                self._links[name].remove(link)
                with anyio.CancelScope(shield=True):
                    await stream.aclose()

    def lose_link(self, name: str) -> None:
        """Cut every wire to "board" or to an arm, now. The board is replugged: it comes back in bus mode."""
        if name != "board":
            self.arm_device(name)
        for scope, stream in list(self._links.get(name, ())):
            if isinstance(stream, MemoryStream):
                stream.kill()
            scope.cancel()
        if name == "board":
            self.board.power_cycle()

    async def _lose_links(self) -> None:
        """The fault "link-lost": drawn whenever a piece was put down, which is about once a move."""
        random = self.world.dice.stream("link-lost-which")
        names = ["board", *self.arms]
        seen = self.world.placed
        while True:
            await self.world.wait_changed(self.world.version)
            while seen < self.world.placed:
                seen += 1
                if self.world.dice.happens("link-lost", self.options.faults.link_lost):
                    await anyio.sleep(random.uniform(0.0, LINK_LOST_WITHIN_S))
                    self.lose_link(random.choice(names))

    def _running(self) -> anyio.abc.TaskGroup:
        if self._tasks is None:
            raise TwinError("the table is not running: start Table.run first")
        return self._tasks

    async def _guide(self, arm: str, point: XYZ) -> None:
        if arm not in self.arms:
            raise HandError(f"arm {arm!r}: this table has {', '.join(self.arms)}")
        if not all(math.isfinite(value) for value in point):
            raise HandError(f"point {point}: expected three finite numbers")
        await self.arms[arm].guide(point)


def _check_kinds(options: TableOptions) -> None:
    if options.kinds and len(options.kinds) != len(options.arms):
        raise TwinError(f"kinds {options.kinds}: expected one for each of {', '.join(options.arms)}, or none")
    for kind in options.kinds:
        if kind not in KINDS:
            raise TwinError(f"kind {kind!r}: expected one of {', '.join(KINDS)}")
