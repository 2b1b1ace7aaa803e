"""The data card of a dataset: README.md with the front matter that the Hugging Face hub reads."""

from __future__ import annotations

from typing import Any

import msgspec

from edgechess_training.dataset.folder import Summary
from edgechess_training.dataset.unit import MALFORMED_NAMED_MAX, UNIT_GAMES

MALFORMED_SHOWN = 50

FILES = """\
| file | what |
|---|---|
| `train.npy`, `evaluation.npy` | positions as numpy arrays: `record` (33 bytes, "squares-16"), `move`, `outcome` of the mover (0 loss, 1 draw, 2 win, 3 unknown), `game`, `ply`, `elo` of the mover (0 unknown) |
| `evaluation-unseen.npy` | per evaluation position: it occurs nowhere in training |
| `train.jsonl`, `evaluation.jsonl` | the same positions as records for language models, where they were asked for |
| `template.json` | prompt and completion of the records (`{…}` are a record's keys) |
| `dataset.json` | sources with digests, options, counts, statistics, malformed games |
"""


def card(summary: Summary) -> str:
    """Markdown."""
    sources = [f"- `{source.get('name', '?')}` {_rest(source)}" for source in summary.sources]
    malformed = summary.malformed[:MALFORMED_SHOWN]
    parts = [
        f"---\nlicense: {summary.licence}\ntags: [chess, edgechess]\n---",
        f"# Chess positions, made by `{summary.made_by}`",
        FILES.rstrip(),
        "## Sources\n" + "\n".join(sources),
        "## Options\n" + _table(summary.options),
        "## Counts\n" + _table(summary.counts),
        "## Statistics of the training positions\n" + _table(summary.statistics),
        "## How it was made\n" + HOW,
    ]
    if malformed:
        shown = "" if len(malformed) == len(summary.malformed) else f" (the first {MALFORMED_SHOWN})"
        if "games_malformed" in summary.counts:
            shown += f"; of every {UNIT_GAMES} games at most {MALFORMED_NAMED_MAX} are named, all are counted"
        parts.append(f"## Malformed games{shown}\n" + "\n".join(f"- {line}" for line in malformed))
    return "\n\n".join(parts) + "\n"


HOW = """\
Every move was checked by python-chess; the moves before a bad one were kept. Games were split as wholes, by a digest of their own
moves as they are written and the seed: the same text in another file falls on the same side, and games that come again are left out;
one that was cut short or written otherwise counts as another game. Repeated positions were left out of
training only, where `unique` says so; evaluation holds every ply that the filter wants."""


def _table(values: dict[str, Any]) -> str:
    rows = [f"| {name} | {text} |" for name, text in _flat(values, "")]
    return "\n".join(["| | |", "|---|---|", *rows])


def _flat(values: dict[str, Any], prefix: str) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{name}: ")
        else:
            text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else _plain(value)
            rows.append((prefix + name, text))
    return rows


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _rest(source: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in source.items() if name != "name")
