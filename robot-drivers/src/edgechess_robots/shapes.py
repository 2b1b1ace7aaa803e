"""Classes of objects that a gripper takes: height, base, where to grasp. From a set file (TOML)."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path


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
    """A set of objects by class name ("king", "pawn" …)."""

    name: str
    shapes: tuple[Shape, ...]

    def __getitem__(self, name: str) -> Shape:
        for shape in self.shapes:
            if shape.name == name:
                return shape
        raise KeyError(f"set {self.name!r} has no {name!r}")

    @property
    def tallest_mm(self) -> float:
        return max(shape.height_mm for shape in self.shapes)


def load_shapes(path: Path) -> ShapeSet:
    """Reads a set file: `name = "…"` and one `[shape.NAME]` table per class with the four sizes in mm.

    Raises ValueError naming file, class and key when a size is missing, not a number or not positive.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from error
    keys = [field.name for field in dataclasses.fields(Shape) if field.name != "name"]
    shapes = []
    for name, table in data.get("shape", {}).items():
        for key in keys:
            value = table.get(key)
            if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
                raise ValueError(f"{path}: shape.{name}.{key} is {value!r}: expected a positive number of millimetres")
        shapes.append(Shape(name, *(float(table[key]) for key in keys)))
    if not shapes:
        raise ValueError(f"{path}: no [shape.NAME] table")
    return ShapeSet(str(data.get("name", path.stem)), tuple(shapes))


# A common wooden tournament set (Staunton no. 6, 95 mm king): heights and bases as sold; grasps at the collar.
STAUNTON_6 = ShapeSet(
    "staunton-6",
    (
        Shape("king", 95.0, 40.0, 60.0, 22.0),
        Shape("queen", 83.0, 38.0, 55.0, 20.0),
        Shape("bishop", 68.0, 33.0, 45.0, 18.0),
        Shape("knight", 60.0, 33.0, 40.0, 22.0),
        Shape("rook", 52.0, 33.0, 35.0, 22.0),
        Shape("pawn", 46.0, 29.0, 30.0, 16.0),
    ),
)
