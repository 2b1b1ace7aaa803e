"""The node's models and adapters by name: what is loaded, what is on its way, what a restart brings back."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import logging
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import anyio
import anyio.abc
import anyio.to_thread

from edgechess_inference.errors import InferenceError
from edgechess_inference.model_word import SHIPPED_NAME, address_of, shipped
from edgechess_inference.move_model import (
    Completion,
    Description,
    ModelUnavailable,
    PositionRequest,
    PromptRequest,
    Ranking,
)
from edgechess_inference_node.errors import RequestRefused
from edgechess_inference_node.settings import Settings, named_address
from edgechess_kit.background import Background
from edgechess_kit.component import Context
from edgechess_kit.events import record
from edgechess_kit.messages import AdapterState, ModelState

if TYPE_CHECKING:
    from edgechess_inference.adapters.table import AdapterInfo, AdapterTable
    from edgechess_inference.backends.slot import ModelSlot

LOG = logging.getLogger(__name__)

MODELS_MAX = 16
ADAPTERS_FOLDER = (
    "adapters"  # of the cache: their tier has a limit of its own, which must not drive out a model's chunks
)
SERVES = "model-serves"
UNLOADED = "model-unloaded"
ADAPTER_SET = "adapter-set"
ADAPTER_REMOVED = "adapter-removed"
PROBLEM_LIMIT = 200  # characters of a problem in a status


@dataclasses.dataclass(slots=True)
class Served:
    """One name. `address`: of what serves or is to serve; `before`: of what served before that."""

    slot: ModelSlot
    address: str
    before: str | None = None
    problem: str | None = None
    release: anyio.Event = dataclasses.field(default_factory=anyio.Event)
    """Set: the slot goes, and its memory with it."""

    @property
    def ready(self) -> bool:
        return self.slot.status().state in ("serving", "swapping")


class SlotModel:
    """A name as the ladder asks it. A model that still streams in answers nobody: the engine does, at once."""

    def __init__(self, models: NodeModels, name: str) -> None:
        self._models = models
        self._name = name

    async def describe(self) -> Description:
        served = self._models.served(self._name)
        if served is None:
            raise ModelUnavailable("the model is only just being brought up")
        status = served.slot.status()
        if status.state == "loading":
            progress = status.progress
            part = f", {100 * progress.landed_bytes // max(1, progress.total_bytes)} % are here" if progress else ""
            raise ModelUnavailable(f"the weights are still on their way{part}")
        if status.serving is None and served.problem:
            raise ModelUnavailable(served.problem)
        return served.slot.describe()

    async def rank(self, request: PositionRequest) -> Ranking:
        return await self._slot().rank(request)

    async def rank_all(self, requests: Sequence[PositionRequest]) -> list[Ranking]:
        """The slot makes batches of what is asked at once."""
        found: list[Ranking | None] = [None] * len(requests)

        async def ask(place: int) -> None:
            found[place] = await self.rank(requests[place])

        try:
            async with anyio.create_task_group() as tasks:
                for place in range(len(requests)):
                    tasks.start_soon(ask, place, name="position")
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None  # one of them tells as much as all
        return [ranking for ranking in found if ranking is not None]

    async def complete(self, request: PromptRequest) -> Completion:
        return await self._slot().complete(request)

    async def close(self) -> None:
        """The slot is the node's."""

    def _slot(self) -> ModelSlot:
        served = self._models.served(self._name)
        assert served is not None  # it was described a moment ago, and names stay
        return served.slot


class NodeModels:
    """An async context manager; leaving it frees every model."""

    def __init__(self, context: Context[Settings]) -> None:
        self._context = context
        self._tasks = Background()
        self._served: dict[str, Served] = {}
        self._making = anyio.Lock()  # of slots: two commands that load one new name must not make two
        self._expected = frozenset(self.wanted())
        self._table: AdapterTable | None = None

    async def __aenter__(self) -> NodeModels:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._tasks.cancel()
        try:
            return await self._tasks.__aexit__(kind, error, traceback)
        finally:
            if self._table is not None:
                self._table.close()

    # ---------------------------------------------------------------- what there is

    def served(self, name: str) -> Served | None:
        return self._served.get(name)

    def names(self) -> tuple[str, ...]:
        """Of what is served, and of what is to be from the start on."""
        return tuple(sorted({*self._served, *self._expected}))

    def states(self) -> tuple[ModelState, ...]:
        return tuple(
            _state(name, self._served[name]) if name in self._served else ModelState(model=name, state="loading")
            for name in self.names()
        )

    def adapters(self) -> tuple[AdapterState, ...]:
        return tuple(_adapter_state(info) for info in self._table.list()) if self._table is not None else ()

    def has_adapter(self, name: str) -> bool:
        return self._table is not None and name in self._table

    def problems(self) -> Iterator[str]:
        """Of models that should serve and do not."""
        for name, served in sorted(self._served.items()):
            problem = served.problem or served.slot.status().problem
            if problem and not served.ready:
                yield f"{name}: {problem}"

    def remarks(self) -> Iterator[str]:
        """Of models that serve, though not all is as it was set."""
        for name, served in sorted(self._served.items()):
            remark = served.slot.status().remark
            if remark:
                yield f"{name}: {remark}"

    # ---------------------------------------------------------------- what changes

    def wanted(self) -> dict[str, str]:
        """Names and addresses: the settings', changed by what control has brought since they were last written."""
        configured = self._configured()
        wanted = dict(configured)
        for entry in self._context.journal.entries(kind=SERVES) + self._context.journal.entries(kind=UNLOADED):
            name = str(entry.key)
            newest = self._newest(name, SERVES, UNLOADED)
            if newest is None or newest.data["configured"] != configured.get(name):
                continue  # the settings were changed after it
            if newest.kind == SERVES:
                wanted[name] = str(newest.data["address"])
            else:
                wanted.pop(name, None)
        return wanted

    def wanted_adapters(self) -> dict[str, str]:
        """Likewise."""
        configured = self._configured_adapters()
        wanted = dict(configured)
        journal = self._context.journal
        for key in dict.fromkeys(entry.key for entry in journal.entries(kind=ADAPTER_SET)):
            newest = self._newest(str(key), ADAPTER_SET, ADAPTER_REMOVED)
            if newest is None or newest.data["configured"] != configured.get(str(key)):
                continue
            if newest.kind == ADAPTER_SET:
                wanted[str(key)] = str(newest.data["address"])
            else:
                wanted.pop(str(key), None)
        return wanted

    async def load(self, name: str, source: str, *, new: bool, told: bool = True) -> None:
        """`new`: the name must be free; else it must serve. `told`: control asked for it, so that a restart brings it back.

        Raises RequestRefused, InferenceError; what served before then serves on.
        """
        served = self._served.get(name)
        if new and served is not None and served.slot.status().state != "empty":
            raise RequestRefused(f"there is a model {name!r} already: swap it")
        if not new and served is None:
            raise RequestRefused(f"there is no model {name!r}; there are {', '.join(self.names()) or 'none'}")
        self._permitted(source)
        if not self._context.settings.inline:
            await anyio.to_thread.run_sync(_import_backends, self._context.settings.device)
        if served is None:
            async with self._making:
                if name in self._served:
                    raise RequestRefused(f"a model {name!r} is being loaded already")
                served = await self._new_slot(name, source)
        before = served.address if served.slot.status().serving is not None else None
        served.problem = None
        try:
            await served.slot.load(address_of(source))
        except InferenceError as error:
            served.problem = None if served.ready else str(error)
            if told and not served.ready and name not in self._expected:
                self._served.pop(name).release.set()  # a name that never served is none
            raise
        served.address, served.before = source, before if before is not None else served.before
        if told:
            self._note(SERVES, name, source, self._configured())

    async def rollback(self, name: str) -> None:
        """Raises RequestRefused, InferenceError."""
        served = self._known(name)
        if served.before is None:
            raise RequestRefused(f"no other model has served as {name!r} since the node started")
        await served.slot.rollback()
        served.address, served.before = served.before, served.address
        self._note(SERVES, name, served.address, self._configured())

    async def unload(self, name: str) -> None:
        """Its memory is freed; questions for it are answered by the engine. Raises RequestRefused."""
        await self._known(name).slot.unload()
        self._note(UNLOADED, name, "", self._configured())

    async def set_adapter(self, name: str, source: str, *, new: bool, told: bool = True) -> None:
        """Raises RequestRefused, InferenceError; requests in flight are not touched."""
        self._permitted(source)
        table = self._adapter_table()
        if any(letter in name for letter in "@:#,"):
            raise RequestRefused(f"{name!r} is no name for an adapter: without @ : # and comma, please")
        await (table.register(name, address_of(source)) if new else table.update(name, address_of(source)))
        if told:
            self._note(ADAPTER_SET, name, source, self._configured_adapters())

    def remove_adapter(self, name: str) -> None:
        """Raises AdapterError."""
        self._adapter_table().remove(name)
        self._note(ADAPTER_REMOVED, name, "", self._configured_adapters())

    # ---------------------------------------------------------------- inside

    def _known(self, name: str) -> Served:
        served = self._served.get(name)
        if served is None:
            raise RequestRefused(f"there is no model {name!r}; there are {', '.join(self.names()) or 'none'}")
        return served

    def _configured(self) -> dict[str, str]:
        """The settings' models; where they name none, the one that is shipped, if something here can compute it."""
        settings = self._context.settings
        if settings.models:
            return dict(named_address(text) for text in settings.models)
        backend = any(find_spec(name) for name in ("onnxruntime", "torch"))
        return {name: str(path) for name, path in shipped().items() if name == SHIPPED_NAME and backend}

    def _configured_adapters(self) -> dict[str, str]:
        """The settings'; where they name neither models nor adapters, the styles that are shipped."""
        settings = self._context.settings
        if settings.models or settings.adapters:
            return dict(named_address(text) for text in settings.adapters)
        model = self._configured()
        return {name: str(path) for name, path in shipped().items() if model and name not in model}

    def _permitted(self, source: str) -> None:
        """Of what control asks for; the settings' own addresses are the operator's."""
        settings = self._context.settings
        own = [*self._configured().values(), *self._configured_adapters().values()]
        if settings.sources and source not in own and not source.startswith(settings.sources):
            raise RequestRefused(f"{source} is not among the `sources` that this node loads from")

    async def _new_slot(self, name: str, source: str) -> Served:
        # the backends are imported with the first model: the engine answers before that
        from edgechess_inference.backends.slot import ModelSlot, SlotSettings

        if len(self._served) >= MODELS_MAX:
            raise RequestRefused(f"this node serves {MODELS_MAX} models; unload one first")
        settings = self._context.settings
        if any(letter in name for letter in "@:#,/"):
            raise RequestRefused(f"{name!r} is no name for a model: without @ : # / and comma, please")
        memory = settings.memory_mb * 1_000_000 or None
        slot = ModelSlot(
            self._load_options(),
            adapters=self._adapter_table(),
            settings=SlotSettings(batch_max=settings.batch, memory_bytes=memory),
        )
        served = Served(slot, source)
        await self._tasks.start(_keep, served, name=f"slot {name}")
        self._served[name] = served
        return served

    def _load_options(self) -> Any:
        from edgechess_inference.backends.loading import LoadOptions

        settings = self._context.settings
        return LoadOptions(
            device=settings.device,
            backend=settings.backend,
            model=self._model_options(),
            threads=settings.threads or None,
            inline=settings.inline,
        )

    def _model_options(self) -> Any:
        from edgechess_inference.weights.model import ModelOptions

        settings = self._context.settings
        cache = Path(settings.cache).expanduser() if settings.cache else None
        return ModelOptions(mirrors=settings.mirrors, cache=cache, trust=settings.trust)

    def _adapter_table(self) -> AdapterTable:
        if self._table is None:
            from edgechess_inference.adapters.table import AdapterLimits, AdapterTable

            settings = self._context.settings
            limits = AdapterLimits(device_adapters=settings.device_adapters, host_adapters=settings.host_adapters)
            folder = Path(settings.cache).expanduser() / ADAPTERS_FOLDER if settings.cache else None
            options = self._model_options()
            self._table = AdapterTable(limits, options=options, cache=folder, inline=settings.inline)
        return self._table

    def _newest(self, key: str, *kinds: str) -> Any:
        found = [entry for kind in kinds if (entry := self._context.journal.last(kind=kind, key=key)) is not None]
        return max(found, key=lambda entry: entry.seq, default=None)

    def _note(self, kind: str, name: str, address: str, texts: dict[str, str]) -> None:
        configured = texts.get(name)
        record(self._context, kind, {"address": address, "configured": configured}, key=name)


def _import_backends(device: str) -> None:
    """In a thread: these imports take a second or more, and the engine answers meanwhile. What is not installed is
    told when a model needs it."""
    names = ["slot", "policy_model", "onnx_policy"] if device == "cpu" else ["slot", "policy_model", "torch_policy"]
    for name in names:
        with contextlib.suppress(ImportError):
            importlib.import_module(f"edgechess_inference.backends.{name}")


async def _keep(served: Served, *, task_status: anyio.abc.TaskStatus[None]) -> None:
    """A slot's own task: what it opens is closed where it was opened."""
    async with served.slot:
        task_status.started()
        await served.release.wait()


def why(error: Exception) -> str:
    """One line, short enough for a status."""
    return " ".join(str(error).split())[:PROBLEM_LIMIT] or type(error).__name__


def _state(name: str, served: Served) -> ModelState:
    status = served.slot.status()
    progress = status.progress
    problem = served.problem or status.problem
    remarks = [*(progress.remarks() if progress else ()), *([status.remark] if status.remark else ())]
    return ModelState(
        model=name,
        state=status.state,
        name=status.serving.name[:200] if status.serving else None,
        weights=status.serving.weights if status.serving else None,
        loading=status.loading[:200] if status.loading else None,
        landed_bytes=progress.landed_bytes if progress else None,
        total_bytes=progress.total_bytes if progress else None,
        rate_bytes_s=round(progress.rate_bytes_s) if progress else None,
        remarks=", ".join(remarks)[:PROBLEM_LIMIT] or None,
        waiting=status.waiting,
        swaps=status.swaps,
        problem=problem[:PROBLEM_LIMIT] if problem else None,
    )


def _adapter_state(info: AdapterInfo) -> AdapterState:
    counts = info.counts
    return AdapterState(
        adapter=info.name,
        source=info.address,
        tier=info.tier,
        weights=info.digest,
        requests=counts.requests,
        legal=counts.legal,
        illegal=counts.illegal,
        loads=counts.loads,
        load_max_s=round(counts.load_max_s, 4),
        latency_mean_s=round(counts.latency_s / counts.requests, 4) if counts.requests else 0.0,
    )
