"""The table's devices on real ports: the board on a pseudo-terminal, each controller on a loopback address of its own.

Vendor clients connect to the vendor's own port numbers; where a system has only 127.0.0.1, ports are offset.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import socket
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import anyio
import anyio.abc

from edgechess_twin.arm_device import Kind
from edgechess_twin.control import ControlServer, forget_running, note_running, runtime_directory
from edgechess_twin.errors import TwinError
from edgechess_twin.pty_adapter import PseudoTerminal
from edgechess_twin.ro1_device import PORT as RO1_PORT
from edgechess_twin.ro1_device import TOKEN
from edgechess_twin.table import Table

CONTROLLER_PORTS: dict[Kind, tuple[int, ...]] = {
    "dobot": (29999, 30004, 30005, 30006),  # dashboard and the three feedback ports (reference "dobot-tcp-ip-v4")
    "ro1": (RO1_PORT,),
}
REPLUG_S = 0.5  # a re-enumerated USB port comes back about this much later
OFFSET_STEP = 100  # between the port groups of arms that must share 127.0.0.1


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """Where one controller listens. `ports` maps the vendor's port numbers to those in use here (mostly the same).

    `token`: what an RO1 wants to hear; None for a Dobot, which asks nobody who he is.
    """

    host: str
    ports: dict[int, int]
    kind: Kind = "dobot"
    token: str | None = None

    @property
    def url(self) -> str | None:
        """Of an RO1's API."""
        return f"http://{self.host}:{self.ports[RO1_PORT]}" if self.kind == "ro1" else None

    @property
    def vendor_ports(self) -> bool:
        return all(vendor == used for vendor, used in self.ports.items())


@dataclasses.dataclass(frozen=True, slots=True)
class Devices:
    """Where the devices of a served table are."""

    board_path: str
    arm_addresses: dict[str, Address]
    control_path: str


@contextlib.asynccontextmanager
async def serve(table: Table, *, directory: Path | None = None) -> AsyncIterator[Devices]:
    """Serve a running table until the block is left. `directory` holds the board's link, the control socket and the
    runtime file; by default the user's own (see `control.runtime_directory`)."""
    directory = runtime_directory() if directory is None else directory
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    board_link = directory / f"board-{os.getpid()}-{id(table):x}"
    control_path = directory / f"control-{os.getpid()}-{id(table):x}.sock"
    async with contextlib.AsyncExitStack() as stack:
        addresses, listeners = await _listen({name: table.options.kind(name) for name in table.arms})
        for listener in listeners.values():
            stack.push_async_callback(listener.aclose)
        port = PseudoTerminal()
        _point(board_link, port.path)
        stack.callback(board_link.unlink, missing_ok=True)
        tasks = await stack.enter_async_context(anyio.create_task_group())
        stack.callback(tasks.cancel_scope.cancel)
        tasks.start_soon(_serve_board, table, board_link, port, name="board port")
        for (name, vendor_port), listener in listeners.items():
            handler = partial(_serve_client, table, name, vendor_port)
            tasks.start_soon(listener.serve, handler, name=f"arm port {name} {vendor_port}")
        devices = Devices(str(board_link), addresses, str(control_path))
        control = ControlServer(table, devices_text=dataclasses.asdict(devices))
        await tasks.start(control.serve, control_path)
        note = note_running(directory, table.options.seed, devices.board_path, devices.control_path)
        stack.callback(forget_running, note)
        yield devices


async def _serve_board(table: Table, link: Path, port: PseudoTerminal) -> None:
    try:
        while True:
            await port.wait_opened()
            await table.serve_board(port)
            if not port.host_left:  # the link was broken from this side: the port goes and another one comes
                port.unplug()
                await anyio.sleep(REPLUG_S)
                port = PseudoTerminal()
                _point(link, port.path)
    finally:
        port.unplug()


def _point(link: Path, path: str) -> None:
    """A stable name for a port whose number changes when it is replugged."""
    fresh = link.with_name(link.name + ".new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(path)
    fresh.replace(link)


async def _serve_client(table: Table, name: str, vendor_port: int, stream: anyio.abc.SocketStream) -> None:
    raw = stream.extra(anyio.abc.SocketAttribute.raw_socket)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        await table.serve_arm(name, vendor_port, stream)


Listeners = dict[tuple[str, int], anyio.abc.Listener[anyio.abc.SocketStream]]


async def _listen(kinds: dict[str, Kind]) -> tuple[dict[str, Address], Listeners]:
    """Addresses 127.N.0.2, 127.N.0.3 … with N free; where those do not exist, offset ports on 127.0.0.1."""
    first = 16 + os.getpid() % 200  # different twins start looking at different places
    for step in range(200):
        network = 16 + (first - 16 + step) % 200
        plan = {n: _address(f"127.{network}.0.{2 + i}", kind, 0) for i, (n, kind) in enumerate(kinds.items())}
        try:
            return plan, await _bind(plan)
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                break
            if error.errno != errno.EADDRINUSE:
                raise
    for step in range(1, 60):
        plan = {
            n: _address("127.0.0.1", kind, OFFSET_STEP * (step * len(kinds) + i))
            for i, (n, kind) in enumerate(kinds.items())
        }
        try:
            return plan, await _bind(plan)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    raise TwinError("no free loopback ports for the controllers: are sixty twins running?")


def _address(host: str, kind: Kind, offset: int) -> Address:
    ports = {port: port + offset for port in CONTROLLER_PORTS[kind]}
    return Address(host, ports, kind, TOKEN if kind == "ro1" else None)


async def _bind(plan: dict[str, Address]) -> Listeners:
    """All of them, or none. Raises OSError."""
    listeners: Listeners = {}
    async with contextlib.AsyncExitStack() as stack:
        for name, address in plan.items():
            for vendor_port, port in address.ports.items():
                listener = await anyio.create_tcp_listener(
                    local_host=address.host, local_port=port, family=socket.AF_INET
                )
                stack.push_async_callback(listener.aclose)
                listeners[name, vendor_port] = listener
        stack.pop_all()
    return listeners
