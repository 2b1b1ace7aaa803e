"""`edgechess model …`: pack weights into chunks, look at them, carry them to a store and back."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import anyio
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from edgechess_cli.import_bedrock_command import app as import_bedrock
from edgechess_cli.model_list import list_models
from edgechess_cli.model_signing import SignOption, sign_packed
from edgechess_cli.model_store_options import Cached, Manifested, Mirrored, S3Place
from edgechess_cli.option_group import grouped
from edgechess_cli.run_packing import is_run, pack_run
from edgechess_inference.errors import InferenceError
from edgechess_inference.weights import manifest as m
from edgechess_inference.weights.copying import pull as pull_model
from edgechess_inference.weights.cutting import DEFAULT_RULES, parse_rule
from edgechess_inference.weights.errors import ManifestError
from edgechess_inference.weights.host_buffer import HostBuffer
from edgechess_inference.weights.model import Model, ModelOptions, open_model
from edgechess_inference.weights.packing import pack as pack_model
from edgechess_inference.weights.pushing import push as push_model
from edgechess_inference.weights.signing import new_key
from edgechess_inference.weights.streamer import open_stream
from edgechess_inference.weights.transfer import CONNECTIONS, StreamSettings, Transfer
from edgechess_inference.weights.unpacking import unpack as unpack_model
from edgechess_inference.weights.verifying import verify as verify_model

T = TypeVar("T")
EXIT_DAMAGED = 1

app = typer.Typer(
    help="Pack, inspect, verify, stream and carry weights. An address is a path, http(s)://…/NAME.json or s3://…/NAME.json.",
    no_args_is_help=True,
)

app.add_typer(import_bedrock, name="import-bedrock")
app.command("list")(list_models)

AddressArgument = Annotated[str, typer.Argument(help="Address of a packed model: …/NAME.json.", metavar="MODEL")]
ConnectionsOption = Annotated[int, typer.Option("--connections", help="Chunks in flight.", min=1, max=64)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


@app.command()
def pack(
    source: Annotated[
        Path, typer.Argument(help="A safetensors file, its index, the folder of a checkpoint or of a training run.")
    ],
    target: Annotated[Path, typer.Argument(help="Where the manifest goes: STORE/NAME.json.")],
    name: Annotated[str | None, typer.Option("--name", help="Name on the card (default: the target's).")] = None,
    architecture: Annotated[
        str | None, typer.Option("--architecture", help="Default: what config.json beside the checkpoint says.")
    ] = None,
    licence: Annotated[str, typer.Option("--licence", help="SPDX expression.")] = "unknown",
    encoding: Annotated[str | None, typer.Option("--encoding", help="How a position becomes numbers.")] = None,
    template: Annotated[str | None, typer.Option("--template", help="Name of the prompt, or a chat template.")] = None,
    extra: Annotated[list[str] | None, typer.Option("--extra", help="KEY=VALUE for the card.")] = None,
    file: Annotated[
        list[Path] | None, typer.Option("--file", help="Carry these files along (default: config and tokenizer).")
    ] = None,
    shards: Annotated[int, typer.Option("--shards", help="Cut for so many accelerators.", min=1)] = 1,
    cut: Annotated[
        list[str] | None, typer.Option("--cut", help="PATTERN=AXIS (or PATTERN=whole), before the usual rules.")
    ] = None,
    key: SignOption = None,
    as_json: JsonOption = False,
) -> None:
    """Cut a safetensors checkpoint into 8 MiB chunks, named by their content; chunks already stored are shared."""
    with _told(), _bar(as_json) as bar:
        _check_target(target)
        if not source.exists():
            raise ManifestError(f"{source} does not exist")
        if is_run(source):
            _refuse_for_a_run(
                name=name, architecture=architecture, encoding=encoding, template=template, extra=extra, file=file, cut=cut,
                shards=shards if shards > 1 else None,
            )  # fmt: skip
            size = pack_run(source, target, licence)
            sign_packed(target, key)
            _say(as_json, {"model": str(target), "bytes": size}, f"{target}: {_size(size)} of weights")
            return
        card = m.Card(
            name=name or target.stem,
            architecture=architecture or _architecture(source),
            licence=licence,
            tokenizer=_tokenizer(source, file),
            encoding=encoding,
            template=template,
            extra=dict(_pair(word) for word in extra or ()),
        )
        rules = (*(parse_rule(word) for word in cut or ()), *DEFAULT_RULES)
        packed = pack_model(source, target, card, shards=shards, rules=rules, files=file, progress=bar)
        sign_packed(target, key)
    total = packed.manifest.bytes
    _say(
        as_json,
        {"model": str(target), "bytes": total, "newChunks": packed.new_chunks, "newBytes": packed.new_bytes},
        f"{target}: {_size(total)} of weights, {packed.new_chunks} new chunks ({_size(packed.new_bytes)})",
    )


@app.command()
@grouped
def unpack(
    address: AddressArgument,
    target: Annotated[Path, typer.Argument(help="The safetensors file to write; side files go beside it.")],
    store: Cached,
) -> None:
    """Write a packed model as one safetensors file, every tensor bit for bit."""

    async def work(watch: Watcher) -> None:
        await unpack_model(await open_model(address, store.options()), target, watch=watch.watch)

    with _told():
        _run(work)
    typer.echo(f"{target}")


@app.command()
@grouped
def inspect(
    address: AddressArgument,
    store: Manifested,
    tensors: Annotated[bool, typer.Option("--tensors", help="List every tensor.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show a model's card, shards and files; reads the manifest only."""
    with _told():
        manifest = _open(address, store.opening()).manifest
    if as_json:
        typer.echo(m.encode(manifest).decode())
        return
    for line in _description(manifest):
        typer.echo(line)
    for tensor in manifest.tensors if tensors else ():
        axis = "" if tensor.axis is None else f"  cut along {tensor.axis}"
        typer.echo(
            f"  {tensor.shard}  {tensor.offset:>14}  {tensor.dtype:8} {list(tensor.shape)!s:20} {tensor.name}{axis}"
        )


@app.command()
@grouped
def verify(
    address: AddressArgument,
    store: Manifested,
    as_json: JsonOption = False,
) -> None:
    """Read every chunk and check both of its digests. Exit code 1: some are damaged or missing; each is named."""
    with _told():
        model = _open(address, store.opening())
        with _bar(as_json) as bar:
            findings = verify_model(model.manifest, model.sources[0], bar)
    if as_json:
        typer.echo(json.dumps([{"address": f.address, "fault": f.text, "usedBy": list(f.used_by)} for f in findings]))
    for finding in () if as_json else findings:
        users = ", ".join(finding.used_by[:3]) + (" …" if len(finding.used_by) > 3 else "")
        typer.echo(f"{finding.address}  {finding.text}  ({users})")
    if findings:
        typer.echo(
            f"edgechess model: {len(findings)} of {len(model.manifest.chunks())} chunks are not as packed", err=True
        )
        raise typer.Exit(EXIT_DAMAGED)
    if not as_json:
        typer.echo(f"{address}: {len(model.manifest.chunks())} chunks, {_size(model.manifest.bytes)}, all as packed")


@app.command()
@grouped
def push(
    source: Annotated[Path, typer.Argument(help="A packed model on disk: STORE/NAME.json.")],
    address: Annotated[str, typer.Argument(help="s3://BUCKET/PREFIX/NAME.json")],
    store: S3Place,
    as_json: JsonOption = False,
) -> None:
    """Send a packed model to S3; chunks that are there already are not sent again."""
    with _told(), _bar(as_json) as bar:
        pushed = anyio.run(push_model, source, address, store.s3(), bar, store.ca)
    _say(
        as_json,
        {"model": address, "sentBytes": pushed.sent_bytes, "sharedBytes": pushed.shared_bytes},
        f"{address}: sent {_size(pushed.sent_bytes)}, {_size(pushed.shared_bytes)} were there",
    )


@app.command()
@grouped
def pull(
    address: AddressArgument,
    target: Annotated[Path, typer.Argument(help="Where the manifest goes: STORE/NAME.json.")],
    store: Mirrored,
    connections: ConnectionsOption = CONNECTIONS,
    as_json: JsonOption = False,
) -> None:
    """Copy a model into a store on disk, fetching only missing chunks; interrupted, run it again."""
    settings = StreamSettings(connections=connections)

    async def work(watch: Watcher) -> int:
        return await pull_model(
            await open_model(address, store.options()), target, settings=settings, watch=watch.watch
        )

    with _told():
        _check_target(target)
        fetched = _run(work)
    _say(as_json, {"model": str(target), "fetchedBytes": fetched}, f"{target}: fetched {_size(fetched)}")


@app.command()
@grouped
def stream(
    address: AddressArgument,
    store: Cached,
    connections: ConnectionsOption = CONNECTIONS,
    host_mib: Annotated[int, typer.Option("--host-mib", help="Host memory beside the weights, MiB.", min=17)] = 64,
    shard: Annotated[int, typer.Option("--shard", help="Which shard.", min=0)] = 0,
    device: Annotated[str, typer.Option("--device", help="cpu (no torch needed), or a device of torch.")] = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Stream a model into memory, verified, and say how it went: how fast a start from there would be."""
    settings = StreamSettings(connections=connections, host_bytes=host_mib << 20)

    async def work(watch: Watcher) -> dict[str, Any]:
        model = await open_model(address, store.options())
        model.manifest.of_shard(shard)
        destination = _destination(model.manifest.shards[shard].bytes, device)
        started_s = time.perf_counter()
        async with open_stream(model, destination, shard=shard, settings=settings) as opened:
            await watch.show(opened.progress())
            took_s = time.perf_counter() - started_s
            tally = opened.snapshot().tally
        return {
            "model": model.manifest.card.name,
            "bytes": tally.landed_bytes,
            "seconds": round(took_s, 3),
            "bySource": {name: size for name, size in tally.by_source.items() if size},
            "healedChunks": tally.healed_chunks,
            "brokenConnections": tally.broken,
            "throttled": tally.throttled,
            "hedged": tally.hedged,
        }

    with _told():
        result = _run(work)
    rate = result["bytes"] / max(1e-9, result["seconds"])
    remarks = "".join(f", {result[key]} {word}" for key, word in REMARKS.items() if result[key])
    where = ", ".join(f"{_size(size)} from {name}" for name, size in result["bySource"].items())
    _say(as_json, result, f"{result['model']}: {where} in {result['seconds']:.2f} s ({_size(int(rate))}/s){remarks}")


REMARKS = {"healedChunks": "healed", "brokenConnections": "broken", "throttled": "throttled", "hedged": "hedged"}


@app.command()
def key(
    target: Annotated[Path, typer.Argument(help="Where the private key goes; readable by you only.")],
) -> None:
    """Make a key to sign manifests with; prints the public key, which readers name with --trust."""
    with _told():
        private, public = new_key()
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(private + "\n")
    typer.echo(public)


# ---------------------------------------------------------------- what they share


class Watcher:
    """Shows a transfer as a bar on stderr, where that is a terminal."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar

    async def watch(self, transfer: Transfer) -> None:
        await self.show(transfer.progress())

    async def show(self, moments: Any) -> None:
        task, warned = self._bar.add_task("", total=None, remarks=""), False
        async for moment in moments:
            self._bar.update(
                task, total=moment.total_bytes, completed=moment.landed_bytes, remarks=" ".join(moment.remarks())
            )
            if moment.problem and not warned:
                self._bar.console.print(f"edgechess model: {moment.problem}", highlight=False, soft_wrap=True)
                warned = True


def _run(work: Callable[[Watcher], Awaitable[T]]) -> T:
    with _picture() as picture:
        return anyio.run(work, Watcher(picture))


def _picture() -> Progress:
    columns = (
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TextColumn("{task.fields[remarks]}"),
    )
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


@contextmanager
def _bar(quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar for work that calls back."""
    if quiet:
        yield lambda done, total: None
        return
    with _picture() as picture:
        task = picture.add_task("", total=None, remarks="")
        yield lambda done, total: picture.update(task, completed=done, total=total)


@contextmanager
def _told() -> Iterator[None]:
    """A user's mistake, or a store's, is one line."""
    try:
        yield
    except InferenceError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def _fail(text: str) -> NoReturn:
    typer.echo(f"edgechess model: {text}", err=True)
    raise typer.Exit(2)


def _say(as_json: bool, values: dict[str, Any], text: str) -> None:
    typer.echo(json.dumps(values) if as_json else text)


def _open(address: str, options: ModelOptions) -> Model:
    return anyio.run(open_model, address, options)


def _destination(size: int, device: str) -> Any:
    if device == "cpu":
        return HostBuffer(size)
    try:
        from edgechess_inference.weights.torch_buffer import TorchBuffer
    except ImportError:
        _fail(f"--device {device} needs torch: install edgechess-inference[torch]")
    return TorchBuffer(size, device)


def _check_target(target: Path) -> None:
    if target.suffix != ".json":
        raise ManifestError(f"{target}: a packed model is STORE/NAME.json")


def _architecture(source: Path) -> str:
    """What transformers' config.json says. Raises ManifestError where it is not there."""
    config = (source if source.is_dir() else source.parent) / "config.json"
    try:
        return str(json.loads(config.read_bytes())["architectures"][0])
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise ManifestError(f"{config} does not name an architecture: say it with --architecture") from error


def _tokenizer(source: Path, files: list[Path] | None) -> str | None:
    folder = source if source.is_dir() else source.parent
    names = [file.name for file in files] if files is not None else [path.name for path in folder.glob("tokenizer*")]
    return next((name for name in ("tokenizer.json", "tokenizer.model") if name in names), None)


def _refuse_for_a_run(**given: object) -> None:
    """Raises ManifestError for options that the run itself has answered."""
    for option, value in given.items():
        if value:
            raise ManifestError(f"--{option}: the folder of a training run says that itself; leave it out")


def _pair(word: str) -> tuple[str, str]:
    name, sign, value = word.partition("=")
    if not sign or not name:
        raise ManifestError(f"--extra {word!r}: KEY=VALUE is expected")
    return name, value


def _description(manifest: m.Manifest) -> list[str]:
    card = manifest.card
    lines = [f"{card.name}  {card.architecture}  licence {card.licence}"]
    said = {"tokenizer": card.tokenizer, "encoding": card.encoding, "template": card.template}
    lines += [f"{name}: {text[:200]}" for name, text in said.items() if text]
    lines += [f"{name}: {text[:200]}" for name, text in card.extra.items()]
    for number, shard in enumerate(manifest.shards):
        tensors = manifest.of_shard(number)
        types = ", ".join(sorted({tensor.dtype for tensor in tensors}))
        lines.append(
            f"shard {number}: {_size(shard.bytes)}, {len(tensors)} tensors ({types}), {len(shard.chunks)} chunks"
        )
    lines += [f"file {file.name}: {_size(file.bytes)}" for file in manifest.files]
    return lines


def _size(count: int) -> str:
    """Decimal units, three digits."""
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000.0:
            break
        if unit != "GB":
            value /= 1000.0
    return f"{count} B" if unit == "B" else f"{value:.3g} {unit}"
