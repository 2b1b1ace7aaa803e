"""`model[:NAME[@ADAPTER][:options]]`: a model of our own on this machine, through the ladder.

NAME is a packed model: a path or address (`models/tiny.json`, https, s3), or a plain name that lies in the models
folder or is shipped (`model:edgechess`); ADAPTER is named likewise (`model:edgechess@tal`). Weights stream while the engine already answers, unless `wait=yes`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from types import ModuleType
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from edgechess_inference.errors import InferenceError, PlayerFailed, PlayerWordError
from edgechess_inference.ladder.model_voice import ModelVoice
from edgechess_inference.ladder.options import seat_on_ladder
from edgechess_inference.model_word import ModelWord, address_of, parse_model_word, plug_in
from edgechess_inference.move_model import (
    Completion,
    Description,
    ModelUnavailable,
    MoveModel,
    PositionRequest,
    PromptRequest,
    Ranking,
)
from edgechess_inference.player import Player, PlayerOptions

if TYPE_CHECKING:
    from edgechess_inference.adapters.table import AdapterTable
    from edgechess_inference.backends.loading import LoadOptions

CLOSE_S = 10.0  # a computation under way ends with its layer or token; whoever closes does not wait longer


class OwnModel:
    """A model that one player loads for itself, in a task of its own. Until it is there, questions find nobody."""

    def __init__(self, word: ModelWord, *, inline: bool) -> None:
        self._word = word
        self._inline = inline
        self._model: MoveModel | None = None
        self._failure: str | None = None
        self._settled = anyio.Event()
        self._closing = anyio.Event()
        self._closed = anyio.Event()

    async def serve(self) -> None:
        """Loads, and keeps the model until `close`. What goes wrong is told to whoever asks."""
        try:
            loading = _backends() if self._inline else await anyio.to_thread.run_sync(_backends)
            table = loading.AdapterTable(inline=self._inline)
            async with self._loading(loading, table) as model:
                if self._word.adapter is not None:
                    await table.register(self._word.adapter, address_of(self._word.adapter))
                if not self._word.wait:
                    await model.ready()  # before, an answer would wait for its last layer, and nobody wants to wait
                self._model = model
                self._settled.set()
                await self._closing.wait()
        except InferenceError as error:
            self._failure = str(error)
        finally:
            self._model = None
            self._settled.set()
            self._closed.set()

    def _loading(self, loading: ModuleType, table: AdapterTable) -> AbstractAsyncContextManager[MoveModel]:
        word = self._word
        options: LoadOptions = loading.LoadOptions(device=word.device, backend=word.backend, inline=self._inline)
        installed = plug_in(word.name)
        if installed is not None:
            opener: Callable[[LoadOptions, AdapterTable], AbstractAsyncContextManager[MoveModel]] = installed.load()
            return opener(options, table)
        found: AbstractAsyncContextManager[MoveModel] = loading.load_model(
            address_of(word.name), options, adapters=table
        )
        return found

    async def loaded(self) -> None:
        """Returns when the model answers, or never will."""
        await self._settled.wait()

    async def describe(self) -> Description:
        await self._arrived()
        return self._there().describe()

    async def rank(self, request: PositionRequest) -> Ranking:
        return (await self._there().rank([request]))[0]

    async def rank_all(self, requests: Sequence[PositionRequest]) -> list[Ranking]:
        return await self._there().rank(requests)

    async def complete(self, request: PromptRequest) -> Completion:
        return (await self._there().complete([request]))[0]

    async def close(self) -> None:
        self._closing.set()
        with anyio.move_on_after(CLOSE_S, shield=True):
            await self._closed.wait()

    async def _arrived(self) -> None:
        if self._word.wait:
            await self._settled.wait()

    def _there(self) -> MoveModel:
        if self._model is None:
            raise ModelUnavailable(self._failure or f"{self._word.name} is still being loaded")
        return self._model


def _backends() -> ModuleType:
    """Imported when a model is loaded, in a thread: it takes a second, and whoever plays meanwhile is not held up."""
    return importlib.import_module("edgechess_inference.backends.loading")


def check(rest: str) -> None:
    """Raises PlayerWordError: what cannot be understood, what is not there, what is not installed."""
    word = parse_model_word(rest)
    if plug_in(word.name) is None:
        address_of(word.name)
        if not any(importlib.util.find_spec(name) for name in ("onnxruntime", "torch")):
            raise PlayerWordError(
                f"model:{word.name}: neither onnxruntime nor torch is installed; install edgechess-inference[onnx]"
            )
    if word.adapter is not None:
        address_of(word.adapter)


async def open_player(rest: str, options: PlayerOptions) -> Player:
    """The factory of the word `model`. In virtual time the model is loaded before this returns.

    Raises PlayerFailed where nobody gave a task group, or where in virtual time the model cannot be loaded.
    """
    word = parse_model_word(rest)
    if options.tasks is None:
        raise PlayerFailed(f"model:{rest}: whoever opens this player must give it a task group")
    own = OwnModel(word, inline=options.inline)
    voice = ModelVoice(word.shown, own, word.adapter, word.ladder, lookahead=word.lookahead)
    player = await seat_on_ladder(f"model:{rest}", voice, word.ladder, options)
    options.tasks.start_soon(own.serve, name=f"model {word.name}")
    if options.inline:
        await own.loaded()
        try:
            await own.describe()
        except ModelUnavailable as error:
            await player.close()
            raise PlayerFailed(f"model:{rest}: {error}") from error
    return player
