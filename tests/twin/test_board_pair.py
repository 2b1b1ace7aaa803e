"""The project's own board driver against the simulated board: hands, flicker, a lossy wire, a link that breaks."""

from __future__ import annotations

import random

import anyio
import chess
import pytest

from edgechess_board.driver import DgtBoard
from edgechess_board.errors import BoardLost
from edgechess_board.placement import Placement
from edgechess_twin.faults import HARSH, NONE, Faults
from edgechess_twin.table import Table, TableOptions

pytestmark = pytest.mark.anyio


async def settled(board: DgtBoard) -> Placement:
    """A settled reading, asked for again while the link is down."""
    with anyio.fail_after(120.0):
        while True:
            try:
                return (await board.read()).placement
            except BoardLost:
                await anyio.sleep(0.5)


@pytest.mark.parametrize("rotated", [False, True])
@pytest.mark.parametrize("faults", [NONE, HARSH, Faults(serial_loss=0.002, serial_flip=0.001, serial_disconnect=0.01)])
async def test_every_position_of_a_game_by_hand_is_read(faults: Faults, rotated: bool) -> None:
    table = Table(TableOptions(seed=2, faults=faults, rotated=rotated, arms=(), speed=4.0))
    dice = random.Random(2)
    async with anyio.create_task_group() as tasks:
        await tasks.start(table.run)
        driver = DgtBoard(table.open_board, orientation="rotated" if rotated else "normal")
        tasks.start_soon(driver.run)
        board = chess.Board()
        assert (await settled(driver)).fen == board.board_fen()
        for _ in range(40):
            move = dice.choice(sorted(board.legal_moves, key=chess.Move.uci))
            await table.person.play(move.uci(), board.fen())
            board.push(move)
            found = await settled(driver)
            if found.fen != board.board_fen():  # two men on the border of their squares: the person sees it, too
                assert faults.off_centre_mm > 0.0
                await table.person.arrange(board.board_fen())
                found = await settled(driver)
            assert found.fen == board.board_fen()
        tasks.cancel_scope.cancel()
