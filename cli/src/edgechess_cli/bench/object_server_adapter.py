"""A plain object server for measurements: files below a folder over HTTP/1.1, by sendfile, in a process of its own.

    python -m edgechess_cli.bench.object_server_adapter FOLDER [--tls CERT KEY] [--rate B/s] [--each B/s] [--delay S]
                                                               [--drop P] [--damage P] [--seed N]

Prints its port. `--rate` caps all connections together and `--each` one of them, `--delay` puts off the first byte:
a user-space stand-in for a capped link. `--drop` ends a connection in the middle of an answer, `--damage` flips a bit
of one. It serves whole objects and ranges, and no one but loopback.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import random
import re
import socket
import ssl
import sys
import threading
import time
from pathlib import Path

from edgechess_cli.bench.stream_peers_adapter import end_with_parent

SLICE_BYTES = 256 << 10  # sent at once under a cap: small enough to be smooth
BURST_S = 0.01  # of the cap that may go at once after a pause
RECORDS_BYTES = 1 << 20  # read and encrypted at once under TLS
SMALLEST_FAULTY = 1 << 20  # bytes of an answer; a manifest always comes whole
STATIC = 'ETag: "1"\r\nLast-Modified: Sun, 22 Nov 2026 00:00:00 GMT\r\nAccept-Ranges: bytes\r\n'
_REQUEST = re.compile(rb"(GET|HEAD) (?:https?://[^/]*)?(/\S*) HTTP/1\.1\r\n")
_RANGE = re.compile(rb"\r\n[Rr]ange: bytes=(\d+)-(\d*)\r\n")


class Cap:
    """Bytes per second over everybody who asks. None: no cap."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._free_s = time.monotonic()
        self._lock = threading.Lock()

    def pay(self, size: int) -> None:
        """Sleeps until `size` more bytes may go."""
        if self._rate is None:
            return
        with self._lock:
            now_s = time.monotonic()
            self._free_s = max(self._free_s, now_s - BURST_S) + size / self._rate
            wait_s = self._free_s - now_s
        if wait_s > 0:
            time.sleep(wait_s)


@dataclasses.dataclass(frozen=True, slots=True)
class Behaviour:
    """How the server is: rates in bytes per second, None without a cap; probabilities of each answer."""

    rate: float | None = None
    each: float | None = None
    delay_s: float = 0.0
    drop: float = 0.0
    damage: float = 0.0

    @property
    def in_slices(self) -> bool:
        return self.rate is not None or self.each is not None


class ObjectServer:
    """One folder on one port."""

    def __init__(self, folder: Path, behaviour: Behaviour, draw: random.Random, tls: ssl.SSLContext | None) -> None:
        self._folder = folder
        self._behaviour = behaviour
        self._draw = draw
        self._tls = tls
        self._cap = Cap(behaviour.rate)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]

    def serve(self) -> None:
        """For ever."""
        while True:
            accepted, _ = self._listener.accept()
            threading.Thread(target=self._serve_one, args=(accepted,), daemon=True).start()

    def _serve_one(self, accepted: socket.socket) -> None:
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            link = stack.enter_context(self._tls.wrap_socket(accepted, server_side=True) if self._tls else accepted)
            cap, waiting, goes_on = Cap(self._behaviour.each), b"", True
            while goes_on:
                while b"\r\n\r\n" not in waiting:
                    data = link.recv(65536)
                    if not data:
                        return
                    waiting += data
                head, _, waiting = waiting.partition(b"\r\n\r\n")
                goes_on = self._answer(link, head + b"\r\n", cap)

    def _answer(self, link: socket.socket, head: bytes, cap: Cap) -> bool:
        """False where the connection has to end."""
        request, asked = _REQUEST.match(head), _RANGE.search(head)
        path = request.group(2).decode().partition("?")[0].lstrip("/") if request else ""
        file = (self._folder / path).resolve()
        if request is None or not file.is_relative_to(self._folder) or not file.is_file():
            link.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return True
        size = file.stat().st_size
        begin = int(asked.group(1)) if asked else 0
        end = min(size, int(asked.group(2)) + 1) if asked and asked.group(2) else size
        status = f"206 Partial Content\r\nContent-Range: bytes {begin}-{end - 1}/{size}" if asked else "200 OK"
        time.sleep(self._behaviour.delay_s)
        link.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {end - begin}\r\n{STATIC}\r\n".encode())
        if request.group(1) == b"HEAD":
            return True
        with file.open("rb") as opened:
            return self._body(link, opened.fileno(), begin, end, cap)

    def _body(self, link: socket.socket, file: int, begin: int, end: int, cap: Cap) -> bool:
        """Honest, damaged or dropped, as chance has it. False where the connection has to end."""
        chunk = end - begin >= SMALLEST_FAULTY
        if chunk and self._draw.random() < self._behaviour.damage:
            data = bytearray(os.pread(file, end - begin, begin))
            data[len(data) // 2] ^= 1
            link.sendall(data)
            return True
        dropped = chunk and self._draw.random() < self._behaviour.drop
        self._send(link, file, begin, begin + (end - begin) // 2 if dropped else end, cap)
        return not dropped

    def _send(self, link: socket.socket, file: int, begin: int, end: int, cap: Cap) -> None:
        while begin < end:
            size = end - begin
            if self._behaviour.in_slices:
                size = min(size, SLICE_BYTES)
                cap.pay(size)
                self._cap.pay(size)
            if self._tls:
                size = min(size, RECORDS_BYTES)
                link.sendall(os.pread(file, size, begin))
                begin += size
            else:
                begin += os.sendfile(link.fileno(), file, begin, size)


def main() -> int:
    parser = argparse.ArgumentParser(description="A plain object server for measurements, on loopback.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"))
    parser.add_argument("--rate", type=float)
    parser.add_argument("--each", type=float)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--drop", type=float, default=0.0)
    parser.add_argument("--damage", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    end_with_parent()
    tls = None
    if arguments.tls:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*arguments.tls)
    behaviour = Behaviour(arguments.rate, arguments.each, arguments.delay, arguments.drop, arguments.damage)
    server = ObjectServer(arguments.folder.resolve(), behaviour, random.Random(arguments.seed), tls)
    print(server.port, flush=True)
    server.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
