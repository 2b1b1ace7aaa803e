"""`model:NAME[@ADAPTER][:options]` as text: where the weights are, which adapter, how the ladder is climbed."""

from __future__ import annotations

import dataclasses
import os
import re
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from edgechess_inference.errors import PlayerWordError
from edgechess_inference.ladder.options import LadderOptions, parse_options, split_settings

FOLDER_VARIABLE = "EDGECHESS_MODELS"
GROUP = "edgechess.models"
"""Entry points: name -> function `(LoadOptions, AdapterTable | None)` that returns an async context manager of a MoveModel."""
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
BACKENDS = ("auto", "torch", "onnxruntime")
MORE = {"device": "device=cuda", "backend": "backend=onnxruntime", "wait": "wait=yes"}


@dataclasses.dataclass(frozen=True, slots=True)
class ModelWord:
    """`name` and `adapter` as they were written. `wait`: questions wait for the weights; else the engine answers meanwhile."""

    name: str
    adapter: str | None
    ladder: LadderOptions
    device: str = "cpu"
    backend: str = "auto"
    wait: bool = False

    @property
    def shown(self) -> str:
        """How people read it: the file's name for an address."""
        names = (self.name,) if self.adapter is None else (self.name, self.adapter)
        return "@".join(name.rpartition("/")[2].removesuffix(".json") for name in names)


def parse_model_word(rest: str) -> ModelWord:
    """Raises PlayerWordError."""
    address, settings = split_settings(rest)
    name, adapter = split_adapter(address)
    if not name:
        raise PlayerWordError(f"model:{rest}: which model? For example model:models/tiny.json, or model:NAME")
    options, found = parse_options("model", settings, tuned=False, more=MORE)
    backend = found.get("backend", "auto")
    if backend not in BACKENDS:
        raise PlayerWordError(f"model: backend={backend} is unknown; there are {', '.join(BACKENDS)}")
    if found.get("wait", "no") not in ("yes", "no"):
        raise PlayerWordError(f"model: wait={found['wait']}: say yes or no")
    return ModelWord(name, adapter, options, found.get("device", "cpu"), backend, found.get("wait") == "yes")


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
    path = models_folder() / f"{name}.json"
    if not path.is_file():
        raise PlayerWordError(
            f"model:{name}: {path.parent} has no {path.name}; bring it there with"
            f" `edgechess model pull ADDRESS {path}`, or name a path or an address"
        )
    return str(path)
