"""Constrained decoding as a value: which tokens may come next, so that an answer is one of the allowed texts, whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edgechess_inference.move_model import ModelError

ALLOWED_MAX = 4096  # answers of one request; a position has at most 218 moves


@dataclass(slots=True)
class _Node:
    children: dict[int, _Node] = field(default_factory=dict)
    answer: str | None = None


class AllowedAnswers:
    """A trie of tokens. Walked by one row of a batch."""

    def __init__(self, allowed: Sequence[str], tokens_of: Callable[[str], Sequence[int]], end: int | None) -> None:
        """`tokens_of` a text as it would stand behind the prompt; `end`: the model's own end token.

        Raises ModelError where an answer has no tokens, or where there are too many.
        """
        if len(allowed) > ALLOWED_MAX:
            raise ModelError(f"{len(allowed)} allowed answers (at most {ALLOWED_MAX})")
        self._end = end
        self._root = self._node = _Node()
        for text in allowed:
            node, tokens = self._root, list(tokens_of(text))
            if not tokens:
                raise ModelError(f"the allowed answer {text!r} has no tokens")
            for token in tokens:
                node = node.children.setdefault(token, _Node())
            node.answer = node.answer or text

    def next_tokens(self) -> list[int]:
        """What may come now. The end token may where an answer is whole but could go on ("Nf3", "Nf3+")."""
        tokens = sorted(self._node.children)
        if self._node.answer is not None and self._end is not None and self._end not in self._node.children:
            tokens.append(self._end)
        return tokens

    def take(self, token: int) -> None:
        """One of `next_tokens` was chosen. At a whole answer the end token stays there."""
        if token in self._node.children:
            self._node = self._node.children[token]
        else:
            self._node = _Node(answer=self._node.answer)

    @property
    def answer(self) -> str | None:
        """The whole answer, when nothing else can come any more."""
        if not self._node.children or (self._end is None and self._node.answer is not None):
            return self._node.answer
        return None
