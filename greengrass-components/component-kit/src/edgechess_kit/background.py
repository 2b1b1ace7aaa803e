"""Tasks that serve a block: a task group that lets the block's own error out as itself."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any

import anyio
import anyio.abc


class Background:
    """An async context manager. Its end waits for the tasks, so whoever opened it tells them to end, or cancels them.

    An error of a task cancels the block and comes out in an exception group. An error of the block comes out bare: a
    task group would wrap it, and whoever looks for a SettingsError would not find it.
    """

    def __init__(self) -> None:
        self._group: anyio.abc.TaskGroup | None = None

    async def __aenter__(self) -> Background:
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        group, self._group = self._opened, None
        if isinstance(error, Exception):
            group.cancel_scope.cancel()
            await group.__aexit__(None, None, None)
            return None
        return await group.__aexit__(kind, error, traceback)

    def start_soon(self, function: Callable[..., Coroutine[Any, Any, None]], *arguments: Any, name: str) -> None:
        self._opened.start_soon(function, *arguments, name=name)

    async def start(self, function: Callable[..., Coroutine[Any, Any, None]], *arguments: Any, name: str) -> None:
        """As a task group's: waits until the function says that it has started."""
        await self._opened.start(function, *arguments, name=name)

    def cancel(self) -> None:
        """Ends every task, except those that shield themselves."""
        self._opened.cancel_scope.cancel()

    @property
    def _opened(self) -> anyio.abc.TaskGroup:
        assert self._group is not None, "used outside its block"
        return self._group
