"""Records of a dataset folder as prompt and completion, read from disk when they are wanted."""

from __future__ import annotations

import json
from array import array
from pathlib import Path

from edgechess_training.dataset.folder import TEMPLATE_FILE
from edgechess_training.dataset.llm_records import Template, rendered
from edgechess_training.errors import TrainingError

KEYS = {"prompt", "completion"}


class Examples:
    """One JSON lines file, in either form of `dataset build --form`; only places of lines are kept in memory."""

    def __init__(self, path: Path) -> None:
        """Raises TrainingError for what is no such file, or misses the template that it needs."""
        self._path = path
        self._places = array("Q")
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise TrainingError(
                f"{path}: {error.strerror}: `edgechess dataset build --records concise` makes it"
            ) from error
        place = 0
        for line in self._file:
            if line.strip():
                self._places.append(place)
            place += len(line)
        if not self._places:
            raise TrainingError(f"{path} holds no records")
        self._template = None if self._values(0).keys() >= KEYS else _template(path.with_name(TEMPLATE_FILE))
        self[0]  # what does not fit is told before anything is loaded

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: int) -> tuple[str, str]:
        """Prompt and completion. Raises TrainingError naming the line's number."""
        values = self._values(number)
        if self._template is not None:
            try:
                values = rendered(values, self._template)
            except KeyError as error:
                raise TrainingError(
                    f"{self._path}: record {number + 1} has no {error}, which its template wants"
                ) from None
        return values["prompt"], values["completion"]

    def close(self) -> None:
        self._file.close()

    def _values(self, number: int) -> dict[str, str]:
        self._file.seek(self._places[number])
        try:
            values = json.loads(self._file.readline())
        except ValueError as error:
            raise TrainingError(f"{self._path}: record {number + 1} is no JSON: {error}") from error
        if not isinstance(values, dict):
            raise TrainingError(f"{self._path}: record {number + 1} is no JSON object")
        return values


def _template(path: Path) -> Template:
    try:
        values = json.loads(path.read_bytes())
        return {"prompt": str(values["prompt"]), "completion": str(values["completion"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{path}: no template with prompt and completion: {error}") from error
