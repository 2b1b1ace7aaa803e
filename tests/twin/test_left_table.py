"""A table that was left is the same table when it is taken up again: pieces, trays, racks, fallen ones, arms."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from edgechess_board.placement import Placement, square_index
from edgechess_twin.control import ControlClient
from edgechess_twin.errors import TwinError
from edgechess_twin.left_table import TableLeft, read_left_table
from edgechess_twin.serve import serve
from edgechess_twin.table import RACKS, Table, TableOptions
from edgechess_twin.world import POCKET, PieceLeft

pytestmark = pytest.mark.anyio

KINGS = "4k3/8/8/8/8/8/8/4K3"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_the_control_socket_tells_brings_the_table_back(tmp_path: Path) -> None:
    table = Table(TableOptions(seed=5, speed=100.0))
    async with anyio.create_task_group() as tasks:
        await tasks.start(table.run)
        async with serve(table, directory=tmp_path) as devices:
            async with ControlClient(devices.control_path) as hand:
                await hand.play("e2e4", "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1")
                await hand.knock("d7")
                await hand.lift("a1")  # in the hand when the table is left
                told = await hand.status()
            # anyio's Unix sockets under asyncio log an error when cancelled in the instant in which the peer hangs up
            await anyio.sleep(0.02)
        tasks.cancel_scope.cancel()
    (tmp_path / "table.json").write_text(json.dumps(told))
    again = Table(TableOptions(seed=5, left=read_left_table(tmp_path / "table.json")))
    assert again.world.placement() == Placement.from_fen("rnbqkbnr/ppp1pppp/8/8/4P3/8/PPPP1PPP/1NBQKBNR")
    before = [(v.letter, v.upright, v.steadiness) for v in table.world.pieces()]
    after = [(v.letter, v.upright, v.steadiness) for v in again.world.pieces()]
    assert after == [(letter, upright, pytest.approx(steady, abs=0.001)) for letter, upright, steady in before]
    for was, now in zip(table.world.pieces(), again.world.pieces(), strict=True):
        if was.held_by is None:
            assert (now.x_mm, now.y_mm) == (pytest.approx(was.x_mm, abs=0.01), pytest.approx(was.y_mm, abs=0.01))
    assert [view.letter for view in again.world.pieces() if view.held_by == POCKET] == ["R"]
    assert len(again.world.pieces()) == 32 + sum(map(len, RACKS.values()))


async def test_a_gripper_without_power_lets_go() -> None:
    held = PieceLeft("K", 27.5, -192.5, held_by="white")
    table = Table(TableOptions(left=TableLeft((held,))))
    (view,) = table.world.pieces()
    assert view.held_by is None
    assert not view.upright
    assert table.world.placement() == Placement.empty()


async def test_arms_stand_where_they_were_left() -> None:
    joints = (-80.0, 10.0, -120.0, 20.0, 90.0, -80.0)
    table = Table(TableOptions(left=TableLeft((), {"white": joints})))
    assert table.arms["white"].controller.joints() == joints
    assert table.arms["black"].controller.joints() == Table().arms["black"].controller.joints()


async def test_a_tray_is_no_square() -> None:
    slot = TableOptions().layout.site("white").tray[3]
    table = Table(TableOptions(left=TableLeft((PieceLeft("p", slot.x_mm, slot.y_mm),))))
    assert table.world.placement() == Placement.empty()
    assert table.world.piece_on(square_index("a1")) is None


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[]",
        "{}",
        '{"pieces": [], "joints_deg": []}',
        '{"pieces": [["x", 0, 0, 0, true, null, 1]], "joints_deg": {}}',
        '{"pieces": [["K", 0, 0]], "joints_deg": {}}',
        '{"pieces": [["K", NaN, 0, 0, true, null, 1]], "joints_deg": {}}',
        '{"pieces": [], "joints_deg": {"white": [1, 2, 3]}}',
    ],
)
async def test_a_file_that_holds_no_table_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "table.json"
    path.write_text(text)
    with pytest.raises(TwinError, match="not the status of a table"):
        read_left_table(path)


async def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TwinError, match=r"nowhere\.json: cannot be read"):
        read_left_table(tmp_path / "nowhere.json")
