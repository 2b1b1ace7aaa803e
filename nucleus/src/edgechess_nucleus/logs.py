"""`logs/<component>.log`: what a component's scripts print, with time and step, rotated by size."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable
from pathlib import Path

SIZE_LIMIT_BYTES = 1024 * 1024  # of one file, as the Java nucleus rotates its own at 1 MiB
KEPT = 3  # older files beside the present one: .1 is the youngest

Clock = Callable[[], float]
Echo = Callable[[str, str], None]
"""Gets the component's name and a line."""


class ComponentLog:
    """One component's log. A line that cannot be written (disk full, folder gone) is only echoed."""

    def __init__(self, component: str, folder: Path, clock: Clock, echo: Echo) -> None:
        self._component = component
        self._clock = clock
        self._echo = echo
        self.path = folder / f"{component}.log"

    def write(self, step: str, line: str) -> None:
        """`step` is the script that said it, or "nucleus" for what is said about the component."""
        self._echo(self._component, line if step != "nucleus" else f"[{line}]")
        at = datetime.datetime.fromtimestamp(self._clock(), datetime.UTC).isoformat(timespec="milliseconds")
        with contextlib.suppress(OSError):
            self._rotate()
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"{at} {step}: {line}\n")

    def tail(self, count: int) -> list[str]:
        """The newest lines of the present file."""
        try:
            return self.path.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]
        except OSError:
            return []

    def _rotate(self) -> None:
        if not self.path.exists() or self.path.stat().st_size < SIZE_LIMIT_BYTES:
            return
        for number in range(KEPT - 1, 0, -1):
            older = self._numbered(number)
            if older.exists():
                older.replace(self._numbered(number + 1))
        self.path.replace(self._numbered(1))

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")
