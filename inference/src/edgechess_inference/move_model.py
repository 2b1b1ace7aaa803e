"""A loaded model that chooses moves: what the ladder, the players and the node see of every backend.

Two kinds. A *policy* network ranks the legal moves of positions (`rank`); a *text* model completes prompts (`complete`).
Both answer batches, whose requests may name different adapters. Every answer carries the digest of the weights that
made it, whole: a batch is computed by one set of weights.

    async with load_model("store/tiny.json", LoadOptions()) as model:
        [ranking] = await model.rank([PositionRequest(chess.STARTING_FEN)])

Whoever serves several tables, swaps weights and mixes adapters takes a `ModelSlot` (`backends/slot.py`) instead, which
gathers single requests into batches.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from edgechess_inference.errors import InferenceError

Kind = Literal["policy", "text"]


class ModelError(InferenceError):
    """A model cannot do what was asked of it. The text says what is wrong and what would be right."""


class ModelUnavailable(ModelError):
    """Nothing answers just now: still loading, draining, closed. Asking later is safe."""


class ModelLate(ModelError):
    """The deadline came before the answer."""


class AdapterError(ModelError):
    """An adapter is unknown, made for other weights, or cannot be loaded. Requests for others are not touched."""

    def __init__(self, adapter: str, text: str) -> None:
        super().__init__(text)
        self.adapter = adapter


@dataclasses.dataclass(frozen=True, slots=True)
class PositionRequest:
    """One position to be ranked. `deadline` on the clock of `anyio.current_time()`."""

    fen: str
    adapter: str | None = None
    deadline: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class MoveChance:
    """A legal move in UCI and its share of the probability over all legal moves."""

    uci: str
    probability: float


@dataclasses.dataclass(frozen=True, slots=True)
class Outlook:
    """What the model expects for the side to move; the three add up to 1."""

    win: float
    draw: float
    loss: float

    @property
    def score(self) -> float:
        """Expected points, 0 to 1."""
        return self.win + self.draw / 2


@dataclasses.dataclass(frozen=True, slots=True)
class Ranking:
    """Every legal move, best first (equals by UCI); none where the game is over.

    `raw_best` is the best of all moves the network can name, without the rules' help; `raw_legal` says whether it was one.
    """

    moves: tuple[MoveChance, ...]
    outlook: Outlook | None
    raw_best: str
    raw_legal: bool
    weights: str
    adapter: str | None
    adapter_weights: str | None
    latency_s: float
    """Of the batch, from the call to the answer."""


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation, for models whose tokenizer brings a chat template."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclasses.dataclass(frozen=True, slots=True)
class PromptRequest:
    """One prompt to be completed: plain text, or messages to be set by the model's chat template.

    `allowed`: the completion will be one of these texts, whole (constrained decoding). `stop`: ends before the first of
    these. `temperature` 0: the most likely token each time. `seed`: the same request gives the same text, whatever else
    is in its batch (up to rounding). `deadline` as in `PositionRequest`; what has been written by then is returned.
    """

    prompt: str | tuple[Message, ...]
    max_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    adapter: str | None = None
    deadline: float | None = None


Finish = Literal["end", "stop", "length", "allowed", "deadline"]
"""The model ended; a stop text came; `max_tokens`; an allowed answer is complete; the time was up (the text is partial)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Completion:
    """What a text model wrote. `constrained`: it could write nothing but an allowed answer."""

    text: str
    finish: Finish
    constrained: bool
    prompt_tokens: int
    tokens: int
    weights: str
    adapter: str | None
    adapter_weights: str | None
    latency_s: float
    """Of this request's row, from the call to its last token."""


@dataclasses.dataclass(frozen=True, slots=True)
class Description:
    """A loaded model's card."""

    name: str
    kind: Kind
    architecture: str
    licence: str
    backend: str
    """"torch", "onnxruntime" …"""
    device: str
    weights: str
    """Digest of the weights, 64 hexadecimal digits; every answer names it."""
    parameters: int
    encoding: str | None
    template: str | None
    extra: Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that a loaded model holds, without its adapters."""

    weights_bytes: int
    """The streamed image."""
    converted_bytes: int
    """Copies in another type beside it: dequantised, widened, packed for a processor."""

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.converted_bytes


class MoveModel(Protocol):
    """One set of weights, loaded or still arriving. Calls may overlap; each batch is computed as a whole."""

    def describe(self) -> Description: ...

    def memory(self) -> Memory: ...

    async def rank(self, requests: Sequence[PositionRequest]) -> list[Ranking]:
        """In the order of the requests. Raises ModelError (no policy network, bad FEN), AdapterError, ModelUnavailable,
        ModelLate (a deadline had passed before the computation began), WeightsError (the rest of the weights never came)."""

    async def complete(self, requests: Sequence[PromptRequest]) -> list[Completion]:
        """In the order of the requests. Raises like `rank`."""

    async def ready(self) -> None:
        """Returns when every byte of the weights is in place. Before, requests are answered as layers arrive. Raises WeightsError."""

    async def close(self) -> None:
        """Waits for what is being computed; afterwards the memory is free. Called again, does nothing."""
