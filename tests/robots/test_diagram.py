from __future__ import annotations

from pathlib import Path

from edgechess_robots.diagram import page

PAGE = Path(__file__).resolve().parents[2] / "docs" / "arm-states.md"


def test_the_diagram_in_the_docs_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), f"run python -m edgechess_robots.diagram {PAGE}"
