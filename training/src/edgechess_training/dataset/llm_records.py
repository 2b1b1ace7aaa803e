"""Records for language models: one JSON object per ply, in one of two shapes, and the prompts that go with them.

Shapes and the completion are the AWS post's (reference: aws-sample-wire.md, "Dataset and fine-tuning"). SAN beat UCI as
the notation to learn.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import chess

from edgechess_training.dataset.folder import TEMPLATE_FILE
from edgechess_training.dataset.replay import Teller

Records = Literal["none", "concise", "history"]

COMPLETION = " <move>{move}</move> </s>"
PROMPTS = {
    "concise": "Chess. FEN: {fen}\nSide to move: {nxt_color}\nAnswer with the next move as <move>SAN</move>.",
    "history": "Chess. FEN: {fen}\nMoves so far: {move_history}\nSide to move: {nxt_color}\n"
    "Answer with the next move as <move>SAN</move>.",
}


def concise(board: chess.Board, san: str, before: Sequence[str]) -> str:
    """The position says it all."""
    return json.dumps(_values(board, san))


def with_history(board: chess.Board, san: str, before: Sequence[str]) -> str:
    """For models that are weak in FEN: the moves that led here too, without numbers."""
    return json.dumps(_values(board, san) | {"move_history": ", ".join(before)})


def teller(records: Records) -> Teller | None:
    return {"none": None, "concise": concise, "history": with_history}[records]


def write_template(folder: Path, records: Records) -> None:
    """`template.json` is the one of the records beside it (SageMaker JumpStart reads this name); the other shape's lies
    beside it under its own name. Without records there is nothing to prompt for."""
    for shape, prompt in PROMPTS.items():
        name = TEMPLATE_FILE if shape == records else f"template-{shape}.json"
        if records != "none":
            content = json.dumps({"prompt": prompt, "completion": COMPLETION}, indent=2)
            (folder / name).write_text(content + "\n", encoding="utf-8")


def _values(board: chess.Board, san: str) -> dict[str, str]:
    color = "WHITE" if board.turn == chess.WHITE else "BLACK"
    return {"move": san, "fen": board.fen(), "nxt_color": color}
