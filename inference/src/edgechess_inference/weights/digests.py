"""The two digests of a chunk, and why there are two: docs/decisions/0009-two-digests-per-chunk.md.

`address` (SHA-256) names the object and is evidence of tampering; `check` (XXH3, 128 bits) finds damage at a
twentieth of its price. Every chunk's check is verified before a byte of it is served, always; its address where the
caller trusts a signature rather than the store.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Literal

import xxhash

ADDRESS_HEX = 64
CHECK_HEX = 32

Bytes = bytes | bytearray | memoryview

Rigour = Literal["damage", "tampering"]
"""What a reader verifies: XXH3 finds what wires and disks do, SHA-256 also what people do."""


@dataclasses.dataclass(frozen=True, slots=True)
class Digests:
    """Both, as lower-case hexadecimal."""

    address: str
    check: str


def digests_of(data: Bytes) -> Digests:
    """Both digests of one chunk."""
    return Digests(hashlib.sha256(data).hexdigest(), check_of(data))


def check_of(data: Bytes) -> str:
    """The fast digest. Releases the interpreter's lock on large input."""
    return xxhash.xxh3_128_hexdigest(data)


def intact(data: Bytes, address: str, check: str, rigour: Rigour) -> bool:
    """True where the bytes are the ones that were packed."""
    if check_of(data) != check:
        return False
    return rigour == "damage" or hashlib.sha256(data).hexdigest() == address
