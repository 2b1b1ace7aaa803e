"""The fast way of computing a trunk gives what the plain way gives, and the same gradients."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

from edgechess_inference.policy.architecture import Architecture  # noqa: E402
from edgechess_inference.policy.network import PolicyNetwork, RootMeanSquare, convolve, fresh  # noqa: E402
from edgechess_training.policy.normalised import normalised_relu  # noqa: E402
from edgechess_training.policy.squares_first import forward  # noqa: E402
from edgechess_training.policy.winograd import convolve_squares  # noqa: E402


def test_winograds_convolution_is_a_convolution() -> None:
    generator = torch.Generator().manual_seed(1)
    x, weight = torch.randn(5, 7, 8, 8, generator=generator), torch.randn(11, 7 * 9, generator=generator)
    plain = F.conv2d(x.double(), weight.double().view(11, 7, 3, 3), padding=1)
    fast = convolve_squares(x.permute(2, 3, 0, 1).contiguous(), weight).permute(2, 3, 0, 1)
    assert (fast - plain).abs().max() < 1e-4 * plain.abs().max()
    assert torch.allclose(convolve(x, weight).double(), plain, atol=1e-4)


def test_a_board_is_padded_with_nothing() -> None:
    x = torch.zeros(8, 8, 1, 1)
    x[0, 7] = 1.0
    y = convolve_squares(x, torch.arange(9.0)[None])[:, :, 0, 0]
    expected = torch.zeros(8, 8)
    expected[0, 7], expected[0, 6], expected[1, 7], expected[1, 6] = 4, 5, 1, 2
    assert torch.allclose(y, expected, atol=1e-5)


def test_normalised_relu_and_its_gradient() -> None:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(3, 4, 6, dtype=torch.float64, generator=generator).requires_grad_()
    weight = torch.randn(6, dtype=torch.float64, generator=generator).requires_grad_()
    norm = RootMeanSquare(6).double()
    norm.weight.data.copy_(weight.detach())
    assert torch.allclose(normalised_relu(x, weight), F.relu(norm(x)))
    assert torch.autograd.gradcheck(normalised_relu, (x, weight))


def _gradients(network: PolicyNetwork, moves: Tensor, outlook: Tensor) -> list[Tensor]:
    network.zero_grad()
    torch.autograd.backward(F.cross_entropy(moves, torch.arange(len(moves))) + outlook.square().sum())
    return [weight.grad.clone() for weight in network.parameters() if weight.grad is not None]


def test_the_whole_network_and_every_gradient(toy: Architecture) -> None:
    network = fresh(toy, 3)
    generator = torch.Generator().manual_seed(4)
    for weight in network.parameters():
        weight.data.add_(torch.randn(weight.shape, generator=generator) * 0.1)
    tokens, clocks = torch.randint(0, 16, (6, 64), generator=generator), torch.rand(6, 1, generator=generator)
    plain, fast = network(tokens, clocks), forward(network, tokens, clocks)
    assert torch.allclose(plain[0], fast[0], atol=1e-4)
    assert torch.allclose(plain[1], fast[1], atol=1e-4)
    of_plain, of_fast = _gradients(network, *plain[:2]), _gradients(network, *fast[:2])
    assert len(of_plain) == len(list(network.parameters()))
    for a, b in zip(of_plain, of_fast, strict=True):
        assert (a - b).abs().max() <= 1e-4 * a.abs().max() + 1e-6
