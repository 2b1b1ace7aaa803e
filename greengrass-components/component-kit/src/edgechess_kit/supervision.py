"""The supervisor: the one place that survives an error it does not know.

It logs, brings the machine to a safe stop, and starts the work again after a pause; what fails too often, or cannot
work at all (no journal, no valid settings), ends the process, and whoever runs processes decides.
"""

from __future__ import annotations

import dataclasses
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterator

import anyio

from edgechess_kit.errors import ComponentFailed, ComponentUnfit, JournalError, SettingsError

log = logging.getLogger(__name__)

SAFE_STOP_TIMEOUT_S = 5.0  # an arm answers a stop within 0.2 s; after this the link is gone and waiting helps nobody

Work = Callable[[], Awaitable[None]]


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """How often work may fail. More than `restarts` failures within `window_s` end it."""

    restarts: int = 5
    window_s: float = 60.0
    pause_first_s: float = 0.5  # doubles with every failure in the window
    pause_last_s: float = 10.0


async def supervise(
    name: str,
    work: Work,
    *,
    policy: Policy | None = None,
    safe_stop: Work | None = None,
    rng: random.Random | None = None,
) -> None:
    """Runs `work` until it returns. Cancellation passes through.

    `safe_stop` is called after every failure, before anything else, shielded from cancellation, for at most
    `SAFE_STOP_TIMEOUT_S`. Pauses are spread by `rng` where given. Raises ComponentFailed, from the last error;
    ComponentUnfit at the first SettingsError or JournalError, which says all there is to say.
    """
    policy = policy or Policy()
    failures: deque[float] = deque()
    while True:
        error = await _attempt(name, work, raised_on=True)
        if error is None:
            return
        if safe_stop is not None:
            with anyio.move_on_after(SAFE_STOP_TIMEOUT_S, shield=True) as scope:
                await _attempt(f"{name}: safe stop", safe_stop)
            if scope.cancelled_caught:
                log.error("%s: the safe stop did not finish within %g s", name, SAFE_STOP_TIMEOUT_S)
        hopeless = _hopeless(error)
        if hopeless:
            raise ComponentUnfit("; ".join(dict.fromkeys(str(leaf) for leaf in hopeless))) from error
        reason = "; ".join(f"{type(leaf).__name__}: {leaf}" for leaf in _leaves(error))
        now_s = anyio.current_time()
        failures.append(now_s)
        while failures[0] <= now_s - policy.window_s:
            failures.popleft()
        if len(failures) > policy.restarts:
            raise ComponentFailed(f"{name} failed {len(failures)} times in {policy.window_s:g} s: {reason}") from error
        pause_s = min(policy.pause_first_s * 2 ** (len(failures) - 1), policy.pause_last_s)
        if rng is not None:
            pause_s *= rng.uniform(0.5, 1.5)
        log.warning("%s: starting again in %.1f s", name, pause_s)
        await anyio.sleep(pause_s)


async def _attempt(name: str, work: Work, *, raised_on: bool = False) -> Exception | None:
    """`raised_on`: what is hopeless goes on to whoever prints it in one line, so a traceback here would only bury it."""
    try:
        await work()
    except Exception as error:  # the one in the system: what nobody expected must still end safely
        if not raised_on or len(_hopeless(error)) < len(list(_leaves(error))):
            log.error("%s failed", name, exc_info=error)
        return error
    return None


def _hopeless(error: BaseException) -> list[BaseException]:
    """What no restart makes better."""
    return [leaf for leaf in _leaves(error) if isinstance(leaf, JournalError | SettingsError)]


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
