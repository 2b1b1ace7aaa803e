"""Chunks over HTTP/1.1 with keep-alive: the head read by h11, the body received straight into the caller's memory.

Blocking sockets, one per thread. A body of 8 MiB is then one call into the kernel that holds no interpreter lock;
what libraries offer costs two to ten times the processor time, and memory for whole objects (measured: reference).
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast
from urllib.parse import quote, unquote, urlsplit

import h11

from edgechess_inference.weights.errors import SourceError
from edgechess_inference.weights.fetch_plan import Fault
from edgechess_inference.weights.source import OBJECT_BYTES_MAX, FetchFailed

CONNECT_TIMEOUT_S = 5.0  # a store that is further away than this will not stream a model
STALL_TIMEOUT_S = 10.0  # without one byte: the connection is dead, whatever TCP thinks
HEAD_READ_BYTES = 2048  # a head has some 500 bytes; what is read beyond it has to be copied
ERROR_BODY_BYTES_MAX = 65_536
THROTTLED = (429, 503)
CIPHERTEXT_BYTES = (
    512 << 10
)  # read at once under TLS: thirty-two records for one call into the kernel; 256 KiB are slower
WAKE_BYTES = 256 << 10  # have come before a receiver is woken; 64 KiB and none cost a fifth more time, 1 MiB a little
TURNS = max(1, min(4, (os.cpu_count() or 1) // 2))  # half the processors decrypt, the others receive


class Signer(Protocol):
    """Adds what a store wants to see; called for every request, in the receiver's thread."""

    def __call__(self, url: str, headers: dict[str, str]) -> dict[str, str]: ...


Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]

Explain = Callable[[str, int, Mapping[str, str], bytes], FetchFailed | None]
"""Key, status, headers (lower-case names), body → what it means in this store; None: what it means everywhere."""


class HttpSource:
    """Objects below one URL."""

    def __init__(
        self,
        url: str,
        *,
        name: str | None = None,
        tls: ssl.SSLContext | None = None,
        sign: Signer | None = None,
        explain: Explain | None = None,
    ) -> None:
        """Raises SourceError for a URL that is none. `tls` replaces the system's certificates."""
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError as error:
            raise SourceError(f"{url} is not an HTTP URL: {error}") from error
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise SourceError(f"{url} is not an HTTP URL of a folder or file")
        self.name = name or f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self.host = parts.hostname
        self.port = port or (443 if parts.scheme == "https" else 80)
        self.authority = parts.netloc.rpartition("@")[2]
        self.scheme = parts.scheme
        self.path = unquote(parts.path).rstrip("/")
        self.tls = (tls or ssl.create_default_context()) if parts.scheme == "https" else None
        self.sign = sign
        self.explain = explain
        self._addresses: list[Address] = []

    def addresses(self) -> list[Address]:
        """Asked of the resolver once: it cannot be interrupted, and must not stand before each connection."""
        if not self._addresses:
            self._addresses = list(socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM))
        return self._addresses

    def connect(self) -> HttpConnection:
        return HttpConnection(self)

    def discard(self, key: str) -> None:
        """It is not ours to delete."""


class _Plain:
    """Bytes as they come."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def read(self, size: int) -> bytes:
        return self._socket.recv(size)

    def read_into(self, view: memoryview) -> int:
        """All but the last WAKE_BYTES, or else what fits, unless the peer ends or stalls."""
        most = max(0, len(view) - WAKE_BYTES)
        _wake_at(self._socket, WAKE_BYTES if most else 1)
        return self._socket.recv_into(view, most, socket.MSG_WAITALL)


def _wake_at(sock: socket.socket, size: int) -> None:
    """How much the kernel lets come before it wakes who waits; so much must still be on its way, or the peer ends."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)


class _Turn:
    """Who decrypts now. Many receivers that decrypt at once spend their time on the interpreter's lock (measured: 12
    of them on two cores take 1.35 times as long as one at a time); while they wait, the kernel fills their sockets."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> memoryview:
        """Memory for ciphertext, until the turn ends."""
        self._lock.acquire()
        return self._ciphertext

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    @functools.cached_property
    def _ciphertext(self) -> memoryview:
        """Made in the first turn, by the one whose turn it is."""
        return memoryview(bytearray(CIPHERTEXT_BYTES))


_turns = itertools.cycle([_Turn() for _ in range(TURNS)])
"""Of the whole process, as the interpreter's lock is: each connection takes the next one."""


class _Tls:
    """TLS over memory: one large read from the kernel for many records, against one small one for each."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, host: str, turn: _Turn) -> None:
        self._socket = sock
        self._turn = turn
        self._readable = select.poll()
        self._readable.register(sock.fileno(), select.POLLIN)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                if not self._refill():
                    raise ConnectionResetError("the peer ended the connection during the handshake") from None
            else:
                self._flush()
                return

    def send(self, data: bytes) -> None:
        self._tls.write(data)
        self._flush()

    def read(self, size: int) -> bytes:
        while True:
            try:
                return self._tls.read(size)
            except ssl.SSLWantReadError:
                if not self._refill():
                    return b""

    def read_into(self, view: memoryview) -> int:
        """What came with the head, else what comes next, unless the peer ends or stalls."""
        got = self._decrypt(view)
        while not got:
            self._wait(len(view))
            with self._turn as ciphertext:
                count = self._receive(ciphertext)
                got = self._decrypt(view)
            if not count:
                break
        return got

    def _decrypt(self, view: memoryview) -> int:
        """Every whole record that is here, as far as it fits."""
        got, tls_read = 0, cast(Callable[[int, memoryview], int], self._tls.read)  # with a buffer it counts
        with contextlib.suppress(ssl.SSLWantReadError):
            while got < len(view) and (count := tls_read(len(view) - got, view[got:])):
                got += count
        return got

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data:
            self._socket.sendall(data)

    def _refill(self) -> bool:
        self._wait()
        with self._turn as ciphertext:
            return self._receive(ciphertext) > 0

    def _wait(self, expected: int = 0) -> None:
        """Until the kernel has something, outside of the turn; of much that is `expected`, more than a little. Raises
        BlockingIOError where nothing comes."""
        _wake_at(self._socket, WAKE_BYTES if expected > 2 * WAKE_BYTES else 1)  # a part may be in `_incoming`
        if self._readable.poll(STALL_TIMEOUT_S * 1000):
            return
        _wake_at(self._socket, 1)
        if not self._readable.poll(0):
            raise BlockingIOError

    def _receive(self, ciphertext: memoryview) -> int:
        count = self._socket.recv_into(ciphertext)
        self._incoming.write(ciphertext[:count])
        return count


class HttpConnection:
    """One socket, opened when needed and again when it was lost."""

    def __init__(self, source: HttpSource) -> None:
        self._source = source
        self._socket: socket.socket | None = None
        self._link: _Plain | _Tls | None = None
        self._interrupted = False
        self._used = False
        self._closing = False
        self._got = 0

    # ------------------------------------------------------------ the port

    def fetch(self, key: str, into: memoryview, start: int = 0) -> None:
        self._got = start
        try:
            parser, response = self._request(key, start)
            self._check(key, parser, response, start, len(into))
            rest = parser.trailing_data[0]
            into[start : start + len(rest)] = rest
            self._got += len(rest)
            self._fill(into)
        except (OSError, h11.RemoteProtocolError) as error:
            self._drop()
            raise self._failed(error) from error
        except FetchFailed:
            self._drop()  # unread bytes of another answer may follow
            raise
        finally:
            self._interrupted = False
        if self._closing:
            self._drop()

    def read(self, key: str) -> bytes:
        self._got = 0
        try:
            parser, response = self._request(key, 0)
            body = self._rest_of(parser, OBJECT_BYTES_MAX, key)
        except (OSError, h11.RemoteProtocolError) as error:
            raise self._failed(error) from error
        finally:
            self._interrupted = False
            self._drop()
        if response.status_code != 200:
            raise self._refused(key, response, body)
        return body

    def interrupt(self) -> None:
        self._interrupted = True
        held = self._socket
        if held is not None:
            with contextlib.suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in connect, recv or send

    def close(self) -> None:
        self._drop()

    # ------------------------------------------------------------ one exchange

    def _request(self, key: str, start: int) -> tuple[h11.Connection, h11.Response]:
        """Sends and reads the head; once more on a new connection where a kept one turns out to be gone."""
        if self._interrupted:  # between two fetches: whoever did it means the one that begins
            raise ConnectionAbortedError("interrupted")
        reused = self._used and self._link is not None
        try:
            return self._exchange(key, start)
        except (ConnectionError, h11.RemoteProtocolError):
            self._drop()
            if not reused or self._interrupted:
                raise
        return self._exchange(key, start)

    def _exchange(self, key: str, start: int) -> tuple[h11.Connection, h11.Response]:
        source, parser = self._source, h11.Connection(h11.CLIENT)
        path = quote(f"{source.path}/{key}", safe="/-_.~")
        headers = {"Host": source.authority, "Accept-Encoding": "identity", "User-Agent": "edgechess"}
        if start:
            headers["Range"] = f"bytes={start}-"
        if source.sign is not None:
            headers = source.sign(f"{source.scheme}://{source.authority}{path}", headers)
        head = parser.send(h11.Request(method="GET", target=path, headers=list(headers.items())))
        tail = parser.send(h11.EndOfMessage())
        link = self._open()
        link.send((head or b"") + (tail or b""))
        while True:
            event = parser.next_event()
            if isinstance(event, h11.Response):
                self._used = True
                return parser, event
            if event is h11.NEED_DATA:
                parser.receive_data(self._read(link))
            elif not isinstance(event, h11.InformationalResponse):
                raise h11.RemoteProtocolError(f"{type(event).__name__} where an answer was expected")

    def _read(self, link: _Plain | _Tls) -> bytes:
        data = link.read(HEAD_READ_BYTES)
        if not data:
            raise ConnectionResetError("the peer ended the connection")
        return data

    def _check(self, key: str, parser: h11.Connection, response: h11.Response, start: int, whole: int) -> None:
        """The answer announces the bytes that were asked for, and nothing else. Raises FetchFailed."""
        headers, name = _headers(response), self._source.name
        if response.status_code not in (200, 206):
            raise self._refused(key, response, self._rest_of(parser, ERROR_BODY_BYTES_MAX, "an error"))
        length = headers.get("content-length", "")
        if not length.isdecimal() or "transfer-encoding" in headers or "content-encoding" in headers:
            raise FetchFailed(Fault.DENIED, f"{name} does not say how long its objects are")
        expected = f"bytes {start}-{whole - 1}/{whole}" if start else None
        if headers.get("content-range") != expected or (response.status_code == 206) != bool(start):
            raise FetchFailed(Fault.RESET, f"{name} sent another range of {key} than was asked for")
        if int(length) != whole - start:
            raise FetchFailed(Fault.RESET, f"{name}: {key} has {start + int(length)} bytes, not {whole}")
        self._closing = headers.get("connection", "").lower() == "close" or response.http_version < b"1.1"

    def _rest_of(self, parser: h11.Connection, limit: int, what: str) -> bytes:
        """The body through h11, whatever its framing."""
        body, link = bytearray(), self._link
        while link is not None:
            event = parser.next_event()
            if isinstance(event, h11.Data):
                body += event.data
                if len(body) > limit:
                    raise FetchFailed(Fault.DENIED, f"{self._source.name}: {what} has more than {limit} bytes")
            elif event is h11.NEED_DATA:
                parser.receive_data(link.read(HEAD_READ_BYTES * 16))
            else:
                break
        return bytes(body)

    def _fill(self, into: memoryview) -> None:
        """Receives the rest. `_got` counts what came, whatever ends it."""
        link = self._link
        assert link is not None
        while self._got < len(into):
            count = link.read_into(into[self._got :])
            if not count:
                raise ConnectionResetError(f"the connection ended after {self._got} of {len(into)} bytes")
            self._got += count

    # ------------------------------------------------------------ the connection

    def _open(self) -> _Plain | _Tls:
        """The link that is there, or a new one to the first address that answers. Raises OSError."""
        if self._link is not None:
            return self._link
        addresses = self._source.addresses()
        for number, (family, kind, protocol, _, address) in enumerate(addresses):
            self._socket = socket.socket(family, kind, protocol)
            try:
                self._link = self._connected(self._socket, address)
                break
            except OSError:
                self._drop()
                if self._interrupted or number == len(addresses) - 1:
                    raise
        self._used = False
        assert self._link is not None
        return self._link

    def _connected(self, sock: socket.socket, address: Any) -> _Plain | _Tls:
        if self._interrupted:
            raise ConnectionAbortedError("interrupted")
        sock.settimeout(CONNECT_TIMEOUT_S)
        sock.connect(address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(None)  # a Python timeout would make the socket non-blocking, and MSG_WAITALL void
        wait = struct.pack("ll", int(STALL_TIMEOUT_S), 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, wait)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, wait)
        source = self._source
        return _Tls(sock, source.tls, source.host, next(_turns)) if source.tls else _Plain(sock)

    def _drop(self) -> None:
        held, self._socket, self._link = self._socket, None, None
        if held is not None:
            held.close()

    # ------------------------------------------------------------ what it means

    def _failed(self, error: Exception) -> FetchFailed:
        name, got = self._source.name, self._got
        if self._interrupted:
            return FetchFailed(Fault.CANCELLED, "interrupted", received=got)
        if isinstance(error, ssl.SSLCertVerificationError):
            return FetchFailed(Fault.DENIED, f"{name}: its certificate is not trusted: {error.verify_message}")
        if isinstance(error, socket.gaierror):
            return FetchFailed(Fault.RESET, f"{name}: the name {self._source.host!r} is not known: {error.strerror}")
        text = getattr(error, "strerror", None) or str(error)
        if isinstance(error, BlockingIOError):
            text = f"nothing came for {STALL_TIMEOUT_S:g} s"
        return FetchFailed(Fault.RESET, f"{name}: {text or type(error).__name__}", received=got)

    def _refused(self, key: str, response: h11.Response, body: bytes) -> FetchFailed:
        status, headers, got = response.status_code, _headers(response), self._got
        if self._source.explain is not None:
            special = self._source.explain(key, status, headers, body)
            if special is not None:
                return special
        where = f"{self._source.scheme}://{self._source.authority}{self._source.path}/{key}"
        if status in THROTTLED:
            asked = headers.get("retry-after", "")
            wait_s = float(asked) if asked.isdecimal() else 0.0
            return FetchFailed(
                Fault.THROTTLED, f"{where} asks us to slow down ({status})", received=got, retry_after_s=wait_s
            )
        if status in (404, 410):
            return FetchFailed(Fault.MISSING, f"{where} does not exist ({status})")
        if status >= 500 or status == 408:
            return FetchFailed(Fault.RESET, f"{where} answers {status}", received=got)
        return FetchFailed(Fault.DENIED, f"{where} answers {status}")


def _headers(response: h11.Response) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in response.headers}
