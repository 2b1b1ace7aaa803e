"""What an operator can set for the console (section `[console]`)."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

LOOPBACK = ("127.0.0.1", "::1", "localhost")

Millimetres = Annotated[float, Meta(gt=0.0, le=5000.0)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Off loopback the page is only served with TLS and a token: whoever reaches it can move an arm."""

    host: Annotated[str, Meta(description="address to listen on; beyond loopback only with certificate and token")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Meta(description="TCP port of the page; 0: any free one", ge=0, le=65_535)] = 8088
    any_port: Annotated[bool, Meta(description="take a free port where that one is in use")] = False
    socket_fd: Annotated[
        int, Meta(description="number of a listening socket that this process inherited; -1: host and port say", ge=-1)
    ] = -1
    certificate_file: Annotated[str, Meta(description="PEM chain of the page's TLS; empty: plain HTTP")] = ""
    key_file: Annotated[str, Meta(description="PEM key of the certificate")] = ""
    host_names: Annotated[
        tuple[str, ...], Meta(description="names by which browsers reach the page, beside the address and localhost")
    ] = ()
    operator_token_file: Annotated[
        str, Meta(description="file with the operators' token, or in the environment EDGECHESS_TOKEN_OPERATOR")
    ] = ""
    viewer_token_file: Annotated[
        str, Meta(description="file with the viewers' token, or in the environment EDGECHESS_TOKEN_VIEWER")
    ] = ""
    login_hours: Annotated[float, Meta(description="then somebody logs in anew", gt=0.0, le=720.0)] = 12.0
    viewers: Annotated[int, Meta(description="pages that may watch at once", ge=1, le=1000)] = 100
    history_file: Annotated[
        str, Meta(description="SQLite file of what was seen; empty: console-history.sqlite here")
    ] = ""
    match_folders: Annotated[
        str, Meta(description="folder of `edgechess play` whose matches are taken into the history; empty: none")
    ] = ""
    evaluation: Annotated[bool, Meta(description="an engine judges positions while somebody watches")] = True
    engine: Annotated[str, Meta(description="path of a UCI engine; empty: Stockfish where it is installed")] = ""
    engine_nodes: Annotated[
        int, Meta(description="positions it may look at for one judgement", ge=1, le=100_000_000)
    ] = 100_000
    square_mm: Annotated[Millimetres, Meta(description="edge of one square, for the picture of the arms")] = 55.0
    base_distance_mm: Annotated[Millimetres, Meta(description="arm base to the board's centre, likewise")] = 600.0
    reach_mm: Annotated[
        dict[str, float], Meta(description="reach of each kind of arm from its base, for the picture")
    ] = msgspec.field(default_factory=lambda: {"dobot": 900.0, "ro1": 1300.0})
