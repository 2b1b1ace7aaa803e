"""A whole evaluation of a tiny network against an opponent that needs no engine; stopped, taken up, made longer."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import chess
import chess.pgn
import pytest
from typer.testing import CliRunner

from edgechess_cli.main import app
from edgechess_inference.stockfish import find_stockfish
from edgechess_training.errors import TrainingError
from edgechess_training.evaluation import card
from edgechess_training.evaluation import evaluation as e
from edgechess_training.evaluation.executors import Here
from edgechess_training.evaluation.measured import measured, read
from edgechess_training.evaluation.report import markdown, write
from edgechess_training.evaluation.sides import NetworkSide, PlayerSide
from edgechess_training.evaluation.statistics import Sprt
from edgechess_training.evaluation.subject import opponent_of, subject_of
from edgechess_training.evaluation.work import Result, Task

HEADER = "PuzzleId,FEN,Moves,Rating,Source\n"
PUZZLE = "1,6k1/5ppp/8/8/8/8/r4PPP/1R4K1 b - - 0 1,a2a7 b1b8,900,x\n"


def nothing(section: str, done: int, total: int) -> None:
    """Nobody watches."""


def wanted(**changes: object) -> e.Wanted:
    sizes = e.Sizes(games=4, puzzles=1, positions=32, centipawns=0, evals=0, retries=0)
    plain = e.Wanted(levels=(), against=("random",), sections=("matches",), sizes=sizes)
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def test_from_a_model_to_a_report(tiny: Path, short: Path, dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "puzzles.csv").write_text(HEADER + PUZZLE)
    plan = wanted(
        choices=("pure", "lookahead"), book=short, data=dataset, puzzle_file=tmp_path / "puzzles.csv",
        sections=("matches", "puzzles", "heldout", "evals"),
    )  # fmt: skip
    found = e.Evaluation(subject_of(str(tiny), tmp_path), plan, tmp_path / "out")
    found.run(Here(), nothing)
    assert [(match.name, match.score.games) for match in found.figures.matches] == [
        ("match pure random", 4), ("match lookahead random", 4),
    ]  # fmt: skip
    assert found.figures.puzzles["lookahead"].whole.value == 1.0  # mate in one is found by the rules
    assert found.figures.left_out == {"evals": "no --evals was named"}
    files = {path.name: path.read_text() for path in write(found)}
    assert set(files) == {"report.md", "figures.json", "games.pgn", "puzzles.svg", "outlook.svg"}
    assert "| tiny (pure) | random | 4 |" in files["report.md"]
    assert json.loads(files["figures.json"])["figures"]["heldout"]["groups"][0]["count"] == 32
    again = read(tmp_path / "out")  # whole: a model card is made of it
    assert markdown(again, []) == markdown(measured(found), [])
    with (tmp_path / "out" / "games.pgn").open() as pgn:
        games = list(iter(lambda: chess.pgn.read_game(pgn), None))
    assert len(games) == 8
    assert {game.headers["White"] for game in games if game} == {"tiny (pure)", "tiny (lookahead)", "random"}


class StopsAfter(Here):
    """Somebody presses Ctrl-C."""

    def __init__(self, count: int) -> None:
        self.left = count

    def results(self, tasks: Iterable[Task]) -> Iterator[Result]:
        for result in super().results(tasks):
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            yield result


def test_what_was_stopped_goes_on_and_may_grow(tiny: Path, short: Path, tmp_path: Path) -> None:
    subject = subject_of(str(tiny), tmp_path)
    longer = wanted(book=short, sizes=e.Sizes(games=36, puzzles=0, positions=0, centipawns=0, evals=0, retries=0))
    first = e.Evaluation(subject, longer, tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        first.run(StopsAfter(1), nothing)
    kept = (tmp_path / "out" / "results.jsonl").read_text()
    assert len(kept.splitlines()) == 2
    (tmp_path / "out" / "results.jsonl").write_text(
        kept + '{"section": "match pure random", "num'
    )  # killed as it wrote
    again = e.Evaluation(subject, longer, tmp_path / "out")
    again.run(StopsAfter(2), nothing)  # two of the three tasks were left
    assert again.figures.matches[0].score.games == 36
    assert (tmp_path / "out" / "results.jsonl").read_text().startswith(kept)
    numbers = [(game.pair, game.game) for game in again.games["match pure random"]]
    assert numbers == [(pair, game) for pair in range(18) for game in (0, 1)]
    with pytest.raises(TrainingError, match=r"holds another evaluation .*seed 1.*name another --out"):
        e.Evaluation(subject, wanted(book=short, seed=2), tmp_path / "out")


def test_a_decided_test_plays_no_further(tiny: Path, short: Path, tmp_path: Path) -> None:
    sizes = e.Sizes(games=80, puzzles=0, positions=0, centipawns=0, evals=0, retries=0)
    plan = wanted(against=(f"model:{tiny}",), sprt=Sprt(-300, -200), sizes=sizes, book=short)
    found = e.Evaluation(subject_of(str(tiny), tmp_path), plan, tmp_path / "out")
    found.run(Here(), nothing)
    [match] = found.figures.matches
    assert match.verdict == "elo1"  # it is as strong as itself
    assert match.score.games < 80
    assert match.score.score.value == 0.5
    assert "SPRT of -300 against -200 Elo" in write(found)[0].read_text()
    told = card.markdown(card.Card([measured(found)], "CC0-1.0"), {})
    assert f"- tiny (pure) against model:{tiny} (pure): SPRT of -300 against -200 Elo" in told


class Backwards(Here):
    """The last tasks are ready first, as long games are ready last."""

    def results(self, tasks: Iterable[Task]) -> Iterator[Result]:
        return super().results(reversed(list(tasks)))


def test_games_that_end_early_do_not_decide_before_those_that_began_before_them(
    tiny: Path, short: Path, tmp_path: Path
) -> None:
    sizes = e.Sizes(games=80, puzzles=0, positions=0, centipawns=0, evals=0, retries=0)
    plan = wanted(against=(f"model:{tiny}",), sprt=Sprt(-300, -200), sizes=sizes, book=short)
    found = e.Evaluation(subject_of(str(tiny), tmp_path), plan, tmp_path / "out")
    found.run(Backwards(), nothing)
    assert found.figures.matches[0].score.games == 80


def test_a_whole_match_is_asked_for_its_verdict_afterwards(tiny: Path, short: Path, tmp_path: Path) -> None:
    """What docs/train.md advises: all games first, then the test over all of them."""
    sizes = e.Sizes(games=80, puzzles=0, positions=0, centipawns=0, evals=0, retries=0)
    plan = wanted(against=(f"model:{tiny}",), sizes=sizes, book=short)
    subject = subject_of(str(tiny), tmp_path)
    e.Evaluation(subject, plan, tmp_path / "out").run(Here(), nothing)
    again = e.Evaluation(subject, dataclasses.replace(plan, sprt=Sprt(-300, -200)), tmp_path / "out")
    again.run(StopsAfter(0), nothing)  # nothing is played
    [match] = again.figures.matches
    assert (match.score.games, match.verdict) == (80, "elo1")


def test_words_become_sides(tiny: Path, tmp_path: Path) -> None:
    subject = subject_of(f"model:{tiny}", tmp_path)
    assert (subject.name, subject.word) == ("tiny", f"model:{tiny}")
    assert subject.side("ladder", 1) == PlayerSide(f"model:{tiny}:wait=yes", 1)  # or the engine moves while it loads
    other = opponent_of(f"model:{tiny}:lookahead=yes", nodes=None, threads=1, seed=1)
    assert isinstance(other, NetworkSide)
    assert other.choice == "lookahead"
    assert opponent_of("random", nodes=None, threads=1, seed=1) == PlayerSide("random", 1)
    text = subject_of("openai:http://127.0.0.1:1/v1#m", tmp_path)
    assert text.source is None
    with pytest.raises(TrainingError, match="plays through its ladder"):
        text.side("pure", 1)
    with pytest.raises(TrainingError, match="matches are played at fixed nodes"):
        opponent_of("stockfish:elo=1500,movetime=0.1", nodes=None, threads=1, seed=1)
    with pytest.raises(TrainingError, match=r"there is no file nowhere\.json"):
        subject_of("nowhere.json", tmp_path)


@pytest.mark.skipif(find_stockfish() is None, reason="Stockfish is not installed")
def test_against_the_engine_with_its_version_and_range(tiny: Path, short: Path, dataset: Path, tmp_path: Path) -> None:
    sizes = e.Sizes(games=2, puzzles=0, positions=0, centipawns=2, evals=0, retries=1)
    plan = e.Wanted(book=short, levels=(1400,), nodes=200, judge_nodes=500, data=dataset, sizes=sizes)
    subject = subject_of(str(tiny), tmp_path)
    found = e.Evaluation(
        subject, dataclasses.replace(plan, sections=("matches", "retries", "centipawns")), tmp_path / "o"
    )
    found.run(Here(), nothing)
    assert found.engine is not None
    assert found.engine.elo_low is not None
    text = write(found)[0].read_text()
    assert f"{found.engine.name} (UCI_Elo {found.engine.elo_low} to {found.engine.elo_high})" in text
    assert found.figures.retries is not None
    assert found.figures.retries.proposals >= found.figures.retries.moves
    assert found.figures.centipawns["pure"].count == 2
    assert found.figures.even["pure"][0].scale > 0
    with pytest.raises(TrainingError, match=r"plays UCI_Elo .* not 17"):
        e.Evaluation(subject, dataclasses.replace(plan, levels=(17,)), tmp_path / "p")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--games", "3"], "games come in pairs"),
        (["--choice", "best"], "--choice best: there are pure, lookahead, ladder"),
        (["--only", "all"], "--only all: there are matches"),
        (["--sprt", "20,0"], "ELO0,ELO1"),
        (["--sprt", "0"], "ELO0,ELO1"),
        (["--book", "nowhere.pgn"], "the book nowhere.pgn cannot be read"),
        (["--against", "nobody"], "there is no player 'nobody'"),
    ],
)
def test_a_user_s_mistake_is_one_line(words: list[str], text: str, tiny: Path, tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["evaluate", str(tiny), "--out", str(tmp_path / "out"), *words])
    assert found.exit_code == 2
    assert text in found.output
    assert len(found.output.strip().splitlines()) == 1


def test_the_command_itself(tiny: Path, short: Path, tmp_path: Path) -> None:
    words = [
        "evaluate",
        str(tiny),
        "--against",
        "random",
        "--games",
        "2",
        "--only",
        "matches",
        "--out",
        str(tmp_path / "o"),
    ]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 0, found.output
    assert "| tiny (pure) | random | 2 |" in found.output
    assert (tmp_path / "o" / "games.pgn").is_file()


@pytest.fixture
def clumsy(installed: Callable[..., None]) -> str:
    """A text model."""
    installed("edgechess.models", "clumsy = clumsy_model:open_model", Path(__file__).parent)
    return "clumsy:engine=builtin"


def test_a_match_of_a_text_model_counts_what_the_ladder_did_for_it(clumsy: str, short: Path, tmp_path: Path) -> None:
    words = ["--against", "random", "--games", "4", "--only", "matches", "--book", str(short)]
    found = CliRunner().invoke(app, ["evaluate", clumsy, "--choice", "ladder", *words, "--out", str(tmp_path / "o")])
    assert found.exit_code == 0, found.output
    assert "| clumsy (ladder) | random | 4 | 0-4-0 |" in found.output
    # clocks 97, 98 and 99: with the rook it moves at the second try and at the first, with the lone king never
    assert (
        "6 moves, 12 tries, 8 of them no legal move, 0 without an answer; legal at the first try 33.3%" in found.output
    )
    assert "the engine moved instead 2 times (33.3%)" in found.output
    for choice in ("pure", "lookahead"):
        refused = CliRunner().invoke(
            app, ["evaluate", clumsy, "--choice", choice, *words, "--out", str(tmp_path / "p")]
        )
        assert refused.exit_code == 2
        assert "it plays through its ladder (--choice ladder)" in refused.output


def test_an_opponent_s_engine_is_told_too(clumsy: str, tiny: Path, short: Path, tmp_path: Path) -> None:
    words = ["--against", f"model:{clumsy}", "--games", "4", "--only", "matches", "--book", str(short)]
    found = CliRunner().invoke(app, ["evaluate", str(tiny), *words, "--out", str(tmp_path / "o")])
    assert found.exit_code == 0, found.output
    [line] = [line for line in found.output.splitlines() if line.startswith("On the ladder")]
    assert line.startswith(f"On the ladder, model:{clumsy} against tiny (pure): 6 moves, 12 tries")
    assert "the engine moved instead 2 times (33.3%)" in line


@pytest.mark.skipif(find_stockfish() is None, reason="Stockfish is not installed")
def test_the_demo_s_test_of_a_text_model(clumsy: str, tmp_path: Path) -> None:
    words = [
        "--choice",
        "ladder",
        "--only",
        "retries",
        "--retries",
        "1",
        "--nodes",
        "200",
        "--out",
        str(tmp_path / "o"),
    ]
    found = CliRunner().invoke(app, ["evaluate", clumsy, *words])
    assert found.exit_code == 0, found.output
    assert "which begins; the ladder's own tries: 1 games, " in found.output
