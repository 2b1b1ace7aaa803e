"""The sensor's decisions, event by event."""

from __future__ import annotations

import chess
import pytest

from edgechess_board.placement import Placement, square_index
from edgechess_board.smart_board import Reading
from edgechess_board_sensor import sensor
from edgechess_board_sensor.position import Line
from edgechess_board_sensor.sensor import Announce, Effect, Expect, Processed, Show, State, decide
from edgechess_kit.messages import SessionState

START = chess.STARTING_FEN
CASTLING = "r3k2r/pppq1ppp/2npbn2/2b1p3/2B1P3/2NPBN2/PPPQ1PPP/R3K2R w KQkq - 0 1"


class Table:
    """A state and what it has said; time is given in steps."""

    def __init__(self, fen: str = START) -> None:
        self.state = State()
        self.effects: list[Effect] = []
        self.at_s = 100.0
        self.line = Line(fen)
        self.start = fen
        self.feed(sensor.BoardConnected(self.at_s, "01025"))
        self.see(self.line.placement)

    def feed(self, event: sensor.Event) -> None:
        self.state, effects = decide(self.state, event)
        self.effects += effects

    def wait(self, seconds: float) -> None:
        end_s = self.at_s + seconds
        while self.state.wake_at_s is not None and self.state.wake_at_s <= end_s:
            self.at_s = self.state.wake_at_s
            self.feed(sensor.Woken(self.at_s))
        self.at_s = end_s

    def see(self, placement: Placement, *, settled: bool = True, flickering: tuple[int, ...] = ()) -> None:
        self.wait(0.1)
        self.feed(sensor.BoardRead(self.at_s, Reading(placement, settled, self.at_s, flickering), rotated=False))

    def confirm(self, *moves: str, expecting: str | None = None, lan: str | None = None, session: str = "s1") -> None:
        self.line = self.line.forward(*moves)
        state = SessionState(
            status="running", session_id=session, start_fen=self.start, fen=self.line.fen, moves=self.line.moves[-20:],
            ply=self.line.ply, expecting=expecting, lan=lan,  # type: ignore[arg-type]
        )  # fmt: skip
        self.feed(sensor.SessionShown(self.at_s, state))

    def said(self) -> list[str]:
        """Announcements since the last call: "+e2e4", "-e2e4"."""
        said = [
            ("+" if effect.kind == "move" else "-") + effect.lan
            for effect in self.effects
            if isinstance(effect, Announce)
        ]
        self.effects = [effect for effect in self.effects if not isinstance(effect, Announce)]
        return said

    def shown(self) -> Show:
        return next(effect for effect in reversed(self.effects) if isinstance(effect, Show))

    def moved(self, origin: str, target: str) -> Placement:
        placement = self.line.placement
        piece = placement[square_index(origin)]
        return placement.with_piece(square_index(origin), None).with_piece(square_index(target), piece)


@pytest.fixture
def table() -> Table:
    table = Table()
    table.confirm()
    return table


@pytest.fixture
def castling() -> Table:
    table = Table(CASTLING)
    table.confirm()
    return table


def test_a_move_is_announced_when_it_has_settled(table: Table) -> None:
    table.see(table.moved("g1", "f3"), settled=False)
    assert table.said() == []
    assert not table.shown().settled
    table.see(table.moved("g1", "f3"))
    assert table.said() == ["+g1f3"]
    assert table.shown().settled
    table.see(table.moved("g1", "f3"))
    table.wait(10)
    assert table.said() == [], "once"


def test_the_session_takes_the_move_over(table: Table) -> None:
    table.see(table.moved("g1", "f3"))
    table.confirm(expecting="person", lan="g1f3")
    table.confirm("g1f3")
    table.wait(10)
    assert table.said() == ["+g1f3"]
    table.see(table.moved("b8", "c6"))
    assert table.said() == ["+b8c6"]


def test_a_slide_is_watched_before_it_is_believed(table: Table) -> None:
    table.see(table.moved("e2", "e3"))
    table.wait(0.5)
    assert table.said() == []
    table.see(table.moved("e2", "e4"), settled=False)
    table.see(table.moved("e2", "e4"))
    assert table.said() == ["+e2e4"]
    table.confirm("e2e4")
    table.see(table.moved("e7", "e6"))
    table.wait(1.0)
    assert table.said() == ["+e7e6"]


def test_a_slide_that_went_on_after_a_rest_is_corrected(table: Table) -> None:
    table.see(table.moved("e2", "e3"))
    table.wait(1.0)
    assert table.said() == ["+e2e3"]
    table.see(table.moved("e2", "e4"))
    assert table.said() == ["-e2e3", "+e2e4"]


def test_a_move_taken_back_before_it_was_confirmed(table: Table) -> None:
    table.see(table.moved("g1", "f3"))
    table.see(table.line.placement)
    table.wait(1)
    assert table.said() == ["+g1f3", "-g1f3"]


def test_confirmed_plies_taken_back(table: Table) -> None:
    table.confirm("e2e4", "e7e5", "g1f3")
    table.see(table.line.placement)
    table.see(table.line.back(1).placement)
    table.wait(1)
    assert table.said() == ["-g1f3"]
    table.see(table.line.back(3).placement)
    table.wait(4)
    assert table.said() == ["-e7e5", "-e2e4"]
    table.see(table.line.placement)
    table.wait(1)
    assert table.said() == ["+e2e4", "+e7e5", "+g1f3"]


def test_castling_king_first(castling: Table) -> None:
    castling.see(castling.moved("e1", "g1"))
    castling.wait(5)
    assert castling.said() == []
    castling.see(castling.line.forward("e1g1").placement)
    assert castling.said() == ["+e1g1"]


def test_castling_rook_first(castling: Table) -> None:
    half = castling.moved("h1", "f1")
    castling.see(half)
    castling.wait(1.3)
    castling.see(half.with_piece(square_index("e1"), None))
    castling.wait(5)
    castling.see(castling.line.forward("e1g1").placement)
    assert castling.said() == ["+e1g1"]


def test_castling_so_slow_that_the_rook_move_was_announced(castling: Table) -> None:
    castling.see(castling.moved("h1", "f1"))
    castling.wait(2)
    assert castling.said() == ["+h1f1"]
    castling.see(castling.line.forward("e1g1").placement)
    assert castling.said() == ["-h1f1", "+e1g1"]


def test_castling_so_slow_that_the_rook_move_was_confirmed(castling: Table) -> None:
    castled = castling.line.forward("e1g1").placement
    castling.see(castling.moved("h1", "f1"))
    castling.wait(2)
    castling.confirm("h1f1")
    castling.said()
    castling.see(castled)
    castling.wait(1)
    assert castling.said() == ["-h1f1", "+e1g1"]


def test_an_arms_piece_that_is_pushed_is_wrong_not_corrected(table: Table) -> None:
    table.confirm(expecting="arm", lan="e2e3")
    table.see(table.moved("e2", "e3"))
    table.confirm("e2e3")
    table.said()
    table.see(Line(START).forward("e2e4").placement)
    table.wait(5)
    assert table.said() == []
    assert table.shown().reason == "e3 is empty, expected a white pawn; e4 holds a white pawn, expected nothing"


def test_nothing_is_announced_or_named_while_an_arm_moves(table: Table) -> None:
    table.confirm(expecting="arm", lan="g1f3")
    table.see(table.line.placement.with_piece(square_index("g1"), None))
    table.see(table.moved("g1", "f3"))
    table.wait(5)
    assert table.said() == []
    assert table.shown().differences == ()
    table.confirm("g1f3")
    table.wait(5)
    assert table.said() == []


def test_what_the_arm_left_wrong_is_named_when_it_is_done(table: Table) -> None:
    table.confirm(expecting="arm", lan="g1f3")
    table.see(table.moved("g1", "h3").with_piece(square_index("h2"), None))
    table.confirm()
    assert [difference.square for difference in table.shown().differences] == [6, 15, 23]


def test_two_plies_in_one_window(table: Table) -> None:
    table.see(table.line.forward("g1f3").placement, settled=False)
    table.see(table.line.forward("g1f3", "g8f6").placement)
    assert table.said() == ["+g1f3", "+g8f6"]
    table.confirm("g1f3")
    table.confirm("g8f6")
    table.wait(5)
    assert table.said() == []


def test_two_plies_that_nobody_saw_one_by_one_are_watched_longer(table: Table) -> None:
    table.see(table.line.forward("g1f3", "g8f6").placement)
    table.wait(2.9)
    assert table.said() == []
    table.wait(0.2)
    assert table.said() == ["+g1f3", "+g8f6"]


def test_two_pieces_in_two_hands_are_not_two_plies() -> None:
    """Rb5xa5 with both pieces lifted looks like Rxb4 Qa5xb4 where queens stood on both squares."""
    table = Table("4k3/8/8/qR6/1q6/8/8/7K w - - 0 1")
    table.confirm()
    lifted = table.line.placement.with_piece(square_index("b5"), None).with_piece(square_index("a5"), None)
    table.see(lifted)
    table.wait(2)
    table.see(table.line.forward("b5a5").placement)
    table.wait(5)
    assert table.said() == ["+b5a5"]


def test_two_histories_of_one_position_are_told_apart_by_what_was_seen() -> None:
    table = Table("4k3/8/8/8/3p4/8/4P3/4K3 w - - 0 1")
    table.confirm()
    table.see(table.line.forward("e2e4").placement, settled=False)
    table.see(table.line.forward("e2e4", "d4e3").placement)
    assert table.said() == ["+e2e4", "+d4e3"]


def test_two_histories_of_one_position_that_nobody_saw_are_not_guessed() -> None:
    table = Table("4k3/8/8/8/3p4/8/4P3/4K3 w - - 0 1")
    table.confirm()
    table.see(table.line.forward("e2e4", "d4e3").placement)
    table.wait(5)
    assert table.said() == []
    assert "cannot be told" in (table.shown().reason or "")


def test_a_wrong_square_is_named_at_once(table: Table) -> None:
    table.see(table.line.placement.with_piece(square_index("e2"), None))
    assert table.shown().reason == "e2 is empty, expected a white pawn"
    table.see(table.line.placement)
    assert table.shown().reason is None
    assert table.shown().differences == ()


def test_a_person_who_was_asked_for_a_move_is_told_what_is_missing(table: Table) -> None:
    table.confirm(expecting="person", lan="e2e4")
    table.see(table.line.placement.with_piece(square_index("e2"), None))
    assert table.shown().reason == "e4 is empty, expected a white pawn"


def test_flicker_is_named(table: Table) -> None:
    table.see(table.line.placement, settled=False, flickering=(28,))
    assert table.shown().reason == "e4 keeps changing: is a piece off its centre?"


def test_the_board_is_told_what_to_expect(table: Table) -> None:
    table.confirm("e2e4")
    expected = [effect.placement for effect in table.effects if isinstance(effect, Expect)]
    assert expected == [Line(START).placement, table.line.placement]


def test_a_lost_board_is_blind_and_forgets_what_it_saw(table: Table) -> None:
    table.see(table.moved("e2", "e3"))
    table.feed(sensor.BoardLost(table.at_s, "unplugged"))
    table.wait(5)
    assert table.said() == []
    assert (table.shown().connected, table.shown().placement, table.shown().reason) == (False, None, "unplugged")
    table.feed(sensor.BoardConnected(table.at_s, "01025"))
    assert table.shown().connected
    assert table.shown().placement is None
    table.see(table.line.forward("g1f3").placement)
    assert table.said() == ["+g1f3"]


def test_without_a_session_nothing_is_recognised() -> None:
    table = Table()
    table.see(table.moved("g1", "f3"))
    assert table.said() == []
    assert table.shown().differences == ()


def test_a_session_that_ended_is_over(table: Table) -> None:
    table.feed(sensor.SessionShown(table.at_s, SessionState(status="ended", session_id="s1", fen=START)))
    table.see(table.moved("g1", "f3"))
    assert table.said() == []


def test_a_state_that_was_overtaken_is_ignored(table: Table) -> None:
    table.confirm("g1f3", "g8f6")
    table.see(table.line.placement)
    late = SessionState(
        status="running", session_id="s1", start_fen=START, fen=Line(START).forward("g1f3").fen, moves=("g1f3",), ply=1,
        expecting="arm",
    )  # fmt: skip
    table.feed(sensor.SessionShown(table.at_s, late))
    table.see(table.moved("b1", "c3"))
    assert table.said() == ["+b1c3"]


def test_another_session_starts_afresh(table: Table) -> None:
    table.see(table.moved("g1", "f3"))
    table.said()
    table.confirm(session="s2")
    assert table.said() == ["+g1f3"], "the move stands on the board of the new session"


def test_a_long_session_keeps_the_last_plies_only(table: Table) -> None:
    for move in ("g1f3", "g8f6", "f3g1", "f6g8") * 10:
        table.see(table.line.forward(move).placement)
        table.wait(1)
        table.confirm(move)
    assert len(table.said()) == 40
    assert table.state.session is not None
    assert (len(table.state.session.line.moves), table.state.session.line.ply) == (20, 40)


def test_after_a_restart_in_mid_game_only_the_position_is_known() -> None:
    table = Table()
    state = SessionState(
        status="running", session_id="s1", start_fen=START, fen=Line(START).forward("e2e4").fen, moves=("e2e4",), ply=31
    )
    table.feed(sensor.SessionShown(table.at_s, state))
    assert table.state.session is not None
    assert table.state.session.line.moves == ()
    table.see(Line(START).forward("e2e4", "g8f6").placement)
    assert table.said() == ["+g8f6"]


def test_a_position_that_is_none_changes_nothing(table: Table) -> None:
    bad = SessionState(status="running", session_id="s1", fen="not a position at all", ply=1)
    table.feed(sensor.SessionShown(table.at_s, bad))
    table.see(table.moved("g1", "f3"))
    assert table.said() == ["+g1f3"]


class TestProcessed:
    def test_the_move_came(self, table: Table) -> None:
        after = table.line.forward("e2e4").placement
        table.feed(sensor.MoveAwaited(table.at_s, "e2e4", after, table.at_s + 90))
        table.see(table.line.placement.with_piece(square_index("e2"), None))
        table.see(after)
        assert [effect for effect in table.effects if isinstance(effect, Processed)] == [Processed(200, "e2e4")]

    def test_it_did_not(self, table: Table) -> None:
        after = table.line.forward("e2e4").placement
        table.feed(sensor.MoveAwaited(table.at_s, "e2e4", after, table.at_s + 90))
        table.wait(91)
        (processed,) = [effect for effect in table.effects if isinstance(effect, Processed)]
        assert (processed.status, processed.lan) == (500, "e2e4")
        assert processed.reason == "e2 holds a white pawn, expected nothing; e4 is empty, expected a white pawn"
