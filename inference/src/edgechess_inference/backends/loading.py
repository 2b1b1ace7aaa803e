"""`load_model`: an address becomes a model that answers, its weights streamed straight to where they are computed with.

    async with load_model("store/tiny.json") as model:      # usable at once: layers compute as they arrive
        await model.ready()                                  # or wait until all has come
        answers = await model.rank(requests)

Which backend: policy networks run on onnxruntime where it is installed and the device is the processor, else on torch;
language models on torch with transformers. A package that is missing is named, with the extra that brings it.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any, Literal

import anyio
import anyio.lowlevel
import anyio.to_thread

from edgechess_inference.adapters.table import AdapterTable
from edgechess_inference.backends.arrival import Arrival
from edgechess_inference.backends.compute_adapter import Compute
from edgechess_inference.backends.loaded_model import Backend, LoadedModel
from edgechess_inference.move_model import Description, Kind, ModelError, MoveModel
from edgechess_inference.weights.element_types import BITS
from edgechess_inference.weights.errors import WeightsError
from edgechess_inference.weights.identity import weights_digest
from edgechess_inference.weights.manifest import CHUNK_BYTES
from edgechess_inference.weights.model import Model, ModelOptions, chunk_blocking, open_blocking, open_model
from edgechess_inference.weights.source import Source
from edgechess_inference.weights.streamer import Stream, open_stream
from edgechess_inference.weights.transfer import StreamSettings

BackendName = Literal["auto", "torch", "onnxruntime"]
POLICY = "edgechess-policy"
ADAPTER = "lora"
NARROW = ("I8", "F16", "BF16")  # policy networks are computed in F32 on a processor


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How to load a model."""

    device: str = "cpu"
    """"cpu", or a device of torch ("cuda", "cuda:1")."""
    backend: BackendName = "auto"
    model: ModelOptions = field(default_factory=ModelOptions)
    stream: StreamSettings = field(default_factory=StreamSettings)
    threads: int | None = None
    """Of onnxruntime; None: as many as there are cores. Torch's are the process's own affair."""
    inline: bool = False
    """Virtual time: nothing waits outside the scheduler. Everything is loaded before the model is returned."""


Opened = Callable[[Stream], None]


@asynccontextmanager
async def load_model(
    address: str | Model,
    options: LoadOptions = LoadOptions(),
    *,
    adapters: AdapterTable | None = None,
    resident: Source | None = None,
    opened: Opened = lambda stream: None,
) -> AsyncIterator[MoveModel]:
    """Streams weights into a backend; leaving the block frees them. `adapters`: the table that requests may name from.

    `resident`: a source asked before all others: the weights that another loaded model shares with this one.
    `opened` is called as soon as the stream runs, to watch it. Raises ModelError (cannot run here), WeightsError.
    """
    model = await opened_model(address, options) if isinstance(address, str) else address
    if resident is not None:
        model = _after(resident, model)
    kind = _kind(model)
    backend = _backend_name(kind, options)
    if not options.inline:  # seconds, on a small machine: others are answered meanwhile
        await anyio.to_thread.run_sync(_import_all, kind, backend)
    destination = _destination(model, backend, options)
    try:
        if options.inline:
            async with _loaded(model, kind, backend, destination, None, options, adapters) as loaded:
                yield loaded
            return
        async with open_stream(model, destination, settings=options.stream) as stream:
            opened(stream)
            async with _loaded(model, kind, backend, destination, stream, options, adapters) as loaded:
                yield loaded
    finally:
        close = getattr(destination, "close", None)
        if close is not None:
            close()


async def opened_model(address: str, options: LoadOptions) -> Model:
    """The manifest and its sources. Raises SourceError, ManifestError or SignatureError."""
    if not options.inline:
        return await open_model(address, options.model)
    await anyio.lowlevel.checkpoint()
    return open_blocking(address, options.model)


def weights_bytes(model: Model, options: LoadOptions) -> int:
    """What a model will take, told from its manifest: its image, and what is widened beside it on a processor."""
    tensors = model.manifest.of_shard(0)
    narrow = NARROW if _kind(model) == "policy" and options.device == "cpu" else ()
    widened = sum(4 * tensor.length * 8 // BITS[tensor.dtype] for tensor in tensors if tensor.dtype in narrow)
    return model.manifest.shards[0].bytes + widened


@asynccontextmanager
async def _loaded(
    model: Model,
    kind: Kind,
    backend: str,
    destination: Any,
    stream: Stream | None,
    options: LoadOptions,
    adapters: AdapterTable | None,
) -> AsyncIterator[LoadedModel]:
    compute, arrival = Compute(inline=options.inline), Arrival(stream)
    if stream is None:
        await anyio.lowlevel.checkpoint()
        _fill(model, destination)
    made = await _made(model, kind, backend, destination, arrival, compute, options)
    loaded = _CLASSES[kind]()(
        _description(model, kind, backend, options),
        made,
        compute=compute,
        arrival=arrival,
        adapters=adapters,
        weights_bytes=model.manifest.shards[0].bytes,
    )
    try:
        if stream is None:
            await loaded.settle()
            yield loaded
            return
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_settle, loaded, name="model-settle")
            try:
                yield loaded
            finally:
                tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None  # what the block raised: that there is a task beside it is our affair
        raise
    finally:
        await loaded.close()


async def _settle(loaded: LoadedModel) -> None:
    """When all has come, gates and staging go. Where it never comes, whoever asks the model hears of it."""
    try:
        await loaded.ready()
        await loaded.settle()
    except WeightsError:
        return


def _kind(model: Model) -> Kind:
    card = model.manifest.card
    if card.architecture == ADAPTER:
        raise ModelError(f"{card.name} is an adapter, not a model: register it for the model it was made for")
    if len(model.manifest.shards) != 1:
        raise ModelError(f"{card.name} is cut into {len(model.manifest.shards)} shards; one device takes one of one")
    return "policy" if card.architecture == POLICY else "text"


def _backend_name(kind: Kind, options: LoadOptions) -> str:
    on_processor = options.device == "cpu"
    if options.backend == "onnxruntime" and (kind != "policy" or not on_processor):
        raise ModelError("onnxruntime runs policy networks on the processor; choose the backend torch")
    if options.backend != "auto":
        return options.backend
    has_onnx = find_spec("onnxruntime") is not None and find_spec("onnx") is not None
    return "onnxruntime" if kind == "policy" and on_processor and has_onnx else "torch"


def _module(name: str, extra: str) -> Any:
    """Raises ModelError naming the extra to install."""
    try:
        return importlib.import_module(f"edgechess_inference.{name}")
    except ImportError as error:
        raise ModelError(f"{error.name} is not installed; install edgechess-inference[{extra}]") from error


def _import_all(kind: Kind, backend: str) -> None:
    """What computing needs. Raises ModelError."""
    _CLASSES[kind]()
    if kind == "text":
        _module("backends.hf_model", "llm")
    elif backend == "torch":
        _module("backends.torch_policy", "torch")
    else:
        _module("backends.onnx_policy", "onnx")


def _destination(model: Model, backend: str, options: LoadOptions) -> Any:
    size = model.manifest.shards[0].bytes
    if backend == "onnxruntime":
        return _module("weights.host_buffer", "onnx").HostBuffer(size)
    return _module("weights.torch_buffer", "torch").TorchBuffer(size, options.device)


def _fill(model: Model, destination: Any) -> None:
    for number, chunk in enumerate(model.manifest.shards[0].chunks):
        offset = number * CHUNK_BYTES
        destination.slot(offset, chunk.bytes, 0)[:] = chunk_blocking(model, chunk)
        destination.land(offset, chunk.bytes, 0)


async def _made(
    model: Model, kind: Kind, backend: str, destination: Any, arrival: Arrival, compute: Compute, options: LoadOptions
) -> Backend:
    tensors = {tensor.name: tensor for tensor in model.manifest.of_shard(0)}
    card = model.manifest.card
    if kind == "text":
        module = _module("backends.hf_model", "llm")
        files = {file.name: await _file(model, file.name, options) for file in model.manifest.files}
        made: Backend = await compute.run(lambda stop: module.HfModel(card.name, files, destination, tensors, arrival))
        return made
    _check_encoding(card.name, card.encoding)
    architecture = _module("policy.architecture", "onnx").parse(card.extra.get("config", ""))
    if backend == "torch":
        module = _module("backends.torch_policy", "torch")
        return await compute.run(lambda stop: module.TorchPolicy(architecture, destination, tensors, arrival))
    await arrival.done()
    module = _module("backends.onnx_policy", "onnx")
    threads = 1 if options.inline else options.threads
    return await compute.run(lambda stop: module.OnnxPolicy(architecture, destination, tensors, threads=threads))


async def _file(model: Model, name: str, options: LoadOptions) -> bytes:
    if not options.inline:
        return await model.file(name)
    await anyio.lowlevel.checkpoint()
    found = model.manifest.file(name)
    assert found is not None
    return b"".join(chunk_blocking(model, chunk) for chunk in found.chunks)


def _check_encoding(name: str, encoding: str | None) -> None:
    known = _module("policy.encoding", "onnx").ENCODING
    if encoding != known:
        raise ModelError(f"{name} reads positions as {encoding!r}; this version writes {known!r}")


def _after(resident: Source, model: Model) -> Model:
    return replace(model, sources=(resident, *model.sources))


def _description(model: Model, kind: Kind, backend: str, options: LoadOptions) -> Description:
    card = model.manifest.card
    count = 0
    for tensor in model.manifest.of_shard(0):
        if not tensor.name.endswith(".scale"):
            elements = 1
            for extent in tensor.shape:
                elements *= extent
            count += elements
    return Description(
        name=card.name,
        kind=kind,
        architecture=card.architecture,
        licence=card.licence,
        backend=backend,
        device=options.device,
        weights=weights_digest(model.manifest),
        parameters=count,
        encoding=card.encoding,
        template=card.template,
        extra=card.extra,
    )


def _policy_class() -> type[LoadedModel]:
    found: type[LoadedModel] = _module("backends.policy_model", "onnx").PolicyModel
    return found


def _text_class() -> type[LoadedModel]:
    found: type[LoadedModel] = _module("backends.text_model", "llm").TextModel
    return found


_CLASSES: dict[Kind, Callable[[], type[LoadedModel]]] = {"policy": _policy_class, "text": _text_class}
