"""From files to a folder: what is in it, what is not, and that it is the same however it is made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import chess
import msgspec
import numpy as np
import pytest

from edgechess_inference.policy.encoding import decode, encode
from edgechess_inference.policy.moves import index_of, move_at
from edgechess_inference.prompts.prompt_set import load_prompts
from edgechess_training.dataset import bitboards, building
from edgechess_training.dataset.building import build
from edgechess_training.dataset.errors import DatasetError
from edgechess_training.dataset.game_filter import Filter
from edgechess_training.dataset.gathering import first_of_each
from edgechess_training.dataset.llm_records import rendered
from edgechess_training.dataset.pgn_files import RawGame
from edgechess_training.dataset.split import game_key, held_out
from edgechess_training.dataset.unit import Part, Recipe, digest, recipe_of
from edgechess_training.dataset.work_folder import NAME
from edgechess_training.positions import POSITION, open_positions

KEY_OF_E4_E5_NF3 = 16893392791618760228
TRAIN_ONLY = Recipe(fraction=0.0)


def everything(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_what_is_in_the_folder(games: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = build([games], out, TRAIN_ONLY, jobs=1)
    assert summary.counts == {
        "games_read": 6, "games_malformed": 3, "games_kept": 4, "games_repeated": 0, "games_evaluation": 0,
        "plies_replayed": 9 + 4 + 2 + 3, "train_positions": 9 + 3 + 0 + 3, "evaluation_positions": 0, "evaluation_positions_unseen": 0,
    }  # fmt: skip
    name = str(games)
    assert summary.malformed == [
        f"{name}:24: 'Ke3' is not legal after 2 plies",
        f"{name}:34: the variant Chess960 is not supported",
        f"{name}:45: a comment without its other brace",
    ]
    train = np.load(out / "train.npy")
    assert train.dtype == POSITION
    board = chess.Board("4k3/P7/8/8/8/8/8/4K2R w K - 0 40")
    [first, second, third] = train[train["game"] == 3]
    assert first["record"].tobytes() == encode(board)
    assert move_at(int(first["move"]), board) == chess.Move.from_uci("a7a8n")
    board.push_san("a8=N")
    assert second["record"].tobytes() == encode(board)
    assert int(second["move"]) == index_of(board.push_san("Kd7"), chess.BLACK)
    assert board.uci(move_at(int(third["move"]), board)) == "e1g1"
    assert train["ply"][train["game"] == 3].tolist() == [0, 1, 2]
    assert train["outcome"][train["game"] == 3].tolist() == [1, 1, 1]
    stored = json.loads((out / "dataset.json").read_text())
    assert stored["counts"] == summary.counts
    assert stored["sources"][0]["name"] == "games.pgn"
    assert "| train_positions | 15 |" in (out / "README.md").read_text()
    assert not (out / NAME).exists()


def test_outcome_and_elo_are_the_mover_s(games: Path, tmp_path: Path) -> None:
    build([games], tmp_path / "out", Recipe(fraction=0.0, unique="none"), jobs=1)
    train = np.load(tmp_path / "out" / "train.npy")
    brief = train[train["game"] == 1]
    assert brief["outcome"].tolist() == [0, 2, 0, 2]
    assert brief["elo"].tolist() == [2600, 2700, 2600, 2700]


def test_repeated_positions_and_repeated_games(games: Path, tmp_path: Path) -> None:
    twice = tmp_path / "twice.pgn"
    twice.write_text('[White "X"]\n[Result "1-0"]\n\n1. f3 e5 2. g4 d5 1-0\n\n' + games.read_text())
    counted = {
        unique: build([games, twice], tmp_path / unique, recipe_of(Filter(), seed=1, fraction=0.0, unique=unique, records="none", form="jumpstart"), jobs=1).counts
        for unique in ("none", "move", "position")
    }  # fmt: skip
    assert {count["games_repeated"] for count in counted.values()} == {4}
    # X's positions occur in another game, and all of its moves but the last
    assert [counted[unique]["train_positions"] for unique in ("none", "move", "position")] == [18 + 4, 16 + 1, 15]


def test_evaluation_holds_every_ply_and_knows_what_is_unseen(games: Path, tmp_path: Path) -> None:
    more = tmp_path / "more.pgn"
    lines = [
        f'[White "{n}"]\n[Result "*"]\n\n1. {san} d6 2. Nf3 *\n'
        for n, san in enumerate(["a3", "b3", "c3", "d3", "e3", "h3", "a4", "c4"])
    ]
    more.write_text("\n".join(lines))
    summary = build([games, more], tmp_path / "out", Recipe(fraction=0.5, seed=5), jobs=1)
    train, evaluation = (open_positions(tmp_path / "out" / f"{side}.npy") for side in ("train", "evaluation"))
    unseen = np.load(tmp_path / "out" / "evaluation-unseen.npy")
    assert not set(train["game"].tolist()) & set(evaluation["game"].tolist())
    seen = {row.tobytes()[:32] for row in train["record"]}
    assert unseen.tolist() == [row.tobytes()[:32] not in seen for row in evaluation["record"]]
    assert 0 < unseen.sum() < len(unseen) == summary.counts["evaluation_positions"]
    for game in set(evaluation["game"].tolist()):
        plies = evaluation["ply"][evaluation["game"] == game].tolist()
        assert plies == list(range(len(plies)))


def test_the_split_is_the_documented_one() -> None:
    # computed with hashlib apart: blake2b("1:e4 e5 Nf3", 8 bytes), big-endian
    assert game_key(["e4", "e5", "Nf3"], 1) == KEY_OF_E4_E5_NF3
    assert game_key(["e4", "e5", "Nf3"], 1, "8/8/8/8/8/8/8/8 w - - 0 1") != KEY_OF_E4_E5_NF3
    assert held_out(0, 0.02)
    assert not held_out(2**64 - 1, 0.999)
    assert not held_out(0, 0.0)


def test_many_processes_and_a_resumed_build_give_the_same_bytes(
    games: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "UNIT_GAMES", 2)
    build([games], tmp_path / "one", TRAIN_ONLY, jobs=1)

    def stop(progress: building.Progress) -> None:
        if progress.report.games == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build([games], tmp_path / "resumed", TRAIN_ONLY, jobs=1, watch=stop)
    made: list[int] = []

    def counted(first: int, raw: Sequence[RawGame], recipe: Recipe) -> Part:
        made.append(first)
        return digest(first, raw, recipe)

    monkeypatch.setattr(building, "digest", counted)
    build([games], tmp_path / "resumed", TRAIN_ONLY, jobs=1)
    assert made == [4]
    assert everything(tmp_path / "resumed") == everything(tmp_path / "one")


@pytest.mark.slow
def test_two_processes_give_the_same_bytes(games: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "UNIT_GAMES", 2)
    build([games], tmp_path / "one", TRAIN_ONLY, jobs=1)
    build([games], tmp_path / "two", TRAIN_ONLY, jobs=2)
    assert everything(tmp_path / "two") == everything(tmp_path / "one")


def test_other_options_begin_anew_and_other_files_are_never_overwritten(games: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    build([games], out, TRAIN_ONLY, jobs=1)
    with pytest.raises(DatasetError, match="is not empty"):
        build([games], out, TRAIN_ONLY, jobs=1)
    half, others = tmp_path / "half", Recipe(fraction=0.0, filter=Filter(players=("Scholar",)))
    for plan_is_lost in (False, True):
        stopped(games, half)
        if plan_is_lost:  # as when the removal of another build's parts was killed
            (half / NAME / "plan.json").unlink()
        build([games], half, others, jobs=1)
        build([games], tmp_path / f"whole-{plan_is_lost}", others, jobs=1)
        assert everything(half) == everything(tmp_path / f"whole-{plan_is_lost}")
        shutil.rmtree(half)


def stopped(games: Path, out: Path) -> None:
    """A build whose parts are made and no more."""

    def stop(progress: building.Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build([games], out, TRAIN_ONLY, jobs=1, watch=stop)


def test_a_plan_is_removed_before_its_parts(games: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped(games, tmp_path / "out")

    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        build([games], tmp_path / "out", TRAIN_ONLY, jobs=1)
    assert not (tmp_path / "out" / NAME / "plan.json").exists()


def test_a_position_that_was_trained_on_is_not_unseen_whatever_was_played(tmp_path: Path) -> None:
    path = tmp_path / "x.pgn"
    sans = ["a3", "b3", "c3", "d3", "e3", "h3", "a4", "c4"]
    path.write_text("\n".join(f'[White "{n}"]\n\n1. {san} *\n' for n, san in enumerate(sans)))
    recipe = Recipe(fraction=0.5, seed=5, unique="move")
    counts = build([path], tmp_path / "out", recipe, jobs=1).counts
    assert 0 < counts["evaluation_positions"] < len(sans)
    assert counts["evaluation_positions_unseen"] == 0  # all are the start
    assert not np.load(tmp_path / "out" / "evaluation-unseen.npy").any()


def test_studies_with_one_solution_are_different_games(tmp_path: Path) -> None:
    path = tmp_path / "studies.pgn"
    fens = ["6k1/5ppp/8/8/8/8/8/R5K1 w - - 0 1", "7k/6pp/8/8/8/8/8/R6K w - - 0 1"]
    path.write_text("\n".join(f'[White "x"]\n[FEN "{fen}"]\n\n1. Ra8# 1-0\n' for fen in fens))
    counts = build([path], tmp_path / "out", TRAIN_ONLY, jobs=1).counts
    assert (counts["games_kept"], counts["games_repeated"]) == (2, 0)


def test_nothing_left_says_why(games: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no move is left of 6 games: 6 left out by elo, 0 malformed"):
        build([games], tmp_path / "out", Recipe(filter=Filter(min_elo=3000)), jobs=1)


@pytest.mark.parametrize("shape", ["concise", "history"])
def test_records_for_language_models(shape: str, games: Path, tmp_path: Path) -> None:
    for form in ("jumpstart", "huggingface"):
        recipe = recipe_of(Filter(players=("Scholar",)), seed=1, fraction=0.0, unique="none", records=shape, form=form)
        build([games], tmp_path / form, recipe, jobs=1)
    first, _, last = (json.loads(line) for line in (tmp_path / "jumpstart" / "train.jsonl").read_text().splitlines())
    assert first["move"] == "e5"
    assert first["fen"] == "rnbqkbnr/pppppppp/8/8/8/5P2/PPPPP1PP/RNBQKBNR b KQkq - 0 1"
    assert first["nxt_color"] == "BLACK"
    assert first.get("move_history") == ("f3" if shape == "history" else None)
    second = json.loads((tmp_path / "jumpstart" / "train.jsonl").read_text().splitlines()[1])
    assert second["move"] == "Qh4#"
    assert last["move"] == "e5"
    template = json.loads((tmp_path / "jumpstart" / "template.json").read_text())
    assert template["completion"] == " <move>{move}</move> </s>"
    assert template["prompt"] == load_prompts(f"{shape}-1").texts["first"].strip()
    ready = json.loads((tmp_path / "huggingface" / "train.jsonl").read_text().splitlines()[1])
    assert ready["completion"] == " <move>Qh4#</move>"
    assert ready["prompt"] == template["prompt"].format(**second)
    beside = json.loads((tmp_path / "huggingface" / "template.json").read_text())
    assert rendered(ready, beside) == ready  # it fits the records beside it, as whoever trains there fills it
    assert beside["completion"].format(**ready) == " <move>Qh4#</move> </s>"


def test_records_of_many_positions_are_those_of_the_encoding(games: Path, tmp_path: Path) -> None:
    """Castling, en passant, promotions and both colours, over games made of random legal moves."""
    import random

    draw, boards = random.Random(11), []
    for _ in range(12):
        board = chess.Board()
        while not board.is_game_over() and board.ply() < 120:
            boards.append(board.copy(stack=False))
            board.push(draw.choice(list(board.legal_moves)))
    words = np.array([bitboards.words_of(board) for board in boards], np.uint64)
    black = np.array([not board.turn for board in boards])
    clocks = np.array([board.halfmove_clock for board in boards], np.uint8)
    rows = bitboards.records(words, black, clocks)
    assert [row.tobytes() for row in rows] == [encode(board) for board in boards]
    assert any(board.has_legal_en_passant() for board in boards)
    keys = bitboards.keys(rows)
    assert len(set(keys.tolist())) == len({row.tobytes()[:32] for row in rows})
    assert decode(rows[5].tobytes()).board_fen()


def test_the_first_of_equal_keys_is_kept_in_every_share(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = np.array([5, 7, 5, 2**63, 7, 2**63, 9], np.uint64)
    among = np.array([False, True, True, True, True, True, True])
    expected = [False, True, True, True, False, False, True]
    assert first_of_each(keys, among).tolist() == expected
    monkeypatch.setattr("edgechess_training.dataset.gathering.PARTITION", 2)
    assert first_of_each(keys, among).tolist() == expected


def test_options_are_checked_by_name() -> None:
    good: dict[str, Any] = {"seed": 1, "fraction": 0.02, "unique": "position", "records": "none", "form": "jumpstart"}
    changes: list[tuple[dict[str, Any], str]] = [
        ({"unique": "x"}, "position, move, none"),
        ({"fraction": 1.0}, "from 0 to below 1"),
    ]
    for change, said in changes:
        with pytest.raises(DatasetError, match=said):
            recipe_of(Filter(), **(good | change))
    assert msgspec.json.decode(msgspec.json.encode(recipe_of(Filter(), **good)), type=Recipe) == Recipe()
