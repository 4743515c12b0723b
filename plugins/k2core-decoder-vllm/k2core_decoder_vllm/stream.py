"""From vLLM's outputs, one stream a choice, to deltas, counts and completions. All on the loop of the caller."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from k2core.ports import Run
from k2core.toolkit.thinking import Piece, ThinkSplitter
from k2core.types import Completion, DecodeRequest, Finish, Timing, TokenLogprob

_FINISH: Mapping[str, Finish] = {"stop": "stop", "length": "length", "repetition": "stop"}
"""vLLM's finish reasons; `abort` and `error` are no completion."""


@dataclass(frozen=True)
class Piecewise:
    """What one output of vLLM says of a choice, copied out of its objects."""

    text: str
    ids: tuple[int, ...]
    logprobs: tuple[TokenLogprob, ...] | None
    finish: str | None
    stopped: str | None
    speculation: tuple[int, int] | None
    """Tokens drafted and accepted for the whole choice; told at its end."""
    times: tuple[float, float, float] | None
    """Seconds in the queue, reading the prompt, writing."""


class Choice:
    """One choice while it grows."""

    def __init__(self, run: Run, index: int, think: Literal["auto", "open", "off"]) -> None:
        self._run, self._index = run, index
        self._split = ThinkSplitter(think)
        self._parts: tuple[list[str], list[str]] = ([], [])
        self._logprobs: list[TokenLogprob] = []
        self.tokens = 0
        self.finish: str | None = None
        self.stopped: str | None = None
        self.speculation: tuple[int, int] | None = None
        self.times: tuple[float, float, float] | None = None
        self.first: float | None = None
        self.last = time.monotonic()

    def take(self, piece: Piecewise) -> None:
        self.last = time.monotonic()
        if piece.ids and self.first is None:
            self.first = self.last
        self.tokens += len(piece.ids)
        self._logprobs += piece.logprobs or ()
        pieces: list[Piece] = self._split.feed(piece.text) if piece.text else []
        if piece.finish:
            self.finish, self.stopped = piece.finish, piece.stopped
            self.speculation, self.times = piece.speculation, piece.times
            pieces += self._split.end()
        self._tell(pieces, len(piece.ids))

    def _tell(self, pieces: list[Piece], tokens: int) -> None:
        for text, reasoning in pieces:
            self._parts[reasoning].append(text)
            self._run.delta(text, self._index, reasoning=reasoning, tokens=tokens)
            tokens = 0
        if tokens:  # text that is held back until more is known
            self._run.delta("", self._index, tokens=tokens)

    def completion(self, model: str, sent: float, with_logprobs: bool) -> Completion:
        queue, prompt, writing = self.times or (None, None, None)
        first = None if self.first is None else self.first - sent
        return Completion(
            text="".join(self._parts[False]),
            reasoning="".join(self._parts[True]),
            tokens=self.tokens,
            finish=_FINISH.get(self.finish or "", "stop"),
            stopped=self.stopped,
            logprobs=tuple(self._logprobs) if with_logprobs else None,
            model=model,
            timing=Timing(first_token=first, total=self.last - sent, queue=queue, prompt=prompt, completion=writing),
        )


class Stream:
    """All choices of one `DecodeRequest`."""

    def __init__(self, run: Run, request: DecodeRequest, think: Literal["auto", "open", "off"], prompt_tokens: int) -> None:
        self._run, self._request = run, request
        self._sent = time.monotonic()
        self.choices = [Choice(run, index, think) for index in range(request.n)]
        run.meter(prompt_tokens=prompt_tokens)

    def settle(self) -> None:
        """Put the exact counts on the meter, however the call ends."""
        told = [choice.speculation for choice in self.choices if choice.speculation]
        self._run.meter(completion_tokens=sum(choice.tokens for choice in self.choices))
        if told:
            self._run.meter(drafted=sum(drafted for drafted, _ in told), accepted=sum(accepted for _, accepted in told))

    def completions(self, model: str) -> list[Completion]:
        """The results. Raises `RuntimeError` when the engine has given up on one."""
        for index, choice in enumerate(self.choices):
            if choice.finish not in _FINISH:
                raise RuntimeError(f"vLLM ended choice {index} with {choice.finish!r} after {choice.tokens} tokens")
        return [choice.completion(model, self._sent, bool(self._request.logprobs)) for choice in self.choices]


def copied(output: Any, most: int) -> Piecewise:
    """What a `RequestOutput` of vLLM says, `most` alternatives a token."""
    done = output.outputs[0]
    logprobs = None if done.logprobs is None else tuple(map(_logprob, done.token_ids, done.logprobs, [most] * len(done.token_ids)))
    stopped = done.stop_reason if isinstance(done.stop_reason, str) else "" if done.finish_reason == "stop" else None
    return Piecewise(
        text=done.text,
        ids=tuple(done.token_ids),
        logprobs=logprobs,
        finish=done.finish_reason,
        stopped=stopped,
        speculation=_speculation(getattr(done, "spec_decode_metrics", None)),
        times=_times(output.metrics) if done.finish_reason else None,
    )


def _logprob(token: int, table: Mapping[int, Any], most: int) -> TokenLogprob:
    ranked = sorted(table.values(), key=lambda entry: entry.rank or 0)[:most]
    own = table[token]
    top = tuple((entry.decoded_token or "", float(entry.logprob)) for entry in ranked)
    return TokenLogprob(token=own.decoded_token or "", logprob=float(own.logprob), top=top, id=token)


def _speculation(metrics: Any) -> tuple[int, int] | None:
    if metrics is None:
        return None
    return metrics.num_draft_tokens, sum(accepted * steps for accepted, steps in enumerate(metrics.histogram))


def _times(stats: Any) -> tuple[float, float, float] | None:
    """vLLM's monotonic time stamps as durations; None where some are missing."""
    stamps = [getattr(stats, name, 0.0) for name in ("queued_ts", "scheduled_ts", "first_token_ts", "last_token_ts")]
    if not all(stamps):
        return None
    queued, scheduled, first, last = stamps
    return max(0.0, scheduled - queued), max(0.0, first - scheduled), max(0.0, last - first)
