"""`edgechess adapter …`: pack low-rank adapters like weights, and look at them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer

from edgechess_cli.model_signing import SignOption, sign_packed
from edgechess_cli.model_store_options import Manifested
from edgechess_cli.option_group import grouped
from edgechess_inference.adapters.lora import pack_adapter, read_adapter
from edgechess_inference.errors import InferenceError
from edgechess_inference.weights.errors import ManifestError
from edgechess_inference.weights.identity import weights_digest
from edgechess_inference.weights.manifest import Manifest
from edgechess_inference.weights.model import ModelOptions, open_model

app = typer.Typer(
    help="Pack and inspect LoRA adapters. An address is a path, http(s)://…/NAME.json or s3://…/NAME.json.",
    no_args_is_help=True,
)

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


@app.command()
@grouped
def pack(
    folder: Annotated[Path, typer.Argument(help="As peft saves it: adapter_model.safetensors, adapter_config.json.")],
    target: Annotated[Path, typer.Argument(help="Where the manifest goes: STORE/NAME.json.")],
    base: Annotated[
        list[str],
        typer.Option("--base", help="Address of the packed model it was made for; again for other forms of it."),
    ],
    store: Manifested,
    licence: Annotated[str, typer.Option("--licence", help="SPDX expression.")] = "unknown",
    key: SignOption = None,
    as_json: JsonOption = False,
) -> None:
    """Cut an adapter into chunks, bound by digest to the weights it was made for."""
    with _told():
        if target.suffix != ".json":
            raise ManifestError(f"{target}: a packed adapter is STORE/NAME.json")
        bases = [_open(address, store.opening()) for address in base]
        packed = pack_adapter(folder, target, bases, licence=licence)
        sign_packed(target, key)
        adapter = read_adapter(packed.manifest)
    values = {"adapter": str(target), "bytes": packed.manifest.bytes, "rank": adapter.rank, "bases": adapter.bases}
    text = f"{target}: rank {adapter.rank}, {len(adapter.targets)} layers, {packed.manifest.bytes} bytes"
    typer.echo(json.dumps(values) if as_json else text)


@app.command()
@grouped
def inspect(
    address: Annotated[str, typer.Argument(help="Address of a packed adapter: …/NAME.json.", metavar="ADAPTER")],
    store: Manifested,
    base: Annotated[str | None, typer.Option("--base", help="A packed model: say whether it fits this one.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what an adapter changes and which weights it fits; reads manifests only. Exit code 1: it does not fit `--base`."""
    with _told():
        manifest = _open(address, store.opening())
        adapter = read_adapter(manifest)
        digest = weights_digest(_open(base, store.opening())) if base else None
    fits = None if digest is None else digest in adapter.bases
    values: dict[str, Any] = {
        "name": adapter.name,
        "licence": manifest.card.licence,
        "digest": adapter.digest,
        "bases": adapter.bases,
        "rank": adapter.rank,
        "alpha": adapter.alpha,
        "bytes": manifest.bytes,
        "layers": [target.layer for target in adapter.targets],
        "fits": fits,
    }
    for line in [json.dumps(values)] if as_json else _lines(values, manifest.card.extra.get("baseName", "?")):
        typer.echo(line)
    if fits is False:
        raise typer.Exit(1)


def _lines(values: dict[str, Any], base_name: str) -> list[str]:
    lines = [
        f"{values['name']}  licence {values['licence']}  {values['bytes']} bytes",
        f"digest {values['digest']}",
        f"made for {base_name}: {', '.join(values['bases'])}",
        f"rank {values['rank']}, alpha {values['alpha']:g}, {len(values['layers'])} layers",
        *(f"  {layer}" for layer in values["layers"]),
    ]
    verdict = {True: "fits this base", False: "was made for other weights than this base", None: ""}[values["fits"]]
    return [*lines, verdict] if verdict else lines


def _open(address: str, options: ModelOptions) -> Manifest:
    return anyio.run(open_model, address, options).manifest


@contextmanager
def _told() -> Iterator[None]:
    """A user's mistake, or a store's, is one line."""
    try:
        yield
    except (InferenceError, OSError) as error:
        typer.echo(f"edgechess adapter: {error}", err=True)
        raise typer.Exit(2) from None
