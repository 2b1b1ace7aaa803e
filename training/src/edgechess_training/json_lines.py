"""Files that grow by a line of JSON at a time: who was killed while it wrote leaves a last line without its end."""

from __future__ import annotations

from pathlib import Path


def whole_lines(path: Path) -> list[bytes]:
    """All but an unfinished last one. Raises OSError."""
    stored = path.read_bytes()
    return stored[: stored.rfind(b"\n") + 1].splitlines()


def write_whole(path: Path, text: str) -> None:
    """Whole or not at all, in place of what was there."""
    fresh = path.with_name(path.name + ".part")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
