"""An answer as a language model writes it -> one legal move, or a failure with a name.

Tried in this order, and the first that says anything decides: `<move>` tags, a JSON object with a move in it, a line
that is a move and nothing else, a line that announces one ("best move: Nf3"), moves anywhere in the prose. Where that
names two different legal moves the answer is ambiguous: we do not guess which one was meant.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator

import chess

from edgechess_inference.ladder.account import Failure

ANSWER_LIMIT = 20_000  # characters of an answer that are read; a move is said in the first or the last of them
REASON_LIMIT = 300  # characters; what stands beside a move in a record
NAMED_LIMIT = 5  # moves named in one failure

_MOVE_TAG = re.compile(r"<\s*move\s*>\s*(.*?)\s*(?:<\s*/\s*move\s*>|$|\n)", re.IGNORECASE | re.DOTALL)
_REASON_TAG = re.compile(r"<\s*reason\s*>\s*(.*?)\s*(?:<\s*/\s*reason\s*>|<\s*move|$)", re.IGNORECASE | re.DOTALL)
_THOUGHT = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.IGNORECASE | re.DOTALL)
_JSON_OBJECT = re.compile(r"\{[^{}]*\}")
_MOVE_KEYS = ("move", "bestmove", "best_move", "san", "uci", "lan", "answer")
_REASON_KEYS = ("reason", "reasoning", "explanation", "why")
_FENCE = re.compile(r"^\s*```.*$", re.MULTILINE)
_NUMBER = re.compile(r"^\s*\d{1,3}\s*\.(?:\s*\.\s*\.|\s*…)?\s*|^\s*(?:\.\.\.|…)\s*")
_SQUARE = r"[a-h][1-8]"
_MOVE = (
    rf"(?:[KQRBN][a-h]?[1-8]?[x:-]?{_SQUARE}"  # a piece, with or without where it comes from
    rf"|{_SQUARE}[x-]?{_SQUARE}(?:=?[QRBNqrbn])?"  # UCI and long algebraic
    rf"|(?:[a-h][x:])?{_SQUARE}(?:\s?[=/]?\(?[QRBNqrbn]\)?(?![a-zA-Z]))?"  # a pawn
    r"|[O0o]-[O0o](?:-[O0o])?)"
)
_IN_PROSE = re.compile(rf"(?<![A-Za-z0-9-])(?:\d{{1,3}}\.(?:\.\.)?\s?)?({_MOVE})(?:[+#!?]*)(?![A-Za-z0-9-])")
_ANNOUNCED = re.compile(
    r"(?:best\s*move|my\s+move|move|answer|i(?:\s+will|'ll|\s+would)?\s+play|i\s+choose|played?)\s*(?:is|would\s+be)?\s*[:=]?\s*"
    rf"[\"'`*]*((?:\d{{1,3}}\.(?:\.\.)?\s?)?{_MOVE})(?![A-Za-z0-9-])",
    re.IGNORECASE,
)
_FIGURINES = str.maketrans("♔♕♖♗♘♚♛♜♝♞", "KQRBNKQRBN", "♙♟\u200b\ufeff")
_WORDS = {"king": "K", "queen": "Q", "rook": "R", "bishop": "B", "knight": "N", "pawn": ""}
_IN_WORDS = re.compile(
    rf"\b({'|'.join(_WORDS)})(?:\s+(?:from\s+)?({_SQUARE}))?\s+(?:to|takes|captures|x)?\s*(?:on\s+)?({_SQUARE})\b",
    re.IGNORECASE,
)
_CASTLES_LONG = re.compile(r"\bcastl\w*\s+(?:queen|long)\w*|\b(?:queen\W?side|long)\s+castl\w*", re.IGNORECASE)
_CASTLES_SHORT = re.compile(r"\bcastl\w*\s+(?:king|short)\w*|\b(?:king\W?side|short)\s+castl\w*", re.IGNORECASE)
_SHORT = re.compile(r"(?:\S{2,9}|\d{1,3}\.\s?\S{2,9})")  # a line that can hold nothing but a move
_LIKE_A_MOVE = re.compile(
    r"^[KQRBNkqrbnP]?[a-z]?\d?[x:-]?[a-z]\d(?:=?[a-zA-Z])?$|^[0Oo](?:-[0Oo]){1,2}$", re.IGNORECASE
)
_AROUND = " \t\r\n\"'`*_.,;:()[]<>{}"


@dataclasses.dataclass(frozen=True, slots=True)
class Read:
    """A legal move in UCI, and the short reason where one was given."""

    uci: str
    reason: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Unread:
    """`failure` is "no-answer", "no-move", "ambiguous" or "illegal"; `why` is a sentence that a model can be told."""

    failure: Failure
    why: str


def read_answer(board: chess.Board, text: str | None) -> Read | Unread:
    """Never raises, whatever the text. The move is legal on `board`."""
    if text is None or not text.strip():
        return Unread("no-answer", "The answer was empty.")
    text = text if len(text) <= ANSWER_LIMIT else text[: ANSWER_LIMIT // 2] + "\n" + text[-ANSWER_LIMIT // 2 :]
    text = _THOUGHT.sub(" ", text).translate(_FIGURINES)
    if not text.strip():
        return Unread("no-answer", "There are thoughts, and no answer after them.")
    reason = _reason(text)
    tagged = _MOVE_TAG.findall(text)
    if tagged:
        return _decided(board, tagged, reason, firm=True)
    objects = list(_objects(text))
    said = [str(found[key]) for found in objects for key in _MOVE_KEYS if isinstance(found.get(key), str)]
    if said:
        told = next((str(found[key]) for found in objects for key in _REASON_KEYS if key in found), None)
        return _decided(board, said, reason or _short(told), firm=True)
    bare = _FENCE.sub("", text)
    for candidates in (_alone(bare), _ANNOUNCED.findall(bare), _anywhere(bare)):
        verdict = _decided(board, candidates, reason, firm=False)
        if not (isinstance(verdict, Unread) and verdict.failure == "no-move"):
            return verdict
    return Unread("no-move", "The answer names no move.")


def read_move(board: chess.Board, text: str) -> str | Unread:
    """One move as it may be written, in UCI. The text holds a move and at most its number and decoration."""
    cleaned = _NUMBER.sub("", text.strip(_AROUND)).strip(_AROUND).rstrip("+#!?").strip(_AROUND)
    cleaned = re.sub(r"\s*e\.?\s?p\.?$", "", cleaned)
    if not cleaned:
        return Unread("no-move", "There is no move in the answer.")
    doubt: Unread | None = None
    for spelling in _spellings(cleaned):
        try:
            move = _parse(board, spelling)
        except chess.AmbiguousMoveError:
            doubt = doubt or _which(board, cleaned)
            continue
        except ValueError:
            continue
        if move:
            return move.uci()
    if doubt is not None:
        return doubt
    return _not_legal(board, cleaned)


def _decided(board: chess.Board, candidates: Iterable[str], reason: str | None, *, firm: bool) -> Read | Unread:
    """One verdict over all candidates. `firm`: whatever stands there was meant as a move."""
    legal: list[str] = []
    wrong: Unread | None = None
    for candidate in dict.fromkeys(candidates):
        found = read_move(board, candidate)
        if firm and isinstance(found, Unread) and found.failure != "ambiguous" and " " in candidate.strip():
            inside = _decided(board, _anywhere(candidate), reason, firm=False)  # "e4 because it takes the centre"
            found = inside.uci if isinstance(inside, Read) else inside
        if isinstance(found, str):
            legal.append(found)
        elif wrong is None or wrong.failure == "no-move":
            wrong = found
    legal = list(dict.fromkeys(legal))
    if len(legal) > 1:
        named = ", ".join(board.san(chess.Move.from_uci(uci)) for uci in legal[:NAMED_LIMIT])
        return Unread("ambiguous", f"The answer names several moves: {named}.")
    if legal and not (firm and wrong is not None and wrong.failure == "illegal"):
        return Read(legal[0], reason)
    return wrong or Unread("no-move", "The answer names no move.")


def _spellings(text: str) -> Iterator[str]:
    """What the text may stand for, the likeliest first."""
    yield text
    compact = re.sub(r"\s+", "", text)
    plain = re.sub(r"[/(]=?([QRBNqrbn])\)?$", r"=\1", compact).replace(":", "x")
    if set(plain.upper()) <= set("0O-") and plain:
        yield plain.upper().replace("0", "O")
        return
    yield plain
    if plain[:1] in "nrqk" or (plain[:1] == "b" and len(plain) > 2):
        yield plain[0].upper() + plain[1:]
    if plain[:1] == "P":
        yield plain[1:]
    lower = plain.lower().replace("=", "").replace("-", "").replace("x", "")
    yield lower
    if plain.isupper():
        yield plain[0] + plain[1:].lower()
    words = _IN_WORDS.search(text)
    if words:
        yield f"{_WORDS[words[1].lower()]}{words[2] or ''}{words[3]}".replace(" ", "")
    if _CASTLES_LONG.search(text):
        yield "O-O-O"
    elif _CASTLES_SHORT.search(text):
        yield "O-O"


def _parse(board: chess.Board, text: str) -> chess.Move | None:
    """None for a null move. Raises ValueError; AmbiguousMoveError, which is one, for a move that may be several."""
    if re.fullmatch(rf"{_SQUARE}{_SQUARE}[qrbn]?", text):
        return board.parse_uci(text)
    return board.parse_san(text)


def _which(board: chess.Board, text: str) -> Unread:
    target = re.findall(_SQUARE, text)[-1:]
    several = sorted(
        board.san(move) for move in board.legal_moves if [chess.square_name(move.to_square)] == target
    )[:NAMED_LIMIT]  # fmt: skip
    return Unread("ambiguous", f"{_quoted(text)} may be several moves: {', '.join(several)}.")


def _not_legal(board: chess.Board, text: str) -> Unread:
    if not (re.search(_MOVE, text) or _LIKE_A_MOVE.match(text) or _IN_WORDS.search(text)):
        return Unread("no-move", f"{_quoted(text)} is no move.")
    promotes = sorted(
        board.san(move)
        for move in board.legal_moves
        if move.promotion == chess.QUEEN and chess.square_name(move.to_square) in text.lower()
    )
    if promotes and not re.search(r"[1-8]\s*=?[qrbn]$", text.lower()):
        return Unread("ambiguous", f"{_quoted(text)} does not say what the pawn becomes: {promotes[0]}, for example.")
    check = " The king is in check." if board.is_check() else ""
    return Unread("illegal", f"{_quoted(text)} is not a legal move in this position.{check}")


def _objects(text: str) -> Iterator[dict[str, object]]:
    for found in _JSON_OBJECT.findall(text):
        try:
            value = json.loads(found)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield {str(key).lower(): item for key, item in value.items()}


def _alone(text: str) -> list[str]:
    """Lines that are a move and nothing else but its number and decoration."""
    lines = (line.strip(_AROUND) for line in text.splitlines())
    bare = (_NUMBER.sub("", line).strip(_AROUND).rstrip("+#!?") for line in lines if _SHORT.fullmatch(line))
    return [line for line in bare if re.fullmatch(_MOVE, line) or _LIKE_A_MOVE.match(line)]


def _anywhere(text: str) -> list[str]:
    found = [match[0] for match in _IN_WORDS.finditer(text)]
    found += [match[1] for match in _IN_PROSE.finditer(_IN_WORDS.sub(" ", text))]
    found += [match[0] for pattern in (_CASTLES_LONG, _CASTLES_SHORT) for match in pattern.finditer(text)]
    return found


def _reason(text: str) -> str | None:
    found = _REASON_TAG.search(text)
    return _short(found[1]) if found else None


def _short(text: str | None) -> str | None:
    """On one line, without what no terminal should be sent, cut to `REASON_LIMIT`."""
    if not text:
        return None
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line[:REASON_LIMIT] or None


def _quoted(text: str) -> str:
    return _short(text[:40]) or "this"
