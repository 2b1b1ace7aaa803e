"""What an operator can set for the board sensor (section `[board-sensor]`)."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

import msgspec

from edgechess_board.settling import BLUETOOTH, USB, Timing
from edgechess_board_sensor.sensor import Waits

PositiveSeconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Thresholds are in seconds; a link's own are in `edgechess_board.settling`."""

    port: Annotated[str, msgspec.Meta(description='device path of the board, or "auto": the first that answers')] = (
        "auto"
    )
    orientation: Annotated[
        Literal["auto", "normal", "rotated"],
        msgspec.Meta(description="rotated: connector on White's right; auto: told by the position"),
    ] = "auto"
    link: Annotated[
        Literal["auto", "usb", "bluetooth"],
        msgspec.Meta(description="whose timing; auto: bluetooth for rfcomm ports, usb for all others"),
    ] = "auto"
    quiet_s: Annotated[
        float,
        msgspec.Meta(ge=0, le=60, description="a reading settles after so long without a change; 0: the link's own"),
    ] = 0.0
    slide_wait_s: Annotated[
        PositiveSeconds, msgspec.Meta(description="a move that may go on is watched so long before it is announced")
    ] = Waits().slide_s
    castling_wait_s: Annotated[
        PositiveSeconds, msgspec.Meta(description="the same for a rook's move that may become castling")
    ] = Waits().castling_s
    unseen_wait_s: Annotated[
        PositiveSeconds, msgspec.Meta(description="the same for several plies at once that were not seen one by one")
    ] = Waits().unseen_s
    read_timeout_s: Annotated[
        PositiveSeconds, msgspec.Meta(description="a question about the board is answered, if only that it is blind")
    ] = 4.5  # the game manager asks again after 5 s
    processed_timeout_s: Annotated[
        PositiveSeconds, msgspec.Meta(description="the sample's manager is told that its move did not come")
    ] = 90.0

    @property
    def waits(self) -> Waits:
        return Waits(slide_s=self.slide_wait_s, castling_s=self.castling_wait_s, unseen_s=self.unseen_wait_s)

    @property
    def timing(self) -> Timing:
        bluetooth = self.link == "bluetooth" or (self.link == "auto" and "rfcomm" in self.port)
        timing = BLUETOOTH if bluetooth else USB
        return dataclasses.replace(timing, quiet_s=self.quiet_s) if self.quiet_s else timing
