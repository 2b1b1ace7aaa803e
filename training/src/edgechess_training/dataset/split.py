"""Which games are held out: decided by a game's own moves, so that the same game in another file falls on the same side."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

SEED = 1
FRACTION = 0.02  # 7,000 of 340,000 games: top-1 to a tenth of a percent


def game_key(sans: Sequence[str], seed: int) -> int:
    """64 bits of the main line's SAN tokens as `movetext.main_line` gives them."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{' '.join(sans)}".encode(), digest_size=8).digest(), "big")


def held_out(key: int, fraction: float) -> bool:
    return key < fraction * 2**64
