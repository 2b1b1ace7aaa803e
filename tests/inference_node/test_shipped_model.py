"""What comes with edgechess, as a node serves it: with lookahead, and in every style."""

from __future__ import annotations

from typing import Any

import chess
import pytest

pytest.importorskip("onnxruntime")

from edgechess_inference.model_word import SHIPPED_NAME, shipped

pytestmark = pytest.mark.anyio

MATE_BY_THE_ROOK = "6k1/5ppp/8/8/8/8/8/R3K3 w - - 0 1"
STALEMATE_OR_MATE = "7k/8/5K2/6Q1/8/8/8/8 w - - 0 1"  # Qg6 ends in stalemate, Qg7 in mate
SPANISH = "r1bqkbnr/1ppp1ppp/p1n5/1B2p3/4P3/5N2/PPPP1PPP/RNBQK2R w KQkq - 0 4"
SICILIAN = "rnbqkbnr/pp1ppppp/8/2p5/4P3/8/PPPP1PPP/RNBQKBNR w KQkq - 0 2"
QUIET = (chess.STARTING_FEN, SPANISH, SICILIAN)


async def serving(asker: Any) -> None:
    await asker.until(lambda: asker.statuses and any(model.state == "serving" for model in asker.statuses[-1].models))


@pytest.mark.parametrize(("fen", "mate"), [(MATE_BY_THE_ROOK, "a1a8"), (STALEMATE_OR_MATE, "g5g7")])
async def test_with_lookahead_it_mates_where_it_can(rig: Any, fen: str, mate: str) -> None:
    async with rig.node() as asker:
        await serving(asker)
        answer = await asker.ask("a", f"model:{SHIPPED_NAME}:lookahead=yes", fen=fen)
        assert (answer.status, answer.lan, answer.fallback) == (200, mate, False)


async def test_every_style_answers_by_its_name_and_they_are_not_of_one_mind(rig: Any) -> None:
    styles = [name for name in shipped() if name != SHIPPED_NAME]
    assert "tal" in styles
    assert len(styles) >= 10
    chosen = {}
    async with rig.node() as asker:
        await serving(asker)
        plain = await asker.ask("plain", f"model:{SHIPPED_NAME}")
        for name in styles:
            word = f"model:{SHIPPED_NAME}@{name}"
            answers = [await asker.ask(f"{name}-{place}", word, fen=fen) for place, fen in enumerate(QUIET)]
            found = {(answer.status, answer.fallback, answer.adapter, answer.weights) for answer in answers}
            assert found == {(200, False, name, plain.weights)}
            chosen[name] = tuple(answer.lan for answer in answers)
    assert len(set(chosen.values())) > 1
