"""Muon beside torch's own; the schedule of the learning rate."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from edgechess_inference.policy.architecture import Architecture  # noqa: E402
from edgechess_inference.policy.network import fresh  # noqa: E402
from edgechess_training.policy.optimizers import Muon, optimizers_of, orthogonal  # noqa: E402
from edgechess_training.policy.schedule import WARMUP_STEPS, Decay, decay_of, factor  # noqa: E402


@pytest.mark.parametrize("shape", [(8, 20), (20, 8)])
def test_muon_is_torchs_muon(shape: tuple[int, int]) -> None:
    """Whose own computes in bfloat16: equal within a hundredth of the way gone."""
    generator = torch.Generator().manual_seed(1)
    start = torch.randn(*shape, generator=generator)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    one = Muon([ours], 0.02)
    two = torch.optim.Muon([theirs], lr=0.02, momentum=0.95, weight_decay=0.02, adjust_lr_fn="original")
    for _ in range(10):
        gradient = torch.randn(*shape, generator=generator)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        one.step()
        two.step()
    assert (ours - theirs).abs().max() < 0.02 * (ours - start).abs().max()


def test_orthogonal_matrices_come_out() -> None:
    matrices = torch.randn(3, 6, 30, generator=torch.Generator().manual_seed(2))
    values = torch.linalg.svdvals(orthogonal(matrices))
    assert values.min() > 0.6
    assert values.max() < 1.3


def test_every_weight_has_one_optimizer(toy: Architecture) -> None:
    for architecture in (toy, Architecture(trunk="encoder", width=16, blocks=1, heads=2, generated=4)):
        network = fresh(architecture, 1)
        given = [
            id(weight) for each in optimizers_of(network) for group in each.param_groups for weight in group["params"]
        ]
        assert sorted(given) == sorted(id(weight) for weight in network.parameters())


def test_the_rate_rises_stays_and_falls() -> None:
    decay = decay_of(1000)
    assert decay == Decay(700, 300)
    assert factor(0, 0, decay) == pytest.approx(1 / WARMUP_STEPS)
    assert factor(WARMUP_STEPS, 699, decay) == 1.0
    assert factor(WARMUP_STEPS, 850, decay) == pytest.approx(0.5)
    assert factor(WARMUP_STEPS, 1000, decay) == 0.0
    assert factor(10_000, 10**9, None) == 1.0
