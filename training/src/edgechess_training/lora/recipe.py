"""What a fine-tuning run does with its records. Defaults are the AWS post's where it says them."""

from __future__ import annotations

import msgspec

from edgechess_training.errors import TrainingError


class LoraRecipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`batch`: records per step, taken `at_once` (memory decides). `length`: tokens of a record; longer ones are left out.

    `four_bit`: the frozen weights as NF4 (QLoRA); needs CUDA and bitsandbytes.
    """

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.05
    rate: float = 2e-4
    warmup: float = 0.03
    """Share of the steps in which the rate rises; then it falls by a cosine to a tenth."""
    epochs: float = 3.0
    batch: int = 16
    at_once: int = 4
    length: int = 1024
    clip: float = 1.0
    """Largest norm of a step's gradient."""
    four_bit: bool = False
    seed: int = 1

    def __post_init__(self) -> None:
        """Raises TrainingError."""
        limits = {
            "rank": (1, 512),
            "epochs": (0.001, 1000),
            "batch": (1, 4096),
            "at_once": (1, 4096),
            "length": (8, 131072),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise TrainingError(f"{name} is {value}; it goes from {low:g} to {high:g}")
        if self.batch % self.at_once:
            raise TrainingError(
                f"a batch of {self.batch} is not made of {self.at_once} records at once: let it be a multiple"
            )
