"""`human` at the prompt: what is typed is made by the person's hand at the software table.

The board then recognises it like any person's move: a human player is never asked by the director, on no table.
"""

from __future__ import annotations

import os
import sys
import termios
import tty
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Protocol

import chess

from edgechess_cli.line_reader import LineReader
from edgechess_cli.real_table import ServedTable
from edgechess_inference.table_players import RESIGN_WORDS, read_move
from edgechess_kit import messages as m
from edgechess_kit.topics import Topics
from edgechess_twin.control import ControlClient
from edgechess_twin.errors import TwinError


class Editor(Protocol):
    """Shows what is being typed, and what it is answered."""

    def typing(self, prompt: str, text: str) -> None: ...
    def say(self, text: str) -> None: ...


class Prompt:
    """Asks for the moves of `colors` ("w", "b") as long as the match goes on and standard input is open."""

    def __init__(self, colors: str, editor: Editor, topics: Topics | None = None) -> None:
        self._colors = colors
        self._editor = editor
        self._topics = topics or Topics()

    async def run(self, table: ServedTable) -> None:
        """Until standard input closes. Then somebody else has to move the pieces: `edgechess twin hand`."""
        async with ControlClient(str(table.devices.control)) as hand:
            with _keys() as keys:
                reader = LineReader(keys, self._editor.typing)
                async for state in self._turns(table):
                    await self._one_move(table, hand, reader, state)
                    if reader.closed:
                        return

    async def _turns(self, table: ServedTable) -> AsyncIterator[m.SessionState]:
        """Every position in which a human is to move, once."""
        t = self._topics
        seen: tuple[str | None, int] | None = None
        async with table.bus.subscribe(t.session_state) as states:
            async for delivery in states:
                state = delivery.decode(t.session_state)
                if state.status != "running" or state.fen is None or state.phase is not None:
                    continue
                turn = (state.session_id, state.ply)
                if turn != seen and state.fen.split()[1] in self._colors:
                    seen = turn
                    yield state

    async def _one_move(
        self, table: ServedTable, hand: ControlClient, reader: LineReader, state: m.SessionState
    ) -> None:
        assert state.fen is not None
        board = chess.Board(state.fen)
        side = "White" if board.turn else "Black"
        prompt = f"{side} (Nf3 or g1f3; resign): "
        while True:
            text = await reader.line(prompt)
            if text is None:
                return
            if text.lower() in RESIGN_WORDS:
                await self._resign(table, board)
                return
            try:
                move = read_move(board, text)
                await hand.play(move.uci(), state.fen)
            except (ValueError, TwinError) as error:
                self._editor.say(str(error))
                continue
            self._editor.typing("", "")
            return

    async def _resign(self, table: ServedTable, board: chess.Board) -> None:
        control = m.SessionControl(command="resign", request_id=uuid.uuid4().hex, color="w" if board.turn else "b")
        await table.bus.publish(self._topics.session_control, control)


@contextmanager
def _keys() -> Iterator[int]:
    """Standard input; a terminal gives its keys at once and echoes nothing meanwhile."""
    descriptor = sys.stdin.fileno()
    if not os.isatty(descriptor):
        yield descriptor
        return
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield descriptor
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
