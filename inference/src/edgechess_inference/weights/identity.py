"""One digest for a whole set of weights: what an answer names, and what an adapter says it was made for.

The same tensors of the same content have the same digest, whatever the card says about them: a corrected licence makes
no other model. Other types or another cut (8 bits, shards) make other weights.
"""

from __future__ import annotations

import hashlib
import json

from edgechess_inference.weights.manifest import Manifest


def weights_digest(manifest: Manifest) -> str:
    """SHA-256, hexadecimal, over the layout and the addresses of all chunks."""
    tensors = [[t.name, t.dtype, list(t.shape), t.shard, t.offset, t.axis] for t in manifest.tensors]
    chunks = [[chunk.address for chunk in shard.chunks] for shard in manifest.shards]
    return hashlib.sha256(json.dumps([tensors, chunks], separators=(",", ":")).encode()).hexdigest()
