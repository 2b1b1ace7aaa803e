"""A named shadow of the core device, through the nucleus. Nucleus lite has none: then nothing is mirrored."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import msgspec

from edgechess_kit import greengrass_operations_adapter as operations
from edgechess_kit.errors import IpcRefused, KitError, ShadowError
from edgechess_kit.greengrass_adapter import NucleusLink
from edgechess_kit.shadow import ShadowDocument, ShadowState, ShadowUpdate
from edgechess_kit.topics import Topic

log = logging.getLogger(__name__)


class GreengrassShadow:
    """A Shadow. On a nucleus without shadows it says so once, and is empty from then on."""

    def __init__(self, link: NucleusLink, thing: str, name: str) -> None:
        self._link = link
        self._thing = thing
        self._name = name
        self._update = Topic(f"$aws/things/{thing}/shadow/name/{name}/update", ShadowUpdate)
        self._absent = False

    async def get(self) -> ShadowDocument:
        nothing = ShadowDocument({}, {}, 0)
        if self._absent:
            return nothing
        try:
            payload = await operations.get_shadow(self._link, self._thing, self._name)
            if payload is None:
                return nothing
            found = msgspec.json.decode(payload, type=ShadowUpdate)
        except (KitError, msgspec.MsgspecError) as error:
            self._judge(error)
            return nothing
        return ShadowDocument(found.state.desired or {}, found.state.reported or {}, found.version or 0)

    async def update(
        self, *, desired: Mapping[str, Any] | None = None, reported: Mapping[str, Any] | None = None
    ) -> None:
        if self._absent:
            return
        state = ShadowState(
            desired=None if desired is None else dict(desired), reported=None if reported is None else dict(reported)
        )
        payload = self._update.encode(ShadowUpdate(state=state))
        try:
            await operations.update_shadow(self._link, self._thing, self._name, payload)
        except KitError as error:
            self._judge(error)

    def _judge(self, error: Exception) -> None:
        """Raises ShadowError, unless the nucleus has no shadows at all."""
        if not (isinstance(error, IpcRefused) and error.lacking):
            raise ShadowError(f"shadow {self._name}: {error}") from error
        self._absent = True
        log.warning("greengrass: this nucleus has no shadows: %s of %s mirrors nothing", self._name, self._thing)
