"""Who has asked what: the same request id gets the same answer, at any time, also while it is being worked on."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Any, Generic, TypeVar

import msgspec

from edgechess_kit.component import Context
from edgechess_kit.events import announce
from edgechess_kit.journal import Draft
from edgechess_kit.messages import Message

REMEMBERED = 2_000  # answers in memory; the journal has more
KEPT = 20_000  # answers in the journal: days of several tables

M = TypeVar("M", bound=Message)


class Desk(Generic[M]):
    """Of one kind of request. `kind`: of its journal entries; `answer_type`: of what is remembered."""

    def __init__(self, context: Context[Any], kind: str, answer_type: type[M]) -> None:
        self._context = context
        self._kind = kind
        self._type = answer_type
        self._answers: OrderedDict[str, tuple[str, M]] = OrderedDict()
        self._open: dict[str, str] = {}

    @property
    def in_work(self) -> int:
        return len(self._open)

    def is_open(self, request_id: str) -> bool:
        return request_id in self._open

    def earlier(self, request_id: str) -> tuple[str, M] | None:
        """What was answered to this id, and the fingerprint of what had been asked."""
        found = self._answers.get(request_id)
        if found is not None:
            return found
        entry = self._context.journal.last(kind=self._kind, key=request_id)
        if entry is None:
            return None
        return str(entry.data["asked"]), msgspec.convert(entry.data["response"], self._type)

    def open(self, request_id: str, asked: str) -> None:
        self._open[request_id] = asked

    def asked(self, request_id: str) -> str | None:
        """The fingerprint of the request that is in work under this id."""
        return self._open.get(request_id)

    def close(self, request_id: str, answer: M, *, keep: bool) -> None:
        """`keep`: it is final, and durable when this returns. Otherwise the id may be asked again."""
        asked = self._open.pop(request_id)
        if not keep:
            return
        data = {"asked": asked, "response": msgspec.to_builtins(answer)}
        for entry in self._context.journal.append_all([Draft(self._kind, data, None, request_id, keep_newest=KEPT)]):
            announce(self._context, entry)
        self._answers[request_id] = (asked, answer)
        while len(self._answers) > REMEMBERED:
            self._answers.popitem(last=False)

    def drop(self, request_id: str) -> None:
        """The work was given up: the node ends."""
        self._open.pop(request_id, None)


def fingerprint(message: Message) -> str:
    """Equal for equal requests."""
    return hashlib.sha256(msgspec.json.encode(message)).hexdigest()[:16]
