"""Which games are held out: decided by a game's own moves as they are written, and its start where that is another.

The same text in another file falls on the same side. A game that was cut short there, or written otherwise ("Ngf3" for
"Nf3"), is another one: of 2,651 long held-out games of masters 8 had a twin in training that way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

SEED = 1
FRACTION = 0.02  # 7,000 of 340,000 games: top-1 to a tenth of a percent


def game_key(sans: Sequence[str], seed: int, fen: str | None = None) -> int:
    """64 bits of the main line's SAN tokens as `movetext.main_line` gives them, and of `fen` where it begins elsewhere."""
    start = "" if fen is None else f"{fen}:"
    return int.from_bytes(hashlib.blake2b(f"{seed}:{start}{' '.join(sans)}".encode(), digest_size=8).digest(), "big")


def held_out(key: int, fraction: float) -> bool:
    return key < fraction * 2**64
