"""Who is evaluated, and who plays against: words become sides. A policy network is asked directly, everybody else as a player."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from edgechess_inference.errors import InferenceError
from edgechess_inference.ladder.options import split_settings
from edgechess_inference.model_word import address_of, parse_model_word, plug_in
from edgechess_inference.policy.architecture import ARCHITECTURE, CONFIG_KEY, parse
from edgechess_inference.policy.checkpoint import load, pack_policy
from edgechess_inference.registry import check_word, player_names, split_word
from edgechess_inference.stockfish import parse_strength
from edgechess_inference.weights.model import ModelOptions, open_blocking
from edgechess_training.errors import TrainingError
from edgechess_training.evaluation.engine import EngineSource, find_engine, nodes_for
from edgechess_training.evaluation.network import Backend, NetworkSource
from edgechess_training.evaluation.sides import Choice, NetworkSide, PlayerSide, SideSource

HEADER_BYTES_MAX = 100_000_000  # safetensors' own limit
WEIGHTS_FILE = "weights.safetensors"  # in the folder of a training run
PACKED_FOLDER = "model"  # in the folder of an evaluation


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """`source`: where it is a policy network. `word`: as the registry of players knows it."""

    name: str
    word: str
    source: NetworkSource | None

    @property
    def ladder_word(self) -> str:
        """As it plays at a table, but that it is waited for."""
        return _patient(self.word)

    def side(self, choice: Choice, seed: int) -> SideSource:
        """Raises TrainingError: without a policy network there is only the ladder."""
        if choice == "ladder":
            return PlayerSide(self.ladder_word, seed)
        if self.source is None:
            raise TrainingError(f"{self.name} is no policy network: it plays through its ladder (--choice ladder)")
        return NetworkSide(self.source, choice)


def subject_of(text: str, out: Path, *, threads: int = 1, device: str = "cpu") -> Subject:
    """A word of a player, a model's name or address (`model:` may be left out), a checkpoint, or the folder of a training run,
    whose averaged weights are then packed into `out`. Raises TrainingError."""
    path = Path(text).expanduser()
    weights = path / WEIGHTS_FILE if path.is_dir() else path
    if weights.suffix == ".safetensors":
        text = str(_packed(weights, out / PACKED_FOLDER / f"{_name_of(weights)}.json"))
    word = text if text.partition(":")[0] in player_names() else f"model:{text}"
    try:
        check_word(word)
        name, rest = split_word(word)
        source = _network(rest, threads, device) if name == "model" else None
    except InferenceError as error:
        raise TrainingError(str(error)) from error
    shown = parse_model_word(rest).shown if name == "model" else word
    return Subject(shown, word, source)


def opponent_of(word: str, *, nodes: int | None, threads: int, seed: int) -> SideSource:
    """`stockfish:elo=1500,nodes=5000` is asked with fixed nodes; a policy network plays by itself, or with lookahead=yes.

    Raises TrainingError.
    """
    try:
        name, rest = split_word(word)
        check_word(word)
        if name == "stockfish":
            return _engine(word, rest, nodes)
        source = _network(rest, threads, "cpu") if name == "model" else None
        if source is not None:
            return NetworkSide(source, "lookahead" if parse_model_word(rest).lookahead else "pure")
    except InferenceError as error:
        raise TrainingError(str(error)) from error
    return PlayerSide(_patient(word), seed)


def _patient(word: str) -> str:
    """A model is loaded before its first move: at a table the engine moves meanwhile, but those are no moves of the model's."""
    name, rest = split_word(word)
    address, settings = split_settings(rest)
    if name != "model" or "wait=" in settings:
        return word
    return f"{name}:{address}:{','.join(filter(None, (settings, 'wait=yes')))}"


def _engine(word: str, rest: str, nodes: int | None) -> EngineSource:
    """Raises TrainingError, PlayerWordError."""
    if not rest:
        return EngineSource(find_engine(), nodes=nodes_for(None, nodes))
    strength = parse_strength(rest)
    if strength.level is not None or "movetime" in rest:
        raise TrainingError(f"{word}: matches are played at fixed nodes: say elo=… and nodes=…")
    return EngineSource(find_engine(), strength.elo, nodes_for(strength.elo, strength.nodes or nodes))


def _network(rest: str, threads: int, device: str) -> NetworkSource | None:
    """None where the model is none of ours, or writes text. Raises InferenceError."""
    word = parse_model_word(rest)
    if plug_in(word.name) is not None:
        return None
    address = address_of(word.name)
    if open_blocking(address, ModelOptions()).manifest.card.architecture != ARCHITECTURE:
        return None
    adapter = None if word.adapter is None else address_of(word.adapter)
    backend: Backend = "torch" if word.backend == "torch" or device != "cpu" else "onnxruntime"
    return NetworkSource(address, adapter, backend, threads, device)


def _name_of(weights: Path) -> str:
    return weights.resolve().parent.name if weights.name == WEIGHTS_FILE else weights.stem


def _packed(weights: Path, address: Path) -> Path:
    """Raises TrainingError."""
    try:
        address.parent.mkdir(parents=True, exist_ok=True)
        architecture = parse(_config(weights))
        pack_policy(address, architecture, load(weights, architecture))
    except (InferenceError, OSError, ValueError, KeyError) as error:
        raise TrainingError(f"{weights}: no checkpoint of a policy network: {error}") from error
    return address


def _config(weights: Path) -> str:
    """Raises OSError, ValueError, KeyError."""
    with weights.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > HEADER_BYTES_MAX:
            raise ValueError("its header is too long")
        return str(json.loads(file.read(length))["__metadata__"][CONFIG_KEY])
