"""What lies beside the board: every tray and rack slot of the table and the piece in it, as far as it was verified."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgechess_robots.layout import TableLayout


@dataclasses.dataclass(frozen=True, slots=True)
class Slot:
    """One place beside the board. `piece` is a FEN letter, None an empty slot.

    `doubtful`: a carry to or from here was begun and its end was not verified. Such a slot is never filled
    (something may stand in it) and its piece is the last one taken. `home`: the letter that a full rack has here.
    """

    name: str
    piece: str | None = None
    doubtful: bool = False
    home: str | None = None

    @property
    def free(self) -> bool:
        return self.piece is None and not self.doubtful


@dataclasses.dataclass(frozen=True, slots=True)
class Slots:
    """All trays, then all racks, in the layout's order."""

    slots: tuple[Slot, ...]

    @classmethod
    def filled(cls, layout: TableLayout, racks: Mapping[str, str]) -> Slots:
        """Empty trays and full racks: `racks` has the FEN letters of each arm's rack, slot 0 first.

        Raises ValueError when a rack has fewer slots than letters.
        """
        trays = [Slot(f"tray-{site.name}-{n}") for site in layout.sites for n in range(len(site.tray))]
        shelves = []
        for site in layout.sites:
            letters = racks.get(site.name, "")
            if len(letters) > len(site.rack):
                raise ValueError(f"rack of arm {site.name}: {len(letters)} pieces for {len(site.rack)} slots")
            for n in range(len(site.rack)):
                letter = letters[n : n + 1] or None
                shelves.append(Slot(f"rack-{site.name}-{n}", letter, home=letter))
        return cls((*trays, *shelves))

    def __iter__(self) -> Iterator[Slot]:
        return iter(self.slots)

    def __getitem__(self, name: str) -> Slot:
        """Raises KeyError: this table has no such slot."""
        for slot in self.slots:
            if slot.name == name:
                return slot
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return any(slot.name == name for slot in self.slots)

    def trays(self) -> tuple[Slot, ...]:
        return tuple(slot for slot in self.slots if slot.name.startswith("tray-"))

    def racks(self) -> tuple[Slot, ...]:
        return tuple(slot for slot in self.slots if slot.name.startswith("rack-"))

    def put(self, name: str, piece: str | None) -> Slots:
        """Verified content of one place; a square (not a slot) changes nothing here."""
        return self._replace(name, piece=piece, doubtful=False)

    def doubt(self, name: str) -> Slots:
        """Its content is not sure any more; a square changes nothing here."""
        return self._replace(name, doubtful=True)

    def _replace(self, name: str, **changes: Any) -> Slots:
        return Slots(tuple(slot if slot.name != name else dataclasses.replace(slot, **changes) for slot in self.slots))

    def known(self) -> dict[str, list[str | bool | None]]:
        """Every slot that is not as in a fresh table: name -> piece, doubtful. For the journal."""
        return {slot.name: [slot.piece, slot.doubtful] for slot in self.slots if slot != _fresh(slot)}

    def with_known(self, known: Mapping[str, Sequence[Any]]) -> Slots:
        """This (fresh) table with what `known` told."""
        slots = self
        for name, (piece, doubtful) in known.items():
            slots = slots._replace(name, piece=piece, doubtful=doubtful)
        return slots


def _fresh(slot: Slot) -> Slot:
    return Slot(slot.name, slot.home, home=slot.home)
