"""What is read of an engine's lines."""

from __future__ import annotations

from typing import Any

import pytest

from edgechess_console.evaluation import _tell
from edgechess_console.hub import Hub
from edgechess_console.settings import Settings
from edgechess_console.uci_protocol import Judgement, read_info, read_name
from edgechess_kit.clock import VirtualClock
from edgechess_kit.messages import SessionState

pytestmark = pytest.mark.anyio
FEN = "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq - 0 1"

# as Stockfish 15.1 writes them
CP = "info depth 14 seldepth 20 multipv 1 score cp -27 nodes 100081 nps 714864 hashfull 44 tbhits 0 time 140 pv c7c5 g1f3"
MATE = "info depth 9 seldepth 4 multipv 1 score mate -2 nodes 512 nps 512000 tbhits 0 time 1 pv e8d8"
BOUND = "info depth 15 seldepth 22 multipv 1 score cp -20 lowerbound nodes 120000 nps 700000 time 160 pv c7c5"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (CP, Judgement(-27, None, 14, "c7c5")),
        (MATE, Judgement(None, -2, 9, "e8d8")),
        (BOUND, None),
        ("info string NNUE evaluation using nn-ad9b42354671.nnue enabled", None),
        ("info depth 1 score cp", None),
        ("info depth x score cp y", None),
        ("bestmove c7c5 ponder g1f3", None),
        ("", None),
    ],
)
def test_only_exact_scores_count(line: str, found: Judgement | None) -> None:
    assert read_info(line) == found


def test_the_name_is_the_engines_own() -> None:
    assert read_name("id name Stockfish 15.1") == "Stockfish 15.1"
    assert read_name("id author nobody") is None


@pytest.mark.parametrize("anyio_backend", ["trio"])
@pytest.mark.parametrize(
    ("found", "told"),
    [(Judgement(-27, None, 14, "c7c5"), (27, None)), (Judgement(None, 2, 9, "e8d8"), (None, -2)), (Judgement(9, None, 2, None), None)],
)  # fmt: skip
async def test_the_bar_is_from_whites_side_and_only_of_the_position_on_the_page(
    anyio_backend: Any, found: Judgement, told: tuple[int | None, int | None] | None
) -> None:
    hub = Hub(Settings(), VirtualClock(), "epoch")
    hub.hear(SessionState(status="running", session_id="s", fen=FEN, ply=1))
    _tell(hub, FEN, 1, "Stockfish", False, found)
    shown = hub.state.evaluation
    assert (None if shown is None else (shown.cp, shown.mate)) == told
    _tell(hub, FEN.replace("4P3", "3P4"), 1, "Stockfish", False, Judgement(500, None, 20, None))
    assert hub.state.evaluation is shown
