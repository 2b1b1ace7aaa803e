"""What a nucleus tells a component in its environment. Source: reference greengrass-ipc, 1."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from edgechess_kit.errors import SettingsError

SOCKET = "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"
TOKEN = "SVCUID"
THING_NAME = "AWS_IOT_THING_NAME"
SOCKET_PATH_LIMIT = 107  # bytes; sun_path of a Unix socket holds 108 with its end


@dataclasses.dataclass(frozen=True, slots=True)
class Environment:
    """Where the nucleus listens and who we are to it. `token` is a secret: it is in no log."""

    socket_path: str
    token: str = dataclasses.field(repr=False)
    thing_name: str


def under_greengrass(variables: Mapping[str, str]) -> bool:
    """Whether a nucleus started this process."""
    return bool(variables.get(SOCKET) and variables.get(TOKEN))


def environment(variables: Mapping[str, str]) -> Environment:
    """Raises SettingsError naming the variable that is missing or cannot be."""
    for name in (SOCKET, TOKEN):
        if not variables.get(name):
            raise SettingsError(f"{name} is not set: this process was not started by a Greengrass nucleus")
    path = variables[SOCKET]
    if len(path.encode()) > SOCKET_PATH_LIMIT:
        raise SettingsError(f"{SOCKET} is longer than {SOCKET_PATH_LIMIT} bytes: no socket can have that path: {path}")
    return Environment(path, variables[TOKEN], variables.get(THING_NAME, ""))
