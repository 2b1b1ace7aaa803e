"""What is read of an engine's lines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import chess
import pytest

from edgechess_console.evaluation import _tell, evaluate
from edgechess_console.hub import Hub
from edgechess_console.settings import Settings
from edgechess_console.uci_protocol import Judgement, read_info, read_name
from edgechess_kit.clock import VirtualClock
from edgechess_kit.messages import SessionState

pytestmark = pytest.mark.anyio
FEN = "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq - 0 1"
SESSION = SessionState(status="running", session_id="s", fen=FEN, ply=1)

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
async def test_the_bar_is_from_whites_side_and_of_the_game_on_the_page(
    anyio_backend: Any, found: Judgement, told: tuple[int | None, int | None] | None
) -> None:
    hub = Hub(Settings(), VirtualClock(), "epoch")
    hub.hear(SESSION)
    _tell(hub, SESSION, "Stockfish", found)
    shown = hub.state.evaluation
    assert (None if shown is None else (shown.cp, shown.mate)) == told
    hub.hear(SessionState(status="running", session_id="next", fen=chess.STARTING_FEN))
    shown = hub.state.evaluation
    _tell(hub, SESSION, "Stockfish", Judgement(500, None, 20, None))
    assert hub.state.evaluation is shown


TOY = r"""#!/bin/sh
# speaks UCI; judges without end until it is told to stop, and then says the last word on that position
while read -r word rest; do
  case "$word" in
    uci) echo "id name Toy 1"; echo uciok ;;
    isready) echo readyok ;;
    go) echo "info depth 10 score cp 30 nodes 1 pv e2e4" ;;
    stop) echo "info depth 11 score cp 31 nodes 2 pv e2e4"; echo "bestmove e2e4" ;;
  esac
done
"""


async def test_an_engine_of_ones_own_reaches_the_page_and_follows_the_game(anyio_backend: Any, tmp_path: Path) -> None:
    engine = tmp_path / "toy"
    engine.write_text(TOY, encoding="utf-8")
    engine.chmod(0o755)
    settings = Settings(engine=str(engine))
    hub = Hub(settings, VirtualClock(), "epoch")
    first, second = chess.STARTING_FEN, FEN
    with anyio.fail_after(30), hub.viewer():
        async with anyio.create_task_group() as tasks:
            hub.hear(SessionState(status="running", session_id="s", fen=first, ply=0))
            tasks.start_soon(evaluate, hub, settings)
            await _until(lambda: hub.state.evaluation is not None)
            found = hub.snapshot().evaluation
            assert found is not None
            assert (found.fen, found.cp, found.engine) == (first, 30, "Toy 1")
            hub.hear(SessionState(status="running", session_id="s", fen=second, ply=1))
            await _until(lambda: hub.state.evaluation is not None and hub.state.evaluation.ply == 1)
            found = hub.snapshot().evaluation
            assert found is not None
            assert (found.fen, found.cp) == (second, -30)
            tasks.cancel_scope.cancel()


async def test_an_engine_that_dies_is_started_again_and_ends_nothing(
    anyio_backend: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgechess_console.evaluation.RETRY_S", 0.01)
    starts = tmp_path / "starts"
    engine = tmp_path / "toy"
    engine.write_text(TOY.replace("#!/bin/sh", f"#!/bin/sh\necho x >> {starts}").replace("go) echo", "go) exit; echo"))
    engine.chmod(0o755)
    settings = Settings(engine=str(engine))
    hub = Hub(settings, VirtualClock(), "epoch")
    hub.hear(SESSION)
    with anyio.fail_after(30), hub.viewer():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(evaluate, hub, settings)
            await _until(lambda: starts.exists() and len(starts.read_text()) > 3)
            tasks.cancel_scope.cancel()


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  (another process makes it true)
        await anyio.sleep(0.005)
