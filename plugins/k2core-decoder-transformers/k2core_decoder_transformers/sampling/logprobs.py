"""Log-probabilities of drawn tokens, for people and certificates to read."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from k2core.types import TokenLogprob

from .vocabulary import Vocabulary


def logprobs_of(logits: Tensor, tokens: Sequence[int], top: int, vocabulary: Vocabulary) -> list[TokenLogprob]:
    """One record a row, with the `top` likeliest tokens.

    `logits`, [rows, vocab], are as the model gave them: before temperature, cuts and masks.
    """
    if not tokens:
        return []
    logs = logits.float().log_softmax(-1)
    chosen = logs.gather(1, torch.tensor(tokens, device=logs.device)[:, None])[:, 0].tolist()
    best = logs.topk(min(top, logs.shape[-1]))
    rows = zip(tokens, chosen, best.indices.tolist(), best.values.tolist(), strict=True)
    text = vocabulary.text_of
    return [
        TokenLogprob(token=text(token), logprob=value, id=token, top=tuple((text(i), v) for i, v in zip(ids, values, strict=True)))
        for token, value, ids, values in rows
    ]
