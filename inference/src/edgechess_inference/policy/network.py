"""The policy network in torch. Only imported where torch is used (extra `[torch]`); `architecture.py` is its plan.

Built for three users at once: training (plain modules; every matrix two-dimensional, as matrix optimizers want them),
streamed weights (built on the meta device, its parameters assigned from views), and export (no operator that ONNX's
opset 17 lacks: the normalisation is written by hand).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 — torch's own custom

from edgechess_inference.policy.architecture import COMPRESSED, EPSILON, OFFSETS, Architecture, offset_index
from edgechess_inference.policy.encoding import CODES, SQUARES
from edgechess_inference.policy.moves import UNDERPROMOTION_PIECES, UNDERPROMOTIONS


class RootMeanSquare(nn.Module):
    """x / rms(x) * weight, over the channels of one square. Channels come last."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPSILON) * self.weight


class Convolution(nn.Module):
    """3x3 over the board, padded with nothing around it. The weight is a matrix [out, in * 9]. Channels come second."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, width * 9))
        nn.init.normal_(self.weight, std=math.sqrt(2 / (9 * width)))

    def forward(self, x: Tensor) -> Tensor:
        return convolve(x, self.weight)


def convolve(x: Tensor, matrix: Tensor) -> Tensor:
    """[n, in, 8, 8] by a matrix [out, in * 9]."""
    return F.conv2d(x, matrix.view(matrix.shape[0], -1, 3, 3), padding=1)


class Geometry(nn.Module):
    """A learned bias for every difference of two squares, per head: [heads, 64, 64]."""

    index: Tensor

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(heads, OFFSETS))

    def forward(self) -> Tensor:
        index = torch.tensor(offset_index(), device=self.weight.device)
        return self.weight[:, index].view(-1, SQUARES, SQUARES)


class Embedding(nn.Module):
    """Codes and clock become channels: [n, 64, width]."""

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        self.pieces = nn.Parameter(torch.randn(CODES, a.width) * 0.5)
        self.squares = nn.Parameter(torch.randn(SQUARES, a.width) * 0.1)
        self.clock = nn.Parameter(torch.zeros(a.width))
        if a.trunk == "encoder" and a.generated:
            self.templates = nn.Parameter(torch.randn(SQUARES * SQUARES, a.generated) * 0.02)

    def forward(self, tokens: Tensor, clocks: Tensor) -> Tensor:
        return self.pieces[tokens] + self.squares + clocks[:, :, None].to(self.clock.dtype) * self.clock


class ResidualBlock(nn.Module):
    """Normalised first; squeeze and excitation scale and shift what the convolutions add."""

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        self.norm1 = RootMeanSquare(a.width)
        self.conv1 = Convolution(a.width)
        self.norm2 = RootMeanSquare(a.width)
        self.conv2 = Convolution(a.width)
        self.squeeze = nn.Linear(a.width, a.squeeze)
        self.excite = nn.Linear(a.squeeze, 2 * a.width)

    def forward(self, x: Tensor, templates: Tensor | None) -> Tensor:
        y: Tensor = self.conv1(to_board(F.relu(self.norm1(x))))
        y = self.conv2(to_board(F.relu(self.norm2(to_squares(y)))))
        y = to_squares(y)
        scale: Tensor
        shift: Tensor
        scale, shift = self.excite(F.relu(self.squeeze(y.mean(1)))).chunk(2, dim=-1)
        return x + y * torch.sigmoid(scale)[:, None] + shift[:, None]


def to_board(x: Tensor) -> Tensor:
    """[n, 64, c] → [n, c, 8, 8]."""
    return x.transpose(1, 2).reshape(x.shape[0], -1, 8, 8)


def to_squares(x: Tensor) -> Tensor:
    """[n, c, 8, 8] → [n, 64, c]."""
    return x.flatten(2).transpose(1, 2)


class EncoderBlock(nn.Module):
    """Attention with a bias by geometry (learned, and generated for the position), then two layers with squared ReLU."""

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        self.heads, self.generated = a.heads, a.generated
        self.norm1 = RootMeanSquare(a.width)
        if a.generated:
            self.compress = nn.Linear(a.width, COMPRESSED, bias=False)
            self.generate1 = nn.Linear(COMPRESSED * SQUARES, a.generated, bias=False)
            self.generate2 = nn.Linear(a.generated, a.heads * a.generated, bias=False)
        self.qkv = nn.Linear(a.width, 3 * a.width, bias=False)
        self.geometry = Geometry(a.heads)
        self.out = nn.Linear(a.width, a.width, bias=False)
        self.norm2 = RootMeanSquare(a.width)
        self.up = nn.Linear(a.width, a.expansion * a.width, bias=False)
        self.down = nn.Linear(a.expansion * a.width, a.width, bias=False)

    def forward(self, x: Tensor, templates: Tensor | None) -> Tensor:
        n, _, width = x.shape
        y = self.norm1(x)
        bias = self.geometry()[None]
        if templates is not None:
            bias = bias + self._generated_bias(y, templates)
        q, k, v = self.qkv(y).view(n, SQUARES, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.expand(n, -1, -1, -1).to(q.dtype))
        x = x + self.out(y.transpose(1, 2).reshape(n, SQUARES, width))
        added: Tensor = self.down(F.relu(self.up(self.norm2(x))).square())
        return x + added

    def _generated_bias(self, y: Tensor, templates: Tensor) -> Tensor:
        code = F.relu(self.generate1(self.compress(y).flatten(1)))
        codes: Tensor = self.generate2(code).view(-1, self.heads, self.generated)
        return (codes @ templates.T).view(-1, self.heads, SQUARES, SQUARES)


class PolicyHead(nn.Module):
    """Query of the square a piece leaves by key of the one it goes to: [n, 4162] logits of `moves.py`."""

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        self.query = nn.Linear(a.width, a.policy_width, bias=False)
        self.key = nn.Linear(a.width, a.policy_width, bias=False)
        self.geometry = Geometry(1)
        self.underpromotion = nn.Linear(a.width, len(UNDERPROMOTION_PIECES), bias=False)
        self._scale = 1 / math.sqrt(a.policy_width)

    def forward(self, x: Tensor) -> Tensor:
        pairs = (self.query(x) @ self.key(x).transpose(1, 2) * self._scale + self.geometry()).flatten(1)
        last_rank = self.underpromotion(x[:, 56:]).flatten(1)
        pair, piece = (torch.tensor(index, device=x.device) for index in underpromotion_indices())
        return torch.cat((pairs, pairs[:, pair] + last_rank[:, piece]), dim=1)


def underpromotion_indices() -> tuple[list[int], list[int]]:
    """For every underpromotion: its from-to pair, and its place in [8 files of the last rank, 3 pieces]."""
    pairs = [begin * 64 + end for begin, end, _ in UNDERPROMOTIONS]
    places = [(end - 56) * 3 + UNDERPROMOTION_PIECES.index(piece) for _, end, piece in UNDERPROMOTIONS]
    return pairs, places


class ValueHead(nn.Module):
    """Logits of win, draw and loss [n, 3], and of the score's bins [n, value_bins] where there are some."""

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        self.hidden = nn.Linear(a.width, a.value_width)
        self.outlook = nn.Linear(a.value_width, 3)
        self.bins = nn.Linear(a.value_width, a.value_bins, bias=False) if a.value_bins else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        y = F.relu(self.hidden(x.mean(1)))
        return self.outlook(y), self.bins(y) if self.bins is not None else None


class PolicyNetwork(nn.Module):
    """Tokens [n, 64] and clocks [n, 1] → move logits [n, 4162], outlook logits [n, 3], bins or None."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        block = ResidualBlock if architecture.trunk == "residual" else EncoderBlock
        self.embed = Embedding(architecture)
        self.blocks = nn.ModuleList(block(architecture) for _ in range(architecture.blocks))
        self.norm = RootMeanSquare(architecture.width)
        self.policy_head = PolicyHead(architecture)
        self.value_head = ValueHead(architecture)

    def forward(self, tokens: Tensor, clocks: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        x = self.embed(tokens, clocks)
        templates = getattr(self.embed, "templates", None)
        for block in self.blocks:
            x = block(x, templates)
        x = self.norm(x)
        return self.policy_head(x), *self.value_head(x)


def fresh(architecture: Architecture, seed: int) -> PolicyNetwork:
    """Randomly initialised; the same seed gives the same network. Torch's own generator is left as it was."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return PolicyNetwork(architecture)
