"""Component versions (semantic versions) and the ranges of npm that recipes require them with."""

from __future__ import annotations

import dataclasses
import functools
import re

PART_LIMIT = 999_999  # of each number, by the recipe reference
LENGTH_LIMIT = 64  # characters of a version

_NUMBER = r"(?:0|[1-9][0-9]*)"
_PRE = r"(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
_BUILD = r"(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
_VERSION = re.compile(rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER}){_PRE}{_BUILD}\Z")
_PARTIAL = re.compile(rf"[v=]*({_NUMBER}|[xX*])(?:\.({_NUMBER}|[xX*]))?(?:\.({_NUMBER}|[xX*]))?{_PRE}{_BUILD}\Z")
_OPERATOR = re.compile(r"(>=|<=|>|<|=|\^|~>|~)?\s*(.*)\Z")


@functools.total_ordering
@dataclasses.dataclass(frozen=True, slots=True)
class Version:
    """Ordered by semantic versioning's precedence; build words do not count."""

    major: int
    minor: int
    patch: int
    pre: tuple[str, ...] = ()
    build: str = dataclasses.field(default="", compare=False)

    @classmethod
    def parse(cls, text: str) -> Version:
        """Raises ValueError naming what is wrong."""
        match = _VERSION.match(text)
        if match is None:
            raise ValueError(f"{text!r} is no version: expected MAJOR.MINOR.PATCH")
        if len(text) > LENGTH_LIMIT:
            raise ValueError(f"version of {len(text)} characters; the limit is {LENGTH_LIMIT}")
        numbers = [int(match[group]) for group in (1, 2, 3)]
        if max(numbers) > PART_LIMIT:
            raise ValueError(f"{text}: no part may be larger than {PART_LIMIT}")
        major, minor, patch = numbers
        return cls(major, minor, patch, tuple(match[4].split(".")) if match[4] else (), match[5] or "")

    def __str__(self) -> str:
        text = f"{self.major}.{self.minor}.{self.patch}"
        return text + (f"-{'.'.join(self.pre)}" if self.pre else "") + (f"+{self.build}" if self.build else "")

    def __lt__(self, other: Version) -> bool:
        return self._rank() < other._rank()

    def _rank(self) -> tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...]]:
        words = tuple((not w.isdigit(), int(w) if w.isdigit() else 0, w if not w.isdigit() else "") for w in self.pre)
        return self.major, self.minor, self.patch, not self.pre, words


@dataclasses.dataclass(frozen=True, slots=True)
class Comparator:
    operator: str  # >=, <=, >, <, =
    version: Version

    def allows(self, version: Version) -> bool:
        match self.operator:
            case ">=":
                return version >= self.version
            case "<=":
                return version <= self.version
            case ">":
                return version > self.version
            case "<":
                return version < self.version
            case _:
                return version == self.version


@dataclasses.dataclass(frozen=True, slots=True)
class Range:
    """`text` as written; any of `choices` whose comparators all allow a version satisfies it."""

    text: str
    choices: tuple[tuple[Comparator, ...], ...]

    @classmethod
    def parse(cls, text: str) -> Range:
        """npm's grammar: comparators, ^ ~ x-ranges, hyphen ranges, ||. Raises ValueError naming what is wrong."""
        try:
            return cls(text, tuple(_choice(part.strip()) for part in text.split("||")))
        except ValueError as error:
            raise ValueError(f"{text!r} is no version requirement: {error}") from error

    def allows(self, version: Version) -> bool:
        return any(_all_allow(choice, version) for choice in self.choices)

    def __str__(self) -> str:
        return self.text


def _all_allow(choice: tuple[Comparator, ...], version: Version) -> bool:
    if not all(comparator.allows(version) for comparator in choice):
        return False
    if not version.pre:
        return True
    # npm: a pre-release is only taken where a comparator names one of the very same version
    return any(c.version.pre and _core(c.version) == _core(version) for c in choice)


def _core(version: Version) -> tuple[int, int, int]:
    return version.major, version.minor, version.patch


def _choice(text: str) -> tuple[Comparator, ...]:
    hyphen = re.match(r"(\S+)\s+-\s+(\S+)\Z", text)
    if hyphen:
        return (*_simple(">=", hyphen[1]), *_simple("<=", hyphen[2]))
    comparators: list[Comparator] = []
    for word in re.sub(r"(>=|<=|>|<|=|\^|~>|~)\s+", r"\1", text).split():
        match = _OPERATOR.match(word)
        assert match is not None
        comparators += _simple(match[1] or "", match[2])
    return tuple(comparators)


def _simple(operator: str, text: str) -> tuple[Comparator, ...]:
    """One comparator of npm's grammar as at most two plain ones."""
    match = _PARTIAL.match(text)
    if match is None:
        raise ValueError(f"{text!r} is no version")
    parts = [None if part is None or part in "xX*" else int(part) for part in match.groups()[:3]]
    known = parts.index(None) if None in parts else 3
    numbers = [part or 0 for part in parts[:known]] + [0] * (3 - known)
    pre = tuple(match[4].split(".")) if match[4] and known == 3 else ()
    floor = Version(numbers[0], numbers[1], numbers[2], pre)
    if known == 0:
        if operator in ("<", ">"):
            return (Comparator("<", Version(0, 0, 0, ("0",))),)  # nothing is below or above every version
        return ()
    match operator:
        case "^":
            first = next((index for index in range(known) if numbers[index]), known - 1)
            return Comparator(">=", floor), Comparator("<", _next(numbers, first))
        case "~" | "~>":
            return Comparator(">=", floor), Comparator("<", _next(numbers, min(known - 1, 1)))
        case "" | "=":
            return (Comparator("=", floor),) if known == 3 else _between(floor, numbers, known)
        case ">" | "<=" if known < 3:
            return (Comparator(">=" if operator == ">" else "<", _next(numbers, known - 1)),)
        case _:
            return (Comparator(operator, floor),)


def _between(floor: Version, numbers: list[int], known: int) -> tuple[Comparator, ...]:
    return Comparator(">=", floor), Comparator("<", _next(numbers, known - 1))


def _next(numbers: list[int], index: int) -> Version:
    """The lowest version, pre-releases included, after all that begin with the numbers up to `index`."""
    raised = [*numbers[:index], numbers[index] + 1, *[0] * (2 - index)]
    return Version(raised[0], raised[1], raised[2], ("0",))
