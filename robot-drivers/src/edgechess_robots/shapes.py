"""Classes of objects that a gripper takes: height, base, where to grasp. From a set file (TOML), shipped or one's own."""

from __future__ import annotations

import dataclasses
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

SUFFIX = ".toml"
SIZE_MAX_MM = 500.0  # larger is no object on a table: somebody gave another unit
SIZE_MIN_MM = 2.0  # smaller is metres, or inches


@dataclasses.dataclass(frozen=True, slots=True)
class Shape:
    """One class of object. The grasp height is that of the finger centres above the surface it stands on."""

    name: str
    height_mm: float
    base_diameter_mm: float
    grasp_height_mm: float
    grasp_width_mm: float
    """Width between the fingers when they hold it."""


@dataclasses.dataclass(frozen=True, slots=True)
class ShapeSet:
    """A set of objects by class name ("king", "pawn" …), and the edge of the squares that they are made for."""

    name: str
    shapes: tuple[Shape, ...]
    square_mm: float

    def __getitem__(self, name: str) -> Shape:
        for shape in self.shapes:
            if shape.name == name:
                return shape
        raise KeyError(f"set {self.name!r} has no {name!r}")

    @property
    def tallest_mm(self) -> float:
        return max(shape.height_mm for shape in self.shapes)


def shipped_sets() -> tuple[str, ...]:
    """The names under which sets come with this package, sorted."""
    folder = files("edgechess_robots") / "sets"
    return tuple(sorted(entry.name.removesuffix(SUFFIX) for entry in folder.iterdir() if entry.name.endswith(SUFFIX)))


def load_shapes(name_or_path: str | Path) -> ShapeSet:
    """A shipped set by its name, else a set file: `name`, `square_mm`, and one `[shape.NAME]` table per class with the
    four sizes in mm.

    Raises OSError for a file that cannot be read; ValueError naming file, class and key for what cannot be.
    """
    given = str(name_or_path)
    if given in shipped_sets():
        text = (files("edgechess_robots") / "sets" / f"{given}{SUFFIX}").read_text(encoding="utf-8")
        return _read(text, given)
    path = Path(name_or_path)
    if not path.exists() and path.name == given and not given.endswith(SUFFIX):
        raise ValueError(f"there is no set {given!r}: shipped are {', '.join(shipped_sets())}; else name a file")
    return _read(path.read_text(encoding="utf-8"), given)


def _read(text: str, source: str) -> ShapeSet:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{source}: {error}") from error
    square_mm = _size(data.get("square_mm"), f"{source}: square_mm")
    tables = data.get("shape", {})
    if not isinstance(tables, dict) or not tables:
        raise ValueError(f"{source}: no [shape.NAME] table")
    shapes = tuple(_shape(name, table, square_mm, source) for name, table in tables.items())
    return ShapeSet(str(data.get("name", Path(source).stem)), shapes, square_mm)


def _shape(name: str, table: Any, square_mm: float, source: str) -> Shape:
    keys = [field.name for field in dataclasses.fields(Shape) if field.name != "name"]
    where = f"{source}: shape.{name}"
    if not isinstance(table, dict):
        raise ValueError(f"{where} is no table")
    shape = Shape(name, *(_size(table.get(key), f"{where}.{key}") for key in keys))
    for small, large in (("grasp_height_mm", "height_mm"), ("grasp_width_mm", "base_diameter_mm")):
        if getattr(shape, small) >= getattr(shape, large):
            raise ValueError(f"{where}.{small} is {getattr(shape, small):g}: expected less than its {large}")
    if shape.base_diameter_mm >= square_mm:
        raise ValueError(f"{where}.base_diameter_mm is {shape.base_diameter_mm:g}: a square is {square_mm:g} mm")
    return shape


def _size(value: object, where: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not SIZE_MIN_MM <= value <= SIZE_MAX_MM:
        raise ValueError(f"{where} is {value!r}: expected millimetres, {SIZE_MIN_MM:g} to {SIZE_MAX_MM:g}")
    return float(value)


STAUNTON_6 = load_shapes("staunton-6")
"""What is played with where nothing else is said."""
