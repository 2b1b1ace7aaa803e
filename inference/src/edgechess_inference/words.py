"""Player words as text: `NAME[:REST]`, where REST is often `key=value,key=value`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgechess_inference.errors import PlayerWordError


def split_word(word: str) -> tuple[str, str]:
    """`stockfish:elo=1350` -> ("stockfish", "elo=1350"). The rest is "" where there is none. Raises PlayerWordError."""
    name, _, rest = word.partition(":")
    name = name.strip()
    if not name:
        raise PlayerWordError(f"player word {word!r} has no name before the colon")
    return name, rest.strip()


def refuse_rest(name: str, rest: str) -> None:
    """For players that take nothing after their name. Raises PlayerWordError."""
    if rest:
        raise PlayerWordError(f"{name}:{rest}: `{name}` takes nothing after its name, so `{rest}` means nothing here")


def parse_settings(name: str, rest: str, known: Mapping[str, str]) -> dict[str, str]:
    """`a=1,b=2` -> {"a": "1", "b": "2"}. `known` maps each allowed key to an example. Raises PlayerWordError."""
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in rest.split(","))):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if key not in known:
            raise PlayerWordError(f"{name}:{rest}: {key!r} is unknown; {name} takes {_examples(known)}")
        if not equals or not value:
            raise PlayerWordError(f"{name}:{rest}: {key!r} lacks a value; write for example {known[key]}")
        if key in found:
            raise PlayerWordError(f"{name}:{rest}: {key!r} is given twice")
        found[key] = value
    return found


def whole_number(name: str, key: str, text: str, *, low: int, high: int) -> int:
    """An integer from `low` to `high`, both allowed. Raises PlayerWordError naming the key and the range."""
    try:
        value = int(text)
    except ValueError:
        raise PlayerWordError(f"{name}: {key}={text} is not a whole number ({low} to {high})") from None
    if not low <= value <= high:
        raise PlayerWordError(f"{name}: {key}={value} is out of range; it goes from {low} to {high}")
    return value


def seconds(name: str, key: str, text: str, *, low: float, high: float) -> float:
    """Seconds from `low` to `high`, both allowed. Raises PlayerWordError naming the key and the range."""
    try:
        value = float(text)
    except ValueError:
        raise PlayerWordError(f"{name}: {key}={text} is not a number of seconds ({low:g} to {high:g})") from None
    if not low <= value <= high:  # also refuses nan
        raise PlayerWordError(f"{name}: {key}={text} is out of range; it goes from {low:g} to {high:g} seconds")
    return value


def exclusive(name: str, found: Mapping[str, str], keys: Sequence[str]) -> None:
    """At most one of `keys` may be given. Raises PlayerWordError."""
    given = [key for key in keys if key in found]
    if len(given) > 1:
        raise PlayerWordError(f"{name}: {' and '.join(given)} exclude each other; give one of them")


def _examples(known: Mapping[str, str]) -> str:
    return ", ".join(known[key] for key in known)
