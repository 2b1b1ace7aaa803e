"""The model that comes with edgechess: small, whole, and a player that sees what hangs."""

from __future__ import annotations

import chess
import pytest

from edgechess_inference import model_word
from edgechess_inference.model_word import SHIPPED_NAME, address_of, shipped
from edgechess_inference.player import Answer, PlayerOptions, Question
from edgechess_inference.registry import seated
from edgechess_inference.weights.manifest import parse

pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.anyio
MOST_BYTES = 14 * 1024 * 1024
MOST_BYTES_OF_A_STYLE = 400 * 1024

FREE_QUEEN = "rnb1kbnr/ppp2ppp/8/3qp3/8/2N5/PPPP1PPP/R1BQKBNR w KQkq - 0 4"
"""The knight on c3 takes the queen on d5; any other move leaves it."""


@pytest.fixture(autouse=True)
def _no_models_of_ones_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECHESS_MODELS", str(tmp_path_factory.mktemp("models")))


async def choice(fen: str) -> Answer:
    """Loaded before it is asked, as in virtual time: nobody else answers for it."""
    async with seated("model:edgechess", PlayerOptions(inline=True)) as player:
        return await player.choose(Question(start_fen=fen, moves=(), timeout_s=30.0))


def test_it_is_there_and_small() -> None:
    assert address_of("edgechess") == str(model_word.SHIPPED_FOLDER / "edgechess.json")
    assert 0 < sum(file.stat().st_size for file in model_word.SHIPPED_FOLDER.rglob("*") if file.is_file()) < MOST_BYTES


def test_ten_styles_come_with_it_and_each_is_small() -> None:
    styles = [path for name, path in shipped().items() if name != SHIPPED_NAME]
    assert len(styles) >= 10
    for path in styles:
        assert 0 < path.stat().st_size + parse(path.read_bytes()).bytes < MOST_BYTES_OF_A_STYLE


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_it_takes_a_queen_that_hangs(anyio_backend: str) -> None:
    answer = await choice(FREE_QUEEN)
    assert answer.uci == "c3d5"
    assert "edgechess" in answer.by, "no engine moved instead"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_same_with_colours_exchanged(anyio_backend: str) -> None:
    assert (await choice(chess.Board(FREE_QUEEN).mirror().fen())).uci == "c6d4"
