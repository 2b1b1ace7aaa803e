"""The IPC of a Greengrass nucleus on a Unix socket, for the stock client.

    server = IpcServer(host, flavour="java", broker=iot_core)
    async with anyio.create_task_group() as tasks:
        await tasks.start(server.serve, Path("/run/…/ipc.socket"))

The socket's mode is 0600: who runs the runtime runs the components, so nobody else has to reach it. (Nucleus lite uses
0666, because there every component is a Unix user of its own; the token is then the only lock.)
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import anyio
import anyio.abc

from edgechess_nucleus.authority import Authority
from edgechess_nucleus.authorization import SHADOWS
from edgechess_nucleus.component_updates import ComponentUpdates
from edgechess_nucleus.configuration import KeyPath
from edgechess_nucleus.flavour import FLAVOURS
from edgechess_nucleus.host import Host
from edgechess_nucleus.iot_core import IotCore
from edgechess_nucleus.ipc_configuration import ConfigurationOperations
from edgechess_nucleus.ipc_iot_core import IotCoreOperations
from edgechess_nucleus.ipc_lifecycle import LifecycleOperations
from edgechess_nucleus.ipc_outlet import Batch
from edgechess_nucleus.ipc_secrets import SecretOperations
from edgechess_nucleus.ipc_session import Session, Table
from edgechess_nucleus.ipc_shadows import ShadowOperations
from edgechess_nucleus.ipc_topics import TopicOperations
from edgechess_nucleus.pubsub import LocalMessage, LocalTopics
from edgechess_nucleus.shadow_file import read_shadows
from edgechess_nucleus.shadows import Shadows
from edgechess_nucleus.socket_file import SocketError, make_room

log = logging.getLogger(__name__)

BACKLOG = 64
OUT_OF_DESCRIPTORS_PAUSE_S = 0.1


class IpcServer:
    """One runtime's IPC. `updates` and `topics` are for the runtime: deployments and the bridge."""

    def __init__(
        self,
        host: Host,
        *,
        flavour: Literal["java", "lite"] = "java",
        broker: IotCore | None = None,
        topics: LocalTopics | None = None,
        shadow_file: Path | None = None,
        wall_clock_s: Callable[[], float] = time.time,
    ) -> None:
        """`topics` None: its own. `shadow_file` None: shadows end with this server. Raises ShadowFileError, StoredShadowsError."""
        self._host = host
        self.flavour = FLAVOURS[flavour]
        self.updates = ComponentUpdates()
        self.topics = LocalTopics(self.flavour) if topics is None else topics
        self.shadows = Shadows(self._publish_of_shadows, {} if shadow_file is None else read_shadows(shadow_file))
        self._authority = Authority(host, self.flavour)
        self._configurations = ConfigurationOperations(host, self.flavour, wall_clock_s)
        shadows = ShadowOperations(self.topics, self._authority, self.shadows, wall_clock_s, shadow_file)
        if "UpdateThingShadow" in self.flavour.operations:
            shadows.listen()
        services = (
            TopicOperations(self.topics, self._authority, self.flavour),
            IotCoreOperations(broker, self._authority, self.flavour),
            self._configurations,
            LifecycleOperations(host, self.updates),
            SecretOperations(host, self._authority),
            shadows,
        )
        self._table = Table(tuple(row for service in services for row in service.rows()), self.flavour)
        self._batch = Batch()
        self._sessions: list[Session] = []

    async def serve(self, path: Path, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled. Clients may connect once it has started. Raises SocketError."""
        with _listening(path) as listener:
            async with anyio.create_task_group() as tasks:
                task_status.started()
                log.info("IPC (%s) on %s", self.flavour.name, path)
                while True:
                    client = await _accept(listener)
                    if len(self._sessions) >= self.flavour.clients_limit:
                        log.warning("a client too many: %d are served already", len(self._sessions))
                        client.close()
                    else:
                        tasks.start_soon(self._serve_one, client, name="ipc client")

    def revoke(self, component: str) -> None:
        """The component got another token: connections under the old one end."""
        for session in self._sessions:
            if session.component == component:
                session.end()

    def configuration_changed(self, component: str, changed: Sequence[KeyPath]) -> None:
        """A deployment changed these keys: subscribers are told, policies are read again."""
        self._authority.forget(component)
        with self._batch:
            self._configurations.changed(component, changed)

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._sessions)

    async def _serve_one(self, client: socket.socket) -> None:
        session = Session(client, self._table, self.flavour, self._batch, self._host.component_of)
        self._sessions.append(session)
        try:
            await session.run()
        finally:
            self._sessions.remove(session)

    def _publish_of_shadows(self, topic: str, payload: bytes) -> None:
        self.topics.publish(LocalMessage(topic, payload, False, SHADOWS))


async def _accept(listener: socket.socket) -> socket.socket:
    while True:
        try:
            client, _ = listener.accept()
        except BlockingIOError:
            await anyio.wait_readable(listener)
        except ConnectionAbortedError:
            continue
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            log.warning("no client can be taken: %s", error.strerror)
            await anyio.sleep(OUT_OF_DESCRIPTORS_PAUSE_S)
        else:
            client.setblocking(False)
            return client


@contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    """A socket at `path` that listens; removed afterwards. Raises SocketError."""
    make_room(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.setblocking(False)
        # on Linux the file takes the mode of the unbound socket: at no instant is it wider
        os.fchmod(listener.fileno(), stat.S_IRUSR | stat.S_IWUSR)
        try:
            listener.bind(os.fspath(path))
        except OSError as error:
            raise SocketError(f"{path}: no socket can be made there: {error.strerror}") from error
        inode = path.stat().st_ino
        try:
            listener.listen(BACKLOG)
            yield listener
        finally:
            if path.exists() and path.stat().st_ino == inode:
                path.unlink()
