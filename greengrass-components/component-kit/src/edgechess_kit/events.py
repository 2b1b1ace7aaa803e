"""What a component did, durable first and visible second: one call writes the journal and announces the entry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgechess_kit.component import Context
from edgechess_kit.journal import Entry
from edgechess_kit.messages import EdgeEvent


async def journal_event(
    context: Context[Any],
    kind: str,
    data: Mapping[str, Any],
    session_id: str | None = None,
    key: str | None = None,
) -> Entry:
    """Appends to the journal (durable on return), then queues an EdgeEvent in `context.outbox`. Raises JournalError.

    Never waits for the bus: `Health` publishes the outbox as long as it is open. It has no checkpoint either: what an
    arm has done is written down even in a task that is being cancelled. Equal to `record`, for callers that await.
    """
    return record(context, kind, data, session_id, key)


def record(
    context: Context[Any],
    kind: str,
    data: Mapping[str, Any],
    session_id: str | None = None,
    key: str | None = None,
) -> Entry:
    """`journal_event` for code that is not async."""
    entry = context.journal.append(kind, data, session_id=session_id, key=key)
    announce(context, entry)
    return entry


def announce(context: Context[Any], entry: Entry) -> None:
    """Queues the event of an entry that is durable already (after `append_all`)."""
    context.outbox.put(
        EdgeEvent(
            component=context.name,
            kind=entry.kind,
            seq=entry.seq,
            at=entry.at,
            session_id=entry.session_id,
            data=entry.data,
        )
    )
