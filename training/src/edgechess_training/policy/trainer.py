"""The loop: batches, steps, averaged weights, looks at unseen positions, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from edgechess_inference.policy.checkpoint import save
from edgechess_training.policy import metrics
from edgechess_training.policy.compute import Compute
from edgechess_training.policy.mixture import Mixture
from edgechess_training.policy.network_weights import WEIGHTS_FILE, arrays_of
from edgechess_training.policy.optimizers import rates_of
from edgechess_training.policy.recipe import Recipe
from edgechess_training.policy.report import Report
from edgechess_training.policy.run_state import RunState, follow, save_state
from edgechess_training.policy.schedule import DECAY_SHARE, Decay, factor
from edgechess_training.policy.scoring import Score, Scorer

MILESTONES_FOLDER = "milestones"
MILESTONES = (250_000, 500_000)  # positions; from there every million
MILESTONE_EVERY = 1_000_000


@dataclass(frozen=True, slots=True)
class Pace:
    """How often something is written: a checkpoint by time, a line of figures and a score by positions.

    `limit_s`: of this sitting. Where the recipe names no number of positions, the last 30 % of it go with a falling rate.
    """

    save_s: float = 180.0
    report_positions: int = 12_800
    score_positions: int = 100_000
    limit_s: float | None = None


class Trainer:
    """Trains a run until it is done or `stop` says so; then the last state is on disk."""

    def __init__(
        self, folder: Path, recipe: Recipe, state: RunState, mixture: Mixture, scorer: Scorer, pace: Pace
    ) -> None:
        self.folder, self.recipe, self.state = folder, recipe, state
        self._mixture, self._scorer, self._pace = mixture, scorer, pace
        self._compute, self._average = Compute(state.network), Compute(state.average, compiled=False)
        self._weights: list[torch.Tensor] = list(state.network.parameters())
        self._averages: list[torch.Tensor] = list(state.average.parameters())
        self._rates = rates_of(recipe.rate)
        mixture.drawn = state.drawn

    def train(self, stop: Callable[[], bool], watch: Callable[[Report], None]) -> None:
        state, pace = self.state, self._pace
        started = saved = time.monotonic()
        losses: list[tuple[float, float]] = []
        told, spent_s, begun = state.positions, state.spent_s, state.positions
        while not state.done and not stop():
            before = state.positions
            losses.append(self._step())
            elapsed_s = time.monotonic() - started
            self._mind_the_limit(elapsed_s, state.positions - begun)
            if _passed(before, state.positions, pace.report_positions) or state.done:
                rate = (state.positions - told) / max(1e-9, state.spent_s - spent_s)
                watch(self._told(losses, rate, elapsed_s, self._score(told)))
                losses, told, spent_s = [], state.positions, state.spent_s
            self._keep_milestone(before)
            if time.monotonic() - saved > pace.save_s:
                self.save()
                saved = time.monotonic()
        self.save()
        metrics.draw(self.folder)

    def save(self) -> None:
        """State and averaged weights, each whole or not at all."""
        save_state(self.folder, self.state)
        metrics.write_seen(self.folder, self.state.drawn)
        self._write_weights(self.folder / WEIGHTS_FILE)

    def _step(self) -> tuple[float, float]:
        state, begun_s = self.state, self._compute.clock_s()
        share = factor(state.step, state.positions, state.decay)
        for optimizer, rate in zip(state.optimizers, self._rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * share
            optimizer.zero_grad(set_to_none=True)
        batch = self._mixture.batch(state.step, self.recipe.batch)
        loss, outlook_loss = self._compute.losses(batch)
        torch.autograd.backward(loss + self.recipe.outlook_weight * outlook_loss)
        for optimizer in state.optimizers:
            optimizer.step()
        follow(self._averages, self._weights, state.step, self.recipe.average)
        state.step += 1
        state.positions += len(batch)
        state.spent_s += self._compute.clock_s() - begun_s
        return loss.item(), outlook_loss.item()

    def _mind_the_limit(self, elapsed_s: float, positions: int) -> None:
        """When so much of the time has gone, the rate begins to fall, over what the rest of it is likely to bring."""
        limit_s, level = self._pace.limit_s, 1 - DECAY_SHARE
        if limit_s is not None and self.state.decay is None and elapsed_s >= level * limit_s:
            self.state.decay = Decay(self.state.positions, max(1, round(positions * DECAY_SHARE / level)))

    def _score(self, told: int) -> Score | None:
        """Where one is due since the line before, told at so many positions."""
        due = _passed(told, self.state.positions, self._pace.score_positions) or self.state.done
        return self._scorer.score(self._average) if due else None

    def _told(self, losses: list[tuple[float, float]], rate: float, wall_s: float, score: Score | None) -> Report:
        state = self.state
        loss, outlook_loss = (sum(each) / len(losses) for each in zip(*losses, strict=True))
        share = factor(state.step, state.positions, state.decay)
        report = Report(state.positions, state.step, loss, outlook_loss, share, rate, state.spent_s, wall_s, score)
        metrics.append(self.folder, report)
        if score is not None:
            metrics.draw(self.folder)
        return report

    def _keep_milestone(self, before: int) -> None:
        """The averaged weights at 1/4, 1/2, 1, 2, 3 … million positions: for strength against compute."""
        now = self.state.positions
        for mark in (*MILESTONES, now // MILESTONE_EVERY * MILESTONE_EVERY):
            if before < mark <= now:
                folder = self.folder / MILESTONES_FOLDER
                folder.mkdir(exist_ok=True)
                self._write_weights(folder / f"{mark:010}.safetensors")

    def _write_weights(self, path: Path) -> None:
        partial = path.with_name(path.name + ".part")
        save(partial, self.recipe.architecture, arrays_of(self.state.average))
        partial.replace(path)


def _passed(before: int, now: int, every: int) -> bool:
    return now // every > before // every
