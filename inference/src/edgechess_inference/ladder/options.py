"""The part of a player's word that says how the ladder is climbed: `…:attempts=3,temperature=0.5,constrained=yes`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from edgechess_inference import stockfish
from edgechess_inference.embedded_engine import open_player as open_builtin
from edgechess_inference.errors import PlayerFailed, PlayerWordError
from edgechess_inference.ladder.machine import GENERAL_ATTEMPTS, TUNED_ATTEMPTS
from edgechess_inference.ladder.player import Ladder, LadderPlayer
from edgechess_inference.ladder.reserve import EngineReserve
from edgechess_inference.ladder.voice import Voice
from edgechess_inference.player import PlayerFactory, PlayerOptions
from edgechess_inference.prompts.prompt_set import PromptError, load_prompts
from edgechess_inference.words import parse_settings, whole_number

ATTEMPTS_MAX = 10
MAX_TOKENS_DEFAULT = 200  # a move and a sentence; a model that thinks aloud needs more, and says so in its word
MAX_TOKENS_MAX = 16_384
RESERVE_STRENGTH = "movetime=0.03"  # full strength; the first answer of a node is due within 0.1 s
RESERVE_NODES = "nodes=300"  # about 0.1 s of the small engine, for the same reason
ENGINES: dict[str, tuple[PlayerFactory, str]] = {
    "stockfish": (stockfish.open_player, RESERVE_STRENGTH),
    "builtin": (open_builtin, RESERVE_NODES),
}
KNOWN = {
    "ladder": "ladder=general",
    "attempts": "attempts=3",
    "temperature": "temperature=0.5",
    "top_p": "top_p=0.9",
    "max_tokens": "max_tokens=200",
    "prompt": "prompt=general-1",
    "constrained": "constrained=yes",
    "engine": "engine=stockfish",
}
_SETTINGS = re.compile(r":(?=[a-z_]+=)(?P<settings>[a-z_]+=[^:/#@]*)\Z")


@dataclasses.dataclass(frozen=True, slots=True)
class LadderOptions:
    """`tuned`: a fine-tuned model's ladder. `constrained` None: not said."""

    tuned: bool = False
    attempts: int = GENERAL_ATTEMPTS
    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = MAX_TOKENS_DEFAULT
    prompt: str = "general-1"
    constrained: bool | None = None
    engine: str = "stockfish"


def split_settings(rest: str) -> tuple[str, str]:
    """`NAME:a=1,b=2` -> ("NAME", "a=1,b=2"), wherever else the name has colons."""
    found = _SETTINGS.search(rest)
    return (rest[: found.start()], found["settings"]) if found else (rest, "")


def parse_options(
    name: str, text: str, *, tuned: bool, more: Mapping[str, str] | None = None, temperature: float = 0.0,
    top_p: float = 1.0,
) -> tuple[LadderOptions, dict[str, str]]:  # fmt: skip
    """The ladder's options, and those of `more` (key to example) that were given. Raises PlayerWordError."""
    found = parse_settings(name, text, {**KNOWN, **(more or {})})
    style = found.get("ladder", "tuned" if tuned else "general")
    if style not in ("general", "tuned"):
        raise PlayerWordError(f"{name}: ladder={style} is unknown; there are general and tuned")
    tuned = style == "tuned"
    prompt = found.get("prompt", "tuned-1" if tuned else "general-1")
    try:
        load_prompts(prompt)
    except PromptError as error:
        raise PlayerWordError(f"{name}: prompt={prompt}: {error}") from error
    engine = found.get("engine", "stockfish")
    if engine not in ENGINES:
        raise PlayerWordError(f"{name}: engine={engine} is unknown; there are {', '.join(ENGINES)}")
    options = LadderOptions(
        tuned=tuned,
        attempts=whole_number(name, "attempts", found["attempts"], low=1, high=ATTEMPTS_MAX)
        if "attempts" in found
        else (TUNED_ATTEMPTS if tuned else GENERAL_ATTEMPTS),
        temperature=_number(name, "temperature", found.get("temperature", str(temperature)), high=2.0),
        top_p=_number(name, "top_p", found.get("top_p", str(top_p)), high=1.0),
        max_tokens=whole_number(
            name, "max_tokens", found.get("max_tokens", str(MAX_TOKENS_DEFAULT)), low=1, high=MAX_TOKENS_MAX
        ),
        prompt=prompt,
        constrained=_yes_or_no(name, "constrained", found["constrained"]) if "constrained" in found else None,
        engine=engine,
    )
    return options, {key: value for key, value in found.items() if key in (more or {})}


async def seat_on_ladder(word: str, voice: Voice, ladder: LadderOptions, options: PlayerOptions) -> LadderPlayer:
    """The player of a voice with an engine of its own behind it. Raises PlayerFailed where nobody gave a task group."""
    reserve = await open_reserve(word, ladder.engine, options)
    assert options.tasks is not None  # or the reserve could not be opened
    return LadderPlayer(word, Ladder(voice, reserve, ladder.attempts, options.tasks, options.seed))


async def open_reserve(word: str, engine: str, options: PlayerOptions, *, size: int = 1) -> EngineReserve:
    """Engines in reserve, one of them started. Raises PlayerFailed where nobody gave a task group."""
    if options.tasks is None:
        raise PlayerFailed(f"{word}: whoever opens this player must give it a task group")
    factory, rest = ENGINES[engine]
    reserve = EngineReserve(factory, rest, options, options.tasks, size=size)
    await (
        reserve.start()
    )  # one that does not start is tried again at the first question, and then the built-in one answers
    return reserve


def refuse_inline(name: str, options: PlayerOptions) -> None:
    """For players that talk to a server. Raises PlayerWordError in virtual time."""
    if options.inline:
        raise PlayerWordError(f"{name}: a server answers in real time; it cannot play in virtual time")


def _number(name: str, key: str, text: str, *, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        raise PlayerWordError(f"{name}: {key}={text} is not a number (0 to {high:g})") from None
    if not 0 <= value <= high:
        raise PlayerWordError(f"{name}: {key}={text} is out of range; it goes from 0 to {high:g}")
    return value


def _yes_or_no(name: str, key: str, text: str) -> bool:
    if text not in ("yes", "no"):
        raise PlayerWordError(f"{name}: {key}={text}: say yes or no")
    return text == "yes"
