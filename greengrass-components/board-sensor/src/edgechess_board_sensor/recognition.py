"""What happened on the board: the whole placement against every legal continuation of the confirmed position.

Only settled placements come here. A placement either is a position that a game can reach from the confirmed one, or it
is wrong, square by square; the order in which pieces were touched plays no part. So any order in a capture, king first
or rook first, a pawn walked to the last rank and exchanged, need no rules: half-done moves match nothing and wait.

What a placement alone cannot tell is whether the hand has finished: e2-e3 may go on to e4, Rh1-f1 may become castling.
`may_become` says so, and the caller waits before it believes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Literal

import chess

from edgechess_board.placement import Difference, Placement, piece_name, square_name
from edgechess_board_sensor.position import Line

Becoming = Literal["slide", "castling"]

Bitboards = tuple[int, ...]

ONE_PLY_CHANGES = 4  # squares that one ply can change: castling
NAMED_LIMIT = 8  # squares put into one sentence; more is a different position, not a mistake


@dataclasses.dataclass(frozen=True, slots=True)
class Recognised:
    """The placement is the end of this line: the confirmed one, some plies of it taken back, some plies played."""

    taken_back: int = 0
    played: tuple[str, ...] = ()
    may_become: Becoming | None = None
    """The last ply may be the first half of a longer slide of the same piece, or of castling by the same rook."""


@dataclasses.dataclass(frozen=True, slots=True)
class Ambiguous:
    """Several histories lead to this placement (e4 dxe3 en passant, or e3 dxe3). All of them, in a fixed order."""

    choices: tuple[Recognised, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Wrong:
    """No game leads here from what is confirmed."""

    differences: tuple[Difference, ...]


Finding = Recognised | Ambiguous | Wrong


def recognise(placement: Placement, line: Line, *, correctable: bool = False) -> Finding:
    """What the settled placement means, given what is confirmed.

    In this order: unchanged; one legal ply; the last ply taken back; with `correctable` (the last ply was a person's,
    recognised here) that ply completed, a rook move to castling or a slide to a longer one; then, all alike, two plies
    and more plies taken back. The first that fits is meant, since the smaller change is; several of the last kind are
    ambiguous.
    """
    if placement == line.placement:
        return Recognised()
    board, wanted = line.board, _bitboards(placement)
    for move in _leading_to(board, wanted):
        return Recognised(played=(move.uci(),), may_become=may_become(board, move))
    if line.moves:
        before = line.back(1)
        if placement == before.placement:
            return Recognised(taken_back=1)
        if correctable:
            last, earlier = chess.Move.from_uci(line.moves[-1]), before.board
            for move in _leading_to(earlier, wanted):
                if move in _completions(earlier, last):
                    return Recognised(1, (move.uci(),), may_become(earlier, move))
    choices = (*_two_plies(board, wanted), *_taken_back(line, placement))
    if not choices:
        return Wrong(placement.differences(line.placement))
    return choices[0] if len(choices) == 1 else Ambiguous(choices)


def _leading_to(board: chess.Board, wanted: Bitboards) -> Iterator[chess.Move]:
    """Legal moves after which the board shows what is wanted: at most one, as no two moves give the same squares."""
    changed = _changed(board, wanted)
    if changed.bit_count() > ONE_PLY_CHANGES:
        return
    for move in list(board.generate_legal_moves(changed, changed)):
        board.push(move)
        leads = not _changed(board, wanted)
        board.pop()
        if leads:
            yield move


def _two_plies(board: chess.Board, wanted: Bitboards) -> tuple[Recognised, ...]:
    found: list[Recognised] = []
    changed = _changed(board, wanted)
    if changed.bit_count() > 2 * ONE_PLY_CHANGES:
        return ()
    for first in list(board.generate_legal_moves(changed)):  # its own square stays left, whatever the second ply does
        board.push(first)
        found += [
            Recognised(played=(first.uci(), second.uci()), may_become=may_become(board, second))
            for second in _leading_to(board, wanted)
        ]
        board.pop()
    return tuple(found)


def _bitboards(placement: Placement) -> Bitboards:
    """White, Black, pawns, knights, bishops, rooks, queens, kings: what python-chess compares fastest."""
    masks = {"white": 0, "black": 0, **dict.fromkeys("pnbrqk", 0)}
    for square, piece in enumerate(placement):
        if piece is not None:
            masks["white" if piece.isupper() else "black"] |= chess.BB_SQUARES[square]
            masks[piece.lower()] |= chess.BB_SQUARES[square]
    return tuple(masks.values())


def _changed(board: chess.Board, wanted: Bitboards) -> int:
    """Squares on which the board does not show what is wanted, as a mask."""
    shown = (
        board.occupied_co[chess.WHITE], board.occupied_co[chess.BLACK],
        board.pawns, board.knights, board.bishops, board.rooks, board.queens, board.kings,
    )  # fmt: skip
    changed = 0
    for one, other in zip(shown, wanted, strict=True):
        changed |= one ^ other
    return changed


def _taken_back(line: Line, placement: Placement) -> tuple[Recognised, ...]:
    """Two plies or more. A position that stood twice counts once: the fewest plies."""
    for plies in range(2, len(line.moves) + 1):
        if line.back(plies).placement == placement:
            return (Recognised(taken_back=plies),)
    return ()


def may_become(board: chess.Board, move: chess.Move) -> Becoming | None:
    """Of what longer move, seen so far, this legal one could be the beginning. Castling before a slide."""
    longer = _completions(board, move)
    if any(board.is_castling(other) and other.from_square != move.from_square for other in longer):
        return "castling"
    return "slide" if longer else None


def _completions(board: chess.Board, move: chess.Move) -> tuple[chess.Move, ...]:
    """Legal moves of which `move` may be the first half: the same piece farther along its line, or castling with the
    rook that moved. Knights and promotions are never a half."""
    if move.promotion is not None or board.is_castling(move):
        return ()
    longer = [
        other
        for other in board.legal_moves
        if other != move
        and other.from_square == move.from_square
        and chess.BB_SQUARES[move.to_square] & chess.between(other.from_square, other.to_square)
    ]
    if board.piece_type_at(move.from_square) == chess.ROOK:
        longer += [
            other
            for other in board.legal_moves
            if board.is_castling(other) and (move.from_square, move.to_square) == _rook_way(board, other)
        ]
    return tuple(longer)


def _rook_way(board: chess.Board, castling: chess.Move) -> tuple[chess.Square, chess.Square]:
    """From where to where the rook goes in this castling move of ordinary chess."""
    rank = chess.square_rank(castling.from_square)
    if board.is_kingside_castling(castling):
        return chess.square(7, rank), chess.square(5, rank)
    return chess.square(0, rank), chess.square(3, rank)


# ------------------------------------------------------------------------------------------------ what is wrong


def explain(differences: tuple[Difference, ...]) -> str:
    """One sentence that a person at the table can act on; "" for no difference.

    Two pieces on each other's squares are said to be swapped; everything else is said square by square.
    """
    swapped = _swaps(differences)
    parts = [
        f"the {piece_name(one.found or '')} on {square_name(one.square)} and the {piece_name(other.found or '')}"
        f" on {square_name(other.square)} are swapped"
        for one, other in swapped
    ]
    in_swaps = {difference.square for pair in swapped for difference in pair}
    parts += [str(difference) for difference in differences if difference.square not in in_swaps]
    named, more = parts[:NAMED_LIMIT], len(parts) - NAMED_LIMIT
    return "; ".join(named) + (f"; and {more} more squares" if more > 0 else "")


def _swaps(differences: tuple[Difference, ...]) -> list[tuple[Difference, Difference]]:
    """Pairs of squares, each holding the piece expected on the other; each square in one pair at most, a1 first."""
    pairs: list[tuple[Difference, Difference]] = []
    taken: set[int] = set()
    for number, one in enumerate(differences):
        if one.found is None or one.expected is None or one.square in taken:
            continue
        for other in differences[number + 1 :]:
            if other.square not in taken and (other.found, other.expected) == (one.expected, one.found):
                pairs.append((one, other))
                taken |= {one.square, other.square}
                break
    return pairs
