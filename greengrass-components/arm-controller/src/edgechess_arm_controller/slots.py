"""What lies beside the board: every tray and rack slot of the table and the piece in it, as far as it was verified."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from edgechess_robots.layout import TableLayout


@dataclasses.dataclass(frozen=True, slots=True)
class Slot:
    """One place beside the board. `piece` is a FEN letter, None an empty slot.

    `doubtful`: a carry to or from here was begun and its end was not verified. Such a slot is never filled
    (something may stand in it) and its piece is the last one taken.
    """

    name: str
    piece: str | None = None
    doubtful: bool = False

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
            shelves += [Slot(f"rack-{site.name}-{n}", letters[n : n + 1] or None) for n in range(len(site.rack))]
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
        return self._replace(name, Slot(name, piece))

    def doubt(self, name: str) -> Slots:
        """Its content is not sure any more; a square changes nothing here."""
        return self._replace(name, None)

    def _replace(self, name: str, new: Slot | None) -> Slots:
        return Slots(
            tuple(slot if slot.name != name else new or dataclasses.replace(slot, doubtful=True) for slot in self.slots)
        )
