"""What lies beside the board by the arms' own word, and what a position wants that is nowhere. Pure."""

from __future__ import annotations

from collections import Counter

from edgechess_game_manager.repair import pieces_on
from edgechess_kit.messages import ArmState


def in_slots(arms: ArmState) -> Counter[str]:
    """The pieces in trays and racks; those in doubtful slots too, for they are looked for there at last."""
    return Counter(slot.piece for slot in (*arms.tray, *arms.rack) if slot.piece is not None)


def in_trays(arms: ArmState) -> bool:
    return any(slot.piece is not None for slot in arms.tray)


def everything(found: str, arms: ArmState) -> Counter[str]:
    """Every piece that is known of: on the board, in a slot, in a gripper."""
    held = Counter(status.holding for status in arms.arms if status.holding is not None)
    return Counter(pieces_on(found).values()) + in_slots(arms) + held


def missing(found: str, goal: str, arms: ArmState) -> list[str]:
    """Pieces that `goal` wants and that are nowhere."""
    return sorted((Counter(pieces_on(goal).values()) - everything(found, arms)).elements())
