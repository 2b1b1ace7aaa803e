"""The DGT board's EEPROM log, as EE_MOVES carries it: piece changes, lever times, one-byte tags.

A cyclic buffer dumped oldest entry first, ending with EOF; facts from `dgt-protocol.md` section 6. Nothing here decides
anything: the log says what happened while nobody listened, the board itself says what is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from edgechess_board.dgt_protocol import FIELD_MASK, PIECE_MASK, EeMoves


@dataclasses.dataclass(frozen=True, slots=True)
class LogPiece:
    """A field changed to a code; `quick`: less than about 250 ms after the entry before."""

    field: int
    code: int
    quick: bool


@dataclasses.dataclass(frozen=True, slots=True)
class LogTime:
    """A clock lever was pressed. The three bytes as logged."""

    data: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class LogTag:
    """A one-byte entry by its name in the header (POWERUP, BEGINPOS …), or its hex code where it has none."""

    name: str


LogEntry = LogPiece | LogTime | LogTag

_TAGS = {
    0x00: "NOP2", 0x6A: "POWERUP", 0x6B: "EOF", 0x6C: "FOURROWS", 0x6D: "EMPTYBOARD", 0x6E: "DOWNLOADED",
    0x6F: "BEGINPOS", 0x7A: "BEGINPOS_ROT", 0x7B: "START_TAG", 0x7C: "WATCHDOG", 0x7F: "NOP",
}  # fmt: skip


def log_entries(log: EeMoves) -> tuple[LogEntry, ...]:
    """The log decoded as far as it goes: an entry cut off at the end, and everything after EOF, is left out."""
    entries: list[LogEntry] = []
    data, at = log.data, 0
    while at < len(data):
        first = data[at]
        size, make = _log_entry(first)
        if at + size > len(data):
            break
        entries.append(make(data[at : at + size]))
        at += size
        if _TAGS.get(first) == "EOF":
            break
    return tuple(entries)


def _log_entry(first: int) -> tuple[int, Callable[[bytes], LogEntry]]:
    if 0x40 <= first <= 0x5F:
        return 2, lambda entry: LogPiece(entry[1] & FIELD_MASK, entry[0] & PIECE_MASK, bool(entry[0] & 0x10))
    if 0x60 <= first <= 0x69 or 0x70 <= first <= 0x79:
        return 3, LogTime
    return 1, lambda entry: LogTag(_TAGS.get(entry[0], f"{entry[0]:02x}"))
