"""One connection against a peer that sends in pieces of its own choosing: nothing is lost, nothing waits for ever."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from edgechess_inference.weights import http_adapter
from edgechess_inference.weights.fetch_plan import Fault
from edgechess_inference.weights.http_adapter import WAKE_BYTES, HttpSource
from edgechess_inference.weights.source import FetchFailed


class Peer:
    """Answers every request with a body of `length` bytes, in `pieces`, `pause_s` before each but the first."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.length = 0
        self.pieces: Sequence[bytes] = ()
        self.pause_s = 0.0
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        scheme = "https" if context else "http"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                link = self._context.wrap_socket(accepted, server_side=True) if self._context else accepted
                with link:
                    while self._answer(link):
                        pass

    def _answer(self, link: socket.socket) -> bool:
        head = b""
        while b"\r\n\r\n" not in head:
            data = link.recv(4096)
            if not data:
                return False
            head += data
        link.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {self.length}\r\n\r\n".encode())
        for number, piece in enumerate(self.pieces):
            if number:
                time.sleep(self.pause_s)
            link.sendall(piece)
        return sum(map(len, self.pieces)) == self.length


@pytest.fixture(params=["plain", "tls"])
def peer(request: pytest.FixtureRequest, certificate: Path) -> Iterator[Peer]:
    context = None
    if request.param == "tls":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    peer = Peer(context)
    yield peer
    peer.close()


@pytest.fixture
def source(peer: Peer, certificate: Path) -> HttpSource:
    return HttpSource(peer.url, tls=ssl.create_default_context(cafile=str(certificate)))


def body(length: int) -> bytes:
    return bytes(range(251)) * (length // 251 + 1)


@pytest.mark.parametrize("length", [1, WAKE_BYTES, WAKE_BYTES + 1, 2 * WAKE_BYTES + 1, 3_000_001])
def test_the_last_byte_is_not_waited_for_with_others(peer: Peer, source: HttpSource, length: int) -> None:
    whole = body(length)[:length]
    peer.length, peer.pieces, peer.pause_s = length, (whole[:-1], whole[-1:]), 0.02
    connection, into = source.connect(), memoryview(bytearray(length))
    for _ in range(2):  # on one connection: the next head is short too
        into[:] = bytes(length)
        connection.fetch("k", into)
        assert into == whole
    connection.close()


def test_a_slow_peer_is_not_a_dead_one(peer: Peer, source: HttpSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_adapter, "STALL_TIMEOUT_S", 1)
    length, step = 6 * 100_000, 100_000  # several steps, and more than a second, make what a receiver is woken for
    whole = body(length)[:length]
    peer.length, peer.pause_s = length, 0.4
    peer.pieces = [whole[at : at + step] for at in range(0, length, step)]
    connection, into = source.connect(), memoryview(bytearray(length))
    connection.fetch("k", into)
    assert into == whole
    connection.close()


def test_what_came_before_the_end_is_counted(peer: Peer, source: HttpSource) -> None:
    peer.length, peer.pieces = 3_000_001, (body(100_000)[:100_000],)
    connection, into = source.connect(), memoryview(bytearray(peer.length))
    with pytest.raises(FetchFailed) as failed:
        connection.fetch("k", into)
    assert failed.value.fault is Fault.RESET
    assert failed.value.received == 100_000
    assert into[:100_000] == peer.pieces[0]
    connection.close()


def test_a_dead_peer_is_left(peer: Peer, source: HttpSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_adapter, "STALL_TIMEOUT_S", 1)
    peer.length, peer.pieces, peer.pause_s = 3_000_001, (body(1000), b"never in time"), 8.0
    connection, into = source.connect(), memoryview(bytearray(peer.length))
    with pytest.raises(FetchFailed, match="nothing came for 1 s") as failed:
        connection.fetch("k", into)
    assert failed.value.received == len(peer.pieces[0])
    connection.close()
