"""The supervisor: safe stop first, then again after a pause, and an end when it is hopeless."""

from __future__ import annotations

import random

import anyio
import pytest

from edgechess_kit.errors import ComponentFailed, ComponentUnfit, JournalError, SettingsError
from edgechess_kit.supervision import SAFE_STOP_TIMEOUT_S, Policy, supervise

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> object:
    import trio.testing

    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


class Work:
    """Fails so many times, then returns."""

    def __init__(self, failures: int, lasts_s: float = 0.0) -> None:
        self.failures = failures
        self.lasts_s = lasts_s
        self.said: list[tuple[str, float]] = []
        self.began_s = anyio.current_time()

    async def __call__(self) -> None:
        self.say("work")
        await anyio.sleep(self.lasts_s)
        if self.failures:
            self.failures -= 1
            raise RuntimeError("boom")

    async def stop(self) -> None:
        self.say("stop")

    def say(self, what: str) -> None:
        self.said.append((what, round(anyio.current_time() - self.began_s, 3)))


async def test_it_starts_again_after_growing_pauses_and_stops_safely_first() -> None:
    work = Work(3)
    await supervise("w", work, safe_stop=work.stop)
    assert work.said == [
        ("work", 0.0),
        ("stop", 0.0),
        ("work", 0.5),
        ("stop", 0.5),
        ("work", 1.5),
        ("stop", 1.5),
        ("work", 3.5),
    ]


async def test_too_many_failures_in_the_window_end_it() -> None:
    work = Work(99)
    with pytest.raises(ComponentFailed, match="w failed 3 times in 60 s: RuntimeError: boom") as caught:
        await supervise("w", work, policy=Policy(restarts=2), safe_stop=work.stop)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert [what for what, _ in work.said] == ["work", "stop"] * 3


async def test_failures_far_apart_are_forgiven() -> None:
    work = Work(20, lasts_s=61.0)
    await supervise("w", work, policy=Policy(restarts=1, window_s=60.0))
    assert work.failures == 0


@pytest.mark.parametrize("error", [JournalError("disk gone"), ExceptionGroup("g", [SettingsError("disk gone")])])
async def test_what_cannot_work_is_not_tried_again(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    stopped = []

    async def work() -> None:
        raise error

    async def stop() -> None:
        stopped.append(True)

    with pytest.raises(ComponentUnfit, match=r"^disk gone$"):
        await supervise("w", work, safe_stop=stop)
    assert stopped == [True]
    assert caplog.records == []  # whoever starts processes prints the reason; a traceback would bury it


async def test_an_error_of_another_kind_beside_it_is_not_hidden(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        raise ExceptionGroup("g", [SettingsError("disk gone"), RuntimeError("boom")])

    with pytest.raises(ComponentUnfit, match=r"^disk gone$"):
        await supervise("w", work)
    assert caplog.records[0].exc_info is not None


async def test_a_safe_stop_that_hangs_or_fails_does_not_end_the_supervisor() -> None:
    work = Work(2)
    stops = 0

    async def stop() -> None:
        nonlocal stops
        stops += 1
        if stops == 1:
            await anyio.sleep_forever()
        raise OSError("link gone")

    await supervise("w", work, safe_stop=stop)
    assert [second for _, second in work.said] == [0.0, SAFE_STOP_TIMEOUT_S + 0.5, SAFE_STOP_TIMEOUT_S + 1.5]


async def test_cancellation_passes_through_and_is_no_failure() -> None:
    work = Work(0, lasts_s=1e6)
    with anyio.move_on_after(1.0) as scope:
        await supervise("w", work, safe_stop=work.stop)
    assert scope.cancelled_caught
    assert work.said == [("work", 0.0)]


async def test_the_safe_stop_is_delivered_even_when_we_are_cancelled() -> None:
    delivered = []
    with anyio.CancelScope() as scope:

        async def work() -> None:
            scope.cancel()
            raise RuntimeError

        async def stop() -> None:
            await anyio.sleep(0.1)
            delivered.append(True)

        await supervise("w", work, safe_stop=stop)
    assert delivered == [True]


async def test_pauses_are_spread_by_the_given_random() -> None:
    work = Work(1)
    await supervise("w", work, rng=random.Random(1))
    pause_s = work.said[-1][1]
    assert 0.25 <= pause_s <= 0.75
    assert pause_s != 0.5


async def test_a_safe_stop_that_fails_is_always_told(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise JournalError("disk gone")

    with pytest.raises(ComponentUnfit):
        await supervise("w", fail, safe_stop=fail)
    assert [record.message for record in caplog.records] == ["w: safe stop failed"]
