"""The controller behind the sockets: its state, its queue, its commands. Synchronous throughout.

Commands are answered at once; what takes time is a motion with an end, entered in the agenda. The queue lives here and
not with any client: it goes on when every client has gone, as a real controller's does.

Time: `now()` is the scheduler's. Motion time is scheduler time × `speed`; so are power-up, enabling and the gripper.
Blending: a motion with `r` (or `cp`) flows into the next one if that is in the queue in time; else it comes to rest at
its end. How the maker rounds a corner is not documented: here the next motion starts while this one slows down.
"""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Callable
from typing import Literal

from edgechess_twin import arm_model as model
from edgechess_twin import dobot_commands as commands
from edgechess_twin import dobot_modbus as modbus
from edgechess_twin.arm_agenda import Agenda, Ticket
from edgechess_twin.arm_body import Hardware, Underway
from edgechess_twin.arm_model import CR10A, Joints, Point3, PoseTuple, Transform, Unreachable
from edgechess_twin.dobot_commands import FAILED, Arguments, CommandError, Point, Request, floats
from edgechess_twin.dobot_feedback import Reading
from edgechess_twin.dobot_state import Alarm, Gate, Power, RobotMode, Situation, alarm_text, refusal
from edgechess_twin.motion_profile import (
    EMERGENCY_FACTOR,
    LINE_SPEED_MM_S,
    STILL,
    STOP_FACTOR,
    Joined,
    JointMotion,
    Roundable,
    State,
    line_motion,
    overlap_s,
)

Firmware = Literal["4.5", "4.6"]

POWER_ON_S = 10.0  # reference section 6
ENABLE_S = 0.8  # brakes click open one after another; ours
START_LATENCY_S = 0.016  # two servo cycles between accepting a motion and moving; not scaled: it is computing time
SERVO_LAG_S = 0.012  # measured joints trail commanded ones
GUIDE_PART = 0.2  # a person pushes an arm about this fast
JOG_PART = 0.1
JOG_REACH_MM = 1000.0
QUEUE_MAX = 512  # ours; a full queue answers -1
QUESTIONS = frozenset(
    [
        "robotmode",
        "geterrorid",
        "getcurrentcommandid",
        "getangle",
        "getpose",
        "positivekin",
        "inversekin",
        "checkoddmovj",
        "checkoddmovl",
        "getforce",
        "getexportstatus",
        "getdo",
        "getdogroup",
        "di",
        "digroup",
        "getao",
        "ai",
        "gettooldo",
        "tooldi",
        "toolai",
        "getholdregs",
        "getinregs",
    ]
)
"""After these a frame reads as before."""
START_JOINTS: Joints = (-84.0, 18.0, -132.0, 24.0, 90.0, -84.0)
"""Where the arm stands when its controller is switched on: about where people leave one, folded beside its base on its own
right, tool down, never above the board."""


@dataclasses.dataclass(frozen=True, slots=True)
class Queued:
    """One accepted command of the queue."""

    number: int
    name: str
    arguments: Arguments


@dataclasses.dataclass(frozen=True, slots=True)
class Rounding:
    """How the corner at the end of a motion may be rounded: within `radius_mm` of it, or, without a radius, during a
    part (0 to 1] of its slowing down."""

    radius_mm: float | None
    part: float = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Goal:
    """Where a motion ends and how it gets there, resolved when it starts."""

    joints: Joints | None
    flange: Transform | None
    velocity: float
    """Part of the joints' maximum, or mm/s for a line."""
    acceleration: float
    rounding: Rounding | None = None


Why = Literal["queue", "run-to", "jog", "guide", "brake"]


@dataclasses.dataclass(slots=True, kw_only=True)
class Active(Underway):
    motion: Roundable
    why: Why
    goal: Goal | None
    ended: Callable[[], None] | None = None
    """Called once, when the motion has arrived or was broken off."""


class Controller:
    """One controller. `execute` answers a request; everything else happens by the agenda."""

    def __init__(
        self,
        *,
        firmware: Firmware,
        speed: float,
        now: Callable[[], float],
        agenda: Agenda,
        body: Hardware,
        tcp_mode: bool = True,
        stroke_mm: float = modbus.STROKE_MM,
        start_joints: Joints = START_JOINTS,
    ) -> None:
        self._firmware = firmware
        self._speed = speed
        self._now = now
        self._agenda = agenda
        self._body = body
        self._began_s: float | None = None

        self.tcp_mode = tcp_mode
        self.power = Power.OFF
        self.enabled = False
        self.dragging = False
        self.drag_button = False
        self.paused = False
        self.collision = False
        self.emergency_button = False
        self.emergency_software = False
        self.alarms: list[int] = []
        self.brakes_released = 0
        self.version = 0
        self.on_change: Callable[[], None] = lambda: None
        """Changes whenever a frame may read differently, motion aside."""

        self._rest: Joints = start_joints
        self._shift: Point3 = (0.0, 0.0, 0.0)
        self.active: Active | None = None
        self._interrupted: Goal | None = None
        self._queue: collections.deque[Queued] = collections.deque()
        self._last_id = 0
        self._current_id = 0
        self._start: Ticket | None = None
        self._corner: Ticket | None = None
        self._enabling: Ticket | None = None

        self._speed_factor = 100
        self._vel_j = self._acc_j = self._vel_l = self._acc_l = 100
        self._cp = 0
        self._users: dict[int, PoseTuple] = {0: (0.0,) * 6}
        self._tools: dict[int, PoseTuple] = {0: (0.0,) * 6}
        self._user = self._tool = 0
        self._load: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

        self.digital_inputs = 0
        self._outputs = 0
        self._tool_outputs = 0
        self._analog = {1: 0.0, 2: 0.0}

        self._tool_power = True
        self._tool_485 = True
        self._line = (modbus.GRIPPER_BAUD, modbus.GRIPPER_PARITY)
        self._masters = modbus.Masters()
        self.gripper = modbus.Gripper(stroke_mm)
        self._gripper_ticket: Ticket | None = None
        self._closing_from_mm: float | None = None
        self._handlers = self._table()

    # -- what is the case ------------------------------------------------------------------------------------------

    @property
    def emergency(self) -> bool:
        return self.emergency_button or self.emergency_software

    @property
    def idle(self) -> bool:
        """Enabled, standing still, nothing to do."""
        return (
            self.enabled
            and self.active is None
            and not self._queue
            and not self.paused
            and not self.dragging
            and not self.alarms
        )

    def mode(self) -> RobotMode:
        if self.collision:
            return RobotMode.COLLISION
        if self.alarms:
            return RobotMode.ERROR
        if self.power is not Power.ON:
            return RobotMode.INIT if self.power is Power.STARTING else RobotMode.POWER_OFF
        if self.brakes_released:
            return RobotMode.BRAKE_OPEN
        if not self.enabled:
            return RobotMode.DISABLED
        if self.dragging or self.drag_button:
            return RobotMode.BACKDRIVE
        if self.active is not None:
            return RobotMode.SINGLE_MOVE if self.active.why in ("jog", "run-to") else RobotMode.RUNNING
        if self.paused:
            return RobotMode.PAUSE
        return RobotMode.ENABLE

    def joints(self) -> Joints:
        """Commanded joints now."""
        if self.active is None:
            return self._rest
        return self.active.motion.joints(self._motion_time(self.active))

    def measured(self) -> Joints:
        if self.active is None:
            return self._rest
        return self.active.motion.joints(max(0.0, self._motion_time(self.active) - SERVO_LAG_S))

    def _motion_time(self, active: Active) -> float:
        return min(active.motion.duration_s, max(0.0, (self._now() - active.start_s) * self._speed))

    def _gripper_s(self) -> float:
        return self._now() * self._speed

    def stamps(self, epoch_s: float) -> tuple[int, int]:
        """Unix time and running time, ms."""
        now_s = self._now()
        if self._began_s is None:
            self._began_s = now_s
        return int((epoch_s + now_s) * 1000.0), int((now_s - self._began_s) * 1000.0)

    def _touch(self) -> None:
        """Something that a frame shows has changed, or will from now on."""
        self.version += 1
        self.on_change()

    def reading(self, epoch_s: float) -> Reading:
        """All that a frame says, now."""
        stamp_ms, run_ms = self.stamps(epoch_s)
        active = self.active
        state = State(self._rest, STILL, STILL) if active is None else active.motion.state(self._motion_time(active))
        measured = self.measured()
        target = self._tool_transform(state.joints)
        actual = target if measured == state.joints else self._tool_transform(measured)
        tcp_speed = self._tcp_speed(state, target)
        running = active is not None and active.why != "guide"
        return Reading(
            mode=self.mode(),
            stamp_ms=stamp_ms,
            run_ms=run_ms,
            digital_inputs=self.digital_inputs,
            digital_outputs=self._outputs,
            speed_scaling=float(self._speed_factor),
            q_target=state.joints,
            qd_target=state.speed,
            qdd_target=state.acceleration,
            q_actual=measured,
            qd_actual=state.speed,
            tool_actual=model.to_pose(actual),
            tool_target=model.to_pose(target),
            tcp_speed_actual=tcp_speed,
            tcp_speed_target=tcp_speed,
            quaternion_actual=model.to_quaternion(actual),
            quaternion_target=model.to_quaternion(target),
            user=self._user,
            tool=self._tool,
            user_frame=self._users[self._user],
            tool_frame=self._tools[self._tool],
            queue_running=active is not None and active.why == "queue",
            paused=self.paused,
            velocity_ratio=self._vel_j,
            acceleration_ratio=self._acc_j,
            xyz_velocity_ratio=self._vel_l,
            xyz_acceleration_ratio=self._acc_l,
            brakes_released=0b111111 if self.enabled else self.brakes_released,
            enabled=self.enabled,
            dragging=self.dragging or self.drag_button,
            running=running,
            error=bool(self.alarms),
            jogging=active is not None and active.why == "jog",
            drag_button=self.drag_button,
            collision=self.collision,
            command_id=self._current_id,
            load_kg=self._load[0],
            centre_mm=self._load[1:],
            powered=self.power is Power.ON,
            emergency_button=self.emergency_button,
            emergency_system=self.emergency_software,
            stopped=self.emergency or self.collision or bool(self.alarms),
            moving=active is not None,
        )

    def _tool_transform(self, joints: Joints) -> Transform:
        """The current tool in the current user frame, by the nominal chain."""
        return self._seen(joints, self._user, self._tool)

    def _seen(self, joints: Joints, user: int, tool: int) -> Transform:
        flange = CR10A.flange(joints)
        if tool:
            flange = model.multiply(flange, model.from_pose(self._tools[tool]))
        if user:
            flange = model.multiply(model.invert(model.from_pose(self._users[user])), flange)
        return flange

    def _tcp_speed(self, state: State, here: Transform) -> Joints:
        if state.speed == STILL:
            return STILL
        h = 1e-3
        there = self._tool_transform(tuple(q + h * v for q, v in zip(state.joints, state.speed, strict=True)))
        turn = model.multiply(there, model.invert(here))
        per_s = math.degrees(1.0) / (2.0 * h)
        return (
            (there[0][3] - here[0][3]) / h,
            (there[1][3] - here[1][3]) / h,
            (there[2][3] - here[2][3]) / h,
            (turn[2][1] - turn[1][2]) * per_s,
            (turn[0][2] - turn[2][0]) * per_s,
            (turn[1][0] - turn[0][1]) * per_s,
        )

    # -- what happens to it ----------------------------------------------------------------------------------------

    def press_emergency(self, *, software: bool = False) -> None:
        if software:
            self.emergency_software = True
        else:
            self.emergency_button = True
        self._raise_alarm(Alarm.EMERGENCY_SOFTWARE if software else Alarm.EMERGENCY_BUTTON)
        self._disable()

    def release_emergency(self, *, software: bool = False) -> None:
        """The alarm stays until ClearError."""
        if software:
            self.emergency_software = False
        else:
            self.emergency_button = False
        self._touch()

    def collide(self) -> None:
        """The arm feels a collision: it stops at once and stays enabled."""
        if not self.enabled:
            return
        self.collision = True
        self._raise_alarm(Alarm.COLLISION)

    def press_drag_button(self, pressed: bool) -> None:
        self.drag_button = pressed
        self._touch()

    def guide(self, joints: Joints, ended: Callable[[], None]) -> None:
        """A person pushes the arm to these joints. The caller has seen that it is free to move. Raises Unreachable."""
        motion = JointMotion.plan(self._rest, joints, GUIDE_PART, GUIDE_PART)
        self._begin("guide", motion, None, (0.0, 0.0, 0.0))
        assert self.active is not None
        self.active.ended = ended

    def _raise_alarm(self, alarm: int) -> None:
        if alarm not in self.alarms:
            self.alarms.append(alarm)
        self._clear_queue()
        self._brake(EMERGENCY_FACTOR)
        self._touch()

    def _clear_queue(self) -> None:
        self._queue.clear()
        self._interrupted = None
        self.paused = False
        if self._start is not None:
            self._start.cancel()
            self._start = None
        self._forget_corner()

    def _forget_corner(self) -> None:
        if self._corner is not None:
            self._corner.cancel()
            self._corner = None

    def _disable(self) -> None:
        self._clear_queue()
        self._brake(EMERGENCY_FACTOR)
        self.enabled = False
        self.dragging = False
        if self._enabling is not None:
            self._enabling.cancel()
            self._enabling = None
        self._touch()

    # -- motion ----------------------------------------------------------------------------------------------------

    def _begin(self, why: Why, motion: Roundable, goal: Goal | None, shift_to: Point3) -> None:
        now_s = self._now()
        end_s = now_s + motion.duration_s / self._speed
        ticket = self._agenda.at(end_s, self._arrived)
        self.active = Active(
            why=why, motion=motion, start_s=now_s, ticket=ticket, goal=goal, shift_from=self._shift, shift_to=shift_to
        )
        self._body.moves(self.active, end_s, guided=why == "guide")
        self._forget_corner()
        if why == "queue" and goal is not None and goal.rounding is not None:
            self._corner = self._agenda.at(end_s - motion.slowing_s / self._speed, self._round)
        self._touch()

    def _round(self) -> None:
        """The motion under way begins to slow down: if the next one is in the queue, it starts before this one ends."""
        active, self._corner = self.active, None
        if active is None or active.why != "queue" or active.goal is None or active.goal.rounding is None:
            return
        if self.paused or not self._queue or self._queue[0].name not in _MOTIONS:
            return
        end = active.motion.joints(active.motion.duration_s)
        try:
            goal = self._resolve(self._queue[0], end)
            motion = self._plan(goal, end)
        except Unreachable:
            return  # told when this motion has ended, as without rounding
        left_s = active.motion.duration_s - self._motion_time(active)
        rounding = active.goal.rounding
        early_s = active.motion.slowing_s * rounding.part
        if rounding.radius_mm is not None:
            early_s = overlap_s(CR10A, active.motion, motion, rounding.radius_mm)
        if left_s > early_s + 1e-9:
            self._corner = self._agenda.at(self._now() + (left_s - early_s) / self._speed, self._round)
            return
        self._join(active, motion, goal)

    def _join(self, active: Active, motion: Roundable, goal: Goal) -> None:
        """The next motion of the queue starts now, while the one under way fades out."""
        item = self._queue.popleft()
        self._current_id = item.number
        at_s = self._motion_time(active)
        active.ticket.cancel()
        self._shift = active.shift(at_s)
        self._begin("queue", Joined(motion, active.motion, at_s), goal, self._body.repeatability())

    def _arrived(self) -> None:
        active = self.active
        assert active is not None
        self._forget_corner()
        self._rest = active.motion.joints(active.motion.duration_s)
        self._shift = active.shift_to
        self.active = None
        self._touch()
        if active.ended is not None:
            active.ended()
        self._next()

    def _brake(self, factor: float) -> None:
        """From whatever moves to rest, on its own path. What already brakes goes on."""
        active = self.active
        if active is None or active.why == "brake":
            return
        at_s = self._motion_time(active)
        self._shift = active.shift(at_s)
        active.ticket.cancel()
        self._begin("brake", active.motion.braking(at_s, factor), active.goal, self._shift)
        if active.ended is not None:
            active.ended()

    def _next(self) -> None:
        """Start what is next in the queue, if anything may start."""
        self._start = None
        while self.active is None and not self.paused and not self.alarms and (self.enabled or not self._needs_arm()):
            if self._interrupted is not None:
                goal, self._interrupted = self._interrupted, None
                self._go("queue", goal)
            elif self._queue:
                item = self._queue.popleft()
                self._current_id = item.number
                self._touch()
                if item.name in _MOTIONS:
                    self._go_queued(item)
                else:
                    self._apply(item)
            else:
                return

    def _needs_arm(self) -> bool:
        return bool(self._queue) and self._queue[0].name in _MOTIONS

    def _go_queued(self, item: Queued) -> None:
        try:
            goal = self._resolve(item, self._rest)
        except Unreachable as error:
            self._raise_alarm(error.alarm)
            return
        self._go("queue", goal)

    def _go(self, why: Why, goal: Goal) -> None:
        """Raises an alarm where the arm cannot go."""
        try:
            motion = self._plan(goal, self._rest)
        except Unreachable as error:
            self._raise_alarm(error.alarm)
            return
        self._begin(why, motion, goal, self._body.repeatability())

    def _plan(self, goal: Goal, start: Joints) -> Roundable:
        """Raises Unreachable."""
        if goal.joints is not None:
            return JointMotion.plan(start, goal.joints, goal.velocity, goal.acceleration)
        assert goal.flange is not None
        return line_motion(CR10A, start, goal.flange, goal.velocity, goal.acceleration)

    def _resolve(self, item: Queued, start: Joints) -> Goal:
        """The goal of a queued motion that starts at these joints. Raises Unreachable."""
        arguments = item.arguments
        name = item.name
        user = int(arguments.option("user", self._user))
        tool = int(arguments.option("tool", self._tool))
        if name in ("movj", "movl"):
            return self._goal(name == "movl", arguments.points[0], user, tool, arguments, start)
        delta = tuple(arguments.number(index) for index in range(6))
        if name == "reljointmovj":
            joints = tuple(q + d for q, d in zip(start, delta, strict=True))
            return self._goal(False, Point(True, joints), user, tool, arguments, start)
        pose = self._offset(name.endswith("tool"), delta, user, tool, start)
        return self._goal(name.startswith("relmovl"), Point(False, pose), user, tool, arguments, start)

    def _offset(self, in_tool: bool, delta: Joints, user: int, tool: int, start: Joints) -> Joints:
        here = self._seen(start, user, tool)
        dx, dy, dz, drx, dry, drz = delta
        if in_tool:
            return model.to_pose(model.multiply(here, model.from_pose((dx, dy, dz, drx, dry, drz))))
        turned = model.multiply(model.from_pose((0.0, 0.0, 0.0, drx, dry, drz)), here)
        _, _, _, rx, ry, rz = model.to_pose(turned)
        return here[0][3] + dx, here[1][3] + dy, here[2][3] + dz, rx, ry, rz

    def _goal(self, line: bool, point: Point, user: int, tool: int, arguments: Arguments, start: Joints) -> Goal:
        rounding = self._rounding(line, arguments)
        if line:
            flange = CR10A.flange(point.values) if point.is_joint else self._flange(point.values, user, tool)
            absolute = arguments.option("speed", 0.0)
            part = self._speed_factor * arguments.option("v", self._vel_l) / 10_000.0
            velocity = min(absolute, LINE_SPEED_MM_S) if absolute else LINE_SPEED_MM_S * part
            return Goal(None, flange, velocity, arguments.option("a", self._acc_l) / 100.0, rounding)
        if point.is_joint:
            joints = point.values
        else:
            joints = model.solve_near(CR10A, self._flange(point.values, user, tool), start)[0]
        velocity = self._speed_factor * arguments.option("v", self._vel_j) / 10_000.0
        return Goal(joints, None, velocity, arguments.option("a", self._acc_j) / 100.0, rounding)

    def _rounding(self, line: bool, arguments: Arguments) -> Rounding | None:
        """`r` of a line beats `cp` (reference section 6); without either, what CP() said."""
        radius_mm = arguments.option("r", 0.0) if line else 0.0
        if radius_mm > 0.0:
            return Rounding(radius_mm)
        if line and "r" in arguments.named:
            return None
        part = arguments.option("cp", self._cp) / 100.0
        return Rounding(None, part) if part > 0.0 else None

    def _flange(self, pose: tuple[float, ...], user: int, tool: int) -> Transform:
        x, y, z, rx, ry, rz = pose
        flange = model.from_pose((x, y, z, rx, ry, rz))
        if user:
            flange = model.multiply(model.from_pose(self._users[user]), flange)
        if tool:
            flange = model.multiply(flange, model.invert(model.from_pose(self._tools[tool])))
        return flange

    # -- commands --------------------------------------------------------------------------------------------------

    def execute(self, request: Request) -> bytes:
        """The whole answer to one request."""
        name = request.name.lower()
        if not self.tcp_mode and name != "requestcontrol":
            return commands.NOT_TCP
        signature = commands.SIGNATURES.get(name)
        if signature is None or (name == "requestcontrol" and self._firmware == "4.5"):
            return commands.reply(commands.UNKNOWN_COMMAND, "", request.echo)
        gate = refusal(Situation(self.power, self.emergency, bool(self.alarms), self.enabled), name)
        if gate is not Gate.OPEN:
            return commands.reply(gate, "", request.echo)
        try:
            arguments = commands.read_arguments(signature, request)
            value = self._enqueue(name, arguments) if signature.queued else self._handlers[name](arguments)
        except CommandError as error:
            return commands.reply(error.code, "", request.echo)
        if name not in QUESTIONS:
            self._touch()
        return commands.reply(commands.OK, value, request.echo)

    def _enqueue(self, name: str, arguments: Arguments) -> str:
        if name in _MOTIONS and (not self.enabled or self.dragging or self.drag_button):
            raise CommandError(FAILED)
        self._check_frames(arguments)
        if (name == "user" and arguments.whole(0) not in self._users) or (
            name == "tool" and arguments.whole(0) not in self._tools
        ):
            raise CommandError(FAILED)
        if len(self._queue) >= QUEUE_MAX:
            raise CommandError(FAILED)
        self._last_id += 1
        self._queue.append(Queued(self._last_id, name, arguments))
        if self.active is None and self._start is None:
            self._start = self._agenda.at(self._now() + START_LATENCY_S, self._next)
        elif self.active is not None and self._corner is None and len(self._queue) == 1:
            self._corner = self._agenda.at(self._now() + START_LATENCY_S, self._round)  # late, but it may still join
        return "" if self._firmware == "4.5" else str(self._last_id)

    def _check_frames(self, arguments: Arguments) -> None:
        if int(arguments.option("user", 0)) not in self._users or int(arguments.option("tool", 0)) not in self._tools:
            raise CommandError(FAILED)

    def _apply(self, item: Queued) -> None:
        """A queued command that does not move the arm: it is done when its turn comes."""
        arguments = item.arguments
        match item.name:
            case "user":
                self._user = arguments.whole(0)
            case "tool":
                self._tool = arguments.whole(0)
            case "setpayload":
                self._set_load(arguments)
            case "do":
                self._set_output(arguments)
            case "dogroup":
                for index in range(0, len(arguments.values), 2):
                    self._write_output(arguments.whole(index), arguments.whole(index + 1))
            case "tooldo":
                self._tool_do(arguments)
            case "ao":
                self._ao(arguments)
            case _:
                pass  # levels and zones that nothing in the twin looks at

    def _table(self) -> dict[str, Callable[[Arguments], str]]:
        return {
            "requestcontrol": self._request_control,
            "poweron": self._power_on,
            "enablerobot": self._enable,
            "disablerobot": self._disable_robot,
            "clearerror": self._clear_error,
            "emergencystop": self._emergency_stop,
            "brakecontrol": self._brake_control,
            "startdrag": self._start_drag,
            "stopdrag": self._stop_drag,
            "runscript": self._impossible,
            "stop": self._stop,
            "pause": self._pause,
            "continue": self._continue,
            "speedfactor": self._set_speed_factor,
            "velj": self._set_vel_j,
            "accj": self._set_acc_j,
            "vell": self._set_vel_l,
            "accl": self._set_acc_l,
            "cp": self._set_cp,
            "setuser": self._set_user,
            "settool": self._set_tool,
            "calcuser": lambda arguments: self._calc(self._users, arguments),
            "calctool": lambda arguments: self._calc(self._tools, arguments),
            "runto": self._run_to,
            "movejog": self._jog,
            "robotmode": lambda _: str(int(self.mode())),
            "geterrorid": lambda _: alarm_text(self.alarms, self._firmware),
            "getcurrentcommandid": lambda _: str(self._current_id),
            "getangle": lambda _: floats(self.measured()),
            "getpose": self._get_pose,
            "getstartpose": self._impossible,
            "positivekin": self._positive_kin,
            "inversekin": self._inverse_kin,
            "checkoddmovj": lambda arguments: self._check_odd(arguments, line=False),
            "checkoddmovl": lambda arguments: self._check_odd(arguments, line=True),
            "getforce": lambda _: floats(STILL),
            "logexportusb": self._impossible,
            "getexportstatus": lambda _: "0",
            "doinstant": self._set_output,
            "getdo": lambda arguments: str(self._outputs >> (arguments.whole(0) - 1) & 1),
            "getdogroup": lambda arguments: self._bits(self._outputs, arguments),
            "di": lambda arguments: str(self.digital_inputs >> (arguments.whole(0) - 1) & 1),
            "digroup": lambda arguments: self._bits(self.digital_inputs, arguments),
            "aoinstant": self._ao,
            "getao": lambda arguments: f"{self._analog[arguments.whole(0)]:f}",
            "ai": lambda _: f"{0.0:f}",
            "tooldoinstant": self._tool_do,
            "gettooldo": lambda arguments: str(self._tool_outputs >> (arguments.whole(0) - 1) & 1),
            "tooldi": lambda _: "0",
            "toolai": lambda _: f"{0.0:f}",
            "settoolpower": self._set_tool_power,
            "settoolmode": self._set_tool_mode,
            "settool485": self._set_tool_485,
            "modbuscreate": self._modbus_create,
            "modbusrtucreate": self._modbus_rtu_create,
            "modbusclose": self._modbus_close,
            "getholdregs": self._get_hold_registers,
            "getinregs": self._get_hold_registers,
            "setholdregs": self._set_hold_registers,
            "getinbits": self._impossible,
            "getcoils": self._impossible,
            "setcoils": self._impossible,
        }

    def _impossible(self, arguments: Arguments) -> str:
        """No scripts, no USB stick, no coils behind this controller."""
        raise CommandError(FAILED)

    # -- control

    def _request_control(self, arguments: Arguments) -> str:
        if self.enabled or self.brakes_released or self.paused:
            raise CommandError(FAILED)
        self.tcp_mode = True
        return ""

    def _power_on(self, arguments: Arguments) -> str:
        """Answered at once; the mode is 1 until it is done."""
        if self.power is Power.OFF:
            self.power = Power.STARTING
            self._agenda.at(self._now() + POWER_ON_S / self._speed, self._powered)
        return ""

    def _powered(self) -> None:
        self.power = Power.ON
        self._touch()

    def _enable(self, arguments: Arguments) -> str:
        if self.dragging or self.brakes_released:
            raise CommandError(FAILED)
        if arguments.values:
            self._set_load(arguments)
        if not self.enabled and self._enabling is None:
            self._enabling = self._agenda.at(self._now() + ENABLE_S / self._speed, self._enabled)
        return ""

    def _enabled(self) -> None:
        self._enabling = None
        self.enabled = True
        self._touch()

    def _set_load(self, arguments: Arguments) -> None:
        centre = (0.0, 0.0, 0.0)
        if len(arguments.values) >= 4:
            centre = (arguments.number(1), arguments.number(2), arguments.number(3))
        self._load = (arguments.number(0), *centre)

    def _disable_robot(self, arguments: Arguments) -> str:
        self._disable()
        return ""

    def _clear_error(self, arguments: Arguments) -> str:
        """What caused an alarm and is still the case keeps it."""
        keep = {
            Alarm.EMERGENCY_BUTTON: self.emergency_button,
            Alarm.EMERGENCY_SOFTWARE: self.emergency_software,
        }
        self.alarms = [alarm for alarm in self.alarms if any(alarm == a and on for a, on in keep.items())]
        self.collision = False
        return ""

    def _emergency_stop(self, arguments: Arguments) -> str:
        if arguments.whole(0):
            self.press_emergency(software=True)
        else:
            self.release_emergency(software=True)
        return ""

    def _brake_control(self, arguments: Arguments) -> str:
        bit = 1 << (6 - arguments.whole(0))  # bit 0 is J6, bit 5 J1
        self.brakes_released = self.brakes_released | bit if arguments.whole(1) else self.brakes_released & ~bit
        return ""

    def _start_drag(self, arguments: Arguments) -> str:
        if not self.idle:
            raise CommandError(FAILED)
        self.dragging = True
        return ""

    def _stop_drag(self, arguments: Arguments) -> str:
        self.dragging = False
        return ""

    def _stop(self, arguments: Arguments) -> str:
        self._clear_queue()
        self._brake(STOP_FACTOR)
        return ""

    def _pause(self, arguments: Arguments) -> str:
        active = self.active
        if active is not None and active.why == "queue":
            self._brake(STOP_FACTOR)
            self._interrupted = active.goal
        elif not self._queue:
            raise CommandError(FAILED)
        self.paused = True
        return ""

    def _continue(self, arguments: Arguments) -> str:
        if not self.paused:
            raise CommandError(FAILED)
        self.paused = False
        if self.active is None and self._start is None:
            self._start = self._agenda.at(self._now() + START_LATENCY_S, self._next)
        return ""

    # -- settings

    def _set_speed_factor(self, arguments: Arguments) -> str:
        self._speed_factor = arguments.whole(0)
        return ""

    def _set_cp(self, arguments: Arguments) -> str:
        self._cp = arguments.whole(0)
        return ""

    def _set_vel_j(self, arguments: Arguments) -> str:
        self._vel_j = arguments.whole(0)
        return ""

    def _set_acc_j(self, arguments: Arguments) -> str:
        self._acc_j = arguments.whole(0)
        return ""

    def _set_vel_l(self, arguments: Arguments) -> str:
        self._vel_l = arguments.whole(0)
        return ""

    def _set_acc_l(self, arguments: Arguments) -> str:
        self._acc_l = arguments.whole(0)
        return ""

    def _set_user(self, arguments: Arguments) -> str:
        self._users[arguments.whole(0)] = _pose(arguments.numbers(1))
        return ""

    def _set_tool(self, arguments: Arguments) -> str:
        self._tools[arguments.whole(0)] = _pose(arguments.numbers(1))
        return ""

    def _calc(self, frames: dict[int, PoseTuple], arguments: Arguments) -> str:
        known = frames.get(arguments.whole(0))
        if known is None:
            raise CommandError(FAILED)
        a, b = model.from_pose(known), model.from_pose(_pose(arguments.numbers(2)))
        return floats(model.to_pose(model.multiply(b, a) if arguments.whole(1) else model.multiply(a, b)))

    # -- motion that does not queue

    def _run_to(self, arguments: Arguments) -> str:
        if not self.enabled or self.active is not None or self.dragging or (self._queue and not self.paused):
            raise CommandError(FAILED)
        self._check_frames(arguments)
        user = int(arguments.option("user", self._user))
        tool = int(arguments.option("tool", self._tool))
        kind = int(arguments.option("moveType", 0))
        point = arguments.points[0]
        if kind == 2:
            point = Point(True, tuple(q + d for q, d in zip(self._rest, point.values, strict=True)))
        elif kind in (3, 4):
            point = Point(False, self._offset(kind == 3, point.values, user, tool, self._rest))
        try:
            goal = self._goal(kind in (1, 3, 4), point, user, tool, arguments, self._rest)
        except Unreachable as error:
            self._raise_alarm(error.alarm)
            return ""
        self._go("run-to", goal)
        return ""

    def _jog(self, arguments: Arguments) -> str:
        if not arguments.values:
            if self.active is not None and self.active.why == "jog":
                self._brake(STOP_FACTOR)
            return ""
        axis = arguments.word(0)
        kind = int(arguments.option("coordtype", 0 if axis.startswith("J") else 1))
        if axis.startswith("J") != (kind == 0):
            raise CommandError(-6)
        if not self.idle:
            raise CommandError(FAILED)
        self._check_frames(arguments)
        sign = 1.0 if axis.endswith("+") else -1.0
        part = JOG_PART * self._speed_factor / 100.0
        if kind == 0:
            index = int(axis[1]) - 1
            joints = list(self._rest)
            joints[index] = sign * model.JOINT_LIMITS_DEG[index]
            self._go("jog", Goal(tuple(joints), None, part, part))
            return ""
        self._jog_line(axis[:-1].lower(), sign, kind == 2, part, arguments)
        return ""

    def _jog_line(self, axis: str, sign: float, in_tool: bool, part: float, arguments: Arguments) -> None:
        """As far along the axis as the arm can go in a straight line, at most a metre or half a turn."""
        user = int(arguments.option("user", self._user))
        tool = int(arguments.option("tool", self._tool))
        index = ("x", "y", "z", "rx", "ry", "rz").index(axis)
        length = JOG_REACH_MM if index < 3 else 170.0
        while length > 0.5:
            delta = [0.0] * 6
            delta[index] = sign * length
            try:
                flange = self._flange(self._offset(in_tool, tuple(delta), user, tool, self._rest), user, tool)
                motion = line_motion(CR10A, self._rest, flange, LINE_SPEED_MM_S * part, part)
            except Unreachable:
                length *= 0.8
                continue
            self._begin("jog", motion, None, self._shift)
            return
        raise CommandError(FAILED)

    # -- questions

    def _get_pose(self, arguments: Arguments) -> str:
        self._check_frames(arguments)
        user = int(arguments.option("user", self._user))
        tool = int(arguments.option("tool", self._tool))
        return floats(model.to_pose(self._seen(self.measured(), user, tool)))

    def _positive_kin(self, arguments: Arguments) -> str:
        self._check_frames(arguments)
        joints = tuple(arguments.number(index) for index in range(6))
        user, tool = int(arguments.option("user", self._user)), int(arguments.option("tool", self._tool))
        return floats(model.to_pose(self._seen(joints, user, tool)))

    def _inverse_kin(self, arguments: Arguments) -> str:
        """useJointNear without jointNear is ignored: nearest to the current joints."""
        self._check_frames(arguments)
        pose = tuple(arguments.number(index) for index in range(6))
        user, tool = int(arguments.option("user", self._user)), int(arguments.option("tool", self._tool))
        near = arguments.named.get("jointNear")
        reference = near if isinstance(near, tuple) and arguments.option("useJointNear", 0) else self.joints()
        try:
            joints, _ = model.solve_near(CR10A, self._flange(pose, user, tool), reference)
        except Unreachable:
            raise CommandError(FAILED) from None
        return floats(joints)

    def _check_odd(self, arguments: Arguments, *, line: bool) -> str:
        if self.active is not None:
            return "-1"
        start, target = (point.values for point in arguments.points)
        alarm = model.beyond_limit(start) or model.beyond_limit(target)
        if alarm is None and line:
            try:
                line_motion(CR10A, start, CR10A.flange(target), LINE_SPEED_MM_S * self._vel_l / 100.0, 1.0)
            except Unreachable as error:
                alarm = error.alarm
        return str(alarm or 0)

    # -- inputs and outputs

    def _write_output(self, index: int, status: int) -> None:
        bit = 1 << (index - 1)
        self._outputs = (self._outputs | bit if status else self._outputs & ~bit) & 0xFFFF_FFFF_FFFF_FFFF
        self._touch()

    def _set_output(self, arguments: Arguments) -> str:
        index, status = arguments.whole(0), arguments.whole(1)
        self._write_output(index, status)
        if len(arguments.values) > 2:
            self._agenda.at(self._now() + arguments.whole(2) / 1000.0, lambda: self._write_output(index, 1 - status))
        return ""

    def _bits(self, word: int, arguments: Arguments) -> str:
        return ",".join(str(word >> (arguments.whole(i) - 1) & 1) for i in range(len(arguments.values)))

    def _tool_do(self, arguments: Arguments) -> str:
        bit = 1 << (arguments.whole(0) - 1)
        self._tool_outputs = self._tool_outputs | bit if arguments.whole(1) else self._tool_outputs & ~bit
        return ""

    def _ao(self, arguments: Arguments) -> str:
        self._analog[arguments.whole(0)] = arguments.number(1)
        return ""

    # -- the tool's connector

    def _set_tool_power(self, arguments: Arguments) -> str:
        """Switching off and on restarts the gripper: it must be initialised again."""
        if not arguments.whole(0) and self._tool_power:
            self.gripper.init_state = 0
            if self._gripper_ticket is not None:
                self._gripper_ticket.cancel()
                self._gripper_ticket = None
        self._tool_power = bool(arguments.whole(0))
        return ""

    def _set_tool_mode(self, arguments: Arguments) -> str:
        self._tool_485 = arguments.whole(0) == 1
        return ""

    def _set_tool_485(self, arguments: Arguments) -> str:
        parity = arguments.word(1) if len(arguments.values) > 1 else "N"
        self._line = (arguments.whole(0), parity)
        return ""

    def _modbus_create(self, arguments: Arguments) -> str:
        if (arguments.word(0), arguments.whole(1)) != modbus.PASS_THROUGH:
            raise CommandError(FAILED)  # nobody answers at any other address
        return self._master(modbus.Master(arguments.whole(2), *self._line))

    def _modbus_rtu_create(self, arguments: Arguments) -> str:
        parity = arguments.word(2) if len(arguments.values) > 2 else "E"
        return self._master(modbus.Master(arguments.whole(0), arguments.whole(1), parity))

    def _master(self, master: modbus.Master) -> str:
        index = self._masters.create(master)
        if index is None:
            raise CommandError(FAILED)
        return str(index)

    def _modbus_close(self, arguments: Arguments) -> str:
        if not self._masters.close(arguments.whole(0)):
            raise CommandError(FAILED)
        return ""

    def _gripper_hears(self, index: int) -> bool:
        master = self._masters.get(index)
        return (
            master is not None
            and self._tool_power
            and self._tool_485
            and master.slave == modbus.GRIPPER_SLAVE
            and (master.baud, master.parity) == (modbus.GRIPPER_BAUD, modbus.GRIPPER_PARITY)
        )

    def _get_hold_registers(self, arguments: Arguments) -> str:
        kind = arguments.word(3) if len(arguments.values) > 3 else "U16"
        count = arguments.whole(2)
        if not self._gripper_hears(arguments.whole(0)) or count % modbus.registers_per_value(kind):
            raise CommandError(FAILED)
        if self.gripper.grip_state == modbus.CAUGHT and not self._body.fingers_hold():
            self.gripper.stand(self.gripper.commanded * self.gripper.stroke_mm / 1000.0, modbus.DROPPED)
        words: list[int] = []
        for address in range(arguments.whole(1), arguments.whole(1) + count):
            word = self.gripper.read(address, self._gripper_s())
            if word is None:
                raise CommandError(FAILED)
            words.append(word)
        return ",".join(f"{value:g}" for value in modbus.from_registers(words, kind))

    def _set_hold_registers(self, arguments: Arguments) -> str:
        kind = arguments.word(4) if len(arguments.values) > 4 else "U16"
        words = modbus.to_registers(arguments.numbers(3), kind)
        if not self._gripper_hears(arguments.whole(0)) or words is None or len(words) != arguments.whole(2):
            raise CommandError(FAILED)
        for offset, word in enumerate(words):
            self._write_gripper(arguments.whole(1) + offset, word)
        return ""

    def _write_gripper(self, address: int, word: int) -> None:
        """Values out of range are refused by the gripper: the master reports a failed transfer."""
        gripper = self.gripper
        if address == modbus.INIT and word in (1, modbus.FULL_INIT):
            gripper.init_state = 2
            self._after_gripper(modbus.INIT_S, self._gripper_ready)
        elif address == modbus.FORCE and 20 <= word <= 100:
            gripper.force_percent = word
        elif address == modbus.SPEED and 1 <= word <= 100:
            gripper.speed_percent = word
        elif address == modbus.POSITION and word <= 1000:
            if gripper.init_state == 1:  # before that it does not move
                self._move_fingers(word)
        else:
            raise CommandError(FAILED)

    def _after_gripper(self, seconds: float, act: Callable[[], None]) -> None:
        if self._gripper_ticket is not None:
            self._gripper_ticket.cancel()
        self._gripper_ticket = self._agenda.at(self._now() + seconds / self._speed, act)

    def _gripper_ready(self) -> None:
        self._gripper_ticket = None
        self.gripper.init_state = 1
        self.gripper.commanded = 1000
        self.gripper.stand(self.gripper.stroke_mm, modbus.REACHED)
        self._closing_from_mm = None
        self._body.fingers_open(self.gripper.stroke_mm)

    def _move_fingers(self, target: int) -> None:
        gripper = self.gripper
        now_s = self._gripper_s()
        from_mm, to_mm = gripper.width_mm(now_s), target * gripper.stroke_mm / 1000.0
        gripper.commanded = target
        takes_s = gripper.move(target, now_s)
        if to_mm > from_mm:
            # What they held is free as soon as they part.
            self._closing_from_mm = None
            self._body.fingers_open(to_mm)
            self._after_gripper(takes_s, self._fingers_stand)
        else:
            opening_mm = self._closing_from_mm = from_mm if self._closing_from_mm is None else self._closing_from_mm
            self._after_gripper(takes_s, lambda: self._fingers_closed(opening_mm, to_mm))

    def _fingers_stand(self) -> None:
        self._gripper_ticket = None
        self.gripper.stand(None, modbus.REACHED)

    def _fingers_closed(self, from_mm: float, to_mm: float) -> None:
        self._gripper_ticket = None
        self._closing_from_mm = None
        width_mm, holding = self._body.fingers_close(from_mm, to_mm)
        self.gripper.stand(width_mm, modbus.CAUGHT if holding else modbus.REACHED)


_MOTIONS = frozenset(("movj", "movl", "relmovjuser", "relmovjtool", "relmovluser", "relmovltool", "reljointmovj"))


def _pose(values: tuple[float, ...]) -> PoseTuple:
    x, y, z, rx, ry, rz = values
    return x, y, z, rx, ry, rz
