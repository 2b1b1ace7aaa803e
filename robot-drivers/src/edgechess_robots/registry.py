"""The registry of arms: a word names a kind, an entry point of the group `edgechess.arms` brings it.

A package brings an arm by being installed: `[project.entry-points."edgechess.arms"]`, `word = "package.module:KIND"`, where
`KIND` is an `ArmKind`. How to write one: docs/your-own-arm.md.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, Literal, Protocol, TypeVar

import msgspec

from edgechess_robots.arm import Arm
from edgechess_robots.calibration import Calibration
from edgechess_robots.dobot.tcp import Connect
from edgechess_robots.kinematics import Joints

__all__ = ["ArmKind", "ArmLimits", "Capabilities", "Connect", "DeadMan", "OpenArm", "arm_kind", "arm_names"]

GROUP = "edgechess.arms"

OptionsT = TypeVar("OptionsT")
GivenT = TypeVar("GivenT", contravariant=True)
_AT = re.compile(r" - at `\$\.([^`]*)`$")  # where msgspec says that a value is wrong


DeadMan = Literal["always", "never", "by release"]


@dataclasses.dataclass(frozen=True, slots=True)
class Capabilities:
    """What a caller may count on."""

    rounds_corners: bool
    """`blend_mm` is more than permission: the arm does not stop there."""
    feels_grasp: bool
    """A `Close` knows whether something was caught; without it only the board can tell."""
    dead_man: DeadMan
    """Something ends the motion when this process dies. "by release": the arm's own controller, of some releases.
    `ArmState.dead_man` is the fact; this is what may be expected before there is a link."""
    guided_by_request: bool
    """Hand guiding is switched on by software (`drag`), not by a button at the arm."""


@dataclasses.dataclass(frozen=True, slots=True)
class ArmLimits:
    """Of the arm as it is built; settings and calibration only narrow them."""

    reach_mm: float
    """From the shoulder to the middle of the wrist."""
    payload_kg: float
    joints_deg: Joints
    """Each joint turns from minus to plus this; empty for an arm without turning joints."""
    joint_speeds_deg_s: Joints
    tool_speed_mm_s: float


class OpenArm(Protocol[GivenT]):
    def __call__(self, name: str, connect: Connect, options: GivenT, calibration: Calibration | None) -> Arm:
        """An arm that is not connected yet: `Arm.run` does that. Raises ValueError for options that only now show that
        they cannot be (a file that is not there)."""


@dataclasses.dataclass(frozen=True, slots=True)
class ArmKind(Generic[OptionsT]):
    """One kind of arm. `options` is a frozen dataclass: its fields, with defaults, are what a person can set. Every kind
    has a `max_tool_speed_mm_s`; a `host` and a `live` are filled in from the settings around it, where a kind has them.
    """

    name: str
    title: str
    ports: tuple[int, ...]
    """That `open` dials, for firewalls and twins."""
    capabilities: Capabilities
    limits: ArmLimits
    options: type[OptionsT]
    open: OpenArm[OptionsT]
    regroup: Callable[[Mapping[str, object]], Mapping[str, object]] | None = None
    """What is set flat, as the fields of `options` have it; None: field for field. It leaves what it does not know."""
    also: tuple[str, ...] = ()
    """Names that `regroup` knows and `options` does not."""

    @property
    def option_names(self) -> tuple[str, ...]:
        fields = dataclasses.fields(self.options)  # type: ignore[arg-type]  # a dataclass: see above
        return tuple(sorted({*(field.name for field in fields), *self.also}))

    def parse(self, given: Mapping[str, object]) -> OptionsT:
        """Raises ValueError that names the option and what is wrong with it."""
        for name in given:
            if name not in self.option_names:
                known = ", ".join(self.option_names)
                raise ValueError(f"{self.name} arm: there is no option {name}; there are {known}")
        required = (f.name for f in dataclasses.fields(self.options) if _required(f))  # type: ignore[arg-type]
        for name in required:
            if name not in given:
                raise ValueError(f"{self.name} arm: option {name} is missing: it has no default")
        try:
            return msgspec.convert(self.regroup(given) if self.regroup is not None else given, self.options)
        except msgspec.ValidationError as error:
            found = _AT.search(str(error))
            where = f"option {found[1]}: " if found else ""
            raise ValueError(f"{self.name} arm: {where}{_AT.sub('', str(error))}") from error


def arm_names() -> tuple[str, ...]:
    """Every installed kind's name, sorted."""
    return tuple(sorted(_installed()))


def arm_kind(name: str) -> ArmKind[Any]:
    """Raises ValueError naming the kinds that there are, or the package that registers something else than one, or that
    cannot be imported."""
    point = _installed().get(name)
    if point is None:
        raise ValueError(f"there is no arm of kind {name!r}; there are {', '.join(arm_names())}")
    try:
        found = point.load()
    except (ImportError, AttributeError, SyntaxError) as error:
        raise ValueError(f"arm {name!r} is registered as {point.value}, which cannot be imported: {error}") from error
    if not isinstance(found, ArmKind) or found.name != name:
        raise ValueError(f"{point.value} registers arm {name!r}, but it is not an ArmKind of that name")
    return found


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


@cache  # reading every installed distribution's metadata takes tens of milliseconds
def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}
