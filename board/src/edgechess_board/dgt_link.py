"""One connection to one DGT board: it identifies the board, serves it until the link is lost, and is thrown away.

Reconnecting is the driver's job. One task receives bytes, one decides and sends; settling is `settling.decide`.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable
from typing import NoReturn, TypeVar

import anyio
from anyio.abc import ByteStream

from edgechess_board import dgt_protocol as dgt
from edgechess_board import settling
from edgechess_board.errors import BoardLost
from edgechess_board.settling import Timing

CHUNK_BYTES = 4096
CHUNK_LIMIT = 64  # chunks between the two tasks; the receiver waits when the decider is behind
ANSWER_TIMEOUT_S = 1.0  # identification: 13 bytes of line at most, plus whatever else a board does after a reset
ANSWER_TRIES = 3  # a byte may be lost in either direction
IDENTIFY_LIMIT_S = 15.0  # a board may be in the middle of an EEPROM log, 8.3 s of line, when we open it
RESET_PAUSE_S = 0.1  # picochess gives the board this time after each command
WRITE_TIMEOUT_S = 2.0  # one byte takes 1 ms; a driver that does not take it has lost its device
PROBE_S = 1.0  # nothing heard for this long: ask for the serial number, as DGT's own programs do
LINK_LOST_S = 3.2  # three probes without a byte in answer
AUDIT_S = 5.0  # a lost update leaves no trace when its bytes vanish whole: compare this often; 7 % of one second's line
LINE_BUSY_S = 0.1  # a message under way is not interrupted by a request unless the line has been dead for this long

M = TypeVar("M", dgt.SerialNumber, dgt.Version, dgt.Trademark)


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """What the board says of itself. Empty where it does not answer (the serial number always is)."""

    serial_number: str
    version: str
    trademark: str


class DgtLink:
    """Serves one byte stream once. Calls `connected` after identification, `show` for every picture of the board."""

    def __init__(
        self,
        stream: ByteStream,
        timing: Timing,
        connected: Callable[[Identity], None],
        show: Callable[[settling.Show], None],
    ) -> None:
        self._stream = stream
        self._connected = connected
        self._show = show
        self._parser = dgt.MessageParser()
        self._state = settling.Settling(timing)
        self._chunks: deque[bytes] = deque()
        self._news = anyio.Event()
        """Set when there are chunks, when the stream has ended, and by `look`."""
        self._room = anyio.Event()
        self._ended = False
        self._end = "the link closed"
        self._heard_at_s = 0.0
        self._dump_wanted = False

    async def run(self) -> str:
        """Until the link is lost; returns why. Does not close the stream."""
        reason = self._end
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._receive_all, name="board: receive")
            try:
                self._heard_at_s = anyio.current_time()
                self._connected(await self._identify())
                await self._serve()
            except BoardLost as lost:
                reason = str(lost)
            tasks.cancel_scope.cancel()
        return reason

    def look(self) -> None:
        """Settle again on what is there from now on, even if nothing changes."""
        self._decide(settling.Looked(anyio.current_time()))
        self._news.set()  # wakes the decider; its wake-up time has changed

    # -------------------------------------------------------------------------------------------- bytes

    async def _receive_all(self) -> None:
        try:
            while True:
                self._chunks.append(await self._stream.receive(CHUNK_BYTES))
                self._news.set()
                while len(self._chunks) >= CHUNK_LIMIT:
                    self._room = anyio.Event()
                    await self._room.wait()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            pass
        except (anyio.BrokenResourceError, OSError) as error:
            self._end = f"the link broke: {error or type(error).__name__}"
        self._ended = True
        self._news.set()

    async def _receive(self, until_s: float) -> bytes:
        """The next bytes; none when the time has come or somebody called `look`. Raises BoardLost at the end."""
        with anyio.CancelScope(deadline=until_s):
            await self._news.wait()
        if self._chunks:
            data = self._chunks.popleft()
            self._room.set()
            self._heard_at_s = anyio.current_time()
        elif self._ended:
            raise BoardLost(self._end)
        else:
            data = b""
        if not self._chunks and not self._ended and self._news.is_set():
            self._news = anyio.Event()
        return data

    async def _send(self, *commands: dgt.Command) -> None:
        """At most a few at a time: a board buffers ten bytes. Raises BoardLost."""
        data = b"".join(dgt.encode_command(command) for command in commands)
        try:
            with anyio.fail_after(WRITE_TIMEOUT_S):
                await self._stream.send(data)
        except TimeoutError as error:
            raise BoardLost(f"the link takes no bytes for {WRITE_TIMEOUT_S} s") from error
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError) as error:
            raise BoardLost(f"the link broke: {error or type(error).__name__}") from error

    # -------------------------------------------------------------------------------------------- identification

    async def _identify(self) -> Identity:
        await self._send(dgt.Command.SEND_RESET)
        await anyio.sleep(RESET_PAUSE_S)
        serial = await self._ask(dgt.Command.RETURN_SERIALNR, dgt.SerialNumber)
        if serial is None:
            raise BoardLost(f"no DGT board answers: no serial number after {ANSWER_TRIES} requests")
        version = await self._ask(dgt.Command.SEND_VERSION, dgt.Version)
        trademark = await self._ask(dgt.Command.SEND_TRADEMARK, dgt.Trademark)
        return Identity(
            serial.text,
            f"{version.main}.{version.sub:02}" if version else "",
            trademark.text if trademark else "",
        )

    async def _ask(self, command: dgt.Command, answer: type[M]) -> M | None:
        limit_s = anyio.current_time() + IDENTIFY_LIMIT_S
        for _ in range(ANSWER_TRIES):
            await self._send(command)
            until_s = anyio.current_time() + ANSWER_TIMEOUT_S
            while anyio.current_time() < min(until_s, limit_s):
                data = await self._receive(min(until_s, limit_s))
                for message in self._parser.feed(data):
                    if isinstance(message, answer):
                        return message
                if data and self._parser.mid_message:  # a long message is not interrupted
                    until_s = max(until_s, anyio.current_time() + LINE_BUSY_S)
        return None

    # -------------------------------------------------------------------------------------------- service

    async def _serve(self) -> NoReturn:
        await self._send(dgt.Command.SEND_UPDATE_NICE)
        self._decide(settling.Started(anyio.current_time()))
        probed_at_s = audited_at_s = anyio.current_time()
        while True:
            now_s = anyio.current_time()
            if now_s >= self._heard_at_s + LINK_LOST_S:
                raise BoardLost(f"the board has been silent for {LINK_LOST_S} s")
            if self._dump_wanted and now_s >= self._line_free_at_s():
                self._dump_wanted = False
                await self._send(dgt.Command.SEND_BRD)
            if now_s >= max(self._heard_at_s, probed_at_s) + PROBE_S:
                probed_at_s = now_s
                await self._send(dgt.Command.RETURN_SERIALNR)
            if now_s >= max(self._state.changed_at_s, audited_at_s) + AUDIT_S:
                audited_at_s = now_s
                if self._state.settled:
                    await self._send(dgt.Command.SEND_UPDATE_NICE)  # in case that the command itself was lost
                    self._decide(settling.Audited(now_s))
                    continue
            data = await self._receive(
                min(
                    max(self._heard_at_s, probed_at_s) + PROBE_S,
                    max(self._state.changed_at_s, audited_at_s) + AUDIT_S,
                    self._heard_at_s + LINK_LOST_S,
                    *((self._state.wake_at_s,) if self._state.wake_at_s is not None else ()),
                    *((self._line_free_at_s(),) if self._dump_wanted else ()),
                )
            )
            self._hear(data)

    def _line_free_at_s(self) -> float:
        return self._heard_at_s + LINE_BUSY_S if self._parser.mid_message else 0.0

    def _hear(self, data: bytes) -> None:
        for message in self._parser.feed(data):
            now_s = anyio.current_time()
            match message:
                case dgt.FieldUpdate(field, code):
                    self._decide(settling.Updated(now_s, field, code))
                case dgt.BoardDump(codes):
                    self._decide(settling.Dumped(now_s, codes))
                case dgt.Garbled():
                    self._decide(settling.Damaged(now_s))
                case _:
                    pass  # clocks, probes' answers, logs: proof of life, and no more
        if self._state.wake_at_s is not None and anyio.current_time() >= self._state.wake_at_s:
            self._decide(settling.Woken(anyio.current_time()))

    def _decide(self, event: settling.Event) -> None:
        self._state, effects = settling.decide(self._state, event)
        for effect in effects:
            match effect:
                case settling.RequestDump():
                    self._dump_wanted = True
                case settling.Show():
                    self._show(effect)
