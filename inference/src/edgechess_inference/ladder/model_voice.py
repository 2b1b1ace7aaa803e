"""A loaded model as a voice: a policy network names its best move, or looks one ply ahead; a text model is given a prompt."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

import anyio

from edgechess_inference.errors import InferenceError
from edgechess_inference.ladder.options import LadderOptions
from edgechess_inference.ladder.voice import Rung, Said, VoiceFailed
from edgechess_inference.lookahead import asked, branches, preferred
from edgechess_inference.move_model import (
    AdapterError,
    Completion,
    Description,
    Message,
    ModelError,
    ModelLate,
    ModelUnavailable,
    MoveChance,
    PositionRequest,
    PromptRequest,
    Ranking,
)
from edgechess_inference.prompts.prompt_set import NAME, Prompt, load_prompts, prompt_sets
from edgechess_inference.weights.errors import WeightsError

LEAST_TEMPERATURE = 0.01  # below, the best move is played
LOOKAHEAD_CAUTION = 1.5  # times what the last lookahead took per position: too late is an engine's move


class Asked(Protocol):
    """Who hands single requests to a model: a slot of a node, or a player's own."""

    async def describe(self) -> Description:
        """Raises ModelUnavailable as long as nothing is loaded, and nobody wants to wait for it."""

    async def rank(self, request: PositionRequest) -> Ranking:
        """Raises ModelError and its kinds, WeightsError."""

    async def rank_all(self, requests: Sequence[PositionRequest]) -> list[Ranking]:
        """Computed together where that is possible. In the order of the requests. Raises like `rank`."""

    async def complete(self, request: PromptRequest) -> Completion:
        """Raises like `rank`."""

    async def close(self) -> None: ...


class ModelVoice:
    """One model, with at most one adapter. `name`: as the word names it."""

    def __init__(
        self, name: str, asked: Asked, adapter: str | None, options: LadderOptions, *, lookahead: bool = False
    ) -> None:
        self.name = name
        self._asked = asked
        self._adapter = adapter
        self._options = options
        self._lookahead = lookahead
        self._position_s = 0.0  # of the last lookahead, per position; before the first, nothing is known

    async def say(self, rung: Rung) -> Said:
        try:
            description = await self._asked.describe()
            if description.kind == "policy":
                return await (self._look(rung) if self._lookahead else self._rank(rung))
            if self._lookahead:
                raise ModelError(f"{self.name} writes text and weighs no positions: lookahead is for policy networks")
            return await self._complete(rung, description)
        except InferenceError as error:
            raise _failed(error) from error

    async def close(self) -> None:
        await self._asked.close()

    async def _rank(self, rung: Rung) -> Said:
        """Unless told otherwise the mask over legal moves stands behind the network, and is told when it was needed."""
        ranking = await self._asked.rank(PositionRequest(rung.board.fen(), self._adapter, rung.until))
        drawn = draw_move(ranking.moves, self._options.temperature, rung.seed)
        masked = self._options.constrained is not False
        if ranking.raw_legal:
            return Said(drawn, adapter=ranking.adapter, weights=ranking.weights)
        instead = drawn if masked else None
        return Said(ranking.raw_best, instead=instead, adapter=ranking.adapter, weights=ranking.weights)

    async def _look(self, rung: Rung) -> Said:
        """The policy's own best move where there is no time for more."""
        ranking = await self._asked.rank(PositionRequest(rung.board.fen(), self._adapter, rung.until))
        tree = branches(rung.board, ranking.moves)
        questions = [PositionRequest(branch.board.fen(), self._adapter, rung.until) for branch in asked(tree)]
        started = anyio.current_time()
        expected_s = LOOKAHEAD_CAUTION * self._position_s * len(questions)
        if started + expected_s >= rung.until:
            best = ranking.moves[0].uci
        else:
            rankings = await self._asked.rank_all(questions)
            self._position_s = (anyio.current_time() - started) / max(1, len(questions))
            best = preferred(tree, [_score(each) for each in rankings]).uci
        return Said(best, constrained=True, adapter=ranking.adapter, weights=ranking.weights)

    async def _complete(self, rung: Rung, description: Description) -> Said:
        options = self._options
        prompt = load_prompts(_prompt_name(options.prompt, description.template)).render(rung)
        legal = tuple(sorted(rung.board.san(move) for move in rung.board.legal_moves)) if options.constrained else ()
        answer = await self._asked.complete(
            PromptRequest(
                prompt=_text(prompt) if options.tuned else _messages(prompt),
                max_tokens=options.max_tokens,
                temperature=options.temperature,
                top_p=options.top_p,
                seed=rung.seed,
                stop=("</move>",) if options.tuned else (),
                allowed=legal,
                adapter=self._adapter,
                deadline=rung.until,
            )
        )
        return Said(answer.text, answer.constrained, adapter=answer.adapter, weights=answer.weights)


def _score(ranking: Ranking) -> float:
    """Raises ModelError."""
    if ranking.outlook is None:
        raise ModelError("this network has no outlook, so there is nothing to look ahead to")
    return ranking.outlook.score


def draw_move(moves: Sequence[MoveChance], temperature: float, seed: int) -> str:
    """The best legal move, or at a temperature one drawn from their probabilities. In UCI."""
    if temperature < LEAST_TEMPERATURE:
        return moves[0].uci
    best = moves[0].probability or 1.0
    weights = [(move.probability / best) ** (1 / temperature) for move in moves]
    return random.Random(seed).choices([move.uci for move in moves], weights=weights)[0]


def _prompt_name(asked: str, template: str | None) -> str:
    """A model's card may name the prompts that it was trained with; a word that names others is obeyed all the same."""
    defaults = ("general-1", "tuned-1")
    if template is not None and asked in defaults and NAME.match(template) and template in prompt_sets():
        return template
    return asked


def _messages(prompt: Prompt) -> tuple[Message, ...]:
    system = (Message("system", prompt.system),) if prompt.system else ()
    return (*system, Message("user", prompt.user))


def _text(prompt: Prompt) -> str:
    return f"{prompt.system}\n\n{prompt.user}" if prompt.system else prompt.user


def _failed(error: InferenceError) -> VoiceFailed:
    match error:
        case VoiceFailed():
            return error
        case ModelLate():
            return VoiceFailed("late", str(error), again=False)
        case ModelUnavailable() | WeightsError():
            return VoiceFailed("unavailable", str(error), again=False)
        case AdapterError() | ModelError():
            return VoiceFailed("refused", str(error), again=False)
        case _:
            return VoiceFailed("unavailable", str(error), again=False)
