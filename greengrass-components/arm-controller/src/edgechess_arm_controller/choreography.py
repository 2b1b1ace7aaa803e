"""From one position to another: which piece is carried from where to where, in which order. Pure.

A place is a square ("e4"), a tray slot ("tray-white-3") or a rack slot ("rack-white-0"). Captured pieces go to the
executing arm's first free tray slot, and to another tray when its own is full; promoted pieces come from its own rack,
else from a tray, else from another rack (a captured queen is as good as a spare one).
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Literal

import chess

from edgechess_arm_controller.errors import JobRefused
from edgechess_arm_controller.slots import Slot, Slots

EMPTY: frozenset[str] = frozenset()
Squares = Mapping[str, str]
"""Square name -> FEN letter."""
Way = Literal["near", "any", "aside", "doubtful"]
HAND = "hand-"  # the place of a piece that an arm has in its gripper already: "hand-white"


@dataclasses.dataclass(frozen=True, slots=True)
class Carry:
    """One piece (a FEN letter) taken up at one place and put down at another."""

    piece: str
    from_place: str
    to_place: str

    def __str__(self) -> str:
        return f"{piece_name(self.piece)} {self.from_place} to {self.to_place}"


@dataclasses.dataclass(frozen=True, slots=True)
class Share:
    """What of a setup one arm is to do in one job, `limit` pieces at most.

    `turn`: "near" what belongs or stands on the squares of `near`, and what comes from its own slots; "any" whatever it
    can; "aside" one piece out of the way of others; "doubtful" whatever it can, and out of slots too that may have lost
    their piece: for when nothing else is possible, since a grasp that feels nothing ends a job.
    """

    arm: str
    limit: int
    turn: Way = "any"
    near: frozenset[str] = EMPTY


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


def from_hand_anywhere(before: str, after: str, arm: str, piece: str, slots: Slots) -> tuple[Carry, ...]:
    """As `from_hand`, for a setup: wherever the piece may go, best first. It may come out of a slot again.

    Raises JobRefused ("malformed", "no-slot").
    """
    now, wanted = pieces_on(before), pieces_on(after)
    places = [square for square, letter in wanted.items() if letter == piece and square not in now]
    store = _Store(slots, arm, EMPTY)
    try:
        while True:
            places.append(store.free_slot(piece))
    except JobRefused:
        if not places:
            raise
    return tuple(Carry(piece, f"{HAND}{arm}", place) for place in places)


def rearrangement(before: str, after: str, arm: str, slots: Slots, avoid: frozenset[str] = EMPTY) -> tuple[Carry, ...]:
    """The carries that turn any placement into any other one, for repairs: all of them or none.

    Pieces already right stay; a misplaced one goes to the nearest square that wants its like; missing ones come
    from racks and trays, surplus ones go to the tray; a ring of pieces that block each other is opened by way of
    a tray slot. Raises JobRefused ("malformed", "no-slot", "no-piece").
    """
    now, wanted = pieces_on(before), pieces_on(after)
    store = _Store(slots, arm, avoid)
    return _ordered(_pending(_unlike(now, wanted), _unlike(wanted, now), store), set(now), store)


def setup_carries(
    before: str, after: str, share: Share, slots: Slots, avoid: frozenset[str] = EMPTY
) -> tuple[Carry, ...]:
    """One arm's next carries of a setup, found as for a repair; what is not possible, or left to others, is left out.

    Trays are emptied before racks, and what a rack lacks goes back to it: from the board and, once nothing is to be done
    there, from the arm's own tray. Places in `avoid`, squares too, are left alone. None at all: nothing is left to do.
    Raises JobRefused ("malformed", "no-slot", "no-piece", "clearance") when nothing of what is left is possible.
    """
    now, wanted = pieces_on(before), pieces_on(after)
    surplus, missing = _unlike(now, wanted), _unlike(wanted, now)
    store = _Store(slots, share.arm, avoid, share)
    if not surplus and not missing:
        return tuple(store.tidying()[: share.limit])
    pending = _aside(surplus, missing, store) if share.turn == "aside" else _pending(surplus, missing, store)
    carries = _ordered(_unblocked(pending, set(now)), set(now), store)[: share.limit]
    if not carries:
        words = "what is left is another arm's, or stands in its own way"
        raise store.left_out or JobRefused("clearance", f"arm {share.arm}: {words}")
    return carries


def shares(before: str, after: str, near: Mapping[str, frozenset[str]], slots: Slots, limit: int) -> list[Share]:
    """A setup's next job in the order in which arms and ways are to be tried. `near`: the squares nearest to each arm.

    Every arm begins at what is nearest to it, that with most to do first, and goes further only when no arm can do
    anything there; then what only stands in the way steps aside. What may not be in its slot is felt for last of all, by
    the arm beside it.
    """

    def open_to(share: Share) -> int:
        try:
            return len(setup_carries(before, after, share, slots))
        except JobRefused:
            return 0

    begin = [Share(arm, len(chess.SQUARES), "near", squares) for arm, squares in near.items()]
    begin.sort(key=open_to, reverse=True)
    turns: tuple[Way, ...] = ("near", "any", "aside")
    tried = [dataclasses.replace(share, limit=limit, turn=turn) for turn in turns for share in begin]
    begin.sort(key=lambda share: not any(slot.doubtful and slot.piece and _beside(slot, share.arm) for slot in slots))
    return [*tried, *(dataclasses.replace(share, limit=limit, turn="doubtful") for share in begin)]


def _unlike(these: Squares, those: Squares) -> dict[str, str]:
    return {square: piece for square, piece in these.items() if those.get(square) != piece}


def _pending(surplus: Squares, missing: Squares, store: _Store) -> list[Carry]:
    """What is to be carried, in no order that heeds what stands in the way. Of a setup only what the share allows, and
    pieces go to open squares first, since perhaps no more than these can be done."""
    surplus = {**surplus}
    come = Counter(missing.values()) - Counter(surplus.values())
    go = Counter(surplus.values()) - Counter(missing.values())
    taken = EMPTY if store.share is None else frozenset(surplus)
    pending = []
    for target, piece in sorted(missing.items(), key=lambda item: item[0] in taken):
        if target in store.avoid:
            continue
        like = [square for square, other in surplus.items() if other == piece and square not in store.avoid]
        if like:
            source = min(like, key=lambda square, to=target: (_steps(square, to), square))  # type: ignore[misc]
            del surplus[source]
            if store.near(target):
                pending.append(Carry(piece, source, target))
        elif come[piece] > 0:
            come[piece] -= 1
            slot = store.possible(store.supply, piece)
            if slot is not None:
                pending.append(Carry(piece, slot, target))
    for square, piece in surplus.items():
        if go[piece] > 0 and square not in store.avoid and store.near(square):
            go[piece] -= 1
            slot = store.possible(store.free_slot, piece)
            if slot is not None:
                pending.append(Carry(piece, square, slot))
    return pending


def _aside(surplus: Squares, missing: Squares, store: _Store) -> list[Carry]:
    """One piece whose own squares are all taken; what waits for the square it stands on can go on."""
    for square, piece in surplus.items():
        open_to_it = any(letter == piece and at not in surplus for at, letter in missing.items())
        slot = None if open_to_it or square in store.avoid else store.possible(store.free_slot, piece)
        if slot is not None:
            return [Carry(piece, square, slot)]
    return []


def _unblocked(pending: list[Carry], occupied: set[str]) -> list[Carry]:
    """Without those whose target is occupied by something that stays."""
    leaving = {carry.from_place for carry in pending}
    rest = [carry for carry in pending if carry.to_place not in occupied or carry.to_place in leaving]
    return rest if len(rest) == len(pending) else _unblocked(rest, occupied)


def _ordered(pending: list[Carry], occupied: set[str], store: _Store) -> tuple[Carry, ...]:
    """An order in which every target is empty when its piece comes; rings are opened by way of the tray."""
    done: list[Carry] = []
    while pending:
        free = next((carry for carry in pending if carry.to_place not in occupied), None)
        if free is None:  # only rings are left: put one piece aside
            ring = pending[0]
            aside = store.possible(store.free_slot, ring.piece)
            if aside is None:
                break
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

    def __init__(self, slots: Slots, arm: str, avoid: frozenset[str], share: Share | None = None) -> None:
        self.avoid = avoid
        self.share = share
        self.left_out: JobRefused | None = None
        """The first thing that was not possible of a share."""
        self._slots = slots
        self._arm = arm
        self._used = set(avoid)

    def possible(self, find: Callable[[str], str], piece: str) -> str | None:
        """The slot that `find` finds for the piece. None: that is left out of a share; of a whole it raises JobRefused."""
        try:
            return find(piece)
        except JobRefused as error:
            if self.share is None:
                raise
            self.left_out = self.left_out or error
            return None

    def near(self, square: str) -> bool:
        """Whether what belongs or stands there is this arm's to do."""
        return self.share is None or self.share.turn != "near" or square in self.share.near

    def free_slot(self, piece: str) -> str:
        """The first free slot of the arm's own tray; when that is full, of another one (which the arm may not reach)."""
        if self.share is not None and (home := self._home(piece)) is not None:
            return home
        free = [slot for slot in self._slots.trays() if slot.free and slot.name not in self._used and self._ours(slot)]
        if not free:
            raise JobRefused(
                "no-slot", f"no tray within reach of arm {self._arm} has a free slot for the {piece_name(piece)}"
            )
        chosen = next((slot for slot in free if self._own(slot)), free[0]).name
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
        return _beside(slot, self._arm)

    def _ours(self, slot: Slot) -> bool:
        """Of a share near the arm: the other arms' slots are left to them."""
        return self._own(slot) or self.share is None or self.share.turn != "near"

    def supply(self, piece: str) -> str:
        """A slot that holds this piece: own rack, then any tray (own first), then other racks; doubtful ones last.

        In a setup the racks come last: they are for promotions.
        """

        def rank(slot: Slot) -> tuple[bool, bool, int]:
            own, rack = self._own(slot), slot.name.startswith("rack-")
            first = own and rack and self.share is None
            return (slot.doubtful, not first, 2 + (not own) if rack else (0 if own else 1))

        candidates = [slot for slot in self._slots if slot.piece == piece and slot.name not in self._used]
        if not candidates:
            raise JobRefused("no-piece", f"no {piece_name(piece)} in a rack or tray within reach of arm {self._arm}")
        best = min(candidates, key=rank)
        self._used.add(best.name)
        if not self._ours(best):
            raise JobRefused("no-piece", f"the {piece_name(piece)} is in {best.name}, beside another arm")
        if best.doubtful and self.share is not None and self.share.turn != "doubtful":
            raise JobRefused("no-piece", f"nobody is sure that the {piece_name(piece)} is in {best.name} still")
        return best.name


def _beside(slot: Slot, arm: str) -> bool:
    return slot.name.partition("-")[2].rpartition("-")[0] == arm


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
