"""Which chunk comes next, from where, and what follows when one is damaged, late, throttled or missing. No I/O, no clock.

`decide(event, now_s) -> effects`. A receiver is one thread with one connection to each source. It asks (`Idle`), is
told (`Fetch`, `Wait`, `Finish`), and reports (`Received`, `Damaged`, `Broken`). A chunk that takes far longer than the
others is hedged: fetched a second time into memory of its own. At no time do two receivers write to one place: the
bytes of a hedge are moved there only when the first attempt has ended.
"""

from __future__ import annotations

import dataclasses
import enum
import heapq
import random
import statistics
from collections import deque
from collections.abc import Iterable, Sequence
from typing import assert_never

from edgechess_inference.weights.errors import DamageError, SourceError, WeightsError


class Fault(enum.Enum):
    """Why bytes did not come."""

    RESET = "reset"
    THROTTLED = "throttled"
    MISSING = "missing"
    DENIED = "denied"
    CANCELLED = "cancelled"


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """How patient a stream is. Times in seconds."""

    attempts_max: int = 12  # of one chunk on a broken link: with doubling waits about half a minute
    damages_max: int = 4  # of one chunk from one source: a store that sends wrong bytes four times has no right ones
    backoff_s: float = 0.05  # before the second attempt; doubled, with jitter
    backoff_max_s: float = 5.0
    retry_after_max_s: float = 30.0  # what a server may ask for
    patience_s: float = 60.0  # of failures everywhere without one new byte
    hedge_min_s: float = 0.5  # no chunk is called slow before
    hedge_ratio: float = 3.0  # times the median of those that came
    hedge_share: float = 0.05  # of all chunks may be fetched twice for slowness
    hedges_at_once: int = 1  # each needs a chunk of memory


# ---------------------------------------------------------------- events


@dataclasses.dataclass(frozen=True, slots=True)
class Idle:
    """A receiver asks what to do."""

    receiver: int


@dataclasses.dataclass(frozen=True, slots=True)
class Received:
    """Verified, and at its place (of a hedge: in its own memory)."""

    receiver: int


@dataclasses.dataclass(frozen=True, slots=True)
class Damaged:
    """All bytes came, and their digest is wrong."""

    receiver: int


@dataclasses.dataclass(frozen=True, slots=True)
class Broken:
    """The bytes did not all come. `received` counts those at the front that did, earlier attempts included."""

    receiver: int
    fault: Fault
    text: str
    received: int = 0
    retry_after_s: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """Somebody waits for these chunks: they come first."""

    chunks: tuple[int, ...]


Event = Idle | Received | Damaged | Broken | Wanted

# ---------------------------------------------------------------- effects


@dataclasses.dataclass(frozen=True, slots=True)
class Fetch:
    """To the receiver that asked: fetch from byte `start` on; a hedge into memory of its own."""

    chunk: int
    source: int
    start: int = 0
    hedge: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Wait:
    """To the receiver that asked: ask again after this time, or when something has changed."""

    seconds: float


@dataclasses.dataclass(frozen=True, slots=True)
class Finish:
    """To the receiver that asked: there is nothing left to do."""


@dataclasses.dataclass(frozen=True, slots=True)
class Cancel:
    """Interrupt this receiver's fetch; it will report `Broken` with CANCELLED, or what else happened first."""

    receiver: int


@dataclasses.dataclass(frozen=True, slots=True)
class Hold:
    """To the hedge that reported: keep the bytes; `Adopt` or `Drop` follows."""


@dataclasses.dataclass(frozen=True, slots=True)
class Adopt:
    """This receiver's hedge won: move its bytes to their place, then report `Received` once more."""

    receiver: int


@dataclasses.dataclass(frozen=True, slots=True)
class Drop:
    """This receiver's hedge was not needed."""

    receiver: int


@dataclasses.dataclass(frozen=True, slots=True)
class Landed:
    """The chunk is verified and at its place, for good."""

    chunk: int


@dataclasses.dataclass(frozen=True, slots=True)
class GaveUp:
    """The stream cannot be completed."""

    error: WeightsError


Effect = Fetch | Wait | Finish | Cancel | Hold | Adopt | Drop | Landed | GaveUp

# ---------------------------------------------------------------- state


@dataclasses.dataclass(slots=True)
class Tally:
    """What has happened so far. Bytes."""

    landed_bytes: int = 0
    landed_chunks: int = 0
    damaged_chunks: int = 0
    healed_chunks: int = 0
    refetched_bytes: int = 0
    """Fetched again after damage, or given up with a broken connection."""
    broken: int = 0
    throttled: int = 0
    hedged: int = 0
    by_source: dict[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(slots=True)
class _Flight:
    chunk: int
    source: int
    start: int
    began_s: float
    hedge: bool
    holding: bool = False


@dataclasses.dataclass(slots=True)
class _Trouble:
    """Of one chunk that did not come at once."""

    attempts: int = 0
    start: int = 0
    damages: dict[int, int] = dataclasses.field(default_factory=dict)
    """How often each source sent wrong bytes."""
    breaks: dict[int, int] = dataclasses.field(default_factory=dict)
    missing: set[int] = dataclasses.field(default_factory=set)


@dataclasses.dataclass(slots=True)
class _Source:
    name: str
    window: float
    flying: int = 0
    paused_until_s: float = 0.0
    throttles: int = 0
    strikes: int = 0
    """Attempts in a row that brought not one byte."""
    barred: str | None = None


class _Stage(enum.IntEnum):
    PENDING = 0
    FLYING = 1
    DONE = 2


URGENT, USUAL = 0, 1
WAIT_S = 0.5  # at most, before a receiver without work looks again: hedges become due without an event
PUT_OFF_MAX = 32  # chunks looked at whose source rests, before a receiver rests too
STRIKES_MAX = 3  # then a source rests, where another can take its place
WELL_BYTES = 1 << 20  # came before a connection broke: the source is well, and nothing is gained by waiting
DURATIONS = 64  # of which the median is taken


class FetchPlan:
    """The state of one stream. `sources` in the order of preference; chunks are fetched in theirs."""

    def __init__(
        self,
        lengths: Sequence[int],
        sources: Sequence[str],
        receivers: int,
        draw: random.Random,
        limits: Limits = Limits(),
        *,
        keeps_parts: bool = True,
    ) -> None:
        """`keeps_parts`: what a broken attempt received stays at its place, so that the next one goes on behind it."""
        self.tally = Tally(by_source=dict.fromkeys(sources, 0))
        self._lengths = lengths
        self._limits = limits
        self._draw = draw
        self._keeps_parts = keeps_parts
        self._sources = [_Source(name, float(receivers)) for name in sources]
        self._receivers = receivers
        self._stages = bytearray(len(lengths))
        self._queue = [(USUAL, chunk) for chunk in range(len(lengths))]
        self._later: list[tuple[float, int]] = []
        self._flights: dict[int, _Flight] = {}
        self._troubles: dict[int, _Trouble] = {}
        self._durations: deque[float] = deque(maxlen=DURATIONS)
        self._progress_s: float | None = None
        self._error: WeightsError | None = None

    @property
    def finished(self) -> bool:
        """Every chunk has landed."""
        return self.tally.landed_chunks == len(self._lengths)

    def landed(self, chunk: int) -> bool:
        return self._stages[chunk] == _Stage.DONE

    def decide(self, event: Event, now_s: float) -> list[Effect]:
        """What follows. The first effect is for the receiver of the event where it asked or must hold."""
        if self._progress_s is None:
            self._progress_s = now_s
        match event:
            case Idle(receiver):
                return [self._next(receiver, now_s)]
            case Received(receiver):
                return self._received(receiver, now_s)
            case Damaged(receiver):
                return self._damaged(receiver, now_s)
            case Broken():
                return self._broken(event, now_s)
            case Wanted(chunks):
                self._want(chunks)
                return []
            case _:
                assert_never(event)

    # ------------------------------------------------------------ what next

    def _next(self, receiver: int, now_s: float) -> Effect:
        if self._error is not None or self.finished:
            return Finish()
        self._recall(now_s)
        hedge = self._hedge(receiver, now_s)
        if hedge is not None:
            return hedge
        wait_s, put_off = WAIT_S, list[tuple[int, int]]()
        found: Effect | None = None
        while self._queue and found is None and len(put_off) < PUT_OFF_MAX:
            place = heapq.heappop(self._queue)
            if self._stages[place[1]] != _Stage.PENDING:
                continue  # it was wanted, and stands here twice
            source, pause_s = self._source_for(place[1], now_s)
            if source is None:
                wait_s = min(wait_s, pause_s)
                put_off.append(place)
            else:
                found = self._fly(receiver, place[1], source, now_s)
        for place in put_off:
            heapq.heappush(self._queue, place)
        if found is not None:
            return found
        if self._later:
            wait_s = min(wait_s, self._later[0][0] - now_s)
        return Wait(max(0.001, min(wait_s, self._until_hedge(now_s))))

    def _recall(self, now_s: float) -> None:
        """Chunks whose waiting is over are first in line."""
        while self._later and self._later[0][0] <= now_s:
            heapq.heappush(self._queue, (URGENT, heapq.heappop(self._later)[1]))

    def _fly(self, receiver: int, chunk: int, source: int, now_s: float, *, hedge: bool = False) -> Fetch:
        trouble = self._troubles.get(chunk)
        start = trouble.start if trouble is not None and not hedge else 0
        self._flights[receiver] = _Flight(chunk, source, start, now_s, hedge)
        self._sources[source].flying += 1
        self._stages[chunk] = _Stage.FLYING
        return Fetch(chunk, source, start, hedge)

    def _source_for(self, chunk: int, now_s: float) -> tuple[int | None, float]:
        """The best source that takes another request now; else None and how long until one may."""
        trouble = self._troubles.get(chunk)
        pause_s = WAIT_S
        for number in self._candidates(trouble):
            source = self._sources[number]
            if source.paused_until_s > now_s:
                pause_s = min(pause_s, source.paused_until_s - now_s)
            elif source.flying < max(1, int(source.window)):
                return number, 0.0
        return None, pause_s

    def _candidates(self, trouble: _Trouble | None) -> list[int]:
        """Sources that may have the chunk, those that failed with it last."""
        able = [number for number, source in enumerate(self._sources) if source.barred is None]
        if trouble is None:
            return able
        able = [number for number in able if number not in trouble.missing]
        return sorted(able, key=lambda number: trouble.damages.get(number, 0) + trouble.breaks.get(number, 0))

    def _want(self, chunks: Iterable[int]) -> None:
        for chunk in chunks:
            if self._stages[chunk] == _Stage.PENDING:
                heapq.heappush(self._queue, (URGENT, chunk))

    # ------------------------------------------------------------ hedging

    def _slow_after_s(self) -> float:
        usual_s = statistics.median(self._durations) if len(self._durations) > 2 else 2 * self._limits.hedge_min_s
        return max(self._limits.hedge_min_s, self._limits.hedge_ratio * usual_s)

    def _slowest(self) -> _Flight | None:
        """The oldest first attempt without a hedge, where another hedge is allowed."""
        allowed = max(2, int(self._limits.hedge_share * len(self._lengths)))
        hedged = {flight.chunk for flight in self._flights.values() if flight.hedge}
        if self.tally.hedged >= allowed or len(hedged) >= self._limits.hedges_at_once:
            return None
        first = [flight for flight in self._flights.values() if not flight.hedge and flight.chunk not in hedged]
        return min(first, key=lambda flight: flight.began_s, default=None)

    def _until_hedge(self, now_s: float) -> float:
        slowest = self._slowest()
        return WAIT_S if slowest is None else max(0.0, slowest.began_s + self._slow_after_s() - now_s)

    def _hedge(self, receiver: int, now_s: float) -> Fetch | None:
        slowest = self._slowest()
        if slowest is None or now_s - slowest.began_s < self._slow_after_s():
            return None
        trouble = self._troubles.get(slowest.chunk)
        others = [number for number in self._candidates(trouble) if number != slowest.source]
        for number in (*others, slowest.source):
            source = self._sources[number]
            if source.paused_until_s <= now_s and source.barred is None:
                self.tally.hedged += 1
                return self._fly(receiver, slowest.chunk, number, now_s, hedge=True)
        return None

    def _other(self, receiver: int, chunk: int) -> int | None:
        """The receiver that flies the same chunk beside this one."""
        return next((r for r, flight in self._flights.items() if flight.chunk == chunk and r != receiver), None)

    # ------------------------------------------------------------ what came

    def _received(self, receiver: int, now_s: float) -> list[Effect]:
        flight = self._flights[receiver]
        if not flight.hedge or flight.holding:
            return self._land(receiver, now_s)
        other = self._other(receiver, flight.chunk)
        flight.holding = True
        if self.landed(flight.chunk):
            self._end(receiver)
            return [Drop(receiver)]
        return [Adopt(receiver)] if other is None else [Hold(), Cancel(other)]

    def _land(self, receiver: int, now_s: float) -> list[Effect]:
        flight = self._end(receiver)
        chunk, length, source = flight.chunk, self._lengths[flight.chunk], self._sources[flight.source]
        self._stages[chunk] = _Stage.DONE
        self._durations.append(now_s - flight.began_s)
        self._progress_s = now_s
        self.tally.landed_bytes += length
        self.tally.landed_chunks += 1
        self.tally.by_source[source.name] += length
        source.window = min(float(self._receivers), source.window + 1.0 / max(1.0, source.window))
        source.throttles = max(0, source.throttles - 1)
        source.strikes = 0
        trouble = self._troubles.pop(chunk, None)
        if trouble is not None and trouble.damages:
            self.tally.healed_chunks += 1
        other = self._other(receiver, chunk)
        effects: list[Effect] = [Landed(chunk)]
        if other is not None:
            effects.append(self._lose(other))
        return effects

    def _lose(self, other: int) -> Effect:
        """The other attempt at a chunk that has landed: told to stop, or to forget what it holds."""
        if self._flights[other].holding:
            self._end(other)
            return Drop(other)
        return Cancel(other)

    def _end(self, receiver: int) -> _Flight:
        flight = self._flights.pop(receiver)
        self._sources[flight.source].flying -= 1
        return flight

    def _damaged(self, receiver: int, now_s: float) -> list[Effect]:
        flight = self._end(receiver)
        self.tally.damaged_chunks += 1
        self.tally.refetched_bytes += self._lengths[flight.chunk]
        if self.landed(flight.chunk):
            return []
        trouble = self._troubles.setdefault(flight.chunk, _Trouble())
        trouble.damages[flight.source] = trouble.damages.get(flight.source, 0) + 1
        if not flight.hedge:
            trouble.start = 0
        able = self._candidates(trouble)
        if min((trouble.damages.get(number, 0) for number in able), default=0) >= self._limits.damages_max:
            names = " and ".join(self._sources[number].name for number in able)
            text = f"chunk {flight.chunk} does not match its digest, however often it is fetched from {names}"
            return self._give_up(DamageError(text))
        return self._again(flight.chunk, now_s)

    # ------------------------------------------------------------ what did not come

    def _broken(self, event: Broken, now_s: float) -> list[Effect]:
        flight = self._end(event.receiver)
        chunk, source = flight.chunk, self._sources[flight.source]
        if self.landed(chunk):
            return []
        trouble = self._troubles.setdefault(chunk, _Trouble())
        self._keep_part(trouble, flight, event.received, now_s)
        delay_s = 0.0
        match event.fault:
            case Fault.RESET:
                self.tally.broken += 1
                fruitful = event.received > flight.start
                trouble.attempts = 1 if fruitful else trouble.attempts + 1
                trouble.breaks[flight.source] = trouble.breaks.get(flight.source, 0) + 1
                self._strike(source, fruitful, now_s)
                well = event.received - flight.start >= WELL_BYTES
                delay_s = 0.0 if well else self._backoff_s(trouble.attempts)
            case Fault.THROTTLED:
                self.tally.throttled += 1
                self._throttle(source, event.retry_after_s, now_s)
            case Fault.MISSING:
                trouble.missing.add(flight.source)
            case Fault.DENIED:
                source.barred = event.text
            case Fault.CANCELLED:
                pass
            case _:
                assert_never(event.fault)
        hopeless = self._hopeless(trouble, event, now_s)
        return self._give_up(hopeless) if hopeless else self._again(chunk, now_s + delay_s)

    def _keep_part(self, trouble: _Trouble, flight: _Flight, received: int, now_s: float) -> None:
        if received > flight.start:
            self._progress_s = now_s
        if flight.hedge:
            self.tally.refetched_bytes += received
        elif self._keeps_parts:
            trouble.start = received
        else:
            self.tally.refetched_bytes += received

    def _throttle(self, source: _Source, retry_after_s: float, now_s: float) -> None:
        """The whole source rests; those who asked at the same time do not lengthen it."""
        if source.paused_until_s > now_s:
            return
        source.throttles += 1
        source.window = max(1.0, source.window / 2)
        asked_s = min(retry_after_s, self._limits.retry_after_max_s)
        source.paused_until_s = now_s + max(asked_s, self._backoff_s(source.throttles))

    def _strike(self, source: _Source, fruitful: bool, now_s: float) -> None:
        """A source that brings nothing rests, unless it is the only one: its chunks then wait one by one."""
        source.strikes = 0 if fruitful else source.strikes + 1
        others = sum(other.barred is None for other in self._sources) - 1
        if source.strikes >= STRIKES_MAX and others and source.paused_until_s <= now_s:
            source.paused_until_s = now_s + self._backoff_s(source.strikes)

    def _backoff_s(self, attempts: int) -> float:
        delay_s = self._limits.backoff_s * 2.0 ** min(attempts - 1, 30)
        return min(self._limits.backoff_max_s, delay_s) * self._draw.uniform(0.5, 1.5)

    def _hopeless(self, trouble: _Trouble, event: Broken, now_s: float) -> WeightsError | None:
        assert self._progress_s is not None
        if not self._candidates(trouble):
            return SourceError(event.text)
        if trouble.attempts >= self._limits.attempts_max:
            return SourceError(f"{event.text} ({trouble.attempts} attempts)")
        if now_s - self._progress_s > self._limits.patience_s:
            return SourceError(f"{event.text} (nothing came for {self._limits.patience_s:g} s)")
        return None

    def _again(self, chunk: int, at_s: float) -> list[Effect]:
        """Back in line, unless another attempt is under way or has its bytes already."""
        other = next((r for r, flight in self._flights.items() if flight.chunk == chunk), None)
        if other is None:
            self._stages[chunk] = _Stage.PENDING
            heapq.heappush(self._later, (at_s, chunk))
            return []
        flight = self._flights[other]
        return [Adopt(other)] if flight.hedge and flight.holding else []

    def _give_up(self, error: WeightsError) -> list[Effect]:
        if self._error is not None:
            return []
        self._error = error
        return [GaveUp(error)]
