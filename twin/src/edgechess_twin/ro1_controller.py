"""The controller behind an RO1's API: who controls it, brakes, faults, one motion at a time, the dead-man. Synchronous.

What takes time is entered in the agenda; whoever waits for it holds the event it will set. Nothing queues: a robot that is
not idle refuses. Time: `now()` is the scheduler's; motion time is scheduler time × `speed`, so are brakes, recovery and the
gripper. Planning and heartbeats keep true time.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable
from typing import Literal

import anyio

from edgechess_twin import ro1_model as ro1
from edgechess_twin import ro1_motion as motion
from edgechess_twin.arm_agenda import Agenda, Ticket
from edgechess_twin.arm_body import Hardware, Underway
from edgechess_twin.arm_model import Joints, Point3, Unreachable, from_quaternion, multiply, to_quaternion
from edgechess_twin.motion_profile import EMERGENCY_FACTOR, STOP_FACTOR, Motion
from edgechess_twin.ro1_gripper import Gripper, GripperKind
from edgechess_twin.ro1_protocol import Grip, Heartbeat, Move, Refused, TooltipPose

PLAN_S = 0.04  # between accepting a move and moving; ours. Not scaled: it is computing time
UNBRAKE_S = 1.0  # six brakes click open; ours
RECOVER_S = 2.0  # arm power back, joints checked; ours
SERVO_LAG_S = 0.012  # measured joints trail commanded ones
HEARTBEAT_GRACE = 1.5  # a beat may come half an interval late; ours, the maker publishes none
REMEMBERED = 32  # finished controlled moves whose heartbeat is still answered
GUIDE_PART = 0.2  # a person pushes an arm about this fast

START_JOINTS: Joints = (96.0, 18.0, -132.0, 24.0, 90.0, -84.0)
"""Where the arm stands when it is switched on: folded beside its base on its own right, tool down, never above the board."""

Mode = Literal["api", "routine_editor"]
Status = Literal["Idle", "RunningAdHocCommand", "Antigravity", "Failure", "Recovering"]
Outcome = Literal["success", "failure", "canceled"]


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """Why the robot is in failure, in the vendor's words."""

    number: int
    kind: str
    reason: str
    recoverable: bool = True


@dataclasses.dataclass(slots=True, eq=False)
class Command:
    """One accepted move. `outcome` is set when it is decided, `ended` when the arm stands still."""

    id: str
    controlled: Heartbeat | None
    expires_s: float = 0.0
    outcome: Outcome | None = None
    kind: str = ""
    reason: str = ""
    begun: anyio.Event = dataclasses.field(default_factory=anyio.Event)
    """The arm sets off, or will not."""
    ended: anyio.Event = dataclasses.field(default_factory=anyio.Event)

    def over(self) -> None:
        self.begun.set()
        self.ended.set()

    def decide(self, outcome: Outcome, kind: str = "", reason: str = "") -> None:
        """The first word counts."""
        if self.outcome is None:
            self.outcome, self.kind, self.reason = outcome, kind, reason


@dataclasses.dataclass(slots=True, kw_only=True)
class Active(Underway):
    """`command` is None when a person pushes the arm."""

    command: Command | None
    braking: bool = False


class Ro1Controller:
    """One controller. Methods named for what a client asks raise Refused; everything else happens by the agenda."""

    def __init__(
        self,
        *,
        speed: float,
        now: Callable[[], float],
        agenda: Agenda,
        body: Hardware,
        gripper: GripperKind = "onrobot_2fg7",
        tool_mm: float = 0.0,
        start_joints: Joints = START_JOINTS,
    ) -> None:
        self._speed = speed
        self._now = now
        self._agenda = agenda
        self._body = body
        self._tooltip = ro1.tooltip(tool_mm)
        self._flange = ro1.tooltip(0.0)
        self.tool_active = False
        """Which tooltip motions and positions are about: the gripper's, or the flange as on a robot without equipment."""

        self.mode: Mode = "routine_editor"
        self.braked = True
        self.emergency = False
        """The red button is pressed."""
        self.failure: Failure | None = None
        self._failures = 0
        self._recovering: anyio.Event | None = None
        self._unbraking: tuple[Ticket, anyio.Event] | None = None
        self.antigravity = False
        self.payload_kg = 0.0

        self._rest: Joints = start_joints
        self._shift: Point3 = (0.0, 0.0, 0.0)
        self.active: Active | None = None
        self._command: Command | None = None
        self._start: Ticket | None = None
        self._dead_man: Ticket | None = None
        self._guided: anyio.Event | None = None
        self._commands: collections.OrderedDict[str, Command] = collections.OrderedDict()
        self._number = 0

        self.gripper = Gripper(gripper)
        self._gripper_ticket: Ticket | None = None
        self._closing_from_mm: float | None = None

    # -- what is the case ------------------------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        return self._now()

    @property
    def enabled(self) -> bool:
        """Its brakes are off: it could move."""
        return not self.braked

    @property
    def status(self) -> Status:
        if self._recovering is not None:
            return "Recovering"
        if self.failure is not None:
            return "Failure"
        if self.antigravity:
            return "Antigravity"
        if self._command is not None:
            return "RunningAdHocCommand"
        return "Idle"

    def joints(self) -> Joints:
        """Commanded joints now, degrees."""
        if self.active is None:
            return self._rest
        return self.active.motion.joints(self._motion_time(self.active))

    def measured(self) -> Joints:
        if self.active is None:
            return self._rest
        return self.active.motion.joints(max(0.0, self._motion_time(self.active) - SERVO_LAG_S))

    def tooltip_pose(self, joints_deg: Joints) -> TooltipPose:
        """Of the active tooltip, by the nominal chain."""
        return self.pose(joints_deg, flange=not self.tool_active)

    def pose(self, joints_deg: Joints, *, flange: bool) -> TooltipPose:
        t = multiply(ro1.RO1.flange(joints_deg), self._flange if flange else self._tooltip)
        w, x, y, z = to_quaternion(t)
        return TooltipPose((t[0][3], t[1][3], t[2][3]), (x, y, z, w))

    def _motion_time(self, active: Active) -> float:
        return min(active.motion.duration_s, max(0.0, (self._now() - active.start_s) * self._speed))

    def _gripper_s(self) -> float:
        return self._now() * self._speed

    # -- control ---------------------------------------------------------------------------------------------------

    def take_control(self, mode: Mode) -> None:
        if self._command is not None:
            raise Refused("robot_not_idle", "the robot is moving: who controls it stays")
        self.mode = mode

    def _require_control(self) -> None:
        if self.mode != "api":
            raise Refused("api_control_required", "the robot is controlled by the routine editor: take control first")

    def _require_idle(self) -> None:
        if self.status != "Idle":
            raise Refused("robot_not_idle", f"the robot's status is {self.status}")

    def engage_brakes(self) -> None:
        self._require_control()
        if self._command is not None or self.antigravity:
            raise Refused("robot_brakes_engage_failed", "the robot is moving")
        self._brakes_on()

    def disengage_brakes(self) -> anyio.Event | None:
        """Returns what will be set when they are off, or will not be; None: they are off. Look at `braked` then."""
        self._require_control()
        if self.failure is not None or self._recovering is not None:
            raise Refused("robot_brakes_disengage_failed", f"the robot's status is {self.status}: recover it first")
        if not self.braked:
            return None
        if self._unbraking is None:
            ended = anyio.Event()
            ticket = self._agenda.at(self._now() + UNBRAKE_S / self._speed, self._brakes_off)
            self._unbraking = (ticket, ended)
        return self._unbraking[1]

    def _brakes_off(self) -> None:
        assert self._unbraking is not None
        _, ended = self._unbraking
        self._unbraking = None
        self.braked = False
        ended.set()

    def _brakes_on(self) -> None:
        self.braked = True
        if self._unbraking is not None:
            ticket, ended = self._unbraking
            ticket.cancel()
            self._unbraking = None
            ended.set()

    # -- faults and recovery ---------------------------------------------------------------------------------------

    def fail(
        self, kind: str, reason: str, *, recoverable: bool = True, event: str = "motion_failed_unknown_reason"
    ) -> None:
        """The robot stops as hard as it can, brakes, and stays so until it is recovered."""
        self._failures += 1
        self.failure = Failure(self._failures, kind, reason, recoverable)
        if self._command is not None:
            self._command.decide("failure", event, reason)
        self._halt(EMERGENCY_FACTOR)
        self._brakes_on()

    def press_emergency(self) -> None:
        """Cuts the arm's power. With it goes a fault that could not be recovered."""
        self.emergency = True
        self.fail("EmergencyStop", "the emergency stop button is pressed")

    def release_emergency(self) -> None:
        """The failure stays until it is recovered."""
        self.emergency = False

    def power_off(self, reason: str) -> None:
        """`POST /movement/brakes/emergency-stop`."""
        self.fail("EmergencyStop", f"emergency stop by the API: {reason}")

    def collide(self) -> None:
        """The arm feels a collision: a protective stop."""
        if not self.braked:
            self.fail("ProtectiveStop", "collision detected", event="motion_failed_collision")

    def recover(self) -> anyio.Event | None:
        """Returns what will be set when recovery has ended, None if there is nothing to recover."""
        if self._recovering is not None:
            return self._recovering
        if self.failure is None:
            return None
        if self.emergency:
            raise Refused("recovery_error", "the emergency stop button is pressed: release it first")
        failure = self.failure
        if not failure.recoverable:
            raise Refused("recovery_error", f"not recoverable: {failure.reason}")
        self._recovering = anyio.Event()
        self._agenda.at(self._now() + RECOVER_S / self._speed, lambda: self._recovered(failure))
        return self._recovering

    def _recovered(self, failure: Failure) -> None:
        """A new failure meanwhile stays."""
        assert self._recovering is not None
        ended, self._recovering = self._recovering, None
        if self.failure is failure:
            self.failure = None
        ended.set()

    # -- motion ----------------------------------------------------------------------------------------------------

    def choose_tooltip(self, tool: bool) -> None:
        """The gripper's tooltip, or the flange. Raises Refused while the robot moves."""
        self._require_idle()
        self.tool_active = tool

    def move(self, order: Move, heartbeat: Heartbeat | None = None) -> Command:
        """Accept a move. What cannot be planned ends it as a failure at once. Raises Refused."""
        self._require_control()
        if self.braked:
            raise Refused("brakes_must_be_disengaged", "the brakes are engaged")
        self._require_idle()
        self._number += 1
        command = Command(f"cmd-{self._number}", heartbeat)
        self._remember(command)
        try:
            planned = motion.plan(
                self._rest,
                self._waypoints(order),
                line=order.line,
                limits=self._limits(order),
                tooltip=self._tooltip if self.tool_active else self._flange,
            )
        except Unreachable as error:
            command.decide("failure", "motion_failed_unknown_reason", str(error))
            command.over()
            return command
        self._command = command
        self._start = self._agenda.at(self._now() + PLAN_S, lambda: self._begin(planned, command))
        return command

    def _remember(self, command: Command) -> None:
        self._commands[command.id] = command
        while len(self._commands) > REMEMBERED:
            self._commands.popitem(last=False)

    def _waypoints(self, order: Move) -> list[motion.Waypoint]:
        if order.joints_deg:
            return [motion.Waypoint(joints=joints) for joints in order.joints_deg]
        places = []
        for pose in order.poses:
            x, y, z, w = pose.quaternion
            places.append(motion.Waypoint(tooltip=from_quaternion((w, x, y, z), pose.position_mm)))
        return places

    def _limits(self, order: Move) -> motion.Limits:
        """The lowest of the arm's, the factory's and the client's."""
        most, asked = motion.Limits(), order.profile
        speeds, accelerations = most.joint_speed_deg_s, most.joint_acceleration_deg_s2
        speed, acceleration = asked.speed_part, asked.acceleration_part
        return motion.Limits(
            tuple(min(a, b) * speed for a, b in zip(speeds, asked.joint_speed_deg_s or speeds, strict=True)),
            tuple(
                min(a, b) * acceleration
                for a, b in zip(accelerations, asked.joint_acceleration_deg_s2 or accelerations, strict=True)
            ),
            min(most.tooltip_speed_mm_s, asked.tooltip_speed_mm_s or most.tooltip_speed_mm_s) * speed,
            most.tooltip_acceleration_mm_s2 * acceleration,
        )

    def _begin(self, planned: Motion, command: Command) -> None:
        self._start = None
        command.begun.set()
        if command.controlled is not None:
            self._watch(command, command.controlled)
        self._set_off(planned, command, self._body.repeatability())

    def _set_off(self, planned: Motion, command: Command | None, shift_to: Point3, *, braking: bool = False) -> None:
        now_s = self._now()
        end_s = now_s + planned.duration_s / self._speed
        ticket = self._agenda.at(end_s, self._arrived)
        self.active = Active(
            motion=planned,
            start_s=now_s,
            ticket=ticket,
            command=command,
            shift_from=self._shift,
            shift_to=shift_to,
            braking=braking,
        )
        self._body.moves(self.active, end_s, guided=command is None)

    def _arrived(self) -> None:
        active = self.active
        assert active is not None
        self._rest = active.motion.joints(active.motion.duration_s)
        self._shift = active.shift_to
        self.active = None
        self._over(active.command)

    def _over(self, command: Command | None) -> None:
        """The arm stands still after this command."""
        if self._dead_man is not None:
            self._dead_man.cancel()
            self._dead_man = None
        if command is None:
            assert self._guided is not None
            self._guided.set()
            return
        command.decide("success")
        self._command = None
        command.over()

    def _halt(self, factor: float) -> None:
        """From whatever moves to rest, on its own way. What already brakes goes on."""
        if self._start is not None:
            self._start.cancel()
            self._start = None
            self._over(self._command)  # it had not set off
        active = self.active
        if active is None or active.braking:
            return
        at_s = self._motion_time(active)
        self._shift = active.shift(at_s)
        active.ticket.cancel()
        self._set_off(active.motion.braking(at_s, factor), active.command, self._shift, braking=True)

    # -- the dead-man

    def _watch(self, command: Command, heartbeat: Heartbeat) -> None:
        """From now on a beat must come in time."""
        after_ms = heartbeat.expires_after_ms or heartbeat.interval_ms * HEARTBEAT_GRACE
        command.expires_s = self._now() + after_ms / 1000.0
        if self._dead_man is not None:
            self._dead_man.cancel()
        self._dead_man = self._agenda.at(command.expires_s, lambda: self._unheard(command))

    def _unheard(self, command: Command) -> None:
        """Nobody has beaten for too long: the motion stops, the robot stays well."""
        self._dead_man = None
        command.decide("canceled", "heartbeat_expired", "no heartbeat within the interval")
        self._halt(STOP_FACTOR)

    def beat(self, command_id: str) -> Command:
        """A heartbeat of a controlled move. One that has ended is only told of. Raises Refused."""
        command = self._commands.get(command_id)
        if command is None or command.controlled is None:
            raise Refused("not_found", "no controlled movement has this id")
        if command is self._command and command.outcome is None:
            self._watch(command, command.controlled)
        return command

    # -- people ----------------------------------------------------------------------------------------------------

    def guide(self, joints: Joints) -> anyio.Event:
        """A person pushes the arm to these joints; the event tells when it is over. The caller has seen that it is free
        to move. Raises Unreachable."""
        limits = motion.Limits(tuple(v * GUIDE_PART for v in ro1.SPEEDS_DEG_S))
        planned = motion.plan(
            self._rest, [motion.Waypoint(joints=joints)], line=False, limits=limits, tooltip=self._tooltip
        )
        self._guided = ended = anyio.Event()
        self._set_off(planned, None, self._shift)
        return ended

    # -- gripper ---------------------------------------------------------------------------------------------------

    def grip(self, order: Grip) -> None:
        """The fingers set off; whoever wants to know what came of it asks the configuration. Raises Refused."""
        self._require_control()
        gripper = self.gripper
        if order.kind != gripper.kind:
            raise Refused("equipment_no_matching", f"{order.kind} is not fitted: the robot has {gripper.kind}")
        self._require_idle()
        if gripper.kind == "none_connected":
            return
        fingers = gripper.fingers
        natural = fingers.most_mm if order.internal else fingers.least_mm
        width = natural if order.width_mm is None else order.width_mm
        force = fingers.force_n if order.force_n is None else order.force_n
        if not fingers.least_mm <= width <= fingers.most_mm:
            least, most = fingers.least_mm, fingers.most_mm
            raise Refused(
                "invalid_parameters", f"target_grip_width {width:g} mm: the fingers go from {least:g} to {most:g}"
            )
        if force > fingers.force_n:
            raise Refused(
                "invalid_parameters", f"target_force {force:g} N: the gripper has at most {fingers.force_n:g}"
            )
        self._move_fingers(width, force, fingers.speed_mm_s if order.speed_mm_s is None else order.speed_mm_s)

    def _move_fingers(self, to_mm: float, force_n: float, speed_mm_s: float) -> None:
        gripper, now_s = self.gripper, self._gripper_s()
        from_mm = gripper.width_mm(now_s)
        takes_s = gripper.move(to_mm, force_n, speed_mm_s, now_s)
        if self._gripper_ticket is not None:
            self._gripper_ticket.cancel()
        at_s = self._now() + takes_s / self._speed
        if to_mm > from_mm:  # what they held is free as soon as they part
            self._closing_from_mm = None
            self._body.fingers_open(to_mm)
            self._gripper_ticket = self._agenda.at(at_s, lambda: self._fingers_stand(to_mm, False))
        else:
            opening_mm = self._closing_from_mm = from_mm if self._closing_from_mm is None else self._closing_from_mm
            self._gripper_ticket = self._agenda.at(at_s, lambda: self._fingers_closed(opening_mm, to_mm))

    def _fingers_stand(self, width_mm: float, detected: bool) -> None:
        self._gripper_ticket = None
        self.gripper.stand(width_mm, detected)

    def _fingers_closed(self, from_mm: float, to_mm: float) -> None:
        self._closing_from_mm = None
        self._fingers_stand(*self._body.fingers_close(from_mm, to_mm))

    def gripper_configuration(self) -> dict[str, object]:
        if self.gripper.detected and not self._body.fingers_hold():
            self.gripper.dropped()
        return self.gripper.configuration(self._gripper_s())
