"""One choice of an answer while it grows."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from typing import Any

from k2core.ports import Run
from k2core.toolkit.calls import Calls
from k2core.toolkit.thinking import Piece, ThinkSplitter
from k2core.types import Completion, Finish, Timing, TokenLogprob

from .config import OpenAIConfig
from .surrogates import SurrogateJoiner

FINISHES: Mapping[str, Finish] = {
    "length": "length",
    "max_tokens": "length",
    "content_filter": "filter",
    "tool_calls": "tool",
    "function_call": "tool",
}
"""The finish reasons that mean something other than `stop`."""


class Choice:
    """Collects the text, reasoning, log-probabilities and token count of one choice."""

    def __init__(self, config: OpenAIConfig, run: Run, index: int) -> None:
        self._split = ThinkSplitter(config.think, config.think_tags)
        self._content, self._thought = SurrogateJoiner(), SurrogateJoiner()
        self._closing = config.think_tags[1] if config.think == "auto" else ""
        self._opening = config.think_tags[0]
        self._run, self._index = run, index
        self._parts: tuple[list[str], list[str]] = ([], [])
        self._logprobs: list[TokenLogprob] | None = None
        self._calls = Calls()
        self.tokens = 0
        self.finish: str | None = None
        self.stopped: str | None = None
        self.first: float | None = None
        """When its first token came, on the monotonic clock."""

    @property
    def text(self) -> str:
        return "".join(self._parts[False])

    @property
    def reasoning(self) -> str:
        return "".join(self._parts[True])

    @property
    def stray_closing(self) -> bool:
        """The text has a closing tag: its opening tag must have been in the prompt."""
        return bool(self._closing) and self._closing in self.text

    def chunk(self, choice: Mapping[str, Any]) -> None:
        """Take one chunk of a stream. It counts as one token if it says anything, or as those whose log-probabilities it holds."""
        part = choice.get("delta")
        part = choice.get("message") if part is None else part
        content, reasoning = _content(part)
        other = self._take_calls(part)
        logprobs = choice.get("logprobs")
        ids = choice.get("token_ids") or ()
        tokens = self._take_logprobs(logprobs, ids) if logprobs else 0
        self._grow(content, reasoning, len(ids) or tokens or int(bool(content or reasoning or other)))
        if choice.get("finish_reason"):
            self._end(choice["finish_reason"], choice)

    def whole(self, choice: Mapping[str, Any], tokens: int | None) -> None:
        """Take a choice that came in one piece, of so many tokens if that is known."""
        content, reasoning = _content(choice.get("message"))
        called = self._take_calls(choice.get("message"))
        ids = choice.get("token_ids") or ()
        counted = self._take_logprobs(choice.get("logprobs") or {}, ids)
        if self._closing in content and not content.lstrip().startswith(self._opening) and self._closing and not reasoning:
            self._split = ThinkSplitter("open", (self._opening, self._closing))
        if ids or tokens is None:
            tokens = len(ids) or counted or -(-(len(content + reasoning) + called) // 4)
        self._grow(content, reasoning, tokens)
        self._end(choice.get("finish_reason") or "stop", choice)

    def _grow(self, content: str, reasoning: str, tokens: int) -> None:
        pieces: list[Piece] = []
        if reasoning:
            self._split.text_only()
            pieces.append((self._thought.feed(reasoning), True))
        if content:
            content = self._content.feed(content)
            pieces += [(content, False)] if self._split.settled else self._split.feed(content)
        self._put(pieces, tokens)

    def _end(self, reason: Any, choice: Mapping[str, Any]) -> None:
        self.finish = str(reason)
        if self.finish == "stop":
            self.stopped = _stopped(choice)
        rest = self._content.end()
        pieces = [(self._thought.end(), True), *(self._split.feed(rest) if rest else ()), *self._split.end()]
        self._put(pieces, 0)

    def _put(self, pieces: list[Piece], tokens: int) -> None:
        if tokens and self.first is None:
            self.first = time.monotonic()
        self.tokens += tokens
        for text, reasoning in pieces:
            if text:
                self._parts[reasoning].append(text)
                self._run.delta(text, self._index, reasoning=reasoning, tokens=tokens)
                tokens = 0
        if tokens:  # text that is held back until more is known
            self._run.delta("", self._index, tokens=tokens)

    def _take_calls(self, part: Mapping[str, Any] | None) -> int:
        """Take the calls, or pieces of them, of a delta or message; how many characters they have, so 0 where there are none."""
        pieces = (part or {}).get("tool_calls") or ()
        for piece in pieces:
            function = piece.get("function") or {}
            self._calls.take(piece.get("index"), piece.get("id"), function.get("name"), function.get("arguments"))
        return sum(len(str(piece.get("function"))) for piece in pieces)

    def _take_logprobs(self, logprobs: Mapping[str, Any], ids: Sequence[int]) -> int:
        """Take the log-probabilities, with the tokens' numbers where there are as many."""
        tokens = logprobs.get("content") or ()
        if tokens:
            self._logprobs = self._logprobs or []
            self._logprobs += map(_logprob, tokens, ids if len(ids) == len(tokens) else itertools.repeat(None))
        return len(tokens)

    def completion(self, tokens: int, model: str, timing: Timing) -> Completion:
        """What has become of it; `tokens` is the count to report."""
        return Completion(
            text=self.text,
            reasoning=self.reasoning,
            tokens=tokens,
            finish=self._finish(),
            tool_calls=self._calls.made(),
            stopped=self.stopped,
            logprobs=None if self._logprobs is None else tuple(self._logprobs),
            model=model,
            timing=timing,
        )

    def _finish(self) -> Finish:
        """Servers say `stop`, too, where the model was made to call; some say `tool_calls`, and there is none."""
        finish = FINISHES.get(self.finish or "", "stop")
        return finish if finish in ("length", "filter") else "tool" if self._calls else "stop"


def _stopped(choice: Mapping[str, Any]) -> str | None:
    """The stop string that ended a choice, empty when a token of the model's own did; None where the server does not say."""
    for name in ("stop_reason", "matched_stop"):  # vLLM, SGLang; the end-of-text token is null or a number
        if name in choice:
            return choice[name] if isinstance(choice[name], str) else ""
    return None


def _content(part: Mapping[str, Any] | None) -> tuple[str, str]:
    """Text and reasoning of a delta or message."""
    if not part:
        return "", ""
    content, reasoning = part.get("content"), part.get("reasoning_content") or part.get("reasoning")
    if isinstance(content, list):
        content, inner = _parts_of(content)
        reasoning = reasoning or inner
    if not content and not reasoning:
        content = part.get("refusal")
    text = content if isinstance(content, str) else ""
    thought = reasoning if isinstance(reasoning, str) else ""
    return text, thought


def _parts_of(content: list[Any]) -> tuple[str, str]:
    """Content that comes as a list of typed parts (Mistral): text and reasoning."""
    text = reasoning = ""
    for part in content:
        if part.get("type") == "thinking":
            inner = part.get("thinking")
            reasoning += inner if isinstance(inner, str) else _parts_of(inner or [])[0]
        else:
            text += part.get("text") or ""
    return text, reasoning


def _logprob(token: Mapping[str, Any], number: int | None) -> TokenLogprob:
    top = tuple((t["token"], float(t["logprob"])) for t in token.get("top_logprobs") or ())
    return TokenLogprob(token=token["token"], logprob=float(token["logprob"]), top=top, id=number)
