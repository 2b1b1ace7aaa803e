"""The convolution of the trunk for training on a processor: Winograd's F(4x4, 3x3) as plain matrix products.

Squares come first, positions and channels last: [8, 8, n, channels]. In that layout every step is one large product
without any transposition, forward and backward, and a quarter of a direct convolution's multiplications remain:
twice as fast as `conv2d` where torch has no bfloat16 (measured on AVX2). Serving keeps `conv2d`: one position at a time
gains nothing, and the result differs in the fifth digit.

Lavin and Gray 2015 (arXiv 1509.09308), interpolation points 0, 1, -1, 2, -2 and infinity.
"""

from __future__ import annotations

import torch
from torch import Tensor

TILE_IN = 6
_INPUT = (
    (4, 0, -5, 0, 1, 0), (0, -4, -4, 1, 1, 0), (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0), (0, 2, -1, -2, 1, 0), (0, 4, 0, -5, 0, 1),
)  # fmt: skip
_KERNEL = (
    (1 / 4, 0, 0), (-1 / 6, -1 / 6, -1 / 6), (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6), (1 / 24, -1 / 12, 1 / 6), (0, 0, 1),
)  # fmt: skip
_OUTPUT = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))


def _board_matrices() -> tuple[Tensor, Tensor, Tensor]:
    """Both tiles of an edge of the board in one matrix each: input [12, 8], kernel [12, 3], output [8, 12]."""
    padded = torch.zeros(10, 8, dtype=torch.float64)
    padded[1:9] = torch.eye(8, dtype=torch.float64)
    tile, kernel = torch.tensor(_INPUT, dtype=torch.float64), torch.tensor(_KERNEL, dtype=torch.float64)
    output = torch.kron(torch.eye(2, dtype=torch.float64), torch.tensor(_OUTPUT, dtype=torch.float64))
    into = torch.cat((tile @ padded[:TILE_IN], tile @ padded[4 : 4 + TILE_IN]))
    return into.float(), torch.cat((kernel, kernel)).float(), output.float()


INTO, KERNEL, OUT = _board_matrices()


def convolve_squares(x: Tensor, matrix: Tensor) -> Tensor:
    """[8, 8, n, in] by a matrix [out, in * 9] → [8, 8, n, out]; what `network.convolve` computes."""
    _, _, n, channels = x.shape
    out = matrix.shape[0]
    kernel = matrix.view(out, channels, 3, 3).permute(2, 3, 1, 0).reshape(3, -1)
    kernels = torch.matmul(KERNEL, (KERNEL @ kernel).view(12, 3, channels * out)).view(144, channels, out)
    tiles = torch.matmul(INTO, (INTO @ x.reshape(8, -1)).view(12, 8, n * channels))
    products = torch.bmm(tiles.view(144, n, channels), kernels)
    rows = (OUT @ products.view(12, -1)).view(8, 12, n * out)
    return torch.matmul(OUT, rows).view(8, 8, n, out)
