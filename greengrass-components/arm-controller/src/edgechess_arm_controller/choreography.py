"""From one position to another: which piece is carried from where to where, in which order. Pure.

A place is a square ("e4"), a tray slot ("tray-white-3") or a rack slot ("rack-white-0"). Captured pieces go to the
executing arm's first free tray slot, and to another tray when its own is full; promoted pieces come from its own rack,
else from a tray, else from another rack (a captured queen is as good as a spare one).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import chess

from edgechess_arm_controller.errors import JobRefused
from edgechess_arm_controller.slots import Slot, Slots

EMPTY: frozenset[str] = frozenset()
HAND = "hand-"  # the place of a piece that an arm has in its gripper already: "hand-white"


@dataclasses.dataclass(frozen=True, slots=True)
class Carry:
    """One piece (a FEN letter) taken up at one place and put down at another."""

    piece: str
    from_place: str
    to_place: str

    def __str__(self) -> str:
        return f"{piece_name(self.piece)} {self.from_place} to {self.to_place}"


def piece_name(letter: str) -> str:
    """ "N" -> "white knight"."""
    piece = chess.Piece.from_symbol(letter)
    return f"{chess.COLOR_NAMES[piece.color]} {chess.piece_name(piece.piece_type)}"


def pieces_on(fen: str) -> dict[str, str]:
    """Square name -> FEN letter of a position or placement. Raises JobRefused("malformed")."""
    try:
        board = chess.BaseBoard(fen.split(" ", 1)[0])
    except ValueError as error:
        raise JobRefused("malformed", f"not a position: {error}") from error
    return {chess.square_name(square): piece.symbol() for square, piece in sorted(board.piece_map().items())}


def move_carries(
    before: str, after: str, lan: str, arm: str, slots: Slots, avoid: frozenset[str] = EMPTY
) -> tuple[Carry, ...]:
    """The carries of one legal move by one arm; `lan` may be empty. Slots named in `avoid` are not used.

    Order: what must leave the board first, then the mover (a king before its rook). Raises JobRefused
    ("malformed", "illegal", "no-slot", "no-piece").
    """
    board = _position(before)
    move = _move(board, pieces_on(after), lan)
    source, target = chess.square_name(move.from_square), chess.square_name(move.to_square)
    store = _Store(slots, arm, avoid)
    mover = _letter(board, move.from_square)
    if board.is_castling(move):
        rank = chess.square_rank(move.from_square)
        kingside = chess.square_file(move.to_square) > chess.square_file(move.from_square)
        rook = chess.square_name(chess.square(7 if kingside else 0, rank))
        beside = chess.square_name(chess.square(5 if kingside else 3, rank))
        return (Carry(mover, source, target), Carry("R" if board.turn else "r", rook, beside))
    carries = []
    if board.is_capture(move):
        at = move.to_square
        if board.is_en_passant(move):  # the taken pawn stands beside the target, on the mover's rank
            at = chess.square(chess.square_file(move.to_square), chess.square_rank(move.from_square))
        taken = _letter(board, at)
        carries.append(Carry(taken, chess.square_name(at), store.free_slot(taken)))
    if move.promotion is None:
        return (*carries, Carry(mover, source, target))
    promoted = chess.Piece(move.promotion, board.turn).symbol()
    supply = store.supply(promoted)  # looked up before the pawn lies in the tray: it is not what we want
    return (*carries, Carry(mover, source, store.free_slot(mover)), Carry(promoted, supply, target))


def from_hand(before: str, after: str, arm: str, piece: str, slots: Slots, avoid: frozenset[str] = EMPTY) -> Carry:
    """Where the piece that the arm has in its gripper goes: to an empty square that lacks it, else into the tray.

    Raises JobRefused ("malformed", "no-slot").
    """
    now, wanted = pieces_on(before), pieces_on(after)
    lacking = [square for square, letter in wanted.items() if letter == piece and now.get(square) != piece]
    free = [square for square in lacking if square not in now]
    if lacking and not free:
        raise JobRefused("clearance", f"the {piece_name(piece)} belongs on {lacking[0]}, where something stands")
    return Carry(piece, f"{HAND}{arm}", free[0] if free else _Store(slots, arm, avoid).free_slot(piece))


def rearrangement(
    before: str, after: str, arm: str, slots: Slots, avoid: frozenset[str] = EMPTY, *, setup: bool = False
) -> tuple[Carry, ...]:
    """The carries that turn any placement into any other one, for repairs and setups.

    Pieces already right stay; a misplaced one goes to the nearest square that wants its like; missing ones come
    from racks and trays, surplus ones go to the tray; a ring of pieces that block each other is opened by way of
    a tray slot. In a setup trays are emptied before racks, and what a rack lacks goes back to it, from the board and, once
    nothing is to be done there, from the arm's own tray. Raises JobRefused ("malformed", "no-slot", "no-piece").
    """
    now, wanted = pieces_on(before), pieces_on(after)
    surplus = {square: piece for square, piece in now.items() if wanted.get(square) != piece}
    missing = {square: piece for square, piece in wanted.items() if now.get(square) != piece}
    store = _Store(slots, arm, avoid, setup=setup)
    pending: list[Carry] = [] if surplus or missing or not setup else store.tidying()
    for target, piece in missing.items():
        like = [square for square, other in surplus.items() if other == piece]
        if like:
            source = min(like, key=lambda square, to=target: (_steps(square, to), square))  # type: ignore[misc]
            del surplus[source]
        else:
            source = store.supply(piece)
        pending.append(Carry(piece, source, target))
    for square, piece in surplus.items():
        pending.append(Carry(piece, square, store.free_slot(piece)))
    return _ordered(pending, set(now), store)


def _ordered(pending: list[Carry], occupied: set[str], store: _Store) -> tuple[Carry, ...]:
    """An order in which every target is empty when its piece comes; rings are opened by way of the tray."""
    done: list[Carry] = []
    while pending:
        free = next((carry for carry in pending if carry.to_place not in occupied), None)
        if free is None:  # only rings are left: put one piece aside
            ring = pending[0]
            aside = store.free_slot(ring.piece)
            pending[0] = Carry(ring.piece, aside, ring.to_place)
            free = Carry(ring.piece, ring.from_place, aside)
        else:
            pending.remove(free)
        occupied.discard(free.from_place)
        occupied.add(free.to_place)
        done.append(free)
    return tuple(done)


class _Store:
    """Slots given out so far in one choreography, so that none is used twice."""

    def __init__(self, slots: Slots, arm: str, avoid: frozenset[str], *, setup: bool = False) -> None:
        self._slots = slots
        self._arm = arm
        self._used = set(avoid)
        self._setup = setup

    def free_slot(self, piece: str) -> str:
        """The first free slot of the arm's own tray; when that is full, of another one (which the arm may not reach)."""
        if self._setup and (home := self._home(piece)) is not None:
            return home
        prefix = f"tray-{self._arm}-"
        free = [slot.name for slot in self._slots.trays() if slot.free and slot.name not in self._used]
        if not free:
            raise JobRefused(
                "no-slot", f"no tray within reach of arm {self._arm} has a free slot for the {piece_name(piece)}"
            )
        chosen = next((name for name in free if name.startswith(prefix)), free[0])
        self._used.add(chosen)
        return chosen

    def tidying(self) -> list[Carry]:
        """Spare pieces that lie in the arm's own tray, to the rack slots that lack them."""
        carries = []
        for slot in self._slots.trays():
            if slot.piece is None or slot.doubtful or slot.name in self._used or not self._own(slot):
                continue
            home = self._home(slot.piece)
            if home is not None:
                carries.append(Carry(slot.piece, slot.name, home))
        return carries

    def _home(self, piece: str) -> str | None:
        """A rack slot that lacks this piece, the arm's own first."""
        lacking = [
            slot for slot in self._slots.racks() if slot.free and slot.home == piece and slot.name not in self._used
        ]
        chosen = min(lacking, key=lambda slot: not self._own(slot), default=None)
        if chosen is None:
            return None
        self._used.add(chosen.name)
        return chosen.name

    def _own(self, slot: Slot) -> bool:
        return slot.name.split("-")[1] == self._arm

    def supply(self, piece: str) -> str:
        """A slot that holds this piece: own rack, then any tray (own first), then other racks; doubtful ones last.

        In a setup the racks come last: they are for promotions.
        """

        def rank(slot: Slot) -> tuple[bool, bool, int]:
            own, rack = self._own(slot), slot.name.startswith("rack-")
            first = own and rack and not self._setup
            return (slot.doubtful, not first, 2 + (not own) if rack else (0 if own else 1))

        candidates = [slot for slot in self._slots if slot.piece == piece and slot.name not in self._used]
        if not candidates:
            raise JobRefused("no-piece", f"no {piece_name(piece)} in a rack or tray within reach of arm {self._arm}")
        best = min(candidates, key=rank).name
        self._used.add(best)
        return best


def _position(fen: str) -> chess.Board:
    try:
        return chess.Board(fen)
    except ValueError as error:
        raise JobRefused("malformed", f"before is not a position: {error}") from error


def _move(board: chess.Board, after: Mapping[str, str], lan: str) -> chess.Move:
    """The legal move that leads to the placement `after`; the text, where there is one, must mean the same."""
    for move in sorted(board.legal_moves, key=chess.Move.uci):
        if lan and move.uci() != lan:
            continue
        result = board.copy(stack=False)
        result.push(move)
        if pieces_on(result.board_fen()) == after:
            return move
    raise JobRefused("illegal", f"{lan or 'no legal move'} does not lead from before to after")


def _letter(board: chess.Board, square: chess.Square) -> str:
    piece = board.piece_at(square)
    assert piece is not None, "a legal move has a piece at both ends of what it takes"
    return piece.symbol()


def _steps(a: str, b: str) -> int:
    return chess.square_distance(chess.parse_square(a), chess.parse_square(b))
