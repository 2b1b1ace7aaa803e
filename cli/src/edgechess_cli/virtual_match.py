"""A match in virtual time: every component, the bus and the software table in one process, from one seed.

The table and what serves it are `virtual_table`'s; here are the director, the invariants and the end of the match.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable

import anyio
import chess

from edgechess_board.placement import Placement
from edgechess_cli.invariants import Invariants
from edgechess_cli.match_options import MatchOptions, MatchSummary
from edgechess_cli.power import Power
from edgechess_cli.virtual_table import Contexts, Start, VirtualSetup, VirtualTable
from edgechess_cli.virtual_time import run_virtual
from edgechess_inference_node import component as inference_node
from edgechess_inference_node.settings import Settings as InferenceNodeSettings
from edgechess_kit.bus import Delivery
from edgechess_kit.topics import Topics
from edgechess_match_director import component as match_director
from edgechess_match_director.settings import Settings as MatchDirectorSettings
from edgechess_twin import faults as twin_faults
from edgechess_twin.table import Table

MATCH_LIMIT_S = 48 * 3600.0  # virtual; a match that takes longer hangs


class Stuck(RuntimeError):
    """The match did not end within `MATCH_LIMIT_S` of virtual time. The text says where it stood."""


@dataclasses.dataclass(frozen=True, slots=True)
class MatchReport:
    """A finished virtual match, or several: `summary` is the last one's, `summaries` are all of them. `trace` is the SHA-256 over everything that was published, with its virtual time."""

    summary: MatchSummary
    summaries: tuple[MatchSummary, ...]
    trace: str
    breaches: tuple[str, ...]
    checks: int
    """How often the invariants were looked at."""
    stops: int
    kills: int
    links_lost: int
    accidents: tuple[str, ...]
    pgn: str
    final_placement: Placement


Observer = Callable[[Delivery], None]


def play_virtual(options: MatchOptions, observe: Observer | None = None) -> MatchReport:
    """The whole match, deterministically from `options.seed`. Raises Stuck."""
    return run_virtual(VirtualMatch(options, observe).run, seed=options.seed)


class VirtualMatch:
    """One match. `run` once."""

    def __init__(self, options: MatchOptions, observe: Observer | None = None) -> None:
        self._options = options
        self._observe = observe
        self._faults = twin_faults.parse(options.faults)
        self._topics = Topics()
        self._trace = hashlib.sha256()
        setup = VirtualSetup(
            options.seed, self._faults, options.arms, options.rotated, options.firmware, robot=options.robot
        )
        self._virtual = VirtualTable(setup, self._topics, self._published)
        self._requested: set[str] = set()
        self._summaries: dict[str, MatchSummary] = {}
        self._ended: anyio.Event
        self._invariants: Invariants
        self._last = ""

    async def run(self) -> MatchReport:
        options, virtual = self._options, self._virtual
        self._ended = anyio.Event()
        more: dict[str, Start] = {"match-director": self._start_director}
        if options.node_players:
            more["inference-node"] = self._start_node
        async with virtual.running(self._set_up, more):
            with anyio.move_on_after(MATCH_LIMIT_S):
                await self._ended.wait()
        self._invariants.at_the_end()
        if not self._ended.is_set():
            raise Stuck(f"seed {options.seed}: no end after {MATCH_LIMIT_S / 3600:.0f} h; last: {self._last}")
        summaries = tuple(self._summaries.values())
        return MatchReport(
            summaries[-1],
            summaries,
            self._trace.hexdigest(),
            tuple(self._invariants.breaches),
            self._invariants.checks,
            self._invariants.stops,
            sum(process.kills for process in virtual.processes.values()),
            virtual.links_lost,
            tuple(virtual.table.world.accidents),
            self._pgn(),
            virtual.table.world.placement(),
        )

    async def _set_up(self, table: Table) -> None:
        late_s = self._faults.mqtt_delay_max_s if self._faults.mqtt_delay else 0.0
        self._invariants = Invariants(self._topics, table, late_s)
        await table.person.arrange(chess.Board(self._options.start_fen or chess.STARTING_FEN).board_fen())

    async def _start_director(self, _power: Power, context: Contexts) -> None:
        options = self._options
        settings = MatchDirectorSettings(
            autostart=True,
            white=options.white,
            black=options.black,
            fen=options.start_fen or "",
            session_id=f"virtual-{options.seed}",
            robot_enabled=options.robot,
            max_plies=options.max_plies or 0,
            matches=options.matches,
            seed=options.seed,
            inline=True,
            pgn_path=str(options.pgn) if options.pgn else "",
            node_players=options.node_players,
        )
        await match_director.run(context(settings))

    async def _start_node(self, _power: Power, context: Contexts) -> None:
        settings = InferenceNodeSettings(
            seed=self._options.seed, inline=True, http_port=0, engines=1, **self._options.node
        )
        await inference_node.run(context(settings))

    # -- what is seen, and what goes wrong -------------------------------------------------------------------------

    def _published(self, sender: str, topic: str, payload: bytes) -> None:
        self._trace.update(f"{anyio.current_time():.6f} {sender} {topic} ".encode() + payload + b"\n")
        self._invariants.observe(sender, topic, payload)
        if self._observe is not None:
            self._observe(Delivery(topic, payload))
        if topic == self._topics.cloud_request.name:
            self._misfortune(payload)
        elif topic == self._topics.cloud_response.name:
            self._last = payload.decode(errors="replace")
        elif topic == self._topics.events.name and b'"summary"' in payload:
            event = self._topics.events.decode(payload)
            summary = MatchSummary.told_by(event)
            if summary is not None and event.session_id is not None:
                self._summaries[event.session_id] = summary
                if len(self._summaries) == self._options.matches or summary.termination.startswith("abandoned"):
                    self._ended.set()

    def _misfortune(self, payload: bytes) -> None:
        """Rolled once per new move request, so that the rates are per move."""
        token = self._topics.cloud_request.decode(payload).task_token
        if token not in self._requested:
            self._requested.add(token)
            self._virtual.misfortune(self._invariants.stop_sent)

    def _pgn(self) -> str:
        path = self._options.pgn
        return path.read_text(encoding="utf-8") if path is not None and path.exists() else ""
