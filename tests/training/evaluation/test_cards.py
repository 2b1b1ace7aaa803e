"""What is made of several evaluations: the curve of a run, the table of styles, the card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from edgechess_cli.main import app
from edgechess_inference.policy.architecture import Architecture, weights_of
from edgechess_inference.policy.checkpoint import save
from edgechess_inference.stockfish import find_stockfish
from edgechess_training.errors import TrainingError
from edgechess_training.evaluation import styles as s
from edgechess_training.evaluation.anchors import ANCHORS
from edgechess_training.evaluation.card import Card, markdown
from edgechess_training.evaluation.evaluation import Figures, Sizes
from edgechess_training.evaluation.games import Tally
from edgechess_training.evaluation.matches import MatchFigures
from edgechess_training.evaluation.measured import Measured, read, text_of
from edgechess_training.evaluation.milestones import milestones_of
from edgechess_training.evaluation.report import difference
from edgechess_training.evaluation.statistics import Interval, score_of

TINY = Architecture(trunk="residual", width=12, blocks=1, squeeze=4, policy_width=8, value_width=6)
LINE = '{{"positions": {}, "step": 1, "loss": 2.0, "spent_s": {}, "factor": {}}}\n'


def invoke(*words: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *(str(word) for word in words)])


def sections_by(losses: dict[tuple[str, str], Sequence[float]]) -> dict[str, dict[str, object]]:
    """Keys: player, style."""
    return {
        s.section_of(player, style): {"losses": list(values), "hits": [1, 0] if style else [0, 0]}
        for (player, style), values in losses.items()
    }


def player(name: str, groups: int) -> s.Player:
    return s.Player(name, name.capitalize(), "1960.05.01", "", "", tuple((0,) for _ in range(groups)))


# ---------------------------------------------------------------- styles


def test_groups_are_whole_follow_one_another_and_are_thinned() -> None:
    games = np.repeat(np.arange(7), 5)  # seven games of five moves
    groups = s.groups_of(games, s.Sampling(games=2, groups=9, positions=4))
    assert [sorted({row // 5 for row in group}) for group in groups] == [[0, 1], [2, 3], [4, 5]]
    assert {len(group) for group in groups} == {4}
    assert s.groups_of(games, s.Sampling(games=8)) == []


def test_the_style_that_explains_a_group_best_names_its_player() -> None:
    players = [player("tal", 2), player("karpov", 1), player("morphy", 0)]
    values = sections_by({
        ("tal", ""): [10, 10], ("tal", "tal"): [8, 9], ("tal", "karpov"): [9, 8.5], ("tal", "morphy"): [11, 12],
        ("karpov", ""): [5], ("karpov", "tal"): [6], ("karpov", "karpov"): [7], ("karpov", "morphy"): [5.5],
    })  # fmt: skip
    found = s.figures_of(players, values, s.Sampling(), "tiny", "abc")
    assert {row.name: row.named for row in found.rows} == {"tal": {"karpov": 1, "tal": 1}, "karpov": {"morphy": 1}}
    assert (found.groups, found.right.value, found.left_out) == (3, 1 / 3, ("morphy",))
    assert found.rows[0].gain.value == 0.5
    del values[s.section_of("karpov", "tal")]  # it was stopped before that
    assert [row.name for row in s.figures_of(players, values, s.Sampling(), "tiny", "abc").rows] == ["tal"]


def test_a_folder_without_styles_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds no styles: `edgechess train style"):
        s.players_of(tmp_path, s.Sampling())


def test_nobody_s_claim_is_said_of_another_opponent() -> None:
    [demo] = [anchor for anchor in ANCHORS if "embodied" in anchor.model]
    assert demo.result == "80 % won, 20 % drawn against its own base model; number of games not given"
    assert not any("|" in text for anchor in ANCHORS for text in anchor)  # they are rows of a table


def match_of(choice: str, name: str) -> MatchFigures:
    score = score_of([(1.0, 1.0), (1.0, 0.5)])
    return MatchFigures(f"match {choice} {name}", "tiny", name, None, score, {}, 9.0, Tally(), choice=choice)


def measured_with(*matches: MatchFigures) -> Measured:
    return Measured(
        "tiny", ("pure", "lookahead"), None, None, "ours", 1, 1, "here", {}, Sizes(), Figures(matches=list(matches))
    )


def test_figures_of_one_kind_never_enter_the_row_of_another() -> None:
    """Whatever the opponent is called."""
    found = measured_with(match_of("lookahead", "model:x/pure.json"), match_of("pure", "random"))
    told = markdown(Card([found], "CC0-1.0"), {})
    [own] = [line for line in told.splitlines() if line.startswith("| **tiny** (pure)")]
    assert "random: 87.5%" in own
    assert "pure.json" not in own


def test_a_difference_that_no_score_can_show_is_told_as_such() -> None:
    assert "| +338 (+92 to +1200 or more) |" in markdown(Card([measured_with(match_of("pure", "x"))], "MIT"), {})
    assert difference(Interval(-1200.0, -1200.0, -166.4)) == "-1200 or less (-1200 or less to -166)"


def test_figures_of_before_say_their_kind_by_their_name(tmp_path: Path) -> None:
    stored = json.loads(text_of(measured_with(match_of("pure", "random"))))
    for key in ("choice", "other"):
        del stored["figures"]["matches"][0][key]
    for key in ("unanswered", "first_asked", "first_legal"):
        del stored["figures"]["matches"][0]["tally"][key]
    (tmp_path / "figures.json").write_text(json.dumps(stored))
    assert read(tmp_path).figures.matches[0].choice == "pure"


# ---------------------------------------------------------------- the curve


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Of a tiny network that learnt nothing."""
    pytest.importorskip("onnxruntime")
    folder = tmp_path / "run"
    (folder / "milestones").mkdir(parents=True)
    weights = tmp_path / "tiny.safetensors"
    draw = np.random.default_rng(3)
    save(weights, TINY, {name: draw.normal(size=shape).astype(np.float32) for name, shape in weights_of(TINY).items()})
    shutil.copy(weights, folder / "milestones" / "0000000100.safetensors")
    shutil.copy(weights, folder / "weights.safetensors")
    (folder / "metrics.jsonl").write_text(LINE.format(50, 10.0, 1) + LINE.format(150, 30.0, 0))
    return folder


def test_compute_of_a_milestone_lies_between_two_lines_of_the_run(run: Path) -> None:
    first, last = milestones_of(run)
    assert (first.positions, first.spent_s, first.factor) == (100, 20.0, 0.5)
    assert (last.positions, last.spent_s, last.factor, last.weights.name) == (150, 30.0, 0, "weights.safetensors")


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    found = invoke("curve", tmp_path)
    assert found.exit_code == 2
    assert "metrics.jsonl is missing: is this the folder of `edgechess train policy`?" in found.output


def test_from_a_run_to_its_card(run: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No match in it: that is another test's."""
    monkeypatch.chdir(tmp_path)
    words = ("curve", run, "--games", 0, "--puzzles", 0, "--data", dataset, "--positions", 32)
    first = invoke(*words)
    assert first.exit_code == 0, first.output
    again = invoke(*words)
    assert again.exit_code == 0, again.output
    curve = json.loads(Path("evaluations/curve/curve.json").read_text())
    assert [(point["positions"], point["spent_s"]) for point in curve] == [(100, 20.0), (150, 30.0)]
    top1 = curve[0]["top1"]["value"]
    (run / "recipe.json").write_text('{"batch": 64}')
    (run / "seen.json").write_text(json.dumps({str(dataset): 150}))
    Path("notes.md").write_text("From two games.\n\n## Made again\n\nBy hand.\n")
    made = invoke(
        "card", "--figures", "evaluations/curve/0000000150", "--run", run, "--curve", "evaluations/curve",
        "--notes", "notes.md", "--out", "docs/card.md",
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    card = Path("docs/card.md").read_text()
    assert "| 100 | 20 | 50% |" in card
    assert f"masters' moves foretold {top1:.1%}" in card
    assert "From two games.\n\n| dataset |" in card
    assert card.index("## Recipe and compute") < card.index("## Made again\n\nBy hand.\n\n## Strength against compute")
    assert f"| {dataset.name} | 100% |" in card
    assert "DeepMind searchless" in card
    assert "CC0 1.0" in card
    ElementTree.parse("docs/card-curve.svg")


def test_figures_of_another_shape_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "figures.json").write_text('{"settings": {}}')
    found = invoke("card", "--figures", tmp_path, "--out", tmp_path / "card.md")
    assert found.exit_code == 2
    assert "figures.json: Object missing required field" in found.output


@pytest.mark.skipif(find_stockfish() is None, reason="no Stockfish here")
def test_whoever_names_no_command_names_a_model() -> None:
    assert "strength" in invoke("--help").output
    found = invoke("no-such-model")
    assert found.exit_code == 2
    assert "no-such-model" in found.output
