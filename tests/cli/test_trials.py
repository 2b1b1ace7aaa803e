"""The trials: what is drawn, how it is judged, what is kept, and a short run on the table in virtual time."""

from __future__ import annotations

import dataclasses
import json
import math
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import chess
import pytest

from edgechess_board.placement import Placement
from edgechess_cli import trials, trials_table
from edgechess_cli.bench.arm import kind_of
from edgechess_cli.trials_figures import Figures, causes, wilson
from edgechess_cli.trials_judge import judge
from edgechess_cli.trials_plan import CLASSES, Chunk, Episode, Wanted, draw, read_games, supplied
from edgechess_cli.trials_report import Reliability
from edgechess_cli.trials_store import Kept, OtherRun, Store
from edgechess_cli.trials_table import ChunkResult, Trial, run_chunk
from edgechess_robots.layout import standard_layout
from edgechess_robots.shapes import STAUNTON_6
from edgechess_twin.world import PieceView, World

LAYOUT = standard_layout()
SMALL = Wanted(80, 4, 0, 5, ("dobot", "ro1"), "nominal")


def views(fen: str) -> tuple[PieceView, ...]:
    return World(LAYOUT, STAUNTON_6, placement=Placement.from_fen(fen)).pieces()


async def seen(fen: str) -> tuple[PieceView, ...]:
    return views(fen)


# -- the interval --------------------------------------------------------------------------------------------------


def test_wilson_against_published_values() -> None:
    """Newcombe 1998, table I: 81 of 263 and 15 of 148, without continuity correction."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(0, 0) == (0.0, 1.0)
    low, high = wilson(10, 10)
    assert low < 1.0
    assert high == pytest.approx(1.0)


# -- the plan ------------------------------------------------------------------------------------------------------


def test_every_class_is_drawn_as_often_as_asked_for_every_kind() -> None:
    chunks, _ = draw(SMALL, [])
    for kind in ("dobot", "ro1"):
        counts = dict.fromkeys(("castling", "en passant", "promotion", "restore"), 0)
        for chunk in chunks:
            if chunk.kind != kind:
                continue
            for episode in chunk.episodes:
                if episode.wrong:
                    counts["restore"] += 1
                board = chess.Board(episode.fen)
                for move in episode.moves:
                    parsed = chess.Move.from_uci(move)
                    assert board.is_legal(parsed)
                    counts[kind_of(board, parsed)] = counts.get(kind_of(board, parsed), 0) + 1
                    board.push(parsed)
        assert min(counts.values()) >= 4, counts
    assert len({chunk.name for chunk in chunks}) == len(chunks)


@pytest.mark.slow  # whole plans
def test_the_same_seed_draws_the_same_and_another_one_does_not() -> None:
    assert draw(SMALL, [])[0] == draw(SMALL, [])[0]
    assert draw(SMALL, [])[0] != draw(dataclasses.replace(SMALL, seed=6), [])[0]


@pytest.mark.slow  # whole plans
@pytest.mark.parametrize("classes", [("capture",), ("castling", "en passant"), ("quiet", "restore"), ("restore",)])
@pytest.mark.parametrize("moves", [7, 40])
def test_only_the_classes_that_are_asked_for_and_no_more_moves(classes: Any, moves: int) -> None:
    wanted = dataclasses.replace(SMALL, moves=moves, classes=classes, kinds=("dobot",), sweep=3)
    main = dict.fromkeys(classes, 0)
    for chunk in draw(wanted, [])[0]:
        for episode in chunk.episodes:
            kinds = ["restore"] if episode.wrong else []
            board = chess.Board(episode.fen)
            for text in episode.moves:
                kinds.append(kind_of(board, chess.Move.from_uci(text)))
                board.push_uci(text)
            assert set(kinds) <= set(classes), chunk.name
            for kind in kinds if not chunk.point else ():
                main[kind] += 1
    assert sum(main.values()) == moves
    assert all(main.values())


def test_both_kinds_get_what_each_class_needs_and_the_rest_is_shared_as_asked() -> None:
    wanted = Wanted(21_600, 600, 0, 1, ("dobot", "ro1"), "nominal")
    assert (wanted.guaranteed, wanted.share("ro1"), wanted.share("dobot")) == (600, 6000, 15_600)
    assert dataclasses.replace(wanted, ro1_part=0.5).share("ro1") == 10_800
    assert dataclasses.replace(wanted, ro1_part=1.0).share("dobot") == 6000, "never less than each class needs"
    few = dataclasses.replace(wanted, moves=2000)
    assert (few.guaranteed, few.share("ro1"), few.share("dobot")) == (100, 1000, 1000)


def test_a_whole_way_back_begins_where_the_pieces_for_it_are_known() -> None:
    for each in (1, 2, 3, 11, 12):
        wanted = dataclasses.replace(SMALL, classes=("restore",), moves=2 * each, each=each)
        chunks, _ = draw(wanted, [])
        for chunk in chunks:
            ways = [episode.wrong for episode in chunk.episodes]
            assert ways.count(-1) in (0, 2)
            assert ways[0] > 0, "the first position has all that the chunk will ask for"


def test_no_more_pieces_are_asked_for_than_the_racks_have() -> None:
    board = chess.Board("7k/P1P1P1P1/8/8/8/8/p7/K7 w - - 0 1")
    queens = ("a7a8q", "h8h7", "c7c8q", "h7h6", "e7e8q")
    assert supplied(board, queens) == queens[:4], "a rack has two"
    assert supplied(board, ("a7a8b", "h8h7", "c7c8b")) == ("a7a8b", "h8h7")
    one_of_each = ("a7a8b", "h8h7", "c7c8n", "h7h6", "e7e8r")
    assert supplied(board, one_of_each) == one_of_each


def test_the_sweep_has_chunks_of_its_own() -> None:
    chunks, _ = draw(dataclasses.replace(SMALL, sweep=5, kinds=("dobot",)), [])
    points = {chunk.point: chunk.faults for chunk in chunks if chunk.point}
    assert points["slip=0.01"] == "nominal,slip=0.01"
    assert "missed-grasp=0.1" in points


def test_games_are_read_as_they_were_played(tmp_path: Path) -> None:
    file = tmp_path / "games.pgn"
    file.write_text(
        '[Event "a"]\n\n1. e4 e5 2. Nf3 *\n\n[Event "b"]\n[FEN "8/8/8/8/8/8/k7/K7 w - - 0 1"]\n\n1. Kb1 *\n'
    )
    assert read_games(file) == [("e2e4", "e7e5", "g1f3")]
    (tmp_path / "none.pgn").write_text("")
    with pytest.raises(ValueError, match="no game"):
        read_games(tmp_path / "none.pgn")


# -- the judge -----------------------------------------------------------------------------------------------------

BEFORE = "8/8/8/8/8/8/PP6/8"
AFTER = "8/8/8/8/P7/8/1P6/8"


def moved(view: PieceView, dx: float, dy: float, **changes: Any) -> PieceView:
    return dataclasses.replace(view, x_mm=view.x_mm + dx, y_mm=view.y_mm + dy, **changes)


def verdict(a: tuple[float, float], b: tuple[float, float], found: str = AFTER, **of_b: Any) -> tuple[bool, str]:
    """a2a4; `a` and `b` are the offsets of the pawns in the end, from a4 and from b2."""
    before = _views(BEFORE)
    after = (moved(before[0], a[0], 110.0 + a[1]), moved(before[1], *b, **of_b))
    judged = judge(
        before, after, Placement.from_fen(BEFORE), Placement.from_fen(found), Placement.from_fen(AFTER), LAYOUT
    )  # fmt: skip
    return judged.map_right, "; ".join(judged.faults)


def _views(fen: str) -> tuple[PieceView, ...]:
    import anyio

    return anyio.run(seen, fen)


def test_a_clean_move_is_right() -> None:
    assert verdict((0.0, 0.0), (0.0, 0.0)) == (True, "")
    assert verdict((10.9, 0.0), (9.9, 0.0)) == (True, "")


def test_each_part_of_the_criterion() -> None:
    assert verdict((11.1, 0.0), (0.0, 0.0)) == (True, "P near a4 stands 11.1 mm off the centre")
    assert verdict((0.0, 0.0), (10.1, 0.0)) == (True, "P near b2 was moved by 10.1 mm")
    assert verdict((0.0, 0.0), (0.0, 0.0), upright=False) == (True, "P near b2 lies")
    right, faults = verdict((0.0, 0.0), (0.0, 0.0), found=BEFORE)
    assert not right
    assert "a4" in faults


def test_what_somebody_left_off_centre_is_not_the_arms_fault() -> None:
    before = tuple(moved(view, 12.0, 0.0) for view in _views(BEFORE))
    same = Placement.from_fen(BEFORE)
    assert judge(before, before, same, same, same, LAYOUT).good


# -- what is kept --------------------------------------------------------------------------------------------------

CHUNK = Chunk("dobot-0", "", "dobot", "none", 1, (Episode(chess.STARTING_FEN, ("e2e4",)),))
GOOD = Trial("quiet", "good", 8.0, "e2e4")
SLIPPED = Trial("quiet", "helped", 9.0, "d2d4", "dropped: …", causes=("slip white P",))
MISSED = Trial("capture", "recovered", 20.0, "e4d5", causes=("missed-grasp white p", "slip white p"))


def test_a_store_goes_on_where_it_stood_and_refuses_another_run(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "trials.jsonl"
    store = Store(file, {"seed": 1})
    store.add(CHUNK, ChunkResult((GOOD, SLIPPED, MISSED)), 1.5)
    again = Store(file, {"seed": 1})
    assert again.kept == store.kept
    assert again.trials("", "dobot", "quiet") == [GOOD, SLIPPED]
    with pytest.raises(OtherRun, match="seed 1"):
        Store(file, {"seed": 2})
    file.write_text("what?\n")
    with pytest.raises(OtherRun, match="--fresh"):
        Store(file, {"seed": 1})


def test_figures_and_causes() -> None:
    figures = Figures.of([GOOD, GOOD, SLIPPED, MISSED])
    assert (figures.n, figures.right, figures.recovered, figures.helped) == (4, 3, 1, 1)
    assert figures.part == 0.75
    assert figures.p95_s == 20.0, "a helped trial has no time of its own"
    assert causes([GOOD, SLIPPED, MISSED]) == [("slip", 0, 1), ("missed-grasp", 1, 0)]
    assert Figures.of([]).n == 0


def test_the_report_is_written_with_pictures_that_are_xml(tmp_path: Path) -> None:
    store = Store(tmp_path / "trials.jsonl", {})
    store.add(CHUNK, ChunkResult((GOOD, SLIPPED, MISSED)), 1.5)
    unnoticed = dataclasses.replace(GOOD, outcome="helped", unnoticed=("p near a7 was moved by 14.0 mm",))
    swept = dataclasses.replace(CHUNK, name="slip=0.01-dobot-0", point="slip=0.01")
    store.add(swept, ChunkResult((GOOD, unnoticed)), 1.0)
    refused = dataclasses.replace(CHUNK, name="calibration-touch-mm=1-dobot-0", point="calibration-touch-mm=1")
    store.add(refused, ChunkResult((), "residual 1.30 mm exceeds 1.00 mm"), 1.0)
    report = Reliability(store, {"seed": 1, "commit": "abc"}, ("dobot",), {})
    written = report.write(tmp_path / "reliability.md")
    assert [path.name for path in written] == [
        "reliability.md", "reliability.json", "reliability.svg", "reliability-time.svg", "reliability-sweep.svg",
    ]  # fmt: skip
    text = written[0].read_text()
    assert "commit abc" in text
    assert "| slip | 0 | 1 |" in text
    assert "- **not decided**: at least 99.9 %" in text
    figures = json.loads(written[1].read_text())
    whole = next(row for row in figures["classes"] if row["class"] == "all")
    assert (whole["n"], whole["helped"]) == (3, 1)
    assert math.isclose(whole["right"], 2 / 3)
    for picture in written[2:]:
        ET.parse(picture)


def verdicts(
    trials_made: int, wrong: int = 0, helped: int = 0, faults: str = "nominal", kinds: Any = ("dobot", "ro1")
) -> list[str]:
    """Of so many trials of every class and kind; of the quiet ones of each kind so many were wrong, or helped."""
    store = Store.__new__(Store)
    store.kept = {}
    for kind in kinds:
        for move in CLASSES:
            made = [dataclasses.replace(GOOD, kind=move)] * trials_made
            if move == "quiet":
                made[:wrong] = [dataclasses.replace(GOOD, kind=move, outcome="helped", wrong=True)] * wrong
                made[wrong : wrong + helped] = [dataclasses.replace(SLIPPED, kind=move)] * helped
            name = f"{kind}-{move}"
            store.kept[name] = Kept(name, "", kind, 1.0, ChunkResult(tuple(made)))
    store.kept["slip=0.01"] = Kept("slip=0.01", "slip=0.01", "dobot", 1.0, ChunkResult((GOOD,)))
    return [verdict for _, verdict in Reliability(store, {"faults": faults}, kinds, {}).verdicts()]


def test_few_trials_can_miss_a_target_and_meet_none() -> None:
    undecided = ["not decided"] * 4
    assert verdicts(1700) == ["met"] * 4
    assert verdicts(250) == undecided
    assert verdicts(1700, faults="none") == undecided
    assert verdicts(3500, kinds=("dobot",)) == undecided, "300 of every class and kind of arm"
    assert verdicts(1700, helped=30) == ["missed", "met", "met", "met"]
    assert verdicts(250, helped=1) == undecided, "two in 3000 may be one in 1000"
    assert verdicts(250, helped=50)[0] == "missed"
    assert verdicts(10, wrong=1)[1] == "missed"


def test_whole_games_and_times_stand_in_the_report(tmp_path: Path) -> None:
    store = Store(tmp_path / "trials.jsonl", {})
    store.add(CHUNK, ChunkResult((GOOD,)), 1.5)
    games = {
        "games": 100, "faults": "nominal", "plies": 9000, "confirmed": 9000, "repaired": 40, "helped": 9, "breaches": 0, "kills": 5,
        "links_lost": 6, "longest_without_help": 23,
    }  # fmt: skip
    target = {"name": "quiet move at 750 mm/s, median", "measured": 5.1, "limit": 6.1, "unit": "s", "met": True}
    timed = {"arm": "dobot", "quiet_750": {"n": 20, "p50_s": 5.1, "p95_s": 6.6}, "targets": [target]}
    text = Reliability(store, {}, ("dobot",), games, [timed]).markdown("reliability")
    assert "- **met**: 100 consecutive games end correctly: 100 games, 0 broken invariants" in text
    assert "- **met**: at least 10 games in a row without help: 23" in text
    assert "Longest run without help: **23 games**" in text
    assert "- **met**: Dobot CR10A, quiet move at 750 mm/s, median: 5.1 s of at most 6.1" in text
    assert "| Dobot CR10A | 750 mm/s, quiet | 20 | 5.1 | 6.6 |" in text
    few = Reliability(store, {}, ("dobot",), {**games, "games": 20}).verdicts()
    assert [verdict for _, verdict in few[-2:]] == ["not decided", "not decided"]


# -- the table -----------------------------------------------------------------------------------------------------


@pytest.mark.slow  # a table in virtual time
def test_an_answer_that_never_comes_is_booked_as_that_and_of_its_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials_table, "GIVE_UP_S", 1.0)  # the arms need longer
    castling = Episode("r3k2r/pppppppp/8/8/8/8/PPPPPPPP/R3K2R w KQkq - 0 1", ("e1g1", "a7a6"))
    made = run_chunk(dataclasses.replace(CHUNK, episodes=(castling, *CHUNK.episodes))).trials
    assert [(trial.kind, trial.outcome) for trial in made] == [("castling", "silent"), ("quiet", "silent")]
    figures = Figures.of(made)
    assert (figures.n, figures.right, figures.silent) == (2, 0, 2)


@pytest.mark.slow  # a table in virtual time
@pytest.mark.parametrize(
    ("kind", "kinds"),
    [
        ("dobot", ["castling", "quiet", "quiet", "capture"]),
        ("ro1", ["castling", "quiet", "quiet"]),
    ],
    ids=["dobot", "ro1"],
)
def test_a_chunk_is_made_and_judged_and_made_again_the_same(kind: Any, kinds: list[str]) -> None:
    castling = Episode("r3k2r/pppppppp/8/8/8/8/PPPPPPPP/R3K2R w KQkq - 0 1", ("e1g1",))
    chunk = Chunk("x", "", kind, "nominal", 11, (castling, Episode(chess.STARTING_FEN, ("e2e4", "d7d5", "e4d5"))))
    result = run_chunk(chunk)
    assert [trial.kind for trial in result.trials] == kinds
    assert (result.trials[-1].outcome == "helped") is (len(kinds) == 3), "an episode ends where a person helped"
    assert not any(trial.wrong or trial.unnoticed for trial in result.trials)
    assert run_chunk(chunk) == result


def test_a_slip_needs_a_person_and_the_trials_go_on() -> None:
    chunk = Chunk(
        "x", "", "dobot", "slip=1", 3, (Episode(chess.STARTING_FEN, ("e2e4", "e7e5")), Episode(chess.STARTING_FEN, ("d2d4",)))
    )  # fmt: skip
    made = run_chunk(chunk).trials
    assert [trial.outcome for trial in made] == ["helped", "helped"], "an episode ends where a person helped"
    assert all(trial.causes == ("slip white P",) for trial in made)
    assert not any(trial.wrong for trial in made)


@pytest.mark.slow  # a table in virtual time
def test_a_neighbour_that_was_moved_within_its_square_is_not_noticed_and_is_counted() -> None:
    """The board says which piece stands on which square, not where on it."""
    chunk = Chunk("x", "", "dobot", "bump=1", 2, (Episode("7k/8/8/8/3p4/8/2P5/K7 w - - 0 1", ("c2c4",)),) * 6)
    made = run_chunk(chunk).trials
    assert all(trial.outcome == "helped" for trial in made if trial.unnoticed)
    assert not any(trial.wrong for trial in made)


@pytest.mark.slow  # a table in virtual time
def test_an_episode_ends_where_its_game_does() -> None:
    """The manager ends a session at the third repetition: what a real game went on with is no move any more."""
    there_and_back = ("h1h2", "a8b8", "h2h1", "b8a8")
    chunk = Chunk(
        "x", "", "dobot", "none", 5, (Episode("k7/8/8/8/8/8/8/K6R w - - 0 1", (*there_and_back * 2, "h1h3")),)
    )
    assert [trial.outcome for trial in run_chunk(chunk).trials] == ["good"] * 8


@pytest.mark.slow  # a table in virtual time
def test_a_disturbed_table_is_put_right_and_the_way_there_and_back() -> None:
    fen = "7k/8/8/3q4/8/8/PP6/K7 w - - 0 1"
    chunk = Chunk(
        "x", "", "dobot", "none", 4, (Episode(fen, wrong=2), Episode("7k/8/8/8/8/8/P7/K7 w - - 0 1", wrong=-1), Episode(fen, wrong=-1))
    )  # fmt: skip
    assert [trial.outcome for trial in run_chunk(chunk).trials] == ["good", "good", "good"]


def test_arms_that_cannot_be_calibrated_are_told_so() -> None:
    chunk = dataclasses.replace(CHUNK, faults="calibration-touch-mm=4")
    result = run_chunk(chunk)
    assert result.trials == ()
    assert "residual" in result.refused


# -- the command ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_is_kept_and_goes_on(tmp_path: Path, edgechess: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "commit", lambda: "abc")  # somebody may write while the test runs
    words = (
        "trials", "--moves", "8", "--each", "1", "--class", "quiet", "--class", "capture", "--kind", "dobot", "--faults", "none",
        "--jobs", "1", "--results", str(tmp_path / "r.jsonl"), "--out", str(tmp_path / "reliability.md"),
    )  # fmt: skip
    first = edgechess(*words)
    assert first.code == 0, first.err
    assert "right 100.000 %" in first.out
    assert "not decided  no confirmation of a wrong map" in first.out
    kept = (tmp_path / "r.jsonl").read_text()
    assert edgechess(*words).code == 0
    assert (tmp_path / "r.jsonl").read_text() == kept, "what was done is not done again"
    other = edgechess(*words, "--seed", "2")
    assert other.code == 2
    assert "--fresh begins anew" in other.err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--kind", "kuka"), "dobot, ro1, both"),
        (("--class", "check"), "quiet, capture"),
        (("--faults", "rain=1"), "rain"),
        (("--games", "nowhere.pgn"), "nowhere.pgn"),
        (("--simulated", "nowhere.json"), "nowhere.json"),
        (("--timed", "nowhere.json"), "nowhere.json"),
    ],
)
def test_words_that_cannot_be(words: tuple[str, ...], named: str, edgechess: Any) -> None:
    result = edgechess("trials", *words)
    assert result.code == 2
    assert named in result.err
