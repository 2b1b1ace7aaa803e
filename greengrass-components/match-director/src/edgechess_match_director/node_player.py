"""A player whose moves come from the inference node, over the bus. To the match it is a player like any other."""

from __future__ import annotations

import contextlib
import logging
from typing import Any, get_args

import anyio
import anyio.lowlevel

from edgechess_inference.errors import PlayerFailed
from edgechess_inference.ladder.account import Account, Attempt, Failure
from edgechess_inference.player import Answer, Question, Seat
from edgechess_inference.registry import split_word
from edgechess_kit.bus import Subscription
from edgechess_kit.component import Context
from edgechess_kit.errors import KitError, LinkLost, WireError
from edgechess_kit.messages import InferenceAttempt, InferenceRequest, InferenceResponse

LOG = logging.getLogger(__name__)

REPEAT_S = 2.0  # the same request again: the node may have been restarted, and answers it once all the same
BUSY = 503
WAY_SHARE = 0.05  # of a question's time is for the way there and back
WAY_MOST_S = 1.0
FAILURES: tuple[Failure, ...] = get_args(Failure)
AT_THE_TABLE = ("human", "hand", "pgn")  # they need this table, or a file of this machine


def is_of_the_node(word: str, node_players: tuple[str, ...]) -> bool:
    """Whether the settings leave this word to the node."""
    name, _ = split_word(word)
    if name in AT_THE_TABLE:
        return False
    return any(entry in ("*", name, word) for entry in node_players)


class NodePlayer:
    """One word. Holds nothing: what the node knows it knows by itself."""

    seat: Seat = "answers"

    def __init__(self, word: str, context: Context[Any]) -> None:
        self.word = word
        self._context = context

    async def choose(self, question: Question) -> Answer:
        """Raises PlayerFailed: nobody answered in time, or the node refuses the word or the position."""
        topics, bus = self._context.topics, self._context.bus
        request = self._request(question)
        try:
            with anyio.fail_after(question.timeout_s):
                async with bus.subscribe(topics.inference_response) as deliveries, anyio.create_task_group() as tasks:
                    tasks.start_soon(self._ask, request, name="ask the node")
                    response = await self._answer(deliveries, request)
                    tasks.cancel_scope.cancel()
        except TimeoutError as error:
            raise PlayerFailed(
                f"{self.word}: the inference node did not answer within {question.timeout_s:g} s: is it running?"
            ) from error
        if response is None:
            raise PlayerFailed(f"{self.word}: the bus was closed")
        if response.status != 200:
            raise PlayerFailed(f"{self.word}: the inference node answers {response.status}: {response.reason}")
        return _answer(response)

    async def close(self) -> None:
        await anyio.lowlevel.checkpoint()

    def _request(self, question: Question) -> InferenceRequest:
        """With the moves since the last one that cannot be undone: repetitions count from there, and a message is finite."""
        board = question.board()
        reach = min(board.halfmove_clock, len(board.move_stack))
        start = board.copy()
        for _ in range(reach):
            start.pop()
        way_s = min(WAY_SHARE * question.timeout_s, WAY_MOST_S)
        return InferenceRequest(
            request_id=self._context.ids.new("inference"),
            player=self.word,
            fen=board.fen(),
            start_fen=start.fen(),
            moves=tuple(move.uci() for move in board.move_stack[len(board.move_stack) - reach :]),
            timeout_s=question.timeout_s - way_s,
        )

    async def _ask(self, request: InferenceRequest) -> None:
        try:
            while True:
                await self._context.bus.publish(self._context.topics.inference_request, request)
                await anyio.sleep(REPEAT_S)
        except KitError as error:  # the question's time decides what comes of it
            LOG.warning("%s: the inference node cannot be asked: %s", self.word, error)

    async def _answer(self, deliveries: Subscription, request: InferenceRequest) -> InferenceResponse | None:
        """None where the bus was closed. A node that is too busy is asked again with the next repetition."""
        topic = self._context.topics.inference_response
        with contextlib.suppress(LinkLost):
            async for delivery in deliveries:
                try:
                    response = delivery.decode(topic)
                except WireError:
                    continue  # somebody else's
                if response.request_id == request.request_id and response.status != BUSY:
                    return response
        return None


def _answer(response: InferenceResponse) -> Answer:
    account = Account(
        attempts=tuple(_attempt(attempt) for attempt in response.attempts),
        fallback=response.fallback,
        constrained=response.constrained,
        skipped=response.skipped,
        adapter=response.adapter,
        weights=response.weights,
        took_s=response.took_s or 0.0,
    )
    return Answer(
        response.lan,
        by=response.by or "the inference node",
        reason=response.reason,
        resigns=response.resigns,
        account=account if response.attempts else None,
    )


def _attempt(attempt: InferenceAttempt) -> Attempt:
    failure = next((name for name in FAILURES if name == attempt.failure), None)
    return Attempt(
        attempt.by,
        attempt.took_s,
        attempt.answer,
        failure,
        attempt.error,
        attempt.constrained,
    )
