"""Lines that a person types, without a thread: one that waits for a line cannot be ended, and holds up whoever ends the program."""

from __future__ import annotations

import os
from collections.abc import Callable

import anyio

BACKSPACE = (b"\x7f", b"\b")
READ_BYTES = 1024


class LineReader:
    """Lines of a terminal or pipe, read without a thread; `show` is told every change of the line."""

    def __init__(self, descriptor: int, show: Callable[[str, str], None]) -> None:
        self._descriptor = descriptor
        self._show = show
        self._unread = b""
        self.closed = False

    async def line(self, prompt: str) -> str | None:
        """The next line without its end, None when there is no more."""
        text = b""
        self._show(prompt, "")
        while True:
            key = await self._key()
            if key is None or key == b"\x04":
                self.closed = True
                return None
            if key in (b"\n", b"\r"):
                return text.decode(errors="replace").strip()
            text = text[:-1] if key in BACKSPACE else text + key
            self._show(prompt, text.decode(errors="replace"))

    async def _key(self) -> bytes | None:
        if not self._unread:
            try:
                await anyio.wait_readable(self._descriptor)
            except PermissionError:
                return None  # /dev/null and files: nobody types there
            self._unread = os.read(self._descriptor, READ_BYTES)
        key, self._unread = self._unread[:1], self._unread[1:]
        return key or None
