"""The nucleus's operations beside publish and subscribe, as plain functions: our words in, plain values out.

All raise IpcRefused, IpcUnanswered and LinkLost as `NucleusLink.call` does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from awsiot.greengrasscoreipc import model

from edgechess_kit.errors import IpcRefused
from edgechess_kit.greengrass_adapter import NucleusLink, Stream


async def get_configuration(link: NucleusLink) -> dict[str, Any]:
    """The component's own, whole; empty where it has none."""
    try:
        response = await link.call("get_configuration", model.GetConfigurationRequest())
    except IpcRefused as error:
        if error.kind == "ResourceNotFoundError":
            return {}
        raise
    return response.value or {}


def watch_configuration(link: NucleusLink, changed: Callable[[], None]) -> Stream:
    """`changed` is called for every node that changes; the event does not hold its value."""
    request = model.SubscribeToConfigurationUpdateRequest(key_path=[])
    return link.stream("subscribe_to_configuration_update", request, lambda event: changed())


async def update_state(link: NucleusLink, state: Literal["RUNNING", "ERRORED"]) -> None:
    await link.call("update_state", model.UpdateStateRequest(state=state))


def watch_deployments(link: NucleusLink, about_to: Callable[[str], None]) -> Stream:
    """`about_to` gets the id of a deployment that wants to begin. Nucleus lite has nothing of the kind."""

    def take(event: Any) -> None:
        if event.pre_update_event is not None:
            about_to(event.pre_update_event.deployment_id or "")

    request = model.SubscribeToComponentUpdatesRequest()
    return link.stream("subscribe_to_component_updates", request, take, optional=True)


async def defer_deployment(link: NucleusLink, deployment_id: str, *, ask_again_s: float, reason: str) -> None:
    """`ask_again_s` 0: it may begin."""
    request = model.DeferComponentUpdateRequest(
        deployment_id=deployment_id, recheck_after_ms=round(ask_again_s * 1000), message=reason
    )
    await link.call("defer_component_update", request)


async def get_shadow(link: NucleusLink, thing: str, name: str) -> bytes | None:
    """The document's JSON; None where there is none yet."""
    request = model.GetThingShadowRequest(thing_name=thing, shadow_name=name)
    try:
        response = await link.call("get_thing_shadow", request)
    except IpcRefused as error:
        if error.kind == "ResourceNotFoundError":
            return None
        raise
    payload: bytes | None = response.payload
    return payload


async def update_shadow(link: NucleusLink, thing: str, name: str, payload: bytes) -> None:
    request = model.UpdateThingShadowRequest(thing_name=thing, shadow_name=name, payload=payload)
    await link.call("update_thing_shadow", request)
