"""How pieces are handled: speeds, the sizes of the hand, and the margins it keeps."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Handling:
    """Lengths in mm, about the tool point: the middle between the fingertips. The fingers open along the tool's x axis."""

    speed_mm_s: float = 250.0  # ISO 10218-1 reduced speed: what a person may stand beside
    descent_speed_mm_s: float = 250.0  # final vertical approaches, at most; the arm slows down over the last 40 mm
    margin_mm: float = 25.0  # between the lowest thing carried and the tallest piece passed over (reference: 20 to 30)
    side_margin_mm: float = (
        12.0  # pieces this near beside the way count as under it: people leave them so far off-centre
    )
    clear_above_mm: float = 10.0  # above a piece, also in a rounded corner: what calibration and repeatability may cost
    neighbour_gap_mm: float = 4.0  # between finger and neighbour: arm repeatability, calibration and their error
    arm_gap_mm: float = 20.0  # between this arm's links and another arm's, beyond their generous capsules
    corner_radii_mm: tuple[float, ...] = (80.0, 60.0, 45.0, 30.0, 20.0, 12.0)  # tried in this order
    fingertip_mm: float = 12.0  # the fingers reach this far below the tool point
    finger_thickness_mm: float = 10.0  # outwards, along the opening
    finger_width_mm: float = 18.0  # across the opening
    palm_above_mm: float = 90.0  # the gripper's body begins this far above the tool point
    palm_radius_mm: float = 50.0  # seen from above
    open_margin_mm: float = 12.0  # wider than the piece on each side: people leave pieces this far off-centre
    open_margin_least_mm: float = 3.0  # narrower than this the fingers could land on the piece itself
    ample_gap_mm: float = 20.0  # more room than this beside a finger is worth no turn of the wrist
    release_margin_mm: float = 6.0  # opened on each side to let go: enough to lift off, no more
    squeeze_mm: float = 8.0  # closed this much below the grasp width: only reached when nothing is between
    set_down_mm: float = 1.0  # released this far above the surface: never pressed into the board
    opening_limit_mm: float = 80.0  # the gripper's widest

    @property
    def lowering_mm_s(self) -> float:
        """The speed of descents: never faster than sideways."""
        return min(self.descent_speed_mm_s, self.speed_mm_s)
