"""`--sign`: what a command has packed gets its signature beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgechess_inference.weights.local_store import SIGNATURE_SUFFIX, write_whole
from edgechess_inference.weights.signing import sign

SignOption = Annotated[Path | None, typer.Option("--sign", help="Sign with the private key in this file.")]


def sign_packed(target: Path, key: Path | None) -> None:
    """Nothing without a key. Raises SignatureError, OSError."""
    if key is not None:
        signature = sign(target.read_bytes(), key.read_text())
        write_whole(target.with_name(target.name + SIGNATURE_SUFFIX), signature)
