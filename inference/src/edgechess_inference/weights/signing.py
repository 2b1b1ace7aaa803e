"""Signed manifests: Ed25519 over the manifest's exact bytes, in a file beside it.

The signature file is one line of ASCII: `ed25519 PUBLIC_KEY SIGNATURE`, both in hexadecimal. A manifest names every
chunk by SHA-256, so that one signature covers the model. Needs the extra `[sign]` (cryptography).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgechess_inference.weights.errors import SignatureError

SIGNATURE_BYTES_MAX = 512


def new_key() -> tuple[str, str]:
    """A private and its public key, in hexadecimal. Raises SignatureError where cryptography is not installed."""
    key = _ed25519().Ed25519PrivateKey.generate()
    return key.private_bytes_raw().hex(), key.public_key().public_bytes_raw().hex()


def sign(manifest: bytes, private_key: str) -> bytes:
    """The signature file. Raises SignatureError for a key that is none, or where cryptography is not installed."""
    ed25519 = _ed25519()
    try:
        key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes.fromhex(private_key.strip()))
    except ValueError as error:
        raise SignatureError("a private key is 64 hexadecimal digits") from error
    return f"ed25519 {key.public_key().public_bytes_raw().hex()} {key.sign(manifest).hex()}\n".encode()


def verify_signature(manifest: bytes, signature: bytes, trust: Sequence[str]) -> None:
    """Raises SignatureError unless one of the trusted public keys signed exactly these bytes."""
    ed25519 = _ed25519()
    from cryptography.exceptions import InvalidSignature

    words = signature[:SIGNATURE_BYTES_MAX].decode("ascii", "replace").split()
    if len(words) != 3 or words[0] != "ed25519":
        raise SignatureError("the signature file is not `ed25519 PUBLIC_KEY SIGNATURE`")
    if words[1] not in trust:
        raise SignatureError(f"the manifest is signed by {words[1][:16]}…, whom nobody told us to trust")
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(words[1])).verify(bytes.fromhex(words[2]), manifest)
    except (InvalidSignature, ValueError) as error:
        raise SignatureError("the signature does not belong to this manifest") from error


def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise SignatureError("signatures need cryptography: install edgechess-inference[sign]") from error
    return ed25519
