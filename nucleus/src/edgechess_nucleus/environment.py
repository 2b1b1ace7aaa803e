"""The environment of a component's scripts. Source: reference "greengrass-ipc" section 1."""

from __future__ import annotations

import base64
import os
import random
import string
from collections.abc import Mapping
from pathlib import Path

from edgechess_nucleus.flavour import LITE, Flavour

GGC_VERSIONS = {"java": "2.0.0", "lite": "2.6.0"}  # components may look whether it is a v2; lite as it was measured
TOKEN_LENGTH = 16
INHERITED = (  # as a service has them: nothing of the virtual environment or the shell that the runtime was started from
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR",
    "SSL_CERT_FILE", "SSL_CERT_DIR",
    "http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
)  # fmt: skip


def new_token(flavour: Flavour, rng: random.Random) -> str:
    """An SVCUID in the nucleus' own form: 16 upper-case letters and digits, or 12 bytes in base64."""
    if flavour is LITE:
        return base64.b64encode(rng.randbytes(12)).decode()
    return "".join(rng.choices(string.ascii_uppercase + string.digits, k=TOKEN_LENGTH))


def component_environment(
    *,
    flavour: Flavour,
    socket: Path,
    token: str,
    thing_name: str,
    region: str,
    root_ca: Path,
    version: str,
    inherited: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """Without the recipe's own Setenv."""
    environment = {name: inherited[name] for name in INHERITED if name in inherited}
    environment |= {
        "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": str(socket),
        "SVCUID": token,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": token,
        "AWS_IOT_THING_NAME": thing_name,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "GGC_VERSION": GGC_VERSIONS[flavour.name],
        "GG_ROOT_CA_PATH": str(root_ca),
    }
    if flavour is not LITE:
        environment["GREENGRASS_COMPONENT_VERSION"] = version
        environment["AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH"] = str(socket)
    return environment
