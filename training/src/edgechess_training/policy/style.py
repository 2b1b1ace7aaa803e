"""A style: a low-rank adapter that makes our network choose as one player did."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from edgechess_inference.adapters.lora import pack_adapter
from edgechess_inference.errors import InferenceError
from edgechess_inference.policy.network import PolicyNetwork
from edgechess_training.errors import TrainingError
from edgechess_training.policy.compute import Compute
from edgechess_training.policy.low_rank import attach, save_adapter
from edgechess_training.policy.mixture import Mixture, Source
from edgechess_training.policy.network_weights import PackedNetwork, put
from edgechess_training.policy.player_games import PlayerGames
from edgechess_training.policy.schedule import Decay, factor
from edgechess_training.policy.scoring import Scorer, sample_of
from edgechess_training.positions import EVALUATION_FILE
from edgechess_training.style_folder import StyleReport, packed_style, write_report

WEIGHT_DECAY = 0.01


@dataclass(frozen=True, slots=True)
class StyleOptions:
    """`positions`: to see, some of them again where the player has fewer. `scored`: of the later games, at most."""

    rank: int = 8
    positions: int = 60_000
    batch: int = 128
    rate: float = 2e-3
    seed: int = 1
    scored: int = 10_000


def train_style(
    folder: Path,
    base: PackedNetwork,
    games: PlayerGames,
    options: StyleOptions,
    device: torch.device,
    stop: Callable[[], bool] = lambda: False,
) -> StyleReport | None:
    """Writes the adapter as peft does, the report and the positions held out into `folder`.

    None, and nothing written, where `stop` said so. Raises OSError.
    """
    network = PolicyNetwork(base.architecture)
    put(network, base.weights)
    network.to(device)
    scorer = Scorer(sample_of(games.later, options.scored, options.seed))
    plain = scorer.score(Compute(network))
    styled = copy.deepcopy(network)
    changes = attach(styled, options.rank, options.seed)
    compute = Compute(styled, compiled=False)
    begun_s = compute.clock_s()
    if not _train(compute, styled, games, options, stop):
        return None
    spent_s, score = compute.clock_s() - begun_s, scorer.score(compute)
    report = StyleReport(
        games.name, games.player, len(games.earlier), options.positions, games.since, scorer.size,
        plain.top1, plain.nll, score.top1, score.nll, round(spent_s, 1),
    )  # fmt: skip
    save_adapter(folder, changes, options.rank)
    np.save(folder / EVALUATION_FILE, games.later)
    write_report(folder, report)
    return report


def pack_style(folder: Path, base: PackedNetwork, licence: str) -> int:
    """`folder` becomes `folder`.json beside it; returns its bytes. Raises TrainingError."""
    try:
        return pack_adapter(folder, packed_style(folder), [base.manifest], licence=licence).manifest.bytes
    except (InferenceError, OSError) as error:
        raise TrainingError(f"{folder}: {error}") from error


def _train(
    compute: Compute, network: PolicyNetwork, games: PlayerGames, options: StyleOptions, stop: Callable[[], bool]
) -> bool:
    """False where `stop` ended it. The rate falls from the beginning: there is little to explore."""
    mixture = Mixture([Source(games.name, 1.0, games.earlier)], options.seed, mirror=False)
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=options.rate, weight_decay=WEIGHT_DECAY)
    decay = Decay(0, options.positions)
    for step in range(-(-options.positions // options.batch)):
        if stop():
            return False
        for group in optimizer.param_groups:
            group["lr"] = options.rate * factor(step, step * options.batch, decay)
        optimizer.zero_grad(set_to_none=True)
        loss, _ = compute.losses(mixture.batch(step, options.batch))
        torch.autograd.backward(loss)
        optimizer.step()
    return True
