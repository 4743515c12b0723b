"""Which tokens a completion consists of: as the decoder tells, by their texts, or by reading the text again."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from k2core import Completion

    from .scoring import Floats

_NUMBERED = re.compile(r"^token_id:(\d+)$")
"""How vLLM writes tokens under `return_tokens_as_token_ids`."""


@dataclass(frozen=True)
class Tokens:
    """The tokens of one completion."""

    ids: tuple[int, ...]
    reported: Floats | None = None
    """The decoder's own log-probabilities of them, where it tells them; NaN for an end that it does not tell."""
    own_top: tuple[bool, ...] | None = None
    """Whether each is the likeliest by the decoder's own account."""


class Reader:
    """Reads completions with the target's tokenizer. `read` returns None where the tokens cannot be told for certain."""

    def __init__(self, tokenizer: Any, ends: frozenset[int]) -> None:
        self._tokenizer, self._ends = tokenizer, ends
        self._end = next(iter(ends), None) if len(ends) < 2 else tokenizer.eos_token_id
        self._by_text: dict[str, int] | None = None

    def read(self, completion: Completion) -> Tokens | None:
        ids = told(completion)
        if ids is None and completion.logprobs:
            ids = self._from_texts(completion)
        if ids is None:
            return self._again(completion)
        return self._with_end(completion, ids)

    def _with_end(self, completion: Completion, ids: tuple[int, ...]) -> Tokens:
        """The token that ended the answer belongs to the sample; where it is not told, it is added, its log-probability unknown."""
        entries = completion.logprobs or ()
        reported = np.array([entry.logprob for entry in entries])
        top = tuple(not e.top or e.logprob >= max(value for _, value in e.top) - 1e-3 for e in entries)
        if completion.finish == "stop" and not self._ends & set(ids[-1:]) and self._end is not None:
            ids, reported, top = (*ids, self._end), np.append(reported, np.nan), (*top, True)
        if np.isinf(reported).any():
            return Tokens(ids)
        return Tokens(ids, reported, top if all(e.top for e in entries) else None)

    def _from_texts(self, completion: Completion) -> tuple[int, ...] | None:
        by_text = self._vocabulary()
        ids = [by_text.get(entry.token) for entry in completion.logprobs or ()]
        return None if None in ids else tuple(i for i in ids if i is not None)

    def _vocabulary(self) -> dict[str, int]:
        """Tokens by their text, but for those that share it with another."""
        if self._by_text is None:
            texts = self._tokenizer.batch_decode([[i] for i in range(len(self._tokenizer))])
            once, twice = {}, set()
            for number, text in enumerate(texts):
                twice |= {text} if text in once else set()
                once[text] = number
            self._by_text = {text: number for text, number in once.items() if text not in twice and "\ufffd" not in text}
        return self._by_text

    def _again(self, completion: Completion) -> Tokens | None:
        """The text's own tokens, if they give it back and are as many as the decoder counted."""
        if completion.reasoning:
            return None
        ids = tuple(self._tokenizer.encode(completion.text, add_special_tokens=False))
        same = self._tokenizer.decode(ids) == completion.text
        if same and completion.finish == "stop" and len(ids) + 1 == completion.tokens and self._end is not None:
            return Tokens((*ids, self._end))
        return Tokens(ids) if same and len(ids) == completion.tokens else None


def told(completion: Completion) -> tuple[int, ...] | None:
    """The ids as the decoder tells them, or None."""
    if not completion.logprobs:
        return None
    ids = []
    for entry in completion.logprobs:
        number = _NUMBERED.match(entry.token)
        ids.append(entry.id if entry.id is not None else int(number[1]) if number else None)
    return None if None in ids else tuple(i for i in ids if i is not None)


def texts(completion: Completion) -> Sequence[Hashable] | None:
    """The texts of the tokens, or None."""
    return [entry.token for entry in completion.logprobs] if completion.logprobs else None


def characters(completion: Completion) -> Sequence[Hashable]:
    """What can be compared of any completion."""
    return list(completion.reasoning + "\0" + completion.text)
