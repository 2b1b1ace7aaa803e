"""Styles: whose games, which of them later, and adapters that serve what was trained."""

from __future__ import annotations

import json
import random
from pathlib import Path

import chess
import chess.pgn
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from edgechess_inference.adapters.host import HostAdapter, fill_blocking  # noqa: E402
from edgechess_inference.adapters.lora import read_adapter  # noqa: E402
from edgechess_inference.backends.arrival import Arrival  # noqa: E402
from edgechess_inference.backends.torch_policy import TorchPolicy  # noqa: E402
from edgechess_inference.policy.architecture import Architecture  # noqa: E402
from edgechess_inference.policy.checkpoint import pack_policy  # noqa: E402
from edgechess_inference.policy.encoding import decode  # noqa: E402
from edgechess_inference.policy.network import fresh  # noqa: E402
from edgechess_inference.weights.host_buffer import HostBuffer  # noqa: E402
from edgechess_inference.weights.model import ModelOptions, open_blocking  # noqa: E402
from edgechess_inference.weights.torch_buffer import TorchBuffer  # noqa: E402
from edgechess_training.errors import TrainingError  # noqa: E402
from edgechess_training.policy.compute import Compute  # noqa: E402
from edgechess_training.policy.low_rank import attach, save_adapter  # noqa: E402
from edgechess_training.policy.mixture import batch_of, outlooks_of  # noqa: E402
from edgechess_training.policy.network_weights import PackedNetwork, arrays_of, packed_network, put  # noqa: E402
from edgechess_training.policy.player_games import read_player  # noqa: E402
from edgechess_training.policy.style import StyleOptions, pack_style, train_style  # noqa: E402
from edgechess_training.positions import Positions  # noqa: E402
from edgechess_training.style_folder import REPORT_FILE  # noqa: E402

CPU = torch.device("cpu")


def write_games(path: Path, count: int) -> None:
    """Games of Tal, alternately with White and Black, the earliest last in the file; he moves what comes last by name."""
    rng, games = random.Random(5), []
    for number in range(count):
        board, white = chess.Board(), number % 2 == 0
        while board.ply() < 20 and not board.is_game_over():
            moves = sorted(board.legal_moves, key=chess.Move.uci)
            board.push(moves[-1] if board.turn == white else rng.choice(moves))
        game = chess.pgn.Game.from_board(board)
        names = ("Tal, Mihail" if number % 3 else "Tal, M", f"Opponent {number}")
        game.headers["White"], game.headers["Black"] = names if white else names[::-1]
        game.headers["Date"] = f"{1980 - number}.??.??"
        games.append(str(game))
    path.write_text("\n\n".join(games) + "\n", encoding="utf-8")


@pytest.fixture
def games(tmp_path: Path) -> Path:
    write_games(tmp_path / "Tal.pgn", 40)
    return tmp_path / "Tal.pgn"


@pytest.fixture
def base(tmp_path: Path, toy: Architecture) -> PackedNetwork:
    address = tmp_path / "store" / "toy.json"
    pack_policy(address, toy, arrays_of(fresh(toy, 1)))
    return packed_network(str(address))


def test_the_latest_games_are_held_out_and_moves_are_the_players_own(games: Path) -> None:
    found = read_player(games)
    assert (found.name, found.player) == ("Tal", "Tal M")
    assert found.since == "1975.00.00"  # 6 of 40 games, 1975 to 1980
    assert len(set(found.later["game"].tolist())) == 6
    assert len(set(found.earlier["game"].tolist())) == 34
    for rows in (found.earlier, found.later):
        for row in rows[:30]:
            assert row["move"] == _last_by_name(row["record"].tobytes(), int(row["ply"]))


def _last_by_name(record: bytes, ply: int) -> int:
    """His move: names are those of the board as it stood, turned back where Black moved."""
    from edgechess_inference.policy.moves import index_of

    board = decode(record)
    if ply % 2:
        board = board.mirror()
    move = max(board.legal_moves, key=chess.Move.uci)
    return index_of(move, board.turn)


def test_a_player_may_be_named(games: Path) -> None:
    assert read_player(games, "Tal, Mihail").player == "Tal, Mihail"
    with pytest.raises(TrainingError, match="no moves of 'Fischer'"):
        read_player(games, "Fischer")


def test_few_games_are_no_style(tmp_path: Path) -> None:
    write_games(tmp_path / "Few.pgn", 5)
    with pytest.raises(TrainingError, match="5 games; a style takes at least 20"):
        read_player(tmp_path / "Few.pgn")


def test_an_adapter_serves_what_was_trained(
    tmp_path: Path, toy: Architecture, base: PackedNetwork, dataset: Path
) -> None:
    """Through the packed adapter and the backend of serving, beside the very network that was trained."""
    network = fresh(toy, 1)
    put(network, base.weights)
    changes = attach(network, 4, 2)
    for change in changes.values():
        torch.nn.init.normal_(change.b, std=0.05, generator=torch.Generator().manual_seed(3))
    save_adapter(tmp_path / "styles" / "tal", changes, 4)
    pack_style(tmp_path / "styles" / "tal", base, "MIT")
    rows: Positions = np.load(dataset / "train.npy")[:8]
    batch = batch_of(rows, outlooks_of(rows))
    with torch.no_grad():
        wanted = Compute(network).outputs(batch)[0].numpy()
    served = _served(tmp_path / "store" / "toy.json", tmp_path / "styles" / "tal.json", toy, batch.tokens, batch.clocks)
    assert np.abs(served[0] - wanted).max() < 0.01  # factors are stored in 16 bits
    assert np.abs(served[1] - wanted).max() > 0.1  # without the adapter


def _served(model: Path, adapter: Path, toy: Architecture, tokens: np.ndarray, clocks: np.ndarray) -> list[np.ndarray]:
    packed, change = (open_blocking(str(path), ModelOptions()) for path in (model, adapter))
    image = packed.manifest.shards[0]
    buffer, host = TorchBuffer(image.bytes, "cpu"), HostBuffer(change.manifest.shards[0].bytes)
    fill_blocking(change, host)
    from edgechess_inference.backends.loading import _fill

    _fill(packed, buffer)
    tensors = {tensor.name: tensor for tensor in packed.manifest.of_shard(0)}
    policy = TorchPolicy(toy, buffer, tensors, Arrival(None))
    policy.settle()
    prepared = policy.prepare(HostAdapter(read_adapter(change.manifest), host))
    everything = slice(0, len(tokens))
    return [policy.evaluate(tokens, clocks, [(each, everything)])[0] for each in (prepared, None)]


def test_a_style_is_learnt(tmp_path: Path, base: PackedNetwork, games: Path) -> None:
    folder = tmp_path / "styles" / "tal"
    report = train_style(folder, base, read_player(games), StyleOptions(positions=3200, batch=32, rate=0.02), CPU)
    assert report is not None
    assert report.style_nll < report.base_nll - 1
    assert report.style_top1 > report.base_top1
    assert report.later_positions == len(np.load(folder / "evaluation.npy"))
    assert json.loads((folder / REPORT_FILE).read_text())["player"] == "Tal M"
    assert pack_style(folder, base, "MIT") < 400 << 10


def test_stopped_is_not_learnt(tmp_path: Path, base: PackedNetwork, games: Path) -> None:
    assert train_style(tmp_path / "tal", base, read_player(games), StyleOptions(), CPU, stop=lambda: True) is None
    assert not (tmp_path / "tal").exists()
