"""Settings of the arm controller: the arms, the table's layout, how pieces are handled, how long is waited."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any

import msgspec

from edgechess_arm_controller.hand import Handling
from edgechess_arm_controller.planner import Ground
from edgechess_arm_controller.state import Limits
from edgechess_kit.errors import SettingsError
from edgechess_robots.claim import claimed
from edgechess_robots.dobot.tcp import is_loopback
from edgechess_robots.layout import TableLayout, standard_layout
from edgechess_robots.registry import arm_kind
from edgechess_robots.shapes import STAUNTON_6, ShapeSet, load_shapes

Millimetres = Annotated[float, msgspec.Meta(gt=0.0, le=5000.0)]
Speed = Annotated[
    float, msgspec.Meta(gt=0.0, le=1000.0)
]  # beyond 750 mm/s nothing is gained (reference robot-motion C)
Seconds = Annotated[float, msgspec.Meta(gt=0.0, le=600.0)]

END_WAIT_MAX_S = 40.0  # the recipe grants a minute, and stopping an arm that did not come home takes 15 s of it

WHITE_RACK = "QQRBN"  # the promotions that a long game needs: two queens, then one of each
BLACK_RACK = "qqrbn"

_OF_THE_DRIVER = (  # options of the kind that are also settings of the arm, under the same name
    "feedback_port",
    "stale_after_s",
    "tool_length_mm",
    "tool_yaw_deg",
    "load_kg",
    "park_joints_deg",
    "gripper_open_is_high",
    "gripper_stroke_mm",
    "gripper_force_percent",
)
_HANDLING = Handling()
_LIMITS = Limits()


class ArmSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One arm. Its ports are the vendor's own plus `port_offset`."""

    name: str
    kind: str = "dobot"
    """Of the registry of arms: "dobot", "ro1", or what another package brings."""
    host: str = "127.0.0.1"
    port_offset: int = 0
    options: dict[str, Any] = {}
    """What only this kind of arm has, e.g. `options = {robot_kind = "live", token_file = "…"}` of an "ro1"."""
    feedback_port: int | None = None
    """Of a Dobot."""
    stale_after_s: Annotated[float, msgspec.Meta(gt=0.0, le=10.0)] | None = None  # None: by the port's period
    calibration: str = ""
    """File of touched points. Empty, for arms of this machine only: the arm stands exactly where the layout says."""
    serial: str = ""
    """The arm's own serial number: a calibration that was made with another arm is refused. Empty: not compared."""
    tool_length_mm: Annotated[float, msgspec.Meta(gt=0.0, le=1000.0)] | None = None
    """Flange to the middle between the fingertips. None, here and below: as the driver has it."""
    tool_yaw_deg: Annotated[float, msgspec.Meta(ge=-180.0, le=180.0)] | None = None
    """Turn of the fingers about the flange's z axis."""
    load_kg: Annotated[float, msgspec.Meta(ge=0.0, le=16.0)] | None = None
    """Gripper and piece, told to the controller when it enables the arm."""
    park_joints_deg: tuple[float, float, float, float, float, float] | None = None
    """The parking posture; it also fixes the branch of the inverse kinematics."""
    gripper_open_is_high: bool | None = None
    """Whether position 1000 of the gripper is open: public sources disagree, so look at it once with the arm parked."""
    gripper_stroke_mm: Annotated[float, msgspec.Meta(gt=0.0, le=500.0)] | None = None
    """Width between the fingers when they are fully open."""
    gripper_force_percent: Annotated[int, msgspec.Meta(ge=20, le=100)] | None = None

    def claimed(self, who: str) -> AbstractContextManager[None]:
        """This process moves the arm, as long as the block; see `edgechess_robots.claim`. Raises ArmClaimed, OSError."""
        return claimed(self.name, self.host, arm_kind(self.kind).ports[0] + self.port_offset, who)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """`[arm-controller]`."""

    arms: Annotated[tuple[ArmSettings, ...], msgspec.Meta(description="the arms of the table, White's first")] = (
        ArmSettings(name="white"),
        ArmSettings(name="black", host="127.0.0.2"),
    )
    live: Annotated[bool, msgspec.Meta(description="arms beyond this machine may be moved")] = False
    square_mm: Annotated[
        Annotated[float, msgspec.Meta(gt=0.0, le=200.0)] | None,
        msgspec.Meta(description="edge of one square; by default that for which the set of pieces is made"),
    ] = None
    base_distance_mm: Annotated[Millimetres, msgspec.Meta(description="arm base to the board's centre")] = 600.0
    tray_slots: Annotated[int, msgspec.Meta(ge=0, le=32, description="tray slots of each arm")] = 16
    racks: Annotated[
        dict[str, str], msgspec.Meta(description="spare pieces in each arm's rack, FEN letters, slot 0 first")
    ] = msgspec.field(default_factory=lambda: {"white": WHITE_RACK, "black": BLACK_RACK})
    set_file: Annotated[str, msgspec.Meta(description="set of pieces (TOML); empty: Staunton no. 6")] = ""
    speed_mm_s: Annotated[Speed, msgspec.Meta(description="above travel height")] = _HANDLING.speed_mm_s
    descent_speed_mm_s: Annotated[Speed, msgspec.Meta(description="vertical approaches")] = _HANDLING.descent_speed_mm_s
    travel_margin_mm: Annotated[Millimetres, msgspec.Meta(description="above the tallest piece standing")] = (
        _HANDLING.margin_mm
    )
    age_limit_s: Annotated[Seconds, msgspec.Meta(description="older measurements count as none")] = 1.0
    motion_gap_s: Annotated[Seconds, msgspec.Meta(description="an arm on its way is shown so often, 0.5 at least")] = (
        0.5
    )
    ready_wait_s: Annotated[Seconds, msgspec.Meta(description="a job waits so long for arms on their way home")] = (
        _LIMITS.ready_wait_s
    )

    end_wait_s: Annotated[
        float,
        msgspec.Meta(ge=0.0, le=END_WAIT_MAX_S, description="told to end, it takes so long to bring the arms home"),
    ] = 20.0

    def __post_init__(self) -> None:
        for key, least in (("base_distance_mm", 100.0), ("travel_margin_mm", 1.0), ("speed_mm_s", 5.0)):
            if getattr(self, key) < least:
                raise ValueError(f"{key} is {getattr(self, key):g}: expected at least {least:g}; are these metres?")
        names = [arm.name for arm in self.arms]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"arms are named {', '.join(names) or 'nothing'}: expected at least one, names different")
        for arm in self.arms:
            if not self.live and not is_loopback(arm.host):
                raise ValueError(f"arm {arm.name} at {arm.host} is not on this machine: set live = true to move it")
            if not arm.calibration and not is_loopback(arm.host):
                raise ValueError(
                    f"arm {arm.name} at {arm.host} has no calibration: a real arm never stands exactly where the drawing"
                    f" says; touch the board's points with it and name the file: calibration = FILE"
                )
            self.driver(arm)

    def driver(self, arm: ArmSettings) -> Any:
        """What the arm's driver is told: the options of its kind. Raises ValueError naming the arm and what cannot be."""
        try:
            kind = arm_kind(arm.kind)
            around = {"max_tool_speed_mm_s": self.speed_mm_s, "host": arm.host, "live": self.live}
            given = {name: value for name, value in around.items() if name in kind.option_names}
            given |= {name: getattr(arm, name) for name in _OF_THE_DRIVER if getattr(arm, name) is not None}
            twice = sorted(given.keys() & arm.options.keys())
            if twice:
                raise ValueError(f"option {twice[0]} is a setting of its own: it does not belong into options")
            return kind.parse({**given, **arm.options})
        except ValueError as error:
            raise ValueError(f"arm {arm.name}: {error}") from error

    def shapes(self) -> ShapeSet:
        """Raises SettingsError for a set file that cannot be used, or whose pieces are made for other squares."""
        if not self.set_file:
            return STAUNTON_6
        try:
            shapes = load_shapes(Path(self.set_file))
        except (ValueError, OSError) as error:
            raise SettingsError(f"arm-controller: {error}") from error
        if self.square_mm not in (None, shapes.square_mm):
            raise SettingsError(
                f"arm-controller: square_mm is {self.square_mm:g}, but the set {self.set_file} is made for squares of"
                f" {shapes.square_mm:g} mm: leave square_mm out, or change it in a set file of your own"
            )
        return shapes

    def layout(self, arms: tuple[str, ...]) -> TableLayout:
        """Raises as `shapes`."""
        made_for_mm = self.shapes().square_mm
        square_mm = made_for_mm if self.square_mm is None else self.square_mm
        longest = max((len(letters) for letters in self.racks.values()), default=0)
        return standard_layout(square_mm, self.base_distance_mm, arms, self.tray_slots, max(5, longest))

    def ground(self, arms: tuple[str, ...]) -> Ground:
        """Raises as `shapes`."""
        handling = Handling(
            speed_mm_s=self.speed_mm_s,
            descent_speed_mm_s=self.descent_speed_mm_s,
            margin_mm=self.travel_margin_mm,
        )
        return Ground(self.layout(arms), self.shapes(), handling)

    def limits(self) -> Limits:
        return Limits(ready_wait_s=self.ready_wait_s)
