"""What is in the way of motions: pieces that stand, and other arms where they are measured. Pure; mm, board frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from edgechess_arm_controller.clearance import Field, Hand, links_room_mm, room_mm
from edgechess_arm_controller.hand import Handling
from edgechess_robots.arm import Outlined
from edgechess_robots.body import Floats, Sweep, gap_mm

ROUNDING_MM = 1e-6


def nearest(tool_mm: Floats, yaw_deg: Floats, hand: Hand, field: Field, handling: Handling) -> tuple[str | None, float]:
    """The place of the piece that is least clear of the hand, if it is not clear of it, and how much higher would be."""
    if not field.places:
        return None, 0.0
    room = room_mm(tool_mm, yaw_deg, hand, field, handling)
    worst = int(room.min(axis=0).argmin())
    near = room[:, worst] < -ROUNDING_MM
    if not near.any():
        return None, 0.0
    clear_mm = float(field.top_mm[worst]) + handling.clear_above_mm + hand.below_mm(handling)
    return field.places[worst], clear_mm - float(tool_mm[near, 2].min())


def met_by_links(sweep: Sweep, field: Field, handling: Handling) -> str | None:
    """The place of a piece that the links come too near to."""
    room, place = links_room_mm(sweep, field, handling)
    return place if room < 0.0 else None


def met_arm(sweeps: Iterable[Sweep | None], outlines: Mapping[str, Floats], handling: Handling) -> str | None:
    """Another arm that the links come too near to."""
    links: Sequence[Floats] = [sweep.links_mm for sweep in sweeps if sweep is not None]
    if not links:
        return None
    swept = np.concatenate(links)
    return next((name for name, outline in outlines.items() if gap_mm(swept, outline) < handling.arm_gap_mm), None)


def outlines_of(arms: Mapping[str, object], but: str) -> dict[str, Floats]:
    """Where the links of the other arms are measured, of those that tell (`Outlined`)."""
    found = {}
    for name, arm in arms.items():
        outline = arm.outline() if name != but and isinstance(arm, Outlined) else None
        if outline is not None:
            found[name] = outline
    return found
