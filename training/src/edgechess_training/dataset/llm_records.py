"""Records for language models: one JSON object per ply, in one of two shapes, and the prompts that go with them.

Shapes and the completion are the AWS post's (reference: aws-sample-wire.md, "Dataset and fine-tuning"); SAN beat UCI as
the notation to learn. The prompts are the node's own sets, so that a tuned model is asked as it was taught:
`imported:ARN:prompt=concise-1`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import chess

from edgechess_inference.prompts.prompt_set import fill, load_prompts, move_history, next_color
from edgechess_training.dataset.folder import TEMPLATE_FILE
from edgechess_training.dataset.replay import Teller

Records = Literal["none", "concise", "history"]
"""concise: the position says it all. history: the moves that led here too, for models that are weak in FEN."""
Form = Literal["jumpstart", "huggingface"]
"""jumpstart: keys that `template.json` makes a prompt of. huggingface: prompt and completion, ready made."""

Template = dict[str, str]

END = " </s>"  # the template's; who trains by himself puts his tokenizer's own end there
COMPLETION = " <move>{move}</move>" + END
READY_MADE = {"prompt": "{prompt}", "completion": "{completion}" + END}
PROMPT_SETS = {"concise": "concise-1", "history": "history-1"}


def template(records: Records) -> Template:
    """`prompt` and `completion`; `{…}` are a record's keys."""
    prompt = load_prompts(PROMPT_SETS[records]).texts["first"].strip()
    return {"prompt": prompt, "completion": COMPLETION}


def rendered(record: Mapping[str, str], by: Template) -> dict[str, str]:
    """Prompt and completion without the end's mark. Raises KeyError where the record lacks what the template asks for."""
    return {"prompt": fill(by["prompt"], record), "completion": fill(by["completion"].removesuffix(END), record)}


def record_of(board: chess.Board, san: str, before: Sequence[str], records: Records) -> dict[str, str]:
    values = {"move": san, "fen": board.fen(), "nxt_color": next_color(board)}
    return values | ({"move_history": move_history(before)} if records == "history" else {})


def teller(records: Records, form: Form) -> Teller | None:
    """Makes the lines of a JSON lines file; None where no records are asked for."""
    if records == "none":
        return None
    by = template(records)

    def tell(board: chess.Board, san: str, before: Sequence[str]) -> str:
        record = record_of(board, san, before, records)
        return json.dumps(record if form == "jumpstart" else rendered(record, by))

    return tell


def write_template(folder: Path, records: Records, form: Form) -> None:
    """`template.json` fits the records beside it (SageMaker JumpStart reads this name): ready made ones are put where they are
    wanted. The other shape's prompt lies beside it under its own name. Without records there is nothing to prompt for."""
    if records != "none" and form == "huggingface":
        (folder / TEMPLATE_FILE).write_text(json.dumps(READY_MADE, indent=2) + "\n", encoding="utf-8")
        return
    for shape in PROMPT_SETS if records != "none" else ():
        name = TEMPLATE_FILE if shape == records else f"template-{shape}.json"
        content = json.dumps(template("history" if shape == "history" else "concise"), indent=2)
        (folder / name).write_text(content + "\n", encoding="utf-8")
