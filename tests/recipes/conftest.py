"""Recipes of the repository, and what they are checked with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgechess_cli.findings import Findings
from edgechess_cli.recipe_check import check_recipe

RECIPES = Path(__file__).resolve().parents[2] / "recipes"

Checked = Callable[[str], list[str]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the stock client has no other


@pytest.fixture
def checked(tmp_path: Path) -> Checked:
    """Findings of a text, as `line:column: what; cure`."""

    def check(text: str) -> list[str]:
        path = tmp_path / "recipe.yaml"
        path.write_text(text, encoding="utf-8")
        findings = Findings()
        check_recipe(path, findings, {})
        return [str(finding).removeprefix(f"{path}:") for finding in findings.sorted()]

    return check
