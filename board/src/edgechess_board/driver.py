"""The DGT board as a `SmartBoard`: a link for each connection, reconnected with backoff; orientation; reads."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Literal

import anyio
from anyio.abc import ByteStream

from edgechess_board import settling
from edgechess_board.dgt_link import DgtLink, Identity
from edgechess_board.dgt_squares import codes_of, placement_of, square_of
from edgechess_board.errors import BoardError, BoardLost
from edgechess_board.placement import Placement
from edgechess_board.port import PortAttribute
from edgechess_board.settling import USB, Timing
from edgechess_board.smart_board import BoardEvent, Connected, Lost, Reading

Orientation = Literal["auto", "normal", "rotated"]

START = Placement.from_fen("rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR")
_START_CODES = {rotated: codes_of(START, rotated=rotated) for rotated in (False, True)}

BACKOFF_FIRST_S = 0.5  # a USB device that was pulled and put back is there again within a second
BACKOFF_LIMIT_S = 5.0  # somebody is looking at the table: longer waits only annoy
EVENT_LIMIT = 1000  # events that a slow consumer may be behind; then provisional readings are dropped first


class _Events:
    """A bounded queue with one consumer."""

    def __init__(self) -> None:
        self._queue: deque[BoardEvent] = deque()
        self._some = anyio.Event()

    def put(self, event: BoardEvent) -> None:
        if len(self._queue) >= EVENT_LIMIT:
            stale = next((old for old in self._queue if isinstance(old, Reading) and not old.settled), self._queue[0])
            self._queue.remove(stale)
        self._queue.append(event)
        self._some.set()

    def __aiter__(self) -> AsyncIterator[BoardEvent]:
        return self

    async def __anext__(self) -> BoardEvent:
        while not self._queue:
            self._some = anyio.Event()
            await self._some.wait()
        return self._queue.popleft()


@dataclasses.dataclass(slots=True, eq=False)
class _Read:
    """One caller of `read()`."""

    asked_at_s: float
    done: anyio.Event
    reading: Reading | None = None


class DgtBoard:
    """A DGT board behind `open_port`, which opens its byte stream anew for each connection.

    `open_port` raises BoardNotFound, BoardLost or OSError where it cannot; it is called again after the backoff.
    `orientation` "auto": normal until the start position, or what `expect` was told, is seen the other way round.
    """

    def __init__(
        self,
        open_port: Callable[[], Awaitable[ByteStream]],
        *,
        timing: Timing = USB,
        orientation: Orientation = "auto",
        port: str = "DGT board",
    ) -> None:
        self._open_port = open_port
        self._timing = timing
        self._auto = orientation == "auto"
        self._rotated = orientation == "rotated"
        self._port = port
        self._expected: Placement | None = None
        self._link: DgtLink | None = None
        self._reason = "the board is not connected yet"
        self._lost_told: str | None = None
        self._shown: settling.Show | None = None
        self._events: _Events | None = None
        self._reads: list[_Read] = []

    @property
    def rotated(self) -> bool:
        """White's right hand has the connector."""
        return self._rotated

    def events(self) -> AsyncIterator[BoardEvent]:
        """Every event from this call on, in order. One consumer: an earlier one hears no more."""
        self._events = _Events()
        return self._events

    def expect(self, placement: Placement) -> None:
        """What should stand on the board; with orientation "auto" the board may turn out to lie the other way."""
        self._expected = placement
        shown = self._shown
        if shown is not None and self._orient(shown):
            self._put(self._reading(shown))

    async def read(self) -> Reading:
        """A settled reading of what is there from this call on; one whole scan and a dump after it, 0.3 s at best.

        The deadline is the caller's. Raises BoardLost when there is no link, or it goes down meanwhile.
        """
        if self._link is None:
            raise BoardLost(self._reason)
        read = _Read(anyio.current_time(), anyio.Event())
        self._reads.append(read)
        try:
            if len(self._reads) == 1:  # otherwise the scan under way is not disturbed: ours comes after it
                self._link.look()
            await read.done.wait()
        finally:
            if read in self._reads:
                self._reads.remove(read)
        if read.reading is None:
            raise BoardLost(self._reason)
        return read.reading

    async def run(self) -> None:
        """Serve the board until cancelled: open, identify, serve, lose, wait, open."""
        backoff_s = BACKOFF_FIRST_S
        while True:
            reason, was_connected = await self._connection()
            backoff_s = BACKOFF_FIRST_S if was_connected else min(2 * backoff_s, BACKOFF_LIMIT_S)
            self._lose(reason)
            await anyio.sleep(backoff_s)

    async def _connection(self) -> tuple[str, bool]:
        """One connection from its opening to its end: why it ended, and whether a board had answered."""
        try:
            stream = await self._open_port()
        except (BoardError, OSError) as error:
            return str(error), False
        async with stream:
            port = stream.extra(PortAttribute.name, self._port)

            def connected(identity: Identity) -> None:
                self._link, self._lost_told = link, None
                self._put(Connected(identity.serial_number, identity.version, port))

            link = DgtLink(stream, self._timing, connected, self._show)
            try:
                reason = await link.run()
                return f"{port}: {reason}", self._link is link
            finally:
                self._link, self._shown = None, None

    def _lose(self, reason: str) -> None:
        self._reason = reason
        if reason != self._lost_told:  # a port that stays away is told once, not with every try
            self._lost_told = reason
            self._put(Lost(reason))
        reads, self._reads = self._reads, []
        for read in reads:
            read.done.set()

    def _put(self, event: BoardEvent) -> None:
        if self._events is not None:
            self._events.put(event)

    # -------------------------------------------------------------------------------------------- readings

    def _show(self, shown: settling.Show) -> None:
        before, self._shown = self._shown, shown
        turned = self._orient(shown)
        reading = self._reading(shown)
        news = before is None or turned or not shown.settled or not before.settled or before.codes != shown.codes
        if news:
            self._put(reading)
        if shown.settled:
            self._answer(reading, shown.quiet_from_s)

    def _answer(self, reading: Reading, quiet_from_s: float) -> None:
        """A reading answers those who asked before its scan began; the others wait for the next."""
        for read in [read for read in self._reads if read.asked_at_s <= quiet_from_s]:
            read.reading = reading
            read.done.set()
            self._reads.remove(read)
        if self._reads and self._link is not None:
            self._link.look()

    def _reading(self, shown: settling.Show) -> Reading:
        return Reading(
            placement_of(shown.codes, rotated=self._rotated),
            shown.settled,
            shown.changed_at_s,
            tuple(sorted(square_of(field, rotated=self._rotated) for field in shown.flickering)),
        )

    def _orient(self, shown: settling.Show) -> bool:
        """Turn the mapping if the board plainly lies the other way; whether it did."""
        if not self._auto:
            return False
        known = [_START_CODES]
        if shown.settled and self._expected is not None:
            known.append({rotated: codes_of(self._expected, rotated=rotated) for rotated in (False, True)})
        for codes in known:
            if shown.codes == codes[self._rotated]:
                return False
            if shown.codes == codes[not self._rotated]:
                self._rotated = not self._rotated
                return True
        return False
