from __future__ import annotations

import math
from pathlib import Path

import pytest

from edgechess_robots.layout import Point, standard_layout
from edgechess_robots.shapes import STAUNTON_6, load_shapes, shipped_sets

LAYOUT = standard_layout()


def test_squares_of_the_board() -> None:
    assert LAYOUT.square("a1") == Point(-192.5, -192.5)
    assert LAYOUT.square("h8") == Point(192.5, 192.5)
    assert LAYOUT.square("e4") == Point(27.5, -27.5)


@pytest.mark.parametrize(
    "name", ["", "a", "i1", "a9", "a0", "A1", "e44", "tray-white", "tray-white-16", "rack-red-0", "tray-white-x"]
)
def test_what_is_no_place(name: str) -> None:
    with pytest.raises(ValueError):
        LAYOUT.place(name)


def test_the_second_arms_things_are_the_firsts_turned_about_the_centre() -> None:
    white, black = LAYOUT.sites
    for mine, theirs in zip((*white.tray, *white.rack), (*black.tray, *black.rack), strict=True):
        assert (mine.x_mm, mine.y_mm) == (-theirs.x_mm, -theirs.y_mm)
    assert LAYOUT.place("tray-white-0") == white.tray[0]
    assert LAYOUT.place("rack-black-4") == black.rack[4]


def test_no_two_places_are_nearer_than_a_square() -> None:
    places = [LAYOUT.square(f + r) for f in "abcdefgh" for r in "12345678"]
    places += [slot for site in LAYOUT.sites for slot in (*site.tray, *site.rack)]
    assert len(places) == 64 + 2 * (16 + 5)
    gaps = [math.hypot(a.x_mm - b.x_mm, a.y_mm - b.y_mm) for i, a in enumerate(places) for b in places[:i]]
    assert min(gaps) >= 55.0 - 1e-9


KING = "[shape.king]\nheight_mm = 90\nbase_diameter_mm = 37.5\ngrasp_height_mm = 60\ngrasp_width_mm = 20\n"


def test_a_set_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "club.toml"
    path.write_text(f'name = "mine"\nsquare_mm = 52\n{KING}')
    for shapes in (load_shapes(path), load_shapes(str(path))):
        assert (shapes.name, shapes.square_mm) == ("mine", 52.0)
        assert shapes["king"].base_diameter_mm == 37.5
        with pytest.raises(KeyError, match="no 'queen'"):
            shapes["queen"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("square_mm = 55", "no .shape.NAME. table"),
        (KING, "square_mm is None"),
        ("square_mm = 0.055\n" + KING, "square_mm is 0.055: expected millimetres"),
        ("square_mm = 37\n" + KING, "shape.king.base_diameter_mm is 37.5: a square is 37 mm"),
        ("square_mm = 55\n[shape.king]\nheight_mm = 0", "shape.king.height_mm is 0"),
        ('square_mm = 55\n[shape.king]\nheight_mm = "tall"', "shape.king.height_mm is 'tall'"),
        ("square_mm = 55\n[shape.king]\nheight_mm = true", "shape.king.height_mm is True"),
        ("square_mm = 55\nshape = {king = 3}", "shape.king is no table"),
        ("square_mm = 55\n" + KING.replace("= 60", "= 95"), "grasp_height_mm is 95: expected less than its height_mm"),
        ("square_mm = 55\n" + KING.replace("= 20", "= 38"), "grasp_width_mm is 38: expected less than its base_diam"),
        ("[shape", "club.toml"),
    ],
)
def test_a_damaged_set_names_class_and_size(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "club.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=reason):
        load_shapes(path)


def test_shipped_sets_are_found_by_name_and_others_are_named() -> None:
    assert shipped_sets() == ("club-50", "staunton-6")
    assert load_shapes("staunton-6") == STAUNTON_6
    with pytest.raises(ValueError, match="no set 'staunton': shipped are club-50, staunton-6"):
        load_shapes("staunton")
    with pytest.raises(OSError):
        load_shapes("none.toml")


@pytest.mark.parametrize("name", shipped_sets())
def test_every_shape_can_be_grasped_below_its_top_and_stands_on_a_square(name: str) -> None:
    shapes = load_shapes(name)
    heights = [shapes[kind].height_mm for kind in ("king", "queen", "bishop", "knight", "rook", "pawn")]
    assert heights == sorted(heights, reverse=True)
    assert shapes.tallest_mm == heights[0]
    for shape in shapes.shapes:
        assert 0.0 < shape.grasp_height_mm < shape.height_mm
        assert shape.grasp_width_mm < shape.base_diameter_mm < shapes.square_mm


def test_the_tournament_set_is_as_tall_as_its_name_says() -> None:
    assert (STAUNTON_6.tallest_mm, STAUNTON_6.square_mm) == (95.0, 55.0)
