"""`model[:NAME[@ADAPTER][:options]]` as text: where the weights are, which adapter, how the ladder is climbed.

A plain NAME or ADAPTER is looked up among the installed packages' models, in the user's folder of models, and among those
that this package ships. `model` alone is `model:edgechess`.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from edgechess_inference.errors import PlayerWordError
from edgechess_inference.ladder.options import LadderOptions, parse_options, split_settings

FOLDER_VARIABLE = "EDGECHESS_MODELS"
GROUP = "edgechess.models"
"""Entry points: name -> function `(LoadOptions, AdapterTable | None)` that returns an async context manager of a MoveModel."""
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
BACKENDS = ("auto", "torch", "onnxruntime")
MORE = {"device": "device=cuda", "backend": "backend=onnxruntime", "wait": "wait=yes", "lookahead": "lookahead=yes"}
YES = ("yes", "1")
YES_OR_NO = (*YES, "no", "0")

SHIPPED_NAME = "edgechess"
SHIPPED_FOLDER = Path(__file__).parent / "shipped"


@dataclasses.dataclass(frozen=True, slots=True)
class ModelWord:
    """`name` and `adapter` as they were written. `wait`: questions wait for the weights; else the engine answers meanwhile.

    `lookahead`: a policy network looks at the position after each of its moves before it chooses.
    """

    name: str
    adapter: str | None
    ladder: LadderOptions
    device: str = "cpu"
    backend: str = "auto"
    wait: bool = False
    lookahead: bool = False

    @property
    def shown(self) -> str:
        """How people read it: the file's name for an address."""
        names = (self.name,) if self.adapter is None else (self.name, self.adapter)
        return "@".join(name.rpartition("/")[2].removesuffix(".json") for name in names)


def parse_model_word(rest: str) -> ModelWord:
    """Raises PlayerWordError."""
    address, settings = split_settings(rest or SHIPPED_NAME)
    name, adapter = split_adapter(address)
    if not name:
        raise PlayerWordError(f"model:{rest}: which model? For example model:models/tiny.json, or model:NAME")
    options, found = parse_options("model", settings, tuned=False, more=MORE)
    backend = found.get("backend", "auto")
    if backend not in BACKENDS:
        raise PlayerWordError(f"model: backend={backend} is unknown; there are {', '.join(BACKENDS)}")
    wait, lookahead = _yes(found, "wait"), _yes(found, "lookahead")
    if lookahead and options.temperature:
        raise PlayerWordError(f"model:{rest}: lookahead chooses the best move; it draws none at a temperature")
    return ModelWord(name, adapter, options, found.get("device", "cpu"), backend, wait, lookahead)


def _yes(found: Mapping[str, str], key: str) -> bool:
    if found.get(key, "no") not in YES_OR_NO:
        raise PlayerWordError(f"model: {key}={found[key]}: say yes or no")
    return found.get(key) in YES


def split_adapter(address: str) -> tuple[str, str | None]:
    """`NAME@ADAPTER`; an `@` in the middle of an address belongs to the address."""
    name, mark, adapter = address.rpartition("@")
    if mark and adapter and ("/" not in adapter or name.endswith(".json") or PLAIN.match(name)):
        return name, adapter
    return address, None


def models_folder() -> Path:
    """Where models with plain names lie: `$EDGECHESS_MODELS`, else edgechess/models in the user's data folder."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named)
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "edgechess" / "models"


def plug_in(name: str) -> EntryPoint | None:
    """The installed model of this name, where a package brings one."""
    return next(iter(entry_points(group=GROUP, name=name)), None)


def address_of(name: str) -> str:
    """A path or URL as it stands; a plain name is looked up. Raises PlayerWordError where nothing can be there."""
    if "://" in name:
        return name
    if not PLAIN.match(name) or name.endswith(".json"):
        path = Path(name).expanduser()
        if not path.is_file():
            raise PlayerWordError(f"model:{name}: there is no file {path}; `edgechess model pack` makes one")
        return str(path)
    own, ours = models_folder() / f"{name}.json", SHIPPED_FOLDER / f"{name}.json"
    found = next((path for path in (own, ours) if path.is_file()), None)
    if found is None:
        there = ", ".join(shipped()) or "none in this installation"
        raise PlayerWordError(
            f"model:{name}: neither {own.parent} nor what edgechess ships ({there}) has {own.name}; bring it there with"
            f" `edgechess model pull ADDRESS {own}`, or name a path or an address"
        )
    return str(found)


def shipped() -> dict[str, Path]:
    """The packed models and adapters that come with this package, by name; the model first."""
    paths = sorted(SHIPPED_FOLDER.glob("*.json"), key=lambda path: (path.stem != SHIPPED_NAME, path.stem))
    return {path.stem: path for path in paths}
