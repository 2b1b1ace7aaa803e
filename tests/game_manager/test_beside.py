"""What lies beside the board, and what is nowhere."""

from __future__ import annotations

from collections import Counter

import chess

from edgechess_game_manager.beside import everything, in_slots, in_trays, missing
from edgechess_kit import messages as m

START = chess.STARTING_BOARD_FEN


def arms(tray: str = "", rack: str = "", holding: str | None = None) -> m.ArmState:
    """One letter for each slot; a dot is an empty one."""
    slots = [
        tuple(m.SlotState(slot=f"{kind}-white-{n}", piece=p if p != "." else None) for n, p in enumerate(letters))
        for kind, letters in (("tray", tray), ("rack", rack))
    ]
    arm = m.ArmStatus(name="white", kind="k", mode="parked", parked=True, holding=holding)
    return m.ArmState(arms=(arm,), tray=slots[0], rack=slots[1])


def test_the_missing_are_named_wherever_they_might_be() -> None:
    without = START.replace("PPPPPPPP", "1PPPPPP1")
    assert missing(without, START, arms()) == ["P", "P"]
    assert missing(without, START, arms(tray=".P")) == ["P"]
    assert missing(without, START, arms(tray="P", holding="P")) == []
    assert missing(START, without, arms()) == []


def test_everything_is_counted_once_doubtful_slots_too() -> None:
    doubtful = m.ArmState(arms=(), tray=(m.SlotState(slot="tray-white-0", piece="Q", doubtful=True),))
    assert in_slots(doubtful) == Counter("Q")
    assert everything("8/8/8/8/8/8/8/K7", arms(tray="p", rack="QQ", holding="n")) == Counter("KpQQn")


def test_racks_are_no_trays() -> None:
    assert not in_trays(arms(tray="..", rack="QQ"))
    assert in_trays(arms(tray=".p"))
