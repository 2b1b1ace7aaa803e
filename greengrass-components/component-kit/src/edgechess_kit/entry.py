"""The process around a component: flags, settings, journal, bus, signals, exit code.

    sys.exit(run_component("game-manager", Settings, run))

Exit codes: 0 it ended or was told to (SIGTERM, SIGINT); 1 it failed too often; 2 its settings cannot be, or its
journal cannot be used, found out before `main` or in it. Logs and the one line that says why go to stderr.
"""

from __future__ import annotations

import argparse
import logging
import random
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.abc
import msgspec

from edgechess_kit.bus import Bus
from edgechess_kit.chaos_bus import Chaos, ChaosBus
from edgechess_kit.clock import RandomIds, SystemClock
from edgechess_kit.component import Context
from edgechess_kit.errors import ComponentFailed, ComponentUnfit, JournalError, SettingsError
from edgechess_kit.guardian import until_orphaned
from edgechess_kit.journal import SqliteJournal
from edgechess_kit.messages import EdgeStatus
from edgechess_kit.mqtt_adapter import MqttBus
from edgechess_kit.settings import BusSettings, JournalSettings, describe, load
from edgechess_kit.supervision import supervise
from edgechess_kit.topics import Topics

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
    until it is done. Raises SystemExit for --help and for flags that do not exist (code 2).
    """
    arguments = _parser(name, settings_type).parse_args(argv)
    logging.basicConfig(
        level=arguments.log_level,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    try:
        flags = _flags(name, arguments.set)
        file = arguments.config
        settings = load(settings_type, section=name, file=file, flags=flags[name])
        bus_settings = load(BusSettings, section="bus", file=file, flags=flags["bus"])
        journal_settings = load(JournalSettings, section="journal", file=file, flags=flags["journal"])
        journal = SqliteJournal(journal_settings.path or f"{name}.journal", SystemClock())
    except (SettingsError, JournalError) as error:
        return _refuse(name, error)
    try:
        return anyio.run(_serve, name, settings, bus_settings, journal, main, arguments.tied)
    except (SettingsError, ComponentUnfit) as error:
        return _refuse(name, error)
    except KeyboardInterrupt:
        return 0  # one more Ctrl-C, after everything was closed
    finally:
        journal.close()


def _refuse(name: str, error: Exception) -> int:
    print(f"{name}: {error}", file=sys.stderr)
    return EXIT_USAGE


async def _serve(
    name: str,
    settings: S,
    bus_settings: BusSettings,
    journal: SqliteJournal,
    main: Callable[[Context[S]], Awaitable[None]],
    tied: bool,
) -> int:
    topics = Topics(bus_settings.prefix)
    client_id = bus_settings.client_id or f"{bus_settings.prefix}-{name}"
    will = EdgeStatus(component=name, status="lost", reason="the broker lost it")
    rng = random.Random()
    code = 0
    unfit: ComponentUnfit | None = None
    async with MqttBus(bus_settings, client_id, will=will, topics=topics, rng=rng) as link:
        bus = _with_chaos(link, bus_settings)
        context = Context(name, settings, bus, topics, journal, SystemClock(), RandomIds())
        async with anyio.create_task_group() as group:
            with anyio.CancelScope() as scope:
                await group.start(_signals, name, scope)
                if tied:
                    group.start_soon(until_orphaned, scope)
                try:
                    await supervise(name, lambda: main(context), rng=rng)
                except ComponentUnfit as error:
                    unfit = error  # raised below: it is to leave the task groups as itself
                except ComponentFailed as error:
                    log.critical("%s", error)
                    code = EXIT_FAILED
            group.cancel_scope.cancel()
    if unfit is not None:
        raise unfit
    return code


def _with_chaos(link: Bus, settings: BusSettings) -> Bus:
    if not (settings.chaos_duplicate or settings.chaos_delay):
        return link
    chaos = Chaos(settings.chaos_duplicate, settings.chaos_delay, settings.chaos_delay_max_s)
    return ChaosBus(link, chaos, random.Random(settings.chaos_seed))


async def _signals(name: str, scope: anyio.CancelScope, *, task_status: anyio.abc.TaskStatus[None]) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
        task_status.started()
        async for number in received:
            if scope.cancel_called:
                # an arm may be on its way to its parking place: impatience must not leave it in the air
                log.warning("%s: already stopping (SIGQUIT ends it at once)", name)
            else:
                log.info("%s: %s: stopping", name, number.name)
                scope.cancel()


def _parser(name: str, settings_type: type[Any]) -> argparse.ArgumentParser:
    lines = ["settings (later wins: file, environment EDGECHESS_<SECTION>_<KEY>, --set):"]
    for section, kind in ((name, settings_type), ("bus", BusSettings), ("journal", JournalSettings)):
        lines += describe(kind, section)
    parser = argparse.ArgumentParser(
        prog=name,
        description=f"The component {name} on an MQTT bus.",
        epilog="\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"TOML with [{name}], [bus] and [journal]")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help=f"one setting; KEY alone is of [{name}]"
    )
    parser.add_argument(
        "--tied", action="store_true", help="stop when standard input closes: whoever started it is gone"
    )
    parser.add_argument(
        "--log-level", default="INFO", choices=["DEBUG", "INFO", "WARNING", "ERROR"], help="default: INFO"
    )
    return parser


def _flags(name: str, words: Sequence[str]) -> dict[str, dict[str, str]]:
    flags: dict[str, dict[str, str]] = {name: {}, "bus": {}, "journal": {}}
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
