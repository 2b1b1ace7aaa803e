"""The adapters of a node: registered, updated and removed by name while it serves, kept in three tiers.

*Disk* is a cache of chunks, *host* an adapter's image in memory, *device* what a backend computes with. Every tier has a
limit and forgets what was used longest ago. A batch borrows the adapters that it names (`lend`); what is lent is never
changed and never evicted, so that an update or a removal waits for nobody and disturbs nobody: requests in flight end
with the adapter they began with, later ones get the new one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import anyio

from edgechess_inference.adapters.counts import AdapterCounts
from edgechess_inference.adapters.host import HostAdapter, load_adapter
from edgechess_inference.adapters.lora import Adapter, read_adapter
from edgechess_inference.move_model import AdapterError
from edgechess_inference.weights.errors import WeightsError
from edgechess_inference.weights.model import Model, ModelOptions, open_blocking, open_model
from edgechess_inference.weights.transfer import StreamSettings

ADAPTERS_MAX = 4096  # registered; a table of them is answered in one message


@dataclass(frozen=True, slots=True)
class AdapterLimits:
    """Room in each tier. Bytes of the device are those of the prepared factors."""

    device_adapters: int = 8
    device_bytes: int = 256 << 20
    host_adapters: int = 64
    host_bytes: int = 1 << 30
    disk_bytes: int = 8 << 30


class Prepared(Protocol):
    """An adapter as a backend computes with it."""

    @property
    def bytes(self) -> int: ...


class Borrower(Protocol):
    """A loaded model: whose weights adapters must fit, and who prepares them."""

    @property
    def weights(self) -> str: ...

    async def prepare(self, adapter: HostAdapter) -> Prepared:
        """Raises AdapterError where a layer is not there or of another shape."""


@dataclass(frozen=True, slots=True)
class Lent:
    """One adapter of a batch."""

    name: str
    digest: str
    prepared: Any
    """What the borrower's own `prepare` returned."""


@dataclass(frozen=True, slots=True)
class AdapterInfo:
    """What is told about a registered adapter."""

    name: str
    address: str
    digest: str
    bases: tuple[str, ...]
    rank: int
    alpha: float
    layers: int
    bytes: int
    """Of its image."""
    tier: str
    """The highest it lies in: "device", "host" or "disk" (not loaded)."""
    counts: AdapterCounts


@dataclass(frozen=True, slots=True)
class _Version:
    """One content under a name."""

    address: str
    model: Model
    adapter: Adapter


@dataclass(slots=True)
class _OnDevice:
    prepared: Prepared
    users: int = 0


_DeviceKey = tuple[int, str]
"""The borrower and the adapter's digest."""


@dataclass(slots=True)
class _Tiers:
    """Least recently used first."""

    host: OrderedDict[str, HostAdapter] = field(default_factory=OrderedDict)
    device: OrderedDict[_DeviceKey, _OnDevice] = field(default_factory=OrderedDict)


class AdapterTable:
    """Used from one event loop. `cache`: the folder of the disk tier; without it, chunks are fetched anew each time."""

    def __init__(
        self,
        limits: AdapterLimits = AdapterLimits(),
        *,
        options: ModelOptions = ModelOptions(),  # noqa: B008 — frozen
        stream: StreamSettings = StreamSettings(),  # noqa: B008 — frozen
        cache: Path | None = None,
        inline: bool = False,
    ) -> None:
        self.limits = limits
        self._options = options if cache is None else replace(options, cache=cache)
        self._stream = stream
        self._inline = inline
        self._versions: dict[str, _Version] = {}
        self._counts: dict[str, AdapterCounts] = {}
        self._tiers = _Tiers()
        self._loading: dict[str, anyio.Lock] = {}
        self._acquiring = anyio.Lock()
        self._returned = anyio.Event()
        self._device_peak = 0

    # ------------------------------------------------------------ by name

    async def register(self, name: str, address: str) -> AdapterInfo:
        """A new name. Raises AdapterError (taken, full), SourceError, ManifestError."""
        if name in self._versions:
            raise AdapterError(name, f"there is an adapter {name!r} already: update it, or remove it first")
        if len(self._versions) >= ADAPTERS_MAX:
            raise AdapterError(name, f"there are {ADAPTERS_MAX} adapters; remove one first")
        return await self._set(name, address)

    async def update(self, name: str, address: str) -> AdapterInfo:
        """Another content under a known name, from the next batch on. Raises like `register`; the old one then stays."""
        self._version(name)
        return await self._set(name, address)

    def remove(self, name: str) -> None:
        """Raises AdapterError for an unknown one."""
        version = self._version(name)
        del self._versions[name]
        del self._counts[name]
        self._forget(version.adapter.digest)

    def __contains__(self, name: str) -> bool:
        return name in self._versions

    def info(self, name: str) -> AdapterInfo:
        """Raises AdapterError for an unknown one."""
        version = self._version(name)
        adapter = version.adapter
        return AdapterInfo(
            name=name,
            address=version.address,
            digest=adapter.digest,
            bases=adapter.bases,
            rank=adapter.rank,
            alpha=adapter.alpha,
            layers=len(adapter.targets),
            bytes=version.model.manifest.bytes,
            tier=self._tier(adapter.digest),
            counts=self._counts[name],
        )

    def list(self) -> tuple[AdapterInfo, ...]:
        """All, by name."""
        return tuple(self.info(name) for name in sorted(self._versions))

    def check(self, name: str, weights: str) -> None:
        """Raises AdapterError unless `name` is registered and was made for these weights."""
        adapter = self._version(name).adapter
        if weights not in adapter.bases:
            made_for = ", ".join(base[:12] for base in adapter.bases)
            raise AdapterError(name, f"adapter {name!r} was made for weights {made_for}…, not for {weights[:12]}…")

    def count(self, name: str, latency_s: float) -> None:
        """One request was answered. Names that were removed meanwhile are nobody's to count."""
        if name in self._counts:
            self._counts[name] = self._counts[name].answered(latency_s)

    def judge(self, name: str, *, legal: bool) -> None:
        """Somebody held an answer against the rules: a policy network itself, whoever reads a text model's."""
        if name in self._counts:
            self._counts[name] = self._counts[name].judged(legal)

    # ------------------------------------------------------------ tiers

    @property
    def host_bytes(self) -> int:
        return sum(held.bytes for held in self._tiers.host.values())

    @property
    def device_bytes(self) -> int:
        return sum(held.prepared.bytes for held in self._tiers.device.values())

    @property
    def device_peak(self) -> int:
        """The most adapters that ever lay on the device at once."""
        return self._device_peak

    async def warm(self, name: str) -> None:
        """Brings it to the host tier, so that a batch need not wait for its bytes. Raises AdapterError."""
        await self._in_host(name, self._version(name))

    @asynccontextmanager
    async def lend(self, names: Collection[str], borrower: Borrower) -> AsyncIterator[Mapping[str, Lent]]:
        """These adapters, prepared, for the time of one batch. At most `limits.device_adapters` names at once.

        Waits for room where other batches hold it. Raises AdapterError, naming the one that cannot be had.
        """
        held: dict[str, tuple[_DeviceKey, _OnDevice]] = {}
        lent: dict[str, Lent] = {}
        try:
            async with self._acquiring:  # one batch at a time takes room: two that each hold half would wait for ever
                for name in sorted(set(names)):
                    self.check(name, borrower.weights)
                    version = self._version(name)
                    key = (id(borrower), version.adapter.digest)
                    place = self._tiers.device.get(key) or await self._prepare(name, version, borrower, key)
                    place.users += 1
                    self._tiers.device.move_to_end(key)
                    held[name] = (key, place)
                    lent[name] = Lent(name, version.adapter.digest, place.prepared)
            yield lent
        finally:
            for _, place in held.values():
                place.users -= 1
            self._forget_stale()
            returned, self._returned = self._returned, anyio.Event()
            returned.set()

    def release(self, borrower: Borrower) -> None:
        """A model closes: what was prepared for it goes. Nothing of it may be lent."""
        for key in [key for key in self._tiers.device if key[0] == id(borrower)]:
            del self._tiers.device[key]

    def close(self) -> None:
        """Gives all memory back."""
        self._tiers.device.clear()
        for held in self._tiers.host.values():
            held.close()
        self._tiers.host.clear()

    # ------------------------------------------------------------ inside

    async def _set(self, name: str, address: str) -> AdapterInfo:
        model = open_blocking(address, self._options) if self._inline else await open_model(address, self._options)
        if model.cache is not None:
            model.cache.limit_bytes = self.limits.disk_bytes
        before = self._versions.get(name)
        self._versions[name] = _Version(address, model, read_adapter(model.manifest))
        self._counts.setdefault(name, AdapterCounts())
        if before is not None and before.adapter.digest != self._versions[name].adapter.digest:
            self._forget(before.adapter.digest)
        return self.info(name)

    def _version(self, name: str) -> _Version:
        version = self._versions.get(name)
        if version is None:
            raise AdapterError(name, f"there is no adapter {name!r}; there are {self._some_names()}")
        return version

    def _some_names(self) -> str:
        names = sorted(self._versions)
        return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") or "none"

    def _tier(self, digest: str) -> str:
        if any(key[1] == digest for key in self._tiers.device):
            return "device"
        return "host" if digest in self._tiers.host else "disk"

    async def _in_host(self, name: str, version: _Version) -> HostAdapter:
        """Loaded once, however many ask for it."""
        digest = version.adapter.digest
        async with self._loading.setdefault(digest, anyio.Lock()):
            held = self._tiers.host.get(digest)
            if held is None:
                held = await self._load(name, version)
                self._tiers.host[digest] = held
                self._shrink_host(keep=digest)
            self._tiers.host.move_to_end(digest)
        return held

    async def _load(self, name: str, version: _Version) -> HostAdapter:
        started = anyio.current_time()
        try:
            held = await load_adapter(version.model, version.adapter, self._stream, inline=self._inline)
        except WeightsError as error:
            raise AdapterError(name, f"adapter {name!r} cannot be loaded: {error}") from error
        if name in self._counts:
            self._counts[name] = self._counts[name].loaded(anyio.current_time() - started)
        return held

    async def _prepare(self, name: str, version: _Version, borrower: Borrower, key: _DeviceKey) -> _OnDevice:
        await self._room_on_device(name)
        prepared = await borrower.prepare(await self._in_host(name, version))
        place = self._tiers.device[key] = _OnDevice(prepared)
        self._device_peak = max(self._device_peak, len(self._tiers.device))
        while self.device_bytes > self.limits.device_bytes and self._evict_from_device(keep=key):
            pass  # it is known only now how large it is
        return place

    async def _room_on_device(self, name: str) -> None:
        """Returns when one more may come."""
        while len(self._tiers.device) >= self.limits.device_adapters:
            if self._evict_from_device(keep=None):
                continue
            if not any(place.users for place in self._tiers.device.values()):
                raise AdapterError(name, f"adapter {name!r} finds no room: no adapter may lie on the device")
            await self._returned.wait()

    def _evict_from_device(self, keep: _DeviceKey | None) -> bool:
        """The one used longest ago of those that nobody uses; False where there is none."""
        for key, place in self._tiers.device.items():
            if not place.users and key != keep:
                del self._tiers.device[key]
                self._evicted(key[1])
                return True
        return False

    def _shrink_host(self, keep: str) -> None:
        host, limits = self._tiers.host, self.limits
        while len(host) > limits.host_adapters or self.host_bytes > limits.host_bytes:
            digest = next((digest for digest in host if digest != keep), None)
            if digest is None:
                return
            host.pop(digest)  # not closed here: a borrower may just be reading it; its memory goes with the last view
            self._loading.pop(digest, None)

    def _evicted(self, digest: str) -> None:
        for name, version in self._versions.items():
            if version.adapter.digest == digest:
                self._counts[name] = self._counts[name].evicted()

    def _forget(self, digest: str) -> None:
        """A content that no name has any more leaves the tiers, the device once its last batch has ended."""
        if any(version.adapter.digest == digest for version in self._versions.values()):
            return
        self._forget_stale()

    def _forget_stale(self) -> None:
        current = {version.adapter.digest for version in self._versions.values()}
        for digest in [digest for digest in self._tiers.host if digest not in current]:
            del self._tiers.host[digest]
            self._loading.pop(digest, None)
        stale = [key for key, place in self._tiers.device.items() if key[1] not in current and not place.users]
        for key in stale:
            del self._tiers.device[key]
