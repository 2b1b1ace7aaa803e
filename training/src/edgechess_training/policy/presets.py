"""Recipes by name."""

from __future__ import annotations

from edgechess_inference.policy.architecture import Architecture
from edgechess_training.policy.recipe import Recipe

PRESETS: dict[str, Recipe] = {
    "tiny": Recipe(
        architecture=Architecture(trunk="residual", width=24, blocks=4, squeeze=8, policy_width=16, value_width=16),
        batch=64,
        positions=200_000,
    ),
    "cpu": Recipe(
        architecture=Architecture(trunk="residual", width=64, blocks=6, squeeze=32, policy_width=48), batch=128
    ),
    "gpu": Recipe(
        architecture=Architecture(
            trunk="encoder", width=384, blocks=8, heads=12, generated=64, policy_width=64, value_width=128
        ),
        batch=4096,
        positions=80_000_000,
    ),
}


ABOUT = {
    "tiny": "minutes on one core",
    "cpu": "the shipped model: hours on one core",
    "gpu": "half an hour of a large accelerator",
}
