"""A plain object server for measurements: files below a folder over HTTP/1.1, by sendfile, in a process of its own.

    python -m edgechess_cli.bench.object_server_adapter FOLDER [--tls CERT KEY] [--rate B/s] [--each B/s] [--delay S]

Prints its port. `--rate` caps all connections together and `--each` one of them, `--delay` puts off the first byte:
a user-space stand-in for a capped link. It serves whole objects and ranges, and no one but loopback.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import socket
import ssl
import sys
import threading
import time
from pathlib import Path

SLICE_BYTES = 256 << 10  # sent at once under a cap: small enough to be smooth
BURST_S = 0.01  # of the cap that may go at once after a pause
RECORDS_BYTES = 1 << 20  # read and encrypted at once under TLS
_REQUEST = re.compile(rb"GET (/\S*) HTTP/1\.1\r\n")
_RANGE = re.compile(rb"\r\n[Rr]ange: bytes=(\d+)-(\d*)\r\n")


class Cap:
    """Bytes per second over everybody who asks. None: no cap."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._free_s = time.monotonic()
        self._lock = threading.Lock()

    @property
    def capped(self) -> bool:
        return self._rate is not None

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


class ObjectServer:
    """One folder on one port."""

    def __init__(
        self, folder: Path, *, rate: float | None, each: float | None, delay_s: float, tls: ssl.SSLContext | None
    ) -> None:
        self._folder = folder
        self._cap = Cap(rate)
        self._each = each
        self._delay_s = delay_s
        self._tls = tls
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
            cap, waiting = Cap(self._each), b""
            while True:
                while b"\r\n\r\n" not in waiting:
                    data = link.recv(65536)
                    if not data:
                        return
                    waiting += data
                head, _, waiting = waiting.partition(b"\r\n\r\n")
                self._answer(link, head + b"\r\n", cap)

    def _answer(self, link: socket.socket, head: bytes, cap: Cap) -> None:
        request, asked = _REQUEST.match(head), _RANGE.search(head)
        path = request.group(1).decode().lstrip("/") if request else ""
        file = (self._folder / path.partition("?")[0]).resolve()
        if not file.is_relative_to(self._folder) or not file.is_file():
            link.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        size = file.stat().st_size
        begin = int(asked.group(1)) if asked else 0
        end = min(size, int(asked.group(2)) + 1) if asked and asked.group(2) else size
        status = f"206 Partial Content\r\nContent-Range: bytes {begin}-{end - 1}/{size}" if asked else "200 OK"
        if self._delay_s:
            time.sleep(self._delay_s)
        link.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {end - begin}\r\nAccept-Ranges: bytes\r\n\r\n".encode())
        with file.open("rb") as opened:
            self._send(link, opened.fileno(), begin, end, cap)

    def _send(self, link: socket.socket, file: int, begin: int, end: int, cap: Cap) -> None:
        capped = self._each is not None or self._cap.capped
        while begin < end:
            size = min(end - begin, SLICE_BYTES if capped else RECORDS_BYTES if self._tls else end - begin)
            cap.pay(size)
            self._cap.pay(size)
            if self._tls:
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
    arguments = parser.parse_args()
    tls = None
    if arguments.tls:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*arguments.tls)
    folder = arguments.folder.resolve()
    server = ObjectServer(folder, rate=arguments.rate, each=arguments.each, delay_s=arguments.delay, tls=tls)
    print(server.port, flush=True)
    server.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
