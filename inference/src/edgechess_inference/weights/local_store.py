"""A store on disk: manifests side by side, and below them `chunks/`, one file per content.

    STORE/NAME.json            a manifest; its path is the model's address
    STORE/NAME.json.sig        its signature, where it is signed
    STORE/chunks/ab/abcd…      a chunk, named by its address; the two digits keep folders small

The same names, with `/` between them, are the keys of an object store. Whatever is written appears under its name
whole or not at all (temporary name, then rename); after a power cut a file may still be torn, which its digest shows.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

CHUNKS = "chunks"
SIGNATURE_SUFFIX = ".sig"
PARTIAL_SUFFIX = ".partial"


def chunk_key(address: str) -> str:
    """Relative to the folder of the manifest, with `/`."""
    return f"{CHUNKS}/{address[:2]}/{address}"


class LocalStore:
    """The folder that holds manifests and `chunks/`. Blocking calls; made as needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def chunk_path(self, address: str) -> Path:
        return self.folder / chunk_key(address)

    def size_of(self, address: str) -> int | None:
        """Bytes of a stored chunk, None where it is not stored."""
        try:
            return self.chunk_path(address).stat().st_size
        except FileNotFoundError:
            return None

    def put_chunk(self, address: str, data: bytes | bytearray | memoryview) -> bool:
        """False where it was there, whole by its size. Raises OSError; nothing partial then has its name."""
        if self.size_of(address) == len(data):
            return False
        path = self.chunk_path(address)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)
        return True


def write_whole(path: Path, data: bytes | bytearray | memoryview) -> None:
    """Writes beside and renames. Raises OSError, and then leaves nothing behind."""
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PARTIAL_SUFFIX}")
    try:
        with beside.open("xb", buffering=0) as file:
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
