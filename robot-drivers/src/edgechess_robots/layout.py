"""Where things are on a table: the board frame, its squares, trays, racks and the arms' nominal bases.

The board frame: origin at the centre of the board's surface, x from the a-file side to the h-file side, y from the
first rank to the eighth, z up; millimetres. Squares are (column, row) = (file, rank) from 0.
This room knows objects and places, not chess: a place is a name with a point.
"""

from __future__ import annotations

import dataclasses

from edgechess_robots.poses import Pose

COLUMNS = "abcdefgh"


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    x_mm: float
    y_mm: float
    z_mm: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class ArmSite:
    """One arm of the table. `base` is the nominal pose of its base frame in the board frame (z up, so rx = 0)."""

    name: str
    base: Pose
    tray: tuple[Point, ...]
    rack: tuple[Point, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class TableLayout:
    square_mm: float
    sites: tuple[ArmSite, ...]

    def square(self, name: str) -> Point:
        """ "a1" is (-3.5, -3.5) squares from the centre. Raises ValueError for a bad name."""
        if len(name) != 2 or name[0] not in COLUMNS or name[1] not in "12345678":
            raise ValueError(f"square {name!r}: expected a1 to h8")
        column, row = COLUMNS.index(name[0]), int(name[1]) - 1
        return Point((column - 3.5) * self.square_mm, (row - 3.5) * self.square_mm)

    def site(self, name: str) -> ArmSite:
        for site in self.sites:
            if site.name == name:
                return site
        raise ValueError(f"arm {name!r}: this table has {', '.join(s.name for s in self.sites)}")

    def place(self, name: str) -> Point:
        """A square ("e4"), a tray slot ("tray-white-3") or a rack slot ("rack-black-0"). Raises ValueError."""
        kind, _, rest = name.partition("-")
        if kind not in ("tray", "rack"):
            return self.square(name)
        arm, _, number = rest.rpartition("-")
        site = self.site(arm)
        slots = site.tray if kind == "tray" else site.rack
        if not number.isdigit() or int(number) >= len(slots):
            raise ValueError(f"slot {name!r}: the {kind} of arm {arm} has slots 0 to {len(slots) - 1}")
        return slots[int(number)]


def standard_layout(
    square_mm: float = 55.0,
    base_distance_mm: float = 600.0,
    arms: tuple[str, ...] = ("white", "black"),
    tray_slots: int = 16,
    rack_slots: int = 5,
) -> TableLayout:
    """Two arms face to face behind the first and the eighth rank, each with a tray and a rack to its right.

    A tray has two columns of eight slots beside the board, a rack one column outside it, all on the square pitch;
    both trays lie within reach of both arms (reference "robot-motion": 450 to 950 mm from base to board centre).
    The second arm's things are the first's turned by 180 degrees about the board's centre.
    """
    sites = []
    for number, name in enumerate(arms):
        sign = 1.0 if number == 0 else -1.0
        tray = tuple(
            Point(sign * (5.0 + slot // 8) * square_mm, sign * (slot % 8 - 3.5) * square_mm)
            for slot in range(tray_slots)
        )
        rack = tuple(Point(sign * 7.0 * square_mm, sign * (slot - 3.5) * square_mm) for slot in range(rack_slots))
        base = Pose(0.0, -sign * base_distance_mm, 0.0, 0.0, 0.0, 90.0 if number == 0 else -90.0)
        sites.append(ArmSite(name, base, tray, rack))
    return TableLayout(square_mm, tuple(sites))
