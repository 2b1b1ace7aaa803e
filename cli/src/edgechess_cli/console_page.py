"""The console beside a software table: where its page is, and what it is told."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from edgechess_cli.match_folder import state_home
from edgechess_console.listening import address_of
from edgechess_console.settings import Settings
from edgechess_kit.listening import listening

CONSOLE = "console"
HOST = "127.0.0.1"
DEFAULT_PORT: int = Settings().port


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """Where a console serves, or will: its socket listens already, so that nobody can take the port before it starts, or
    while it is started anew. `settings`: the section `[console]`."""

    address: str
    settings: Mapping[str, Any]
    descriptor: int
    """To be inherited by the console's process under this number."""


@contextmanager
def open_page(host: str = HOST, ports: tuple[int, ...] = (DEFAULT_PORT, 0), **given: Any) -> Iterator[Page]:
    """On the first of `ports` that is free (0: any); `given` are more settings. Raises OSError that says why there is none."""
    with _first(host, ports) as sock:
        port = int(sock.getsockname()[1])
        own = {"host": host, "port": port, "socket_fd": sock.fileno()}
        address = address_of(host, port, secure=bool(given.get("certificate_file")))
        yield Page(address, _shared() | given | own, sock.fileno())


def _first(host: str, ports: tuple[int, ...]) -> socket.socket:
    for port in ports[:-1]:
        try:
            return listening(host, port)
        except OSError:
            continue
    return listening(host, ports[-1])


def _shared() -> dict[str, Any]:
    """All matches of this machine share one history."""
    home = state_home()
    return {"history_file": str(home / "console-history.sqlite"), "match_folders": str(home / "matches")}
