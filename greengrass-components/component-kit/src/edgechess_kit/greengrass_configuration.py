"""A component's Greengrass configuration, cut into sections: its own settings lie at the top, the kit's in objects.

{"robotEnabled": false, "transport": {"devices": "mqtt"}, "bus": {"broker": "mqtts://…"}, "accessControl": {…}}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgechess_kit.errors import SettingsError

OF_THE_KIT = ("bus", "journal", "transport")
OF_THE_HOST = "accesscontrol"  # read by the nucleus, not by us


def sections(name: str, configuration: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Raises SettingsError for a section that is not an object."""
    own: dict[str, Any] = {}
    found: dict[str, Mapping[str, Any]] = {}
    for key, value in configuration.items():
        if key.lower() in OF_THE_KIT:
            if not isinstance(value, Mapping):
                raise SettingsError(f"{key} (from the Greengrass configuration): expected an object")
            found[key.lower()] = value
        elif key.lower() != OF_THE_HOST:
            own[key] = value
    return {**found, name: own}
