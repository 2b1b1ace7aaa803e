"""`edgechess model list`: what the word `model:NAME` finds on this machine."""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer

from edgechess_inference.adapters.lora import ARCHITECTURE as LORA
from edgechess_inference.model_word import GROUP, SHIPPED_NAME, models_folder, shipped
from edgechess_inference.weights import manifest as m
from edgechess_inference.weights.errors import ManifestError


def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON array.")] = False,
) -> None:
    """Show what `model:NAME` finds here: shipped models and styles, one's own, those of installed packages."""
    rows = [_row(name, path, "own" if path.parent == models_folder() else "shipped") for name, path in _named()]
    rows += [{"word": f"model:{point.name}", "from": f"package {point.value}"} for point in entry_points(group=GROUP)]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    for row in rows:
        size = f"{row['bytes'] / 1e6:8.2f} MB" if "bytes" in row else ""
        typer.echo(f"{row['word']:32} {row['from']:8} {size}  {row.get('kind', '')}".rstrip())
    if not rows:
        typer.echo(f"no model has a name here: none is shipped, and {models_folder()} holds none", err=True)


def _named() -> list[tuple[str, Path]]:
    """One's own before those that are shipped, as `address_of` looks for them."""
    own = {path.stem: path for path in sorted(models_folder().glob("*.json"))}
    return [*own.items(), *((name, path) for name, path in shipped().items() if name not in own)]


def _row(name: str, path: Path, whence: str) -> dict[str, Any]:
    try:
        manifest = m.parse(path.read_bytes())
    except (ManifestError, OSError) as error:
        return {"word": f"model:{name}", "from": whence, "kind": f"cannot be read: {error}"}
    style = manifest.card.architecture == LORA
    base = SHIPPED_NAME if whence == "shipped" else "MODEL"
    word = f"model:{base}@{name}" if style else f"model:{name}"
    kind = "a style" if style else manifest.card.architecture
    return {"word": word, "from": whence, "bytes": manifest.bytes, "kind": kind, "address": str(path)}
