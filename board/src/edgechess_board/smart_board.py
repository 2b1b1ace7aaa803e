"""The board port: what any smart board gives to the component that serves it."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from typing import Protocol

from edgechess_board.placement import Placement


@dataclasses.dataclass(frozen=True, slots=True)
class Connected:
    """The board answered its probe. `serial_number` as it reports it; `port` for people."""

    serial_number: str
    version: str
    port: str


@dataclasses.dataclass(frozen=True, slots=True)
class Lost:
    """The link is gone; the driver goes on trying. Nothing seen before counts as the board's present state."""

    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """A placement as the board shows it. `settled`: no change for the settling time and a dump confirms.

    An unsettled reading is provisional: shown to people, never used to decide.
    `changed_at_s` is the scheduler time of the last change that the board reported.
    `flickering`: squares that keep changing (a piece off its centre); while there are any, nothing settles.
    """

    placement: Placement
    settled: bool
    changed_at_s: float
    flickering: tuple[int, ...] = ()


BoardEvent = Connected | Lost | Reading


class SmartBoard(Protocol):
    """One board. `run()` owns the link (and reconnects); events and reads are served while it runs."""

    async def run(self) -> None:
        """Serve the board until cancelled."""

    def events(self) -> AsyncIterator[BoardEvent]:
        """Every event from now on, in order. One consumer."""

    async def read(self) -> Reading:
        """A settled reading whose confirming dump was asked for after this call. Waits while the board is in flux.

        The deadline is the caller's (cancel it). Raises BoardLost when the link goes down meanwhile.
        """

    @property
    def rotated(self) -> bool:
        """White's right hand has the connector: the board is turned by 180 degrees."""

    def expect(self, placement: Placement) -> None:
        """What should stand on the board: a board that does not know which way it lies may tell by it."""
