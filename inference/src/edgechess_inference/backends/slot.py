"""A place for one model that serves while others come and go: it gathers requests into batches, and swaps between two.

    async with ModelSlot(options, adapters=table) as slot:
        await slot.load("store/chess-1.json")
        ranking = await slot.rank(PositionRequest(fen))        # from any number of tasks
        await slot.load("store/chess-2.json")                  # beside the old one; then, between two batches, instead

New weights are streamed beside the old, taking over the chunks that both share; they are tried on a known request, and
only then the next batch is theirs. Whatever fails before leaves the old model serving as if nothing had been. Where
memory does not allow two, the slot says so, answers nobody, and comes back with the new model or, if that fails, the old.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Self, TypeVar, cast

import anyio
import anyio.abc
import chess

from edgechess_inference.adapters.table import AdapterTable
from edgechess_inference.backends.loading import LoadOptions, load_model, opened_model, weights_bytes
from edgechess_inference.backends.resident import ResidentSource, reader_of
from edgechess_inference.errors import InferenceError
from edgechess_inference.move_model import (
    AdapterError,
    Completion,
    Description,
    Memory,
    ModelError,
    ModelLate,
    ModelUnavailable,
    MoveModel,
    PositionRequest,
    PromptRequest,
    Ranking,
)
from edgechess_inference.weights.model import Model
from edgechess_inference.weights.progress import Progress
from edgechess_inference.weights.streamer import Stream

BATCH_MAX = 32  # positions or prompts computed together; more only makes the first of them wait
WAITING_MAX = 1024  # requests in line; beyond, the next is refused at once

State = Literal["empty", "loading", "serving", "swapping", "draining", "closed"]
Request = PositionRequest | PromptRequest
R = TypeVar("R", Ranking, Completion)


@dataclass(frozen=True, slots=True)
class SlotSettings:
    """`memory_bytes`: what weights of this slot may take together while they are swapped; None: both always fit."""

    batch_max: int = BATCH_MAX
    waiting_max: int = WAITING_MAX
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class SlotStatus:
    """A moment, for people and for the bus."""

    state: State
    serving: Description | None
    memory: Memory | None
    loading: str | None
    """Name of the model that is on its way."""
    progress: Progress | None
    waiting: int
    """Requests in line."""
    swaps: int
    problem: str | None
    """Why the last load failed, or why nobody is answered."""
    remark: str | None
    """What is not as it was set, though the weights that serve are whole."""


class _Ask(Generic[R]):
    """One request in line."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.done = anyio.Event()
        self.answer: R | None = None
        self.error: InferenceError | None = None
        self.gone = False

    def give(self, answer: R | None, error: InferenceError | None = None) -> None:
        self.answer, self.error = answer, error
        self.done.set()


class _Held:
    """One loaded model, kept by a task of its own."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.loaded: MoveModel | None = None
        self.stream: Stream | None = None
        self.release = anyio.Event()
        self.gone = anyio.Event()

    def resident(self) -> ResidentSource | None:
        """Its weights as a source, once all of them have come."""
        if self.stream is None or not self.stream.snapshot().finished:
            return None
        return ResidentSource(self.model.manifest, reader_of(self.stream.destination))


class ModelSlot:
    """An async context manager; leaving it frees the model and refuses whoever still waits."""

    def __init__(
        self,
        options: LoadOptions = LoadOptions(),  # noqa: B008 — frozen
        *,
        adapters: AdapterTable | None = None,
        settings: SlotSettings = SlotSettings(),
    ) -> None:
        self.adapters = adapters
        self._options = options
        self._settings = settings
        self._state: State = "empty"
        self._problem: str | None = None
        self._swaps = 0
        self._serving: _Held | None = None
        self._coming: _Held | None = None
        self._previous: Model | None = None
        self._line: deque[_Ask[Ranking] | _Ask[Completion]] = deque()
        self._wanted = anyio.Event()
        self._running: list[_Ask[Ranking] | _Ask[Completion]] = []
        self._batch_scope: anyio.CancelScope | None = None
        self._turn = anyio.Lock()  # held while a batch is computed; a switch takes it
        self._changing = anyio.Lock()  # one load at a time

    async def __aenter__(self) -> Self:
        self._tasks = await anyio.create_task_group().__aenter__()
        self._tasks.start_soon(self._serve, name="model-slot")
        return self

    async def __aexit__(self, *failure: object) -> bool | None:
        self._state = "closed"
        for ask in (*self._line, *self._running):
            ask.give(None, ModelUnavailable("the model's slot is closed"))
        self._tasks.cancel_scope.cancel()
        return await self._tasks.__aexit__(*failure)  # type: ignore[arg-type]

    # ------------------------------------------------------------ asking

    async def rank(self, request: PositionRequest) -> Ranking:
        """Raises ModelUnavailable, ModelLate, AdapterError, ModelError or WeightsError: of this request alone."""
        return await self._ask(_Ask[Ranking](request))

    async def complete(self, request: PromptRequest) -> Completion:
        """Raises like `rank`. The time of its deadline counts from the line on, not from the batch."""
        return await self._ask(_Ask[Completion](request))

    def describe(self) -> Description:
        """Of the model that serves. Raises ModelUnavailable."""
        return self._model().describe()

    def status(self) -> SlotStatus:
        serving = self._serving.loaded if self._serving else None
        coming = self._coming
        return SlotStatus(
            state=self._state,
            serving=serving.describe() if serving else None,
            memory=serving.memory() if serving else None,
            loading=coming.model.manifest.card.name if coming else None,
            progress=coming.stream.snapshot() if coming and coming.stream else None,
            waiting=len(self._line),
            swaps=self._swaps,
            problem=self._problem,
            remark=self._serving.model.remark if self._serving else None,
        )

    # ------------------------------------------------------------ changing

    async def load(self, address: str) -> Description:
        """Returns when these weights serve, whole. Raises ModelError or WeightsError; what served before then serves on.

        The first model of a slot serves from the start of its stream, layer by layer.
        """
        return await self._change(await opened_model(address, self._options))

    async def rollback(self) -> Description:
        """Loads what served before the last swap. Raises ModelError where there was nothing."""
        if self._previous is None:
            raise ModelError("no other model has served here: there is nothing to go back to")
        return await self._change(self._previous)

    async def unload(self) -> None:
        """Frees the model, once its batch has ended; requests are refused until the next `load`."""
        async with self._changing:
            await self._vacate("no model is loaded")
            self._state = "empty"

    async def _change(self, model: Model) -> Description:
        async with self._changing:
            if self._state == "closed":
                raise ModelUnavailable("the model's slot is closed")
            before = self._serving
            try:
                if before is None:
                    held = await self._first(model)
                elif self._fits(model, before):
                    held = await self._beside(model, before)
                else:
                    held = await self._instead(model, before)
            except InferenceError as error:
                self._problem = f"{model.manifest.card.name}: {error}"
                raise
            finally:
                self._coming = None
                self._rest()
            self._problem = None
            self._swaps += before is not None
            self._previous = before.model if before is not None else self._previous
            assert held.loaded is not None
            return held.loaded.describe()

    def _rest(self) -> None:
        """The state between two changes."""
        if self._state != "closed":
            self._state = "serving" if self._serving else "empty"

    def _fits(self, model: Model, before: _Held) -> bool:
        if self._settings.memory_bytes is None:
            return True
        assert before.loaded is not None
        needed = before.loaded.memory().total_bytes + weights_bytes(model, self._options)
        return needed <= self._settings.memory_bytes

    async def _first(self, model: Model) -> _Held:
        """Nothing serves yet: requests may be answered while it streams."""
        self._state = "loading"
        held = await self._hold(model, None)
        self._serving = held
        sound = False
        try:
            await self._try(held)
            sound = True
        finally:
            if not sound:
                self._serving = None
                with anyio.CancelScope(shield=True):
                    await self._let_go(held)
        return held

    async def _beside(self, model: Model, before: _Held) -> _Held:
        self._state = "swapping"
        held = await self._hold(model, before.resident())
        try:
            await self._try(held)
            async with self._turn:  # between two batches
                self._serving = held
        finally:
            with anyio.CancelScope(shield=True):
                await self._let_go(before if self._serving is held else held)
        return held

    async def _instead(self, model: Model, before: _Held) -> _Held:
        """There is no room for two."""
        name = model.manifest.card.name
        await self._vacate(f"there is no memory for two models: {name} is being loaded instead of the old one")
        earlier, self._previous = self._previous, before.model  # as long as nothing serves, one can go back to that
        try:
            return await self._first(model)
        except InferenceError:
            await self._first(before.model)
            self._previous = earlier
            raise

    async def _vacate(self, reason: str) -> None:
        self._state, self._problem = "draining", reason
        for ask in self._line:
            ask.give(None, ModelUnavailable(reason))
        self._line.clear()
        async with self._turn:
            held, self._serving = self._serving, None
        if held is not None:
            await self._let_go(held)

    async def _hold(self, model: Model, resident: ResidentSource | None) -> _Held:
        held = self._coming = _Held(model)
        await self._tasks.start(self._keep, held, resident, name=f"model-{model.manifest.card.name}")
        return held

    async def _keep(
        self, held: _Held, resident: ResidentSource | None, *, task_status: anyio.abc.TaskStatus[None]
    ) -> None:
        """Has the model open until it is released."""

        def opened(stream: Stream) -> None:
            held.stream = stream

        try:
            async with load_model(
                held.model, self._options, adapters=self.adapters, resident=resident, opened=opened
            ) as loaded:
                held.loaded = loaded
                task_status.started()
                await held.release.wait()
        finally:
            held.gone.set()

    async def _let_go(self, held: _Held) -> None:
        held.release.set()
        await held.gone.wait()

    async def _try(self, held: _Held) -> None:
        """All bytes are there, and a known request has an answer. Raises WeightsError or ModelError."""
        loaded = held.loaded
        assert loaded is not None
        await loaded.ready()
        if loaded.describe().kind == "policy":
            [ranking] = await loaded.rank([PositionRequest(chess.STARTING_FEN)])
            sound = all(math.isfinite(move.probability) for move in ranking.moves)
        else:
            [completion] = await loaded.complete([PromptRequest("1. e4", max_tokens=1)])
            sound = completion.tokens == 1
        if not sound:
            raise ModelError(f"{loaded.describe().name} computes no numbers: its weights are not what its card says")

    # ------------------------------------------------------------ answering

    def _model(self) -> MoveModel:
        if self._serving is None or self._serving.loaded is None:
            raise ModelUnavailable(self._problem or "no model is loaded")
        return self._serving.loaded

    async def _ask(self, ask: _Ask[R]) -> R:
        """Puts it in line and waits, no longer than its deadline."""
        request = ask.request
        deadline = math.inf if request.deadline is None else request.deadline
        with anyio.CancelScope(deadline=deadline) as scope:
            model = self._model()
            if request.adapter is not None:
                await self._check_adapter(request.adapter, model)
            if len(self._line) >= self._settings.waiting_max:
                raise ModelUnavailable(f"{len(self._line)} requests are waiting already")
            self._line.append(ask)
            self._wanted.set()
            try:
                await ask.done.wait()
            finally:
                if not ask.done.is_set():
                    self._leave(ask)
        if scope.cancelled_caught or not ask.done.is_set():
            raise ModelLate("the deadline came before the model's answer")
        if ask.error is not None:
            raise ask.error
        assert ask.answer is not None
        return ask.answer

    async def _check_adapter(self, name: str, model: MoveModel) -> None:
        """Its bytes are fetched before it takes a place in a batch, so that nobody else waits for them."""
        if self.adapters is None:
            raise AdapterError(name, f"there is no adapter {name!r}: none is registered here")
        self.adapters.check(name, model.describe().weights)
        await self.adapters.warm(name)

    def _leave(self, ask: _Ask[R]) -> None:
        """Nobody waits for it any more; a batch for which nobody waits is given up."""
        ask.gone = True
        if ask in self._line:
            self._line.remove(ask)
        if self._running and self._batch_scope is not None and all(other.gone for other in self._running):
            self._batch_scope.cancel()

    async def _serve(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted = anyio.Event()
            while self._line:
                async with self._turn:
                    await self._batch()

    async def _batch(self) -> None:
        self._running = self._take()
        if not self._running:
            return
        with anyio.CancelScope() as self._batch_scope:
            await self._answer(self._running)
        self._batch_scope = None
        self._running = []

    def _take(self) -> list[_Ask[Ranking] | _Ask[Completion]]:
        """From the front of the line: of one kind, of no more adapters than find room at once."""
        taken: list[_Ask[Ranking] | _Ask[Completion]] = []
        names: set[str] = set()
        room = self.adapters.limits.device_adapters if self.adapters is not None else 1
        while self._line and len(taken) < self._settings.batch_max:
            ask = self._line[0]
            if taken and type(ask.request) is not type(taken[0].request):
                break
            if ask.request.adapter is not None:
                if ask.request.adapter not in names and len(names) >= room:
                    break
                names.add(ask.request.adapter)
            taken.append(self._line.popleft())
        return taken

    async def _answer(self, asks: Sequence[_Ask[Ranking] | _Ask[Completion]]) -> None:
        """Each gets its answer or its own error: what is wrong with one request is no other's affair."""
        try:
            await self._compute(asks)
        except AdapterError as error:
            named = [ask for ask in asks if ask.request.adapter == error.adapter]
            others = [ask for ask in asks if ask.request.adapter != error.adapter]
            for ask in named or asks:
                ask.give(None, error)
            if named and others:
                await self._answer(others)
        except InferenceError as error:
            if len(asks) == 1:
                asks[0].give(None, error)
                return
            for ask in asks:
                await self._answer([ask])

    async def _compute(self, asks: Sequence[_Ask[Ranking] | _Ask[Completion]]) -> None:
        model = self._model()
        if isinstance(asks[0].request, PositionRequest):
            positions = cast(Sequence[_Ask[Ranking]], asks)
            rankings = await model.rank([cast(PositionRequest, ask.request) for ask in positions])
            for position, ranking in zip(positions, rankings, strict=True):
                position.give(ranking)
            return
        prompts = cast(Sequence[_Ask[Completion]], asks)
        completions = await model.complete([cast(PromptRequest, ask.request) for ask in prompts])
        for prompt, completion in zip(prompts, completions, strict=True):
            prompt.give(completion)
