"""Which session states are news: delivery is at least once and in any order, so an older one may come after a newer."""

from __future__ import annotations

from edgechess_kit.messages import SessionState

SESSIONS_LIMIT = 16  # remembered; a message is late by seconds, not by games


class SessionOrder:
    """One subscriber's memory of the `seq` of session states. Managers that send none are taken as they come."""

    def __init__(self) -> None:
        self._newest = 0
        self._seen: dict[str | None, None] = {}  # a set that forgets its oldest first

    def overtaken(self, state: SessionState) -> bool:
        """Whether a newer state was seen before; if not, this one is the newest from now on.

        Only what concerns a session seen before can be old. A new session is news even with a lower number: its
        manager may have lost its journal, and must not be ignored for ever.
        """
        if state.seq is None:
            return False
        if state.session_id in self._seen and state.seq < self._newest:
            return True
        self._newest = state.seq
        self._seen.pop(state.session_id, None)
        self._seen[state.session_id] = None
        if len(self._seen) > SESSIONS_LIMIT:
            del self._seen[next(iter(self._seen))]
        return False
