"""The console beside a software table: where its page is, and what it is told."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

from edgechess_cli.match_folder import state_home
from edgechess_console.settings import Settings

CONSOLE = "console"
HOST = "127.0.0.1"
DEFAULT_PORT: int = Settings().port


def page_port(wanted: int = DEFAULT_PORT) -> int:
    """`wanted`, or a free one where that is in use: another match may be running."""
    for port in (wanted, 0):
        with contextlib.suppress(OSError):
            return bindable(HOST, port)
    raise OSError("no port is free for the page")


def bindable(host: str, port: int) -> int:
    """The port that a page can have there now (0: any). Raises OSError saying why it can have none."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        return int(probe.getsockname()[1])


def page_address(port: int) -> str:
    return f"http://{HOST}:{port}/"


def page_settings(port: int) -> dict[str, Any]:
    """All matches of this machine share one history."""
    return {
        "port": port,
        "history_file": str(state_home() / "console-history.sqlite"),
        "match_folders": str(state_home() / "matches"),
    }
