"""The board sensor as a process: a DGT board on a serial port, a bus, a journal."""

from __future__ import annotations

import sys

from edgechess_board.driver import DgtBoard
from edgechess_board.serial_adapter import SerialPorts
from edgechess_board_sensor import component
from edgechess_board_sensor.settings import Settings
from edgechess_kit.component import Context
from edgechess_kit.entry import run_component


async def main(context: Context[Settings]) -> None:
    settings = context.settings
    board = DgtBoard(
        SerialPorts(settings.port).open, timing=settings.timing, orientation=settings.orientation, port=settings.port
    )
    await component.run(context, board)


if __name__ == "__main__":
    sys.exit(run_component("board-sensor", Settings, main))
