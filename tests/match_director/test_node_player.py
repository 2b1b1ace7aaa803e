"""A match whose players sit on an inference node: asked over the bus, again with the same id, and given up in time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import chess
import pytest

from edgechess_inference.errors import PlayerFailed
from edgechess_inference.player import Answer, Question
from edgechess_kit.messages import InferenceAttempt, InferenceRequest, InferenceResponse
from edgechess_kit.topics import Topics
from edgechess_match_director.node_player import NodePlayer, is_of_the_node
from edgechess_match_director.settings import Settings

pytestmark = pytest.mark.anyio

GAME = ("e2e4", "e7e5", "g1f3", "b8c6")
Script = Callable[[int, InferenceRequest], InferenceResponse | None]


async def asked(table: Any, script: Script, *, timeout_s: float = 10.0) -> tuple[Answer, list[InferenceRequest]]:
    """What a node player makes of a node that answers the n-th publication as its script says."""
    seen: list[InferenceRequest] = []
    topics, bus = Topics(), table.broker.client("scripted-node")

    async def node(*, task_status: anyio.abc.TaskStatus[None]) -> None:
        async with bus.subscribe(topics.inference_request) as deliveries:
            task_status.started()
            async for delivery in deliveries:
                seen.append(delivery.decode(topics.inference_request))
                response = script(len(seen), seen[-1])
                if response is not None:
                    await bus.publish(topics.inference_response, response)

    async with anyio.create_task_group() as tasks:
        await tasks.start(node)
        try:
            player = NodePlayer("model:tiny", table.context(Settings()))
            return await player.choose(Question(chess.STARTING_FEN, GAME, timeout_s)), seen
        finally:
            tasks.cancel_scope.cancel()


def good(request: InferenceRequest, **more: Any) -> InferenceResponse:
    return InferenceResponse(request_id=request.request_id, status=200, lan="f1b5", by="tiny", **more)


async def test_the_question_says_the_position_and_the_moves_that_count(table: Any) -> None:
    answer, [request] = await asked(table, lambda number, request: good(request))
    assert (answer.uci, answer.by, answer.account) == ("f1b5", "tiny", None)
    assert request.player == "model:tiny"
    assert request.moves == ("g1f3", "b8c6")
    assert request.start_fen == "rnbqkbnr/pppp1ppp/8/4p3/4P3/8/PPPP1PPP/RNBQKBNR w KQkq - 0 2"
    assert request.timeout_s == 9.5


async def test_the_account_comes_with_the_answer(table: Any) -> None:
    attempts = (
        InferenceAttempt(by="tiny", took_s=1.0, answer="Ke9", failure="illegal", error="no"),
        InferenceAttempt(by="Stockfish", took_s=0.1, answer="f1b5"),
    )
    answer, _ = await asked(table, lambda number, request: good(request, attempts=attempts, fallback=True))
    assert answer.account is not None
    assert answer.account.fallback
    assert [attempt.failure for attempt in answer.account.attempts] == ["illegal", None]


async def test_silence_and_503_are_asked_again_with_the_same_id(table: Any) -> None:
    def script(number: int, request: InferenceRequest) -> InferenceResponse | None:
        if number == 1:
            return None
        if number == 2:
            return InferenceResponse(request_id=request.request_id, status=503, reason="busy")
        return good(request)

    answer, seen = await asked(table, script)
    assert answer.uci == "f1b5"
    assert len({request.request_id for request in seen}) == 1
    assert len(seen) == 3


async def test_a_node_that_is_not_there_fails_the_question_in_time(table: Any) -> None:
    began = anyio.current_time()
    with pytest.raises(BaseExceptionGroup) as found:
        await asked(table, lambda number, request: None, timeout_s=7.0)
    assert found.group_contains(PlayerFailed, match="did not answer within 7 s: is it running")
    assert anyio.current_time() - began == pytest.approx(7.0)


async def test_a_refusal_is_told(table: Any) -> None:
    def script(number: int, request: InferenceRequest) -> InferenceResponse:
        return InferenceResponse(request_id=request.request_id, status=400, reason="no model 'tiny'")

    with pytest.raises(BaseExceptionGroup) as found:
        await asked(table, script)
    assert found.group_contains(PlayerFailed, match="400: no model 'tiny'")


@pytest.mark.parametrize(
    ("word", "settings", "remote"),
    [
        ("model:tiny", (), False),
        ("model:tiny", ("model",), True),
        ("model:tiny@a", ("model:tiny",), False),
        ("stockfish", ("*",), True),
        ("human", ("*", "human"), False),
        ("hand", ("*",), False),
        ("pgn:x.pgn", ("*",), False),
    ],
)
def test_which_words_the_node_answers(word: str, settings: tuple[str, ...], remote: bool) -> None:
    assert is_of_the_node(word, settings) == remote
