"""When a reading counts: pure decisions over what the board says, in the board's own fields and codes.

A board that scans its squares one after the other tells half-truths while pieces move: a piece on two squares, on none,
a capture without its EMPTY. So updates only trigger. Each one restarts the quiet time; near the end of one whole quiet
scan a dump is asked for; the reading is settled when the scan stayed quiet and the dump shows what the updates had
added up to. A dump that differs means that an update was lost: it is taken over and the quiet time starts again.

The dump is asked for `dump_lead_s` before the quiet scan ends, because its 70 ms on the line are time in which the
board goes on scanning: an update found meanwhile queues right behind the dump and is waited for (`behind_dump_s`).
A square that changes again and again (a piece off its centre flickers) keeps the reading from settling, and is named.
"""

from __future__ import annotations

import dataclasses

from edgechess_board.dgt_protocol import FIELDS


@dataclasses.dataclass(frozen=True, slots=True)
class Timing:
    """Thresholds of one kind of link."""

    quiet_s: float = 0.25
    """One whole scan without a change. DGT's header: a scan takes 200 to 250 ms."""
    dump_lead_s: float = 0.06
    """The dump is asked for this long before the quiet scan ends; less than the 70 ms that it takes at 9600 baud, so
    that its last byte comes after the end of the scan. 0 asks after the scan, and settles 60 ms later."""
    behind_dump_s: float = 0.012
    """An update (5 bytes, 5.2 ms) found during the dump comes right behind it; one more for a second square."""
    dump_timeout_s: float = 0.4
    """No answer to a dump request: ask again. 70 ms of line, 20 ms of EEPROM writing, a queue of updates, a hub."""
    flicker_changes: int = 6
    """A square that changes this often within `flicker_window_s` flickers. A hand that lifts, puts and adjusts a piece
    twice makes four changes; a piece slid over the square and back makes four."""
    flicker_window_s: float = 4.0
    flicker_clear_s: float = 1.5
    """A flickering square is trusted again after this long without a change (six scans)."""


USB = Timing()
BLUETOOTH = Timing(  # scans at half speed; states were seen to take 400 ms, with the radio's own jitter on top
    quiet_s=0.5, behind_dump_s=0.05, dump_timeout_s=0.8, flicker_window_s=6.0, flicker_clear_s=3.0
)

RECENT_LIMIT = 256  # changes remembered for flicker; a hand sweeping a rank makes 16


# ------------------------------------------------------------------------------------------------ events


@dataclasses.dataclass(frozen=True, slots=True)
class Started:
    """The link is up, updates are on."""

    at_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class Updated:
    """The board reported one field."""

    at_s: float
    field: int
    code: int


@dataclasses.dataclass(frozen=True, slots=True)
class Dumped:
    """The board answered a dump request."""

    at_s: float
    codes: tuple[int, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Damaged:
    """Bytes were lost on the line; an update may have been among them."""

    at_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class Looked:
    """Somebody wants a reading of what is on the board from `at_s` on: a change before it may not be scanned yet."""

    at_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class Audited:
    """Time to hold the picture against the board, in case that an update was lost without a trace."""

    at_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class Woken:
    """`wake_at_s` has come."""

    at_s: float


Event = Started | Updated | Dumped | Damaged | Looked | Audited | Woken


# ------------------------------------------------------------------------------------------------ effects


@dataclasses.dataclass(frozen=True, slots=True)
class RequestDump:
    """Send SEND_BRD."""


@dataclasses.dataclass(frozen=True, slots=True)
class Show:
    """What the board shows now. `quiet_from_s` (settled): the scan that confirms it began then."""

    codes: tuple[int, ...]
    settled: bool
    changed_at_s: float
    quiet_from_s: float
    flickering: tuple[int, ...] = ()
    """Fields that keep changing."""


Effect = RequestDump | Show


# ------------------------------------------------------------------------------------------------ state


@dataclasses.dataclass(frozen=True, slots=True)
class Settling:
    """What is known of one connection's board. `wake_at_s`: feed `Woken` then (None: nothing to wait for)."""

    timing: Timing = USB
    codes: tuple[int, ...] | None = None
    changed_at_s: float = 0.0
    quiet_from_s: float = 0.0
    settled: bool = False
    asked_at_s: tuple[float, ...] = ()
    """Dump requests without an answer, oldest first; the line answers in order."""
    confirmed_at_s: float | None = None
    """A dump of this quiet time agreed, then."""
    recent: tuple[tuple[int, float], ...] = ()
    """(field, time) of changes within the flicker window."""
    named: tuple[int, ...] = ()
    """Flickering fields as last shown."""
    wake_at_s: float | None = None


Decision = tuple[Settling, tuple[Effect, ...]]


def decide(state: Settling, event: Event) -> Decision:
    """One event. Times never run backwards."""
    match event:
        case Started(at_s):
            return _ask(dataclasses.replace(state, quiet_from_s=at_s), at_s)
        case Damaged(at_s):
            return _damaged(state, at_s)
        case Updated(at_s, field, code):
            return _updated(state, at_s, field, code)
        case Dumped(at_s, codes):
            return _dumped(state, at_s, codes)
        case Looked(at_s):
            quiet = dataclasses.replace(state, quiet_from_s=max(state.quiet_from_s, at_s), confirmed_at_s=None)
            return dataclasses.replace(quiet, wake_at_s=_ask_at_s(quiet)), ()
        case Audited(at_s):
            return dataclasses.replace(state, asked_at_s=(*_waiting(state, at_s), at_s)), (RequestDump(),)
        case Woken(at_s):
            return _woken(state, at_s)


def _ask_at_s(state: Settling) -> float:
    return state.quiet_from_s + state.timing.quiet_s - state.timing.dump_lead_s


def _waiting(state: Settling, at_s: float) -> tuple[float, ...]:
    """Requests that may still be answered."""
    return tuple(asked_s for asked_s in state.asked_at_s if at_s < asked_s + state.timing.dump_timeout_s)


def _ask(state: Settling, at_s: float) -> Decision:
    """Ask for a dump now, and again when no answer comes."""
    asked_at_s = (*_waiting(state, at_s), at_s)
    return dataclasses.replace(state, asked_at_s=asked_at_s, wake_at_s=at_s + state.timing.dump_timeout_s), (
        RequestDump(),
    )


def _damaged(state: Settling, at_s: float) -> Decision:
    if state.codes is None:  # the first dump is asked for again and again anyway
        return dataclasses.replace(state, quiet_from_s=at_s), ()
    state = dataclasses.replace(state, quiet_from_s=at_s, settled=False, confirmed_at_s=None)
    return dataclasses.replace(state, wake_at_s=_ask_at_s(state)), (_show(state),)


def _updated(state: Settling, at_s: float, field: int, code: int) -> Decision:
    if state.codes is None:  # no picture to change yet; the first dump will hold it
        return dataclasses.replace(state, quiet_from_s=at_s), ()
    return _changed(state, at_s, (*state.codes[:field], code, *state.codes[field + 1 :]))


def _changed(state: Settling, at_s: float, codes: tuple[int, ...]) -> Decision:
    """The picture is now `codes`, which may be what it was: a field reported unchanged was touched in between."""
    before = state.codes or codes
    fields = [field for field in range(FIELDS) if before[field] != codes[field]] if before != codes else []
    since_s = at_s - state.timing.flicker_window_s
    recent = (*(change for change in state.recent if change[1] > since_s), *((field, at_s) for field in fields))
    state = dataclasses.replace(
        state,
        codes=codes,
        changed_at_s=at_s if fields or state.codes is None else state.changed_at_s,
        quiet_from_s=at_s,
        settled=False,
        confirmed_at_s=None,
        recent=recent[-RECENT_LIMIT:],
    )
    return dataclasses.replace(state, wake_at_s=_ask_at_s(state)), (_show(state),)


def _dumped(state: Settling, at_s: float, codes: tuple[int, ...]) -> Decision:
    waiting = _waiting(state, at_s)
    asked_s, state = waiting[0] if waiting else None, dataclasses.replace(state, asked_at_s=waiting[1:])
    if state.codes is None:
        quiet_from_s = state.quiet_from_s
        state, effects = _changed(state, at_s, codes)
        state = dataclasses.replace(state, quiet_from_s=quiet_from_s)  # the quiet time began with the link
        return dataclasses.replace(state, wake_at_s=_ask_at_s(state)), effects
    if codes != state.codes:
        if asked_s is not None and asked_s < state.changed_at_s:  # older than an update: another is asked for anyway
            return state, ()
        return _changed(state, at_s, codes)
    if asked_s is None or asked_s < state.quiet_from_s or state.wake_at_s is None:
        return state, ()
    due_s = max(state.quiet_from_s + state.timing.quiet_s, at_s + state.timing.behind_dump_s)
    return dataclasses.replace(state, confirmed_at_s=at_s, wake_at_s=due_s), ()


def _woken(state: Settling, at_s: float) -> Decision:
    if state.wake_at_s is None or at_s < state.wake_at_s:
        return state, ()
    if state.confirmed_at_s is not None:
        done = dataclasses.replace(state, settled=True, wake_at_s=None, named=())
        return done, (_show(done),)
    flickering = _flickering(state, at_s)
    if flickering:
        again_s = at_s + state.timing.quiet_s
        named = dataclasses.replace(state, named=flickering, wake_at_s=again_s)
        return named, (_show(named),) if flickering != state.named else ()
    return _ask(state, at_s)


def _flickering(state: Settling, at_s: float) -> tuple[int, ...]:
    """Fields that changed often within the window and lately, lowest first."""
    times: dict[int, list[float]] = {}
    for field, changed_s in state.recent:
        if changed_s > at_s - state.timing.flicker_window_s - state.timing.flicker_clear_s:
            times.setdefault(field, []).append(changed_s)
    return tuple(
        field
        for field in sorted(times)
        if len(times[field]) >= state.timing.flicker_changes and at_s < times[field][-1] + state.timing.flicker_clear_s
    )


def _show(state: Settling) -> Show:
    assert state.codes is not None, "nothing is shown before the first dump"
    return Show(state.codes, state.settled, state.changed_at_s, state.quiet_from_s, state.named)
