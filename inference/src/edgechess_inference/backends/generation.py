"""Writing text, token by token, for several prompts at once, each with its own end: deadline, stop text, allowed answers.

Prompts are padded on the left, so that every row's next token stands in the same column. A row that has ended stays in
the batch, unread, until the last one has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from edgechess_inference.backends.allowed_answers import AllowedAnswers
from edgechess_inference.backends.compute_adapter import Stop
from edgechess_inference.backends.hf_model import HfModel
from edgechess_inference.backends.torch_lora import Groups
from edgechess_inference.move_model import Finish, Message, ModelError, PromptRequest

STOPS_MAX = 16

Now = Callable[[], float]
"""The clock of the deadlines, from a worker thread."""


@dataclass(slots=True)
class Row:
    """One prompt on its way."""

    request: PromptRequest
    prompt: list[int]
    allowed: AllowedAnswers | None
    draw: torch.Generator | None
    tokens: list[int] = field(default_factory=list)
    text: str = ""
    finish: Finish | None = None
    ended_at: float = 0.0

    def end(self, finish: Finish, now: float) -> None:
        self.finish, self.ended_at = finish, now


class Writer:
    """Of one model. Blocking."""

    def __init__(self, model: HfModel) -> None:
        self._model = model
        self._step_s = 0.0
        """How long the last token took: one that cannot be ready in time is not begun."""

    def row(self, request: PromptRequest) -> Row:
        """Raises ModelError: no template for messages, too long, nothing to say."""
        prompt = self._tokens(request)
        room = self._model.positions_max - len(prompt)
        if not prompt or request.max_tokens < 1 or room < 1:
            most = self._model.positions_max
            raise ModelError(
                f"a prompt of {len(prompt)} tokens and an answer of {request.max_tokens} (together 2 to {most})"
            )
        if len(request.stop) > STOPS_MAX or "" in request.stop:
            raise ModelError(f"stop texts: at most {STOPS_MAX}, and none empty")
        allowed = None
        if request.allowed:
            allowed = AllowedAnswers(request.allowed, self._answer_tokens, self._model.tokenizer.eos_token_id)
        draw = torch.Generator().manual_seed(request.seed) if request.temperature > 0 else None
        return Row(request, prompt, allowed, draw)

    def write(self, rows: Sequence[Row], groups: Groups, now: Now, stop: Stop) -> None:
        """Until every row has ended, or `stop` is asked. Raises WeightsError where the weights never come."""
        self._model.ready_to_begin()
        width = max(len(row.prompt) for row in rows)
        padding = self._padding()
        ids = torch.tensor([[padding] * (width - len(row.prompt)) + row.prompt for row in rows])
        mask = torch.tensor([[0] * (width - len(row.prompt)) + [1] * len(row.prompt) for row in rows])
        ids, mask = ids.to(self._model.device), mask.to(self._model.device)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        cache: Any = None
        with torch.inference_mode(), self._model.low_rank.using(groups):
            while not stop.asked and not self._late(rows, now):
                began = now()
                out = self._model.network(
                    input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True,
                    logits_to_keep=1,
                )  # fmt: skip
                cache = out.past_key_values
                logits = out.logits[:, -1].float().cpu()
                ended = now()
                chosen = [self._next(row, logits[number], ended) for number, row in enumerate(rows)]
                self._step_s = ended - began if ids.shape[1] == 1 else self._step_s
                if all(row.finish for row in rows):
                    return
                ids = torch.tensor(chosen, device=self._model.device)[:, None]
                mask = torch.cat((mask, torch.ones_like(ids)), dim=1)
                positions = positions[:, -1:] + 1

    def _late(self, rows: Sequence[Row], now: Now) -> bool:
        """Ends what would be late; True where nothing is left to write."""
        for row in rows:
            deadline = math.inf if row.request.deadline is None else row.request.deadline
            if row.finish is None and now() + self._step_s >= deadline:
                row.end("deadline", now())
        return all(row.finish for row in rows)

    def _next(self, row: Row, logits: torch.Tensor, now: float) -> int:
        """The row's next token, taken into it."""
        if row.finish is not None:
            return self._padding()
        if row.allowed is not None:
            possible = row.allowed.next_tokens()
            token = possible[choose(logits[possible], row)]
            row.allowed.take(token)
        else:
            token = choose(logits, row)
        row.tokens.append(token)
        self._judge(row, token, now)
        return token

    def _judge(self, row: Row, token: int, now: float) -> None:
        """Whether the row has ended, and with which text."""
        tokenizer = self._model.tokenizer
        if row.allowed is not None:
            answer = row.allowed.answer
            row.text = tokenizer.decode(row.tokens, skip_special_tokens=True) if answer is None else answer
            if answer is not None:
                row.end("allowed", now)
                return
        elif token == tokenizer.eos_token_id:
            row.end("end", now)
            return
        else:
            row.text = tokenizer.decode(row.tokens, skip_special_tokens=True)
            place = min((at for at in map(row.text.find, row.request.stop) if at >= 0), default=-1)
            if place >= 0:
                row.text = row.text[:place]
                row.end("stop", now)
                return
        if (len(row.tokens) >= row.request.max_tokens and row.allowed is None) or len(row.prompt) + len(
            row.tokens
        ) >= self._model.positions_max:
            row.end("length", now)

    def _tokens(self, request: PromptRequest) -> list[int]:
        tokenizer = self._model.tokenizer
        if isinstance(request.prompt, str):
            return list(tokenizer(request.prompt)["input_ids"])
        if not tokenizer.chat_template:
            raise ModelError("this model's tokenizer brings no chat template: give it plain text")
        turns = [_turn(message) for message in request.prompt]
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    def _answer_tokens(self, text: str) -> list[int]:
        return list(self._model.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _padding(self) -> int:
        tokenizer = self._model.tokenizer
        return next((token for token in (tokenizer.pad_token_id, tokenizer.eos_token_id) if token is not None), 0)


def choose(logits: torch.Tensor, row: Row) -> int:
    """An index: the largest, or drawn by the row's temperature and its share `top_p` of the probability."""
    if row.draw is None:
        return int(logits.argmax())
    shares = torch.softmax(logits / row.request.temperature, dim=-1)
    ordered, order = shares.sort(descending=True)
    kept = ordered.cumsum(0) - ordered < row.request.top_p  # always the first
    return int(order[torch.multinomial(ordered * kept, 1, generator=row.draw)])


def _turn(message: Message) -> dict[str, str]:
    return {"role": message.role, "content": message.content}
