"""The hardware under a controller, whoever made it: what of an arm moves in the world, what befalls it while it carries a
piece, and the people who push it about.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from typing import Protocol

import anyio

from edgechess_robots.layout import Point
from edgechess_twin.arm_agenda import Agenda, Ticket
from edgechess_twin.arm_device import ArmBrain
from edgechess_twin.arm_model import Joints, Point3
from edgechess_twin.errors import TwinError
from edgechess_twin.faults import Dice, Faults
from edgechess_twin.motion_profile import Motion
from edgechess_twin.world import World

TOOL_MM = 180.0  # from the flange to the point between the fingertips (reference "dobot-tcp-ip-v4" section 10)
EPOCH_S = 1_750_000_000.0  # what a controller's own clock shows at scheduler time 0: it has no network time
HOVER_MM = 150.0  # a person carries the arm above the pieces
GUIDE_TILT_DEG = 0.3  # sigma: nobody holds an arm exactly upright
STRIKES_WITHIN_S = (0.2, 4.0)  # a carry at public speed takes about five seconds; with a motion-scaled clock, as below
PRESSED_S = (2.0, 6.0)  # until the person who hit the red button has looked and turns it free


class GuideError(TwinError):
    """Nobody can drag the arm there now: its brakes are on, it moves by itself, or it cannot reach. The text says which."""


@dataclasses.dataclass(slots=True, kw_only=True)
class Underway:
    """The motion under way."""

    motion: Motion
    start_s: float
    ticket: Ticket
    shift_from: Point3
    shift_to: Point3

    def shift(self, t_s: float) -> Point3:
        """What repeatability adds to the fingertip at this motion time: it creeps from the last place's to the next one's."""
        part = 1.0 if self.motion.duration_s <= 0.0 else min(1.0, max(0.0, t_s / self.motion.duration_s))
        a, b = self.shift_from, self.shift_to
        return a[0] + part * (b[0] - a[0]), a[1] + part * (b[1] - a[1]), a[2] + part * (b[2] - a[2])


class Truth(Protocol):
    """The arm as it stands."""

    def fingertip(self, joints_deg: Joints) -> Point3: ...

    def yaw_deg(self, joints_deg: Joints) -> float: ...


class Hardware(Protocol):
    """What a controller has under it."""

    def repeatability(self) -> Point3:
        """How far beside its target the next motion ends."""
        ...

    def moves(self, active: Underway, end_s: float, *, guided: bool) -> None:
        """The arm follows this motion from now on; a person pushes it, if `guided`."""
        ...

    def fingers_close(self, from_mm: float, to_mm: float) -> tuple[float, bool]:
        """The fingers have closed: the width at which they stand, and whether on something."""
        ...

    def fingers_open(self, to_mm: float) -> None: ...

    def fingers_hold(self) -> bool: ...


class Brain(ArmBrain, Protocol):
    """As much of a controller as can befall it."""

    def press_emergency(self) -> None: ...

    def release_emergency(self) -> None: ...

    def collide(self) -> None: ...


class Body:
    """The hardware of one arm of a table. `speed` scales motion."""

    def __init__(
        self,
        name: str,
        world: World,
        truth: Truth,
        agenda: Agenda,
        dice: Dice,
        faults: Faults,
        speed: float,
        brain: Callable[[], Brain],
    ) -> None:
        self._name = name
        self._world = world
        self._truth = truth
        self._agenda = agenda
        self._dice = dice
        self._faults = faults
        self._speed = speed
        self._brain = brain
        self._appeared = False

    def appear(self) -> None:
        """In the world, once."""
        if not self._appeared:
            self._appeared = True
            self._world.arm_appears(self._name, Point(*self._truth.fingertip(self._brain().joints())))

    def repeatability(self) -> Point3:
        return _scatter(self._dice.stream(f"{self._name} repeatability"), self._faults.arm_repeatability_mm)

    # -- what the controller does ----------------------------------------------------------------------------------

    def moves(self, active: Underway, end_s: float, *, guided: bool) -> None:
        motion, start_s, speed, truth = active.motion, active.start_s, self._speed, self._truth

        def path(at_s: float) -> Point3:
            t_s = min(motion.duration_s, max(0.0, (at_s - start_s) * speed))
            x, y, z = truth.fingertip(motion.joints(t_s))
            dx, dy, dz = active.shift(t_s)
            return x + dx, y + dy, z + dz

        yaw_deg = truth.yaw_deg(motion.joints(motion.duration_s))
        self._world.tip_path(self._name, path, start_s, end_s, yaw_deg, guided=guided)

    def fingers_close(self, from_mm: float, to_mm: float) -> tuple[float, bool]:
        held_before = self.fingers_hold()
        result = self._world.gripper_closed(self._name, from_mm, to_mm)
        if result.holding and not held_before:
            self._draw_strikes()
        return result.width_mm, result.holding

    def fingers_open(self, to_mm: float) -> None:
        self._world.gripper_opened(self._name, to_mm)

    def fingers_hold(self) -> bool:
        return self._world.grip(self._name).holding

    # -- what befalls an arm that carries a piece ------------------------------------------------------------------

    def _draw_strikes(self) -> None:
        """The faults "collision" and "e-stop": drawn once per piece taken up, striking while it is on its way."""
        if self._dice.happens(f"{self._name} collision", self._faults.collision):
            self._strike("collision", self._brain().collide)
        if self._dice.happens(f"{self._name} e-stop", self._faults.e_stop):
            self._strike("e-stop", self._hit_red_button)

    def _strike(self, fault: str, act: Callable[[], None]) -> None:
        def strike() -> None:
            if self._brain().enabled:
                self._world.note_accident(f"{fault} {self._name}")
                act()

        self._agenda.at(self._later(fault, STRIKES_WITHIN_S), strike)

    def _hit_red_button(self) -> None:
        self._brain().press_emergency()
        self._agenda.at(self._later("e-stop", PRESSED_S), self._brain().release_emergency)

    def _later(self, fault: str, within_s: tuple[float, float]) -> float:
        """A time from now, of motion: a faster table has faster people."""
        after_s = self._dice.stream(f"{self._name} {fault} when").uniform(*within_s)
        return anyio.current_time() + after_s / self._speed

    # -- people ----------------------------------------------------------------------------------------------------

    def legs_to(self, point_mm: Point3) -> list[Point3]:
        """Of the fingertip, as a person drags it to a point as well as people can: up, across above the pieces, down."""
        dx, dy, dz = _scatter(self._hand(), self._faults.calibration_touch_mm)
        x, y, z = point_mm[0] + dx, point_mm[1] + dy, point_mm[2] + dz
        here_x, here_y, here_z = self._truth.fingertip(self._brain().joints())
        top = max(HOVER_MM, z)
        legs = [(here_x, here_y, top), (x, y, top), (x, y, z)]
        return legs[1:] if here_z >= HOVER_MM else legs

    def square_yaw_deg(self) -> float:
        """How people turn the fingers: along the board's edges, where they fit between the pieces."""
        return 90.0 * round(self._truth.yaw_deg(self._brain().joints()) / 90.0)

    def tilt_deg(self) -> tuple[float, float]:
        """How far from upright a person holds the arm, about x and y."""
        hand = self._hand()
        return hand.gauss(0.0, GUIDE_TILT_DEG), hand.gauss(0.0, GUIDE_TILT_DEG)

    def _hand(self) -> random.Random:
        return self._dice.stream(f"{self._name} touch")


def _scatter(rng: random.Random, sigma_mm: float) -> Point3:
    """One draw per axis; nothing is drawn for 0."""
    if sigma_mm <= 0.0:
        return (0.0, 0.0, 0.0)
    return rng.gauss(0.0, sigma_mm), rng.gauss(0.0, sigma_mm), rng.gauss(0.0, sigma_mm)
