"""What stood at an address when it was last read: with a cache, a start needs no network, not even for the manifest.

    CACHE/manifests/SHA-256 of the address      a line with the signature (empty: none was asked for), then the manifest

Recalled only where no store can be asked: a store that answers that there is no such model, or not for us, is believed.
What is recalled is checked like what comes from a store, the signature included.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from pathlib import Path

from edgechess_inference.weights.local_store import write_whole

log = logging.getLogger(__name__)

FOLDER = "manifests"
KEPT_MAX = 8192  # twice the adapters that a node may have; beyond, those written longest ago go


class ManifestMemory:
    """Below one cache folder. Safe for several processes: a file appears whole."""

    def __init__(self, cache: Path) -> None:
        self._folder = cache / FOLDER

    def keep(self, address: str, manifest: bytes, signature: bytes | None) -> None:
        """A cache that cannot be written is no reason not to start."""
        path, content = self._path(address), (signature or b"").strip() + b"\n" + manifest
        try:
            with contextlib.suppress(FileNotFoundError):
                if path.read_bytes() == content:
                    return
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)
            self._prune()
        except OSError as error:
            log.warning("%s is not remembered for a start without a network: %s", address, error.strerror or error)

    def recall(self, address: str) -> tuple[bytes, bytes] | None:
        """Manifest and signature; None where it was never read, or cannot be read any more."""
        try:
            signature, _, manifest = self._path(address).read_bytes().partition(b"\n")
        except OSError:
            return None
        return manifest, signature

    def _path(self, address: str) -> Path:
        return self._folder / hashlib.sha256(address.encode()).hexdigest()

    def _prune(self) -> None:
        found = list(self._folder.iterdir())
        if len(found) <= KEPT_MAX:
            return
        for path in sorted(found, key=lambda each: each.stat().st_mtime)[:-KEPT_MAX]:
            path.unlink(missing_ok=True)
