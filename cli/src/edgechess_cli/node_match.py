"""A match whose models are served by an inference node: player words as the node knows them, and what it has to serve."""

from __future__ import annotations

import dataclasses

from edgechess_cli.match_options import MatchOptions
from edgechess_inference.errors import PlayerWordError
from edgechess_inference.ladder.options import split_settings
from edgechess_inference.model_word import ModelWord, address_of, parse_model_word, plug_in
from edgechess_inference.words import split_word

NODE_PLAYERS = ("model",)


def with_node(options: MatchOptions) -> MatchOptions:
    """The same match, its `model:` players on a node. Raises PlayerWordError: no word names a model, or two share a name."""
    models: dict[str, str] = {}
    adapters: dict[str, str] = {}
    words = [_on_the_node(word, models, adapters) for word in (options.white, options.black)]
    if words == [options.white, options.black] and not any(split_word(word)[0] == "model" for word in words):
        raise PlayerWordError("no player is a model: there is nothing for a node to serve")
    node = {
        "models": tuple(f"{name}={address}" for name, address in models.items()),
        "adapters": tuple(f"{name}={address}" for name, address in adapters.items()),
    }
    return dataclasses.replace(options, white=words[0], black=words[1], node_players=NODE_PLAYERS, node=node)


def _on_the_node(word: str, models: dict[str, str], adapters: dict[str, str]) -> str:
    name, rest = split_word(word)
    if name != "model":
        return word
    parsed: ModelWord = parse_model_word(rest)
    settings = split_settings(rest)[1]
    if plug_in(parsed.name) is None:
        _serve(models, _short(parsed.name), address_of(parsed.name))
    if parsed.adapter is not None:
        _serve(adapters, _short(parsed.adapter), address_of(parsed.adapter))
    return f"model:{parsed.shown}" + (f":{settings}" if settings else "")


def _serve(served: dict[str, str], name: str, address: str) -> None:
    if served.setdefault(name, address) != address:
        raise PlayerWordError(f"two different weights are called {name!r}: {served[name]} and {address}; rename one")


def _short(name: str) -> str:
    return name.rpartition("/")[2].removesuffix(".json")
