"""Who may do what, asked of the accessControl that each component has now."""

from __future__ import annotations

import logging

from edgechess_nucleus.authorization import MQTT_PROXY, NAMESPACE, Policies, read_policies
from edgechess_nucleus.flavour import Flavour
from edgechess_nucleus.host import Host
from edgechess_nucleus.refusal import Refused

log = logging.getLogger(__name__)

ACCESS_CONTROL = "accessControl"


class Authority:
    """Reads a component's policies when it first asks for something, and after `forget`."""

    def __init__(self, host: Host, flavour: Flavour) -> None:
        self._host = host
        self._flavour = flavour
        self._policies: dict[str, Policies] = {}

    def require(self, component: str, service: str, operation: str, resource: str) -> None:
        """Raises Refused."""
        if self._of(component).allow(service, operation, resource):
            return
        if service == MQTT_PROXY:
            raise Refused("UnauthorizedError", "Not Authorized")
        act = f"{service}:{NAMESPACE}{operation}"
        raise Refused(
            "UnauthorizedError", f"Principal {component} is not authorized to perform {act} on resource {resource}"
        )

    def forget(self, component: str) -> None:
        """Its configuration may be another."""
        self._policies.pop(component, None)

    def _of(self, component: str) -> Policies:
        known = self._policies.get(component)
        if known is None:
            configuration = self._host.configuration(component)
            try:
                tree = None if configuration is None else configuration.get((ACCESS_CONTROL,))
            except KeyError:
                tree = None
            known, problems = read_policies(tree, self._flavour, self._host.thing_name)
            for problem in problems:
                log.warning("%s: %s", component, problem)
            self._policies[component] = known
        return known
