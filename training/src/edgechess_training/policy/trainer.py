"""The loop: batches, steps, averaged weights, looks at unseen positions, checkpoints."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from edgechess_inference.policy.checkpoint import save
from edgechess_training.policy.mixture import Mixture
from edgechess_training.policy.optimizers import rates_of
from edgechess_training.policy.recipe import Recipe
from edgechess_training.policy.run_state import RunState, follow, save_state
from edgechess_training.policy.schedule import factor
from edgechess_training.policy.scoring import Score, Scorer
from edgechess_training.policy.step import losses_of

METRICS_FILE = "metrics.jsonl"
WEIGHTS_FILE = "weights.safetensors"
MILESTONES_FOLDER = "milestones"
MILESTONE_FIRST = 250_000  # positions; then 500,000, and from there every million


@dataclass(frozen=True, slots=True)
class Pace:
    """How often something is written: a checkpoint by time, a line of figures and a score by positions."""

    save_s: float = 180.0
    report_positions: int = 12_800
    score_positions: int = 100_000


@dataclass(frozen=True, slots=True)
class Report:
    """One line of a run's figures. Losses are means since the line before; `rate`: positions per second of compute."""

    positions: int
    step: int
    loss: float
    outcome_loss: float
    factor: float
    rate: float
    spent_s: float
    wall_s: float
    score: Score | None


class Trainer:
    """Trains a run until it is done or `stop` says so; then the last state is on disk."""

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        state: RunState,
        mixture: Mixture,
        scorer: Scorer | None,
        pace: Pace = Pace(),  # noqa: B008 — frozen
    ) -> None:
        self._folder, self._recipe, self._state, self._mixture = folder, recipe, state, mixture
        self._scorer, self._pace = scorer, pace
        self._device = next(state.network.parameters()).device
        self._weights = list(state.network.parameters())
        self._averages = list(state.average.parameters())
        self._rates = rates_of(recipe.rate)
        mixture.drawn = state.drawn

    def train(self, stop: Callable[[], bool], watch: Callable[[Report], None]) -> None:
        state, pace = self._state, self._pace
        started = saved = time.monotonic()
        losses: list[tuple[float, float]] = []
        reported, spent = state.positions, state.spent_s
        while not state.done and not stop():
            before = state.positions
            losses.append(self._step())
            if _passed(before, state.positions, pace.report_positions) or state.done:
                score = self._score(before)
                rate = (state.positions - reported) / max(1e-9, state.spent_s - spent)
                watch(self._report(losses, rate, time.monotonic() - started, score))
                losses, reported, spent = [], state.positions, state.spent_s
            self._keep_milestone(before)
            if time.monotonic() - saved > pace.save_s:
                self.save()
                saved = time.monotonic()
        self.save()

    def save(self) -> None:
        save_state(self._folder, self._state)
        self._write_weights(self._folder / WEIGHTS_FILE)

    def _step(self) -> tuple[float, float]:
        state, begun = self._state, time.process_time()
        share = factor(state.step, state.positions, state.decay)
        for optimizer, rate in zip(state.optimizers, self._rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * share
            optimizer.zero_grad(set_to_none=True)
        batch = self._mixture.batch(state.step, self._recipe.batch)
        loss, outcome_loss = losses_of(state.network, batch, self._device)
        (loss + self._recipe.outcome_weight * outcome_loss).backward()
        for optimizer in state.optimizers:
            optimizer.step()
        follow(self._averages, self._weights, state.step, self._recipe.average)
        state.step += 1
        state.positions += len(batch)
        state.spent_s += time.process_time() - begun
        return loss.item(), outcome_loss.item()

    def _score(self, before: int) -> Score | None:
        due = _passed(before, self._state.positions, self._pace.score_positions) or self._state.done
        return self._scorer.score(self._state.average) if self._scorer is not None and due else None

    def _report(self, losses: list[tuple[float, float]], rate: float, wall_s: float, score: Score | None) -> Report:
        state = self._state
        loss, outcome_loss = (sum(each) / len(losses) for each in zip(*losses, strict=True))
        share = factor(state.step, state.positions, state.decay)
        report = Report(state.positions, state.step, loss, outcome_loss, share, rate, state.spent_s, wall_s, score)
        with (self._folder / METRICS_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(_rounded(asdict(report))) + "\n")
        return report

    def _keep_milestone(self, before: int) -> None:
        """The averaged weights at 1/4, 1/2, 1, 2, 3 … million positions: for strength against compute."""
        now = self._state.positions
        marks = (MILESTONE_FIRST, 2 * MILESTONE_FIRST, now // 1_000_000 * 1_000_000)
        for mark in marks:
            if before < mark <= now:
                folder = self._folder / MILESTONES_FOLDER
                folder.mkdir(exist_ok=True)
                self._write_weights(folder / f"{mark:010}.safetensors")

    def _write_weights(self, path: Path) -> None:
        partial = path.with_name(path.name + ".part")
        save(partial, self._recipe.architecture, weights_of_network(self._state.average))
        partial.replace(path)


def weights_of_network(network: torch.nn.Module) -> dict[str, Any]:
    """As numpy arrays in F32, on the processor."""
    return {name: weight.detach().float().cpu().numpy() for name, weight in network.named_parameters()}


def _passed(before: int, now: int, every: int) -> bool:
    return now // every > before // every


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    """Six significant digits: figures to plot, not to compute with."""
    return {
        key: float(f"{value:.6g}")
        if isinstance(value, float)
        else _rounded(value)
        if isinstance(value, dict)
        else value
        for key, value in values.items()
    }
