"""The process around a component: flags, settings, journal, bus, signals, exit code.

    sys.exit(run_component("game-manager", Settings, run))

Exit codes: 0 it ended or was told to (SIGTERM, SIGINT); 1 it failed too often; 2 its settings cannot be, or its
journal cannot be used, found out before `main` or in it. Logs and the one line that says why go to stderr.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import random
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import anyio
import anyio.abc
import msgspec

from edgechess_kit.background import Background
from edgechess_kit.bus import Bus
from edgechess_kit.chaos_bus import Chaos, ChaosBus
from edgechess_kit.clock import RandomIds, SystemClock
from edgechess_kit.component import Context
from edgechess_kit.errors import ComponentFailed, ComponentUnfit, JournalError, SettingsError
from edgechess_kit.greengrass_configuration import OF_THE_KIT, sections
from edgechess_kit.greengrass_environment import Environment, environment, under_greengrass
from edgechess_kit.guardian import until_orphaned
from edgechess_kit.journal import SqliteJournal
from edgechess_kit.settings import BusSettings, JournalSettings, TransportSettings, describe, load
from edgechess_kit.supervision import supervise
from edgechess_kit.topics import Topics
from edgechess_kit.transports import open_bus

if TYPE_CHECKING:
    from edgechess_kit.greengrass_host import GreengrassHost

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

log = logging.getLogger(__name__)

EXIT_FAILED = 1
EXIT_USAGE = 2


def run_component(
    name: str,
    settings_type: type[S],
    main: Callable[[Context[S]], Awaitable[None]],
    argv: Sequence[str] | None = None,
) -> int:
    """Runs `main` with real ports until it returns, fails too often, or a signal cancels it. Returns the exit code.

    `main` runs under the supervisor: after an error it is called again with the same context, as after a restart.
    It is cancelled once; its own clean-up (parking an arm) may take its time under a shield, and the bus stays open
    until it is done; a second signal sets `Context.hurried`. Raises SystemExit for --help and for flags that do not exist (code 2).

    Where a Greengrass nucleus started us, settings and bus are the nucleus's, and a change of the configuration ends
    `main` (between two moves) and calls it again with new settings: a restart of the process would count as a failure.
    """
    arguments = _parser(name, settings_type).parse_args(argv)
    logging.basicConfig(
        level=arguments.log_level,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    try:
        process = _Process(name, settings_type, main, arguments, _flags(name, arguments.set), _nucleus(arguments))
        while (code := anyio.run(_serve, process)) is None:
            log.info("%s: starting again with the new configuration", name)
        return code
    except (SettingsError, JournalError, ComponentUnfit) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        return 0  # one more Ctrl-C, after everything was closed


@dataclasses.dataclass(frozen=True, slots=True)
class _Process(Generic[S]):
    name: str
    settings_type: type[S]
    main: Callable[[Context[S]], Awaitable[None]]
    arguments: argparse.Namespace
    flags: Mapping[str, Mapping[str, str]]
    nucleus: Environment | None

    def settings(self, deployed: Mapping[str, Any]) -> _Settings[S]:
        """Raises SettingsError."""
        given = sections(self.name, deployed)

        def read(kind: type[T], section: str) -> T:
            return load(
                kind,
                section=section,
                file=self.arguments.config,
                flags=self.flags[section],
                deployed=given.get(section),
            )

        return _Settings(
            read(self.settings_type, self.name),
            read(BusSettings, "bus"),
            read(TransportSettings, "transport"),
            read(JournalSettings, "journal"),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class _Settings(Generic[S]):
    own: S
    bus: BusSettings
    transport: TransportSettings
    journal: JournalSettings


def _nucleus(arguments: argparse.Namespace) -> Environment | None:
    """A configuration file says that somebody else takes care of us, even in a process that a nucleus started."""
    if arguments.greengrass or (arguments.config is None and under_greengrass(os.environ)):
        return environment(os.environ)
    return None


async def _serve(process: _Process[S]) -> int | None:
    """The exit code; None when the configuration has changed and it is to be served again."""
    ending = _Ending()
    code = 0
    async with Background() as tasks:
        await tasks.start(_signals, process.name, ending, name="signals")
        if process.arguments.tied:
            tasks.start_soon(until_orphaned, ending.scope, name="whoever started us")
        with ending.scope:
            code = await _hosted(process, ending)
        tasks.cancel()
    return None if ending.again else code


@dataclasses.dataclass(slots=True)
class _Ending:
    """How the process is told to end: by its scope. `hurried`: a second time. `again`: only to start afresh."""

    scope: anyio.CancelScope = dataclasses.field(default_factory=anyio.CancelScope)
    hurried: anyio.Event = dataclasses.field(default_factory=anyio.Event)
    again: bool = False


async def _hosted(process: _Process[S], ending: _Ending) -> int:
    async with AsyncExitStack() as stack:
        host = None
        deployed: Mapping[str, Any] = {}
        if process.nucleus is not None:
            host = await stack.enter_async_context(_greengrass_host(process.nucleus))
            deployed = await host.configuration()
        settings = process.settings(deployed)
        journal = SqliteJournal(settings.journal.path or f"{process.name}.journal", SystemClock())
        stack.callback(journal.close)
        topics = Topics(settings.bus.prefix)
        link = await stack.enter_async_context(open_bus(process.name, settings.bus, settings.transport, topics, host))
        bus = _with_chaos(link, settings.bus)
        context = Context(
            process.name, settings.own, bus, topics, journal, SystemClock(), RandomIds(), hurried=ending.hurried
        )  # fmt: skip
        if host is not None:
            context = dataclasses.replace(context, host=host)
            tasks = await stack.enter_async_context(Background())
            stack.callback(tasks.cancel)
            tasks.start_soon(_follow, process, host, settings, ending, name="configuration")
        try:
            await supervise(process.name, lambda: process.main(context), rng=random.Random())
        except ComponentFailed as error:
            if host is not None:
                await host.failed()
            if isinstance(error, ComponentUnfit):
                raise
            log.critical("%s", error)
            return EXIT_FAILED
        return 0


def _greengrass_host(nucleus: Environment) -> GreengrassHost:
    try:
        # awsiotsdk is an extra, and slow to import
        from edgechess_kit.greengrass_host import GreengrassHost
    except ImportError as error:
        raise SettingsError(f"{error}: a component under Greengrass needs edgechess-kit[greengrass]") from error
    return GreengrassHost(nucleus)


async def _follow(process: _Process[S], host: GreengrassHost, settings: _Settings[S], ending: _Ending) -> None:
    """Ends everything, to start again, when the configuration has changed what we are set to."""
    while True:
        await host.configuration_changed()
        try:
            changed = process.settings(await host.configuration())
        except SettingsError as error:
            log.error("%s: the new configuration is not taken: %s", process.name, error)
            host.complaint = f"the new configuration is not taken: {error}"
            continue
        host.complaint = None
        if changed != settings:
            log.info("%s: the configuration has changed", process.name)
            await host.idle()
            ending.again = True
            ending.scope.cancel()


def _with_chaos(link: Bus, settings: BusSettings) -> Bus:
    if not (settings.chaos_duplicate or settings.chaos_delay):
        return link
    chaos = Chaos(settings.chaos_duplicate, settings.chaos_delay, settings.chaos_delay_max_s)
    return ChaosBus(link, chaos, random.Random(settings.chaos_seed))


async def _signals(name: str, ending: _Ending, *, task_status: anyio.abc.TaskStatus[None]) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
        task_status.started()
        async for number in received:
            if ending.scope.cancel_called:
                # what may be cut short knows itself: a journal is closed all the same
                log.warning("%s: already stopping, now at once (SIGQUIT does not even clean up)", name)
                ending.hurried.set()
            else:
                log.info("%s: %s: stopping", name, number.name)
                ending.scope.cancel()


def _parser(name: str, settings_type: type[Any]) -> argparse.ArgumentParser:
    lines = ["settings (later wins: file, environment EDGECHESS_<SECTION>_<KEY>, --set):"]
    kinds: dict[str, type[Any]] = {
        name: settings_type, "bus": BusSettings, "transport": TransportSettings, "journal": JournalSettings
    }  # fmt: skip
    for section, kind in kinds.items():
        lines += describe(kind, section)
    parser = argparse.ArgumentParser(
        prog=name,
        description=f"The component {name} on an MQTT bus, or under a Greengrass nucleus.",
        epilog="\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"TOML with [{name}], {', '.join(f'[{section}]' for section in OF_THE_KIT)}",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help=f"one setting; KEY alone is of [{name}]"
    )
    parser.add_argument(
        "--greengrass", action="store_true", help="demand a nucleus; without --config one that started us is found"
    )
    parser.add_argument(
        "--tied", action="store_true", help="stop when standard input closes: whoever started it is gone"
    )
    parser.add_argument(
        "--log-level", default="INFO", choices=["DEBUG", "INFO", "WARNING", "ERROR"], help="default: INFO"
    )
    return parser


def _flags(name: str, words: Sequence[str]) -> dict[str, dict[str, str]]:
    flags: dict[str, dict[str, str]] = {section: {} for section in (name, *OF_THE_KIT)}
    for word in words:
        path, equals, value = word.partition("=")
        if not equals:
            raise SettingsError(f"--set {word}: expected key=value")
        section, dot, key = path.partition(".")
        if not dot:
            section, key = name, path
        if section not in flags:
            raise SettingsError(f"--set {word}: no section {section}; known are {', '.join(flags)}")
        flags[section][key] = value
    return flags
