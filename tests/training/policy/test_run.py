"""Runs: they learn, go on bit for bit, end in time, keep what they must, and become packed models."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from edgechess_inference.policy.architecture import Architecture  # noqa: E402
from edgechess_inference.policy.checkpoint import load  # noqa: E402
from edgechess_training.errors import TrainingError  # noqa: E402
from edgechess_training.evaluation.milestones import milestones_of  # noqa: E402
from edgechess_training.policy import metrics, run, trainer  # noqa: E402
from edgechess_training.policy.network_weights import WEIGHTS_FILE, arrays_of, packed_network, weights_of_word  # noqa: E402
from edgechess_training.policy.presets import PRESETS  # noqa: E402
from edgechess_training.policy.recipe import RECIPE_FILE, Recipe  # noqa: E402
from edgechess_training.policy.report import Report  # noqa: E402
from edgechess_training.policy.run_state import STATE_FILE, load_state  # noqa: E402
from edgechess_training.policy.scoring import legal_numbers  # noqa: E402
from edgechess_training.policy.trainer import Pace, Trainer  # noqa: E402

CPU = torch.device("cpu")
PACE = Pace(report_positions=160, score_positions=320)


def recipe_of(toy: Architecture, **changes: object) -> Recipe:
    plain = {"architecture": toy, "batch": 16, "positions": 960, "average": 0.9, "mirror": False}
    return Recipe(**{**plain, **changes})  # type: ignore[arg-type]


def begun(folder: Path, dataset: Path, recipe: Recipe, pace: Pace = PACE) -> Trainer:
    return run.begin(folder, recipe, run.Data(folder=str(dataset)), CPU, pace)


def trained(made: Trainer, steps: int | None = None) -> list[Report]:
    reports: list[Report] = []
    end = None if steps is None else made.state.step + steps
    made.train(lambda: end is not None and made.state.step >= end, reports.append)
    return reports


@pytest.mark.slow  # a network learns
def test_it_learns_a_small_set_by_heart(tmp_path: Path, dataset: Path, toy: Architecture) -> None:
    made = begun(tmp_path / "run", dataset, recipe_of(toy, positions=4800, rate=0.5))
    last = trained(made)[-1]
    assert made.state.done
    assert last.factor < 0.01
    assert last.score is not None
    assert last.score.positions == 16
    assert last.score.top1 == 1.0
    assert last.score.legal == 1.0
    assert last.score.nll < 0.5


@pytest.mark.slow  # a network learns
def test_a_run_that_goes_on_becomes_what_it_would_have_become(tmp_path: Path, dataset: Path, toy: Architecture) -> None:
    whole = begun(tmp_path / "whole", dataset, recipe_of(toy, mirror=True))
    trained(whole)
    trained(begun(tmp_path / "parts", dataset, recipe_of(toy, mirror=True)), steps=23)
    for steps in (9, None):
        trained(run.resume(tmp_path / "parts", None, CPU, PACE), steps)
    parts = load_state(tmp_path / "parts", recipe_of(toy, mirror=True), CPU)
    assert parts.step == whole.state.step == 60
    assert parts.drawn == whole.state.drawn
    for network in ("network", "average"):
        one, two = (arrays_of(getattr(state, network)) for state in (whole.state, parts))
        assert all(np.array_equal(one[name], two[name]) for name in one)


def test_lines_after_the_last_state_are_told_again(tmp_path: Path, dataset: Path, toy: Architecture) -> None:
    made = begun(tmp_path / "run", dataset, recipe_of(toy))
    trained(made, steps=20)
    lines = metrics.read(tmp_path / "run")
    metrics.append(tmp_path / "run", replace(lines[-1], positions=10_000))
    trained(run.resume(tmp_path / "run", None, CPU, PACE))
    told = [report.positions for report in metrics.read(tmp_path / "run")]
    assert told == [160, 320, 480, 640, 800, 960]


def test_a_finish_can_begin_anywhere(tmp_path: Path, dataset: Path, toy: Architecture) -> None:
    trained(begun(tmp_path / "run", dataset, recipe_of(toy, positions=None)), steps=20)
    made = run.resume(tmp_path / "run", None, CPU, PACE, decay=160)
    reports = trained(made)
    assert made.state.positions == 480
    assert reports[-1].factor == 0.0
    with pytest.raises(TrainingError, match="is done, after 480 positions"):
        run.resume(tmp_path / "run", None, CPU, PACE)


def test_time_that_is_up_brings_the_end(tmp_path: Path, dataset: Path, toy: Architecture) -> None:
    made = begun(tmp_path / "run", dataset, recipe_of(toy, positions=None), replace(PACE, limit_s=1e-9))
    trained(made)
    assert made.state.done
    assert made.state.step == 2  # after the first step the time is up; 3/7 of a step more


def test_milestones_are_kept(tmp_path: Path, dataset: Path, toy: Architecture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "MILESTONES", (100, 200))
    monkeypatch.setattr(trainer, "MILESTONE_EVERY", 400)
    trained(begun(tmp_path / "run", dataset, recipe_of(toy)))
    kept = sorted(path.stem for path in (tmp_path / "run" / trainer.MILESTONES_FOLDER).iterdir())
    assert kept == ["0000000100", "0000000200", "0000000400", "0000000800"]
    load(tmp_path / "run" / trainer.MILESTONES_FOLDER / "0000000800.safetensors", toy)


def test_curves_are_drawn(tmp_path: Path, dataset: Path, toy: Architecture) -> None:
    trained(begun(tmp_path / "run", dataset, recipe_of(toy)))
    picture = ElementTree.parse(tmp_path / "run" / metrics.PICTURE_FILE).getroot()
    assert len(list(picture.iter("{http://www.w3.org/2000/svg}polyline"))) == 4
    rows = (tmp_path / "run" / metrics.TABLE_FILE).read_text().splitlines()
    assert [row.split()[0] for row in rows[1:]] == ["320", "640", "960"]


def test_a_run_becomes_a_packed_model_and_begins_another(tmp_path: Path, dataset: Path, toy: Architecture) -> None:
    made = begun(tmp_path / "run", dataset, recipe_of(toy))
    trained(made)
    address = tmp_path / "store" / "toy.json"
    run.pack(tmp_path / "run", address, "MIT")
    packed = packed_network(str(address))
    assert packed.architecture == toy
    assert packed.manifest.card.licence == "MIT"
    assert packed.manifest.card.extra["positions"] == "960"
    exact = weights_of_word(str(tmp_path / "run"))[1]
    matrices = [name for name in exact if name.endswith("conv1.weight")]
    assert matrices
    for name in matrices:
        assert np.abs(packed.weights[name] - exact[name]).max() <= np.abs(exact[name]).max() / 127
    other = run.begin(tmp_path / "other", recipe_of(toy), run.Data(folder=str(dataset)), CPU, PACE, packed.weights)
    found = arrays_of(other.state.network)
    assert all(np.array_equal(found[name], packed.weights[name]) for name in found)


def test_a_folder_holds_one_run(tmp_path: Path, dataset: Path, toy: Architecture) -> None:
    begun(tmp_path / "run", dataset, recipe_of(toy))
    with pytest.raises(TrainingError, match="holds a run already"):
        begun(tmp_path / "run", dataset, recipe_of(toy))


def test_a_run_that_was_killed_before_its_first_save_goes_on(tmp_path: Path, dataset: Path, toy: Architecture) -> None:
    begun(tmp_path / "run", dataset, recipe_of(toy))
    with pytest.raises(TrainingError, match="has learnt nothing yet"):
        run.pack(tmp_path / "run", tmp_path / "toy.json", "MIT")
    made = run.resume(tmp_path / "run", None, CPU, PACE)
    trained(made, steps=2)
    run.pack(tmp_path / "run", tmp_path / "toy.json", "MIT")  # no line of figures is told yet
    assert packed_network(str(tmp_path / "toy.json")).manifest.card.extra["positions"] == "32"


def test_a_torn_last_line_of_figures_is_told_again(tmp_path: Path, dataset: Path, toy: Architecture) -> None:
    folder = tmp_path / "run"
    trained(begun(folder, dataset, recipe_of(toy)), steps=20)
    whole = (folder / metrics.METRICS_FILE).read_text()
    (folder / metrics.METRICS_FILE).write_text(whole + '{"positions": 4')
    assert milestones_of(folder)[-1].positions == 320
    trained(run.resume(folder, None, CPU, PACE), steps=1)
    assert (folder / metrics.METRICS_FILE).read_text() == whole


def test_what_is_no_run_is_told(tmp_path: Path, dataset: Path, toy: Architecture) -> None:
    with pytest.raises(TrainingError, match="is no run"):
        run.resume(tmp_path, None, CPU, PACE)
    begun(tmp_path / "run", dataset, recipe_of(toy))
    (tmp_path / "run" / STATE_FILE).unlink()
    with pytest.raises(TrainingError, match="nothing to go on from"):
        run.resume(tmp_path / "run", None, CPU, PACE)


def test_damaged_files_of_a_run_are_told(tmp_path: Path, dataset: Path, toy: Architecture) -> None:
    folder = tmp_path / "run"
    trained(begun(folder, dataset, recipe_of(toy)), steps=2)
    whole = (folder / STATE_FILE).read_bytes()
    (folder / STATE_FILE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TrainingError, match=r"state\.pt cannot be read"):
        run.resume(folder, None, CPU, PACE)
    (folder / STATE_FILE).write_bytes(whole)
    values = json.loads((folder / RECIPE_FILE).read_text())
    values["architecture"]["width"] = 16
    (folder / RECIPE_FILE).write_text(json.dumps(values))
    with pytest.raises(TrainingError, match="holds another network"):
        run.resume(folder, None, CPU, PACE)
    (folder / RECIPE_FILE).write_text("{}")
    with pytest.raises(TrainingError, match=r"recipe\.json"):
        run.resume(folder, None, CPU, PACE)


def test_no_legal_number_is_forgotten(positions: Callable[[int, int], np.ndarray]) -> None:
    for row in positions(40, 2):
        assert int(row["move"]) in legal_numbers(row["record"].tobytes())


def test_the_tiny_preset_is_tiny() -> None:
    from edgechess_inference.policy.architecture import parameters

    assert 32_000 <= parameters(PRESETS["tiny"].architecture) <= 64_000
    assert 400_000 <= parameters(PRESETS["cpu"].architecture) <= 600_000
    assert 10_000_000 <= parameters(PRESETS["gpu"].architecture) <= 14_000_000


def test_weights_are_whole_or_not_there(tmp_path: Path, dataset: Path, toy: Architecture) -> None:
    trained(begun(tmp_path / "run", dataset, recipe_of(toy)), steps=3)
    assert not list((tmp_path / "run").glob("*.part"))
    assert load(tmp_path / "run" / WEIGHTS_FILE, toy)


@pytest.mark.slow  # a network learns
def test_the_other_trunk_learns_too(tmp_path: Path, dataset: Path) -> None:
    encoder = Architecture(trunk="encoder", width=16, blocks=1, heads=2, generated=4, policy_width=8, value_width=8)
    reports = trained(begun(tmp_path / "run", dataset, recipe_of(encoder, positions=1920)))
    assert reports[-1].loss < reports[0].loss - 1
