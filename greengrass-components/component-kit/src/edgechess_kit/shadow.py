"""Named shadows of an IoT thing: a small JSON document with what is desired and what is reported.

The game manager mirrors its request there, as the AWS sample does. `open_shadow` gives the one on AWS's reserved
topics where a thing name is known, otherwise one in memory that nobody sees. Nothing that moves a piece waits for it.
Source: AWS IoT Core developer guide, "Device Shadow MQTT topics" and "Device Shadow service documents".
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, Protocol

import anyio
import msgspec

from edgechess_kit.bus import Bus, Subscription
from edgechess_kit.clock import Ids
from edgechess_kit.errors import ShadowError, WireError
from edgechess_kit.messages import Message
from edgechess_kit.topics import Topic

ANSWER_TIMEOUT_S = 5.0  # the cloud's answer through a core's bridge takes well under a second

Content = dict[str, Any]
ClientToken = Annotated[str, msgspec.Meta(max_length=64)]  # AWS's own limit


class ShadowState(Message, frozen=True, kw_only=True):
    """The two halves of a document. In an update a null deletes a key."""

    desired: Content | None = None
    reported: Content | None = None


class ShadowUpdate(Message, frozen=True, kw_only=True):
    """`…/update`, and its `/accepted`."""

    state: ShadowState
    client_token: ClientToken | None = None
    version: int | None = None


class ShadowGet(Message, frozen=True, kw_only=True):
    """`…/get`."""

    client_token: ClientToken | None = None


class ShadowRejected(Message, frozen=True, kw_only=True):
    """`…/rejected`. `code` is an HTTP status."""

    code: int
    message: str = ""
    client_token: ClientToken | None = None


class ShadowDelta(Message, frozen=True, kw_only=True):
    """`…/update/delta`: what is desired and not reported."""

    state: Content
    version: int


@dataclasses.dataclass(frozen=True, slots=True)
class ShadowDocument:
    """What a shadow holds. `version` rises with every update; 0: there is none yet."""

    desired: Content
    reported: Content
    version: int


class Shadow(Protocol):
    """One named shadow."""

    async def get(self) -> ShadowDocument:
        """Raises ShadowError when the service refuses or stays silent."""

    async def update(
        self, *, desired: Mapping[str, Any] | None = None, reported: Mapping[str, Any] | None = None
    ) -> None:
        """Merges into the document; a None inside deletes that key. Raises ShadowError, or WireError when too large."""


def open_shadow(bus: Bus, ids: Ids, *, thing_name: str, shadow_name: str) -> Shadow:
    """`thing_name` (a Greengrass core sets AWS_IOT_THING_NAME) or `shadow_name` empty: a shadow in memory."""
    if not thing_name or not shadow_name:
        return MemoryShadow()
    return BusShadow(bus, ids, thing_name, shadow_name)


class MemoryShadow:
    """A shadow that only this process sees."""

    def __init__(self) -> None:
        self._document = ShadowDocument({}, {}, 0)

    async def get(self) -> ShadowDocument:
        return self._document

    async def update(
        self, *, desired: Mapping[str, Any] | None = None, reported: Mapping[str, Any] | None = None
    ) -> None:
        now = self._document
        self._document = ShadowDocument(merge(now.desired, desired), merge(now.reported, reported), now.version + 1)


class BusShadow:
    """A shadow on `$aws/things/<thing>/shadow/name/<name>/…`, over any bus that reaches the service."""

    def __init__(self, bus: Bus, ids: Ids, thing_name: str, shadow_name: str) -> None:
        self._bus = bus
        self._ids = ids
        base = f"$aws/things/{thing_name}/shadow/name/{shadow_name}"
        self._update = Topic(f"{base}/update", ShadowUpdate)
        self._update_accepted = Topic(f"{base}/update/accepted", ShadowUpdate)
        self._update_rejected = Topic(f"{base}/update/rejected", ShadowRejected)
        self._delta = Topic(f"{base}/update/delta", ShadowDelta)
        self._get = Topic(f"{base}/get", ShadowGet)
        self._get_accepted = Topic(f"{base}/get/accepted", ShadowUpdate)
        self._get_rejected = Topic(f"{base}/get/rejected", ShadowRejected)

    async def get(self) -> ShadowDocument:
        token = self._ids.new("shadow")
        request = ShadowGet(client_token=token)
        answer = await self._ask(self._get, request, token, self._get_accepted, self._get_rejected)
        if answer is None:
            return ShadowDocument({}, {}, 0)
        return ShadowDocument(answer.state.desired or {}, answer.state.reported or {}, answer.version or 0)

    async def update(
        self, *, desired: Mapping[str, Any] | None = None, reported: Mapping[str, Any] | None = None
    ) -> None:
        token = self._ids.new("shadow")
        state = ShadowState(
            desired=None if desired is None else dict(desired), reported=None if reported is None else dict(reported)
        )
        request = ShadowUpdate(state=state, client_token=token)
        if await self._ask(self._update, request, token, self._update_accepted, self._update_rejected) is None:
            raise ShadowError("shadow: not found")

    @asynccontextmanager
    async def deltas(self) -> AsyncIterator[AsyncIterator[ShadowDelta]]:
        """Each delta while the block is open; what does not parse is skipped. The sample acts on it, we need not."""
        async with self._bus.subscribe(self._delta) as subscription:
            yield self._parsed(subscription)

    async def _parsed(self, subscription: Subscription) -> AsyncIterator[ShadowDelta]:
        async for delivery in subscription:
            try:
                yield delivery.decode(self._delta)
            except WireError:
                continue

    async def _ask(
        self,
        topic: Topic[Any],
        request: Message,
        token: str,
        accepted: Topic[ShadowUpdate],
        rejected: Topic[ShadowRejected],
    ) -> ShadowUpdate | None:
        """The accepted answer; None when there is no such shadow (404). Other clients' answers are passed over."""
        with anyio.move_on_after(ANSWER_TIMEOUT_S):
            async with self._bus.subscribe(accepted, rejected) as answers:
                await self._bus.publish(topic, request)
                async for delivery in answers:
                    try:
                        if delivery.topic == accepted.name:
                            answer = delivery.decode(accepted)
                            if answer.client_token == token:
                                return answer
                            continue
                        refusal = delivery.decode(rejected)
                    except WireError:
                        continue
                    if refusal.client_token == token:
                        if refusal.code == 404:
                            return None
                        raise ShadowError(f"shadow: refused with {refusal.code}: {refusal.message}")
        raise ShadowError(f"shadow: no answer on {topic.name} within {ANSWER_TIMEOUT_S:g} s")


def merge(old: Mapping[str, Any], change: Mapping[str, Any] | None) -> Content:
    """AWS's rule: objects are merged, null deletes, everything else (arrays too) replaces."""
    result = dict(old)
    for key, value in (change or {}).items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            before = result.get(key)
            result[key] = merge(before if isinstance(before, Mapping) else {}, value)
        else:
            result[key] = value
    return result
