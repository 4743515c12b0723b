"""Keeping a text to a JSON schema: which tokens may follow (llguidance, https://github.com/guidance-ai/llguidance)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import llguidance.hf
import numpy as np
import torch
from llguidance import LLMatcher
from torch import Tensor


class Grammar:
    """What all schemas over one vocabulary share; made once, in about a second for a large one.

    `vocab` is the width of the model's scores, which may exceed the tokenizer's vocabulary; `eos` are the tokens that end a text.
    """

    def __init__(self, tokenizer: Any, vocab: int, eos: Iterable[int]) -> None:
        self.vocab, self.eos = vocab, frozenset(eos)
        self.tokenizer = llguidance.hf.from_tokenizer(tokenizer, n_vocab=vocab, eos_token=sorted(self.eos))

    def constraint(self, schema: Mapping[str, Any]) -> Constraint:
        """A constraint at the start of its text. Raises `ValueError` that says what is wrong with the schema."""
        try:
            grammar = LLMatcher.grammar_from_json_schema(json.dumps(schema))
            wrong = LLMatcher.validate_grammar(grammar, self.tokenizer)
        except (ValueError, TypeError) as error:
            raise ValueError(f"the JSON schema cannot be enforced: {error}") from error
        if wrong:
            raise ValueError(f"the JSON schema cannot be enforced: {wrong.strip()}")
        matcher = LLMatcher(self.tokenizer, grammar)
        if matcher.is_error():
            raise ValueError(f"the JSON schema cannot be enforced: {matcher.get_error()}")
        return Constraint(matcher, self)


class Constraint:
    """The state of one text. Not for several threads at a time."""

    def __init__(self, matcher: LLMatcher, grammar: Grammar) -> None:
        self._matcher, self._grammar = matcher, grammar
        self._ends = 0  # end tokens after the text was complete, of which llguidance wants to know nothing

    @property
    def done(self) -> bool:
        """Whether the text is complete and nothing may follow."""
        return self._matcher.is_stopped()

    def fit(self, draft: Sequence[int]) -> list[int]:
        """The part of a draft that the schema allows, from its beginning."""
        return list(draft[: self._matcher.validate_tokens(list(draft))]) if draft and not self.done else []

    def allowed(self, draft: Sequence[int] = ()) -> Tensor:
        """What may follow the text, and the text with each beginning of `draft`: [1 + len(draft), vocab] bool, on the CPU.

        Raises `ValueError` where the schema does not allow the draft; see `fit`.
        """
        words = -(-self._grammar.vocab // 32)
        bits = torch.zeros(1 + len(draft), words, dtype=torch.int32)
        taken = 0
        try:
            self._fill(bits[0])
            for row, token in enumerate(draft, 1):
                self.advance(token)
                taken = row
                self._fill(bits[row])
        finally:
            self.rollback(taken)
        spread = np.unpackbits(bits.numpy().view(np.uint8), axis=1, bitorder="little")
        return torch.from_numpy(spread)[:, : self._grammar.vocab].bool()

    def advance(self, token: int) -> None:
        """Append a token. Raises `ValueError` where it is not allowed; the state is then as before."""
        if self.done and token in self._grammar.eos:
            self._ends += 1
        elif self.done or self._matcher.validate_tokens([token]) != 1 or not self._matcher.consume_token(token):
            if self._matcher.is_error():
                raise ValueError(f"the JSON schema cannot be followed: {self._matcher.get_error().splitlines()[0]}")
            raise ValueError(f"the JSON schema does not allow token {token} here")

    def rollback(self, count: int) -> None:
        """Take the last `count` tokens back."""
        ends = min(count, self._ends)
        self._ends, count = self._ends - ends, count - ends
        if count and not self._matcher.rollback(count):
            raise ValueError(f"cannot take {count} tokens back: {self._matcher.get_error()}")

    def _fill(self, row: Tensor) -> None:
        if self.done:
            flags = np.zeros(row.numel() * 32, np.uint8)
            flags[sorted(self._grammar.eos)] = 1
            row.copy_(torch.from_numpy(np.packbits(flags, bitorder="little").view(np.int32)))
            return
        self._matcher.unsafe_compute_mask_ptr(row.data_ptr(), row.numel() * 4)
        if self._matcher.is_error():
            raise ValueError(f"the JSON schema cannot be followed: {self._matcher.get_error()}")
