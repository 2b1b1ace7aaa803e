"""A table of real processes: what is done with its arms before the components have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgechess_cli.match_folder import MatchFolder
from edgechess_cli.real_table import RealTable, TableSetup, TwinDevices
from edgechess_robots.claim import claimed
from edgechess_robots.errors import ArmClaimed
from edgechess_twin.errors import TwinNotFound

pytestmark = pytest.mark.anyio

HOST, PORT = "127.0.0.1", 48_999  # nothing listens there, and nothing is to be asked


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_arm_that_another_process_moves_is_not_calibrated(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    address = {"kind": "dobot", "host": HOST, "ports": {"29999": PORT}}
    devices = TwinDevices("no-board", {"white": address}, tmp_path / "no-control")
    table = RealTable(TableSetup(), MatchFolder(tmp_path), lambda _words: None)
    with (
        claimed("white", HOST, PORT, "somebody else"),
        pytest.raises(ArmClaimed, match=rf"arm white at {HOST}:{PORT} is held by somebody else"),
    ):
        await table._prepare(devices)
    with pytest.raises(TwinNotFound, match="no-control"):  # now it goes on, to a person who is not there
        await table._prepare(devices)
