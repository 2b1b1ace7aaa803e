"""Labels by an engine that is a few lines of Python: a process of its own, speaking UCI."""

from __future__ import annotations

import sys
from pathlib import Path

import chess
import numpy as np
import pytest

from edgechess_inference.policy.encoding import decode, encode
from edgechess_inference.policy.moves import index_of, move_at
from edgechess_training.dataset import labelling
from edgechess_training.dataset.errors import DatasetError
from edgechess_training.dataset.labelling import LabelOptions, LabelReport, label
from edgechess_training.dataset.uci_engine import UciEngine
from edgechess_training.errors import TrainingError
from edgechess_training.positions import POSITION, open_outlooks

ENGINE = """#!{python}
import sys, chess
board, wdl = chess.Board(), "{wdl}"
for line in sys.stdin:
    words = line.split()
    if words[0] == "uci":
        print("id name First 1.0")
        for name in {options!r}: print("option name", name, "type string")
        print("uciok")
    elif words[0] == "isready": print("readyok")
    elif words[:2] == ["position", "fen"]: board = chess.Board(" ".join(words[2:]))
    elif words[0] == "go":
        assert words[1:] == ["nodes", "7"], words
        moves = sorted(board.legal_moves, key=chess.Move.uci)
        if "{die}": sys.exit()
        print("info depth 1 score cp 3", wdl, "nodes 7 pv", moves[0] if moves else "")
        print("bestmove", moves[0] if moves else "(none)")
    sys.stdout.flush()
"""


def engine(
    folder: Path, *, wdl: str = "wdl 700 200 100", options: str = "Threads Hash UCI_ShowWDL", die: str = ""
) -> str:
    path = folder / "engine.py"
    path.write_text(ENGINE.format(python=sys.executable, wdl=wdl, options=options.split(), die=die))
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder, board = tmp_path / "dataset", chess.Board()
    folder.mkdir()
    rows = []
    for ply, uci in enumerate(["e2e4", "e7e5", "g1f3", "b8c6", "f1b5", "a7a6", "b5a4", "g8f6", "e1g1", "f8e7"]):
        move = chess.Move.from_uci(uci)
        rows.append((np.frombuffer(encode(board), np.uint8), index_of(move, board.turn), 1, ply // 2, ply, 2600))
        board.push(move)
    np.save(folder / "train.npy", np.array(rows, POSITION))
    return folder


OPTIONS = LabelOptions(positions=100, nodes=7, fraction=0.0)


def test_moves_and_outcomes_are_the_engine_s(dataset: Path, tmp_path: Path) -> None:
    summary = label(dataset, tmp_path / "out", OPTIONS, program=engine(tmp_path), jobs=1)
    train, wdl = np.load(tmp_path / "out" / "train.npy"), np.load(tmp_path / "out" / "train-wdl.npy")
    assert summary.counts["train_positions"] == len(train) == len(wdl) == 10
    assert summary.options["engine"] == "First 1.0"
    assert summary.options["nodes"] == 7
    for position, shares in zip(train, wdl, strict=True):
        board = decode(position["record"].tobytes())
        assert move_at(int(position["move"]), board) == min(board.legal_moves, key=chess.Move.uci)
        assert shares.tolist() == [700, 200, 100]
    assert set(train["outcome"].tolist()) == {2}
    assert sorted(train["ply"].tolist()) == list(range(10))


def test_blunders_are_one_legal_move_away(dataset: Path, tmp_path: Path) -> None:
    options = LabelOptions(positions=100, nodes=7, fraction=0.0, blunders=1.0)
    label(dataset, tmp_path / "out", options, program=engine(tmp_path), jobs=1)
    before = {int(row["ply"]): decode(row["record"].tobytes()) for row in np.load(dataset / "train.npy")}
    for position in np.load(tmp_path / "out" / "train.npy"):
        after = set()
        for move in before[int(position["ply"]) - 1].legal_moves:
            board = before[int(position["ply"]) - 1].copy()
            board.push(move)
            after.add(encode(board))
        assert position["record"].tobytes() in after


def test_what_the_dataset_holds_out_is_not_told(dataset: Path, tmp_path: Path) -> None:
    np.save(dataset / "evaluation.npy", np.load(dataset / "train.npy")[:3])
    summary = label(dataset, tmp_path / "out", OPTIONS, program=engine(tmp_path), jobs=1)
    assert summary.counts["train_positions"] == 7


def test_a_part_is_usable_and_a_stopped_job_goes_on(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labelling, "UNIT_POSITIONS", 4)
    monkeypatch.setattr(labelling, "PUBLISHED_EVERY", 1)
    program, out = engine(tmp_path), tmp_path / "out"

    def stop(done: int, total: int, report: LabelReport) -> None:
        if done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        label(dataset, out, OPTIONS, program=program, jobs=1, watch=stop)
    assert len(np.load(out / "train.npy")) == 4
    label(dataset, out, OPTIONS, program=program, jobs=1)
    label(dataset, tmp_path / "whole", OPTIONS, program=program, jobs=1)
    assert (out / "train.npy").read_bytes() == (tmp_path / "whole" / "train.npy").read_bytes()


def test_outlooks_that_have_grown_already_belong_to_the_positions(dataset: Path) -> None:
    shares = np.arange(36, dtype=np.uint16).reshape(12, 3)
    np.save(dataset / "train-wdl.npy", shares)
    found = open_outlooks(dataset / "train.npy")
    assert found is not None
    assert found.tolist() == shares[:10].tolist()
    np.save(dataset / "train-wdl.npy", shares[:9])
    with pytest.raises(TrainingError, match="does not belong to train"):
        open_outlooks(dataset / "train.npy")


def test_engines_that_cannot_do_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="has no option UCI_ShowWDL"):
        UciEngine(engine(tmp_path, options="Threads Hash"))
    with pytest.raises(DatasetError, match="does not start"):
        UciEngine(str(tmp_path / "none"))
    with UciEngine(engine(tmp_path, wdl="")) as asked, pytest.raises(DatasetError, match="no win, draw and loss"):
        asked.judge(chess.STARTING_FEN, 7)
    with UciEngine(engine(tmp_path, die="yes")) as asked, pytest.raises(DatasetError, match="has died"):
        asked.judge(chess.STARTING_FEN, 7)
    with UciEngine(engine(tmp_path)) as asked:
        assert asked.judge("7k/5Q2/6K1/8/8/8/8/8 b - - 0 1", 7) is None


def test_numbers_out_of_range(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="blunders is 2"):
        label(dataset, tmp_path / "out", LabelOptions(positions=1, blunders=2.0), program="none")
