"""What the network does to the bytes between an arm's controller and whoever drives it."""

from __future__ import annotations

import dataclasses

import anyio
from anyio.abc import ByteStream

from edgechess_twin.faults import Dice, Faults


@dataclasses.dataclass(frozen=True, slots=True)
class WireFaults:
    """Of one controller. Probabilities per reply or frame."""

    split: float = 0.0
    """Sent as two segments."""
    coalesce: float = 0.0
    """A feedback frame is held back and goes out with the next one."""
    slow_reply: float = 0.0
    slow_reply_s: float = 0.5

    @classmethod
    def of(cls, faults: Faults) -> WireFaults:
        """The named faults of a table, as far as they concern a controller's wires."""
        return cls(faults.segment_split, faults.segment_coalesce, faults.slow_reply)


class Wire:
    """All connections of one controller."""

    def __init__(self, name: str, faults: WireFaults, dice: Dice) -> None:
        self._name = name
        self.faults = faults
        """Of now: a network may get worse."""
        self._dice = dice

    async def send(self, stream: ByteStream, data: bytes) -> None:
        if len(data) > 1 and self._dice.happens(f"{self._name} split", self.faults.split):
            cut = self._dice.stream(f"{self._name} cut").randrange(1, len(data))
            await stream.send(data[:cut])
            await anyio.sleep(0.001)  # so that no stack puts them together again
            await stream.send(data[cut:])
        else:
            await stream.send(data)

    async def reply_delay(self) -> None:
        if self._dice.happens(f"{self._name} slow reply", self.faults.slow_reply):
            await anyio.sleep(self.faults.slow_reply_s)

    def holds_back(self) -> bool:
        """Whether this frame waits for the next one."""
        return self._dice.happens(f"{self._name} coalesce", self.faults.coalesce)
