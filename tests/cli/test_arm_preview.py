"""`edgechess arm preview`: a picture of what would be done, or the reason why not."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgechess_cli.arm_command import app

RUN = CliRunner()
KINGS = "4k3/8/8/8/8/8/4P3/4K3 w - - 0 1"


def drawn(path: Path, *options: str) -> ET.Element:
    result = RUN.invoke(app, ["preview", "--out", str(path), *options])
    assert result.exit_code == 0, result.output
    return ET.fromstring(path.read_text(encoding="utf-8"))


def words(picture: ET.Element) -> list[str]:
    return [element.text or "" for element in picture.iter() if element.tag.endswith("text")]


@pytest.mark.parametrize("kind", ["dobot", "ro1"])
def test_a_quiet_move_is_drawn_with_its_places_heights_and_times(tmp_path: Path, kind: str) -> None:
    picture = drawn(tmp_path / "e4.svg", "--move", "e4", "--kind", kind)
    said = words(picture)
    assert f"e4, White's arm ({kind})" in said
    for word in ("parked", "e2", "e4", "lowest 120 mm", "down on e2", "still held?"):
        assert word in said
    assert said.count("♟") >= 16  # from above, and those under the ways from the side
    rounded = any("corner rounded" in word for word in said)
    assert rounded == (kind == "dobot")


def test_every_carry_of_a_capture_has_its_own_view(tmp_path: Path) -> None:
    fen = "r1bqk2r/pppp1ppp/2n2n2/4p3/1bB1P3/2NP1N2/PPP2PPP/R1BQK2R b KQkq - 0 5"
    said = words(drawn(tmp_path / "x.svg", "--fen", fen, "--move", "b4c3"))
    assert "white knight c3 to tray-black-0" in said
    assert "black bishop b4 to c3" in said
    assert said.count("tray-black-0") == 2  # where the first carry ends and the second one's way begins


def test_another_set_is_lower_and_its_board_smaller(tmp_path: Path) -> None:
    said = words(drawn(tmp_path / "club.svg", "--move", "e2e4", "--set", "club-50"))
    assert "lowest 103 mm" in said  # over its 78 mm king
    assert any("set club-50" in word for word in said)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--move", "e5"), "--move 'e5' is no legal move in this position"),
        (("--move", "e4", "--fen", "nonsense"), "--fen: "),
        (("--move", "e4", "--arm", "red"), "--arm 'red': expected white or black"),
        (("--move", "e4", "--kind", "crane"), "--kind 'crane': expected dobot or ro1"),
        (("--move", "e4", "--speed", "0"), "--speed 0: expected more than 0"),
        (("--move", "e4", "--set", "marble"), "there is no set 'marble': shipped are club-50, staunton-6"),
        (("--move", "e4", "--out", "/nowhere/at/all.svg"), "/nowhere/at/all.svg"),
    ],
)
def test_what_cannot_be_asked_is_one_line(tmp_path: Path, options: tuple[str, ...], reason: str) -> None:
    result = RUN.invoke(app, ["preview", "--out", str(tmp_path / "x.svg"), *options])
    assert result.exit_code == 2
    assert reason in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_a_refused_plan_names_what_is_in_the_way_and_is_not_drawn(tmp_path: Path) -> None:
    wide = tmp_path / "wide.toml"
    shape = "height_mm = 95\nbase_diameter_mm = 54\ngrasp_height_mm = 60\ngrasp_width_mm = 22\n"
    names = ("king", "queen", "bishop", "knight", "rook", "pawn")
    wide.write_text("square_mm = 55\n" + "".join(f"[shape.{name}]\n{shape}" for name in names))
    out = tmp_path / "x.svg"
    result = RUN.invoke(app, ["preview", "--move", "e2e4", "--set", str(wide), "--out", str(out)])
    assert result.exit_code == 1
    assert "refused (clearance): white pawn e2 to e4: the white pawn at d2 is in the way" in result.output
    assert not out.exists()
