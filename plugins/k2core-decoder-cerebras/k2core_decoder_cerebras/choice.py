"""One choice, from one request, while it grows."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from k2core.ports import Run
from k2core.toolkit.calls import Calls
from k2core.toolkit.thinking import Piece, ThinkSplitter
from k2core.types import Completion, DecodeRequest, Finish, Timing, TokenLogprob

from .config import CerebrasConfig
from .failure import BrokenAnswer

FINISHES: Mapping[str, Finish] = {"stop": "stop", "length": "length", "content_filter": "filter", "tool_calls": "tool"}


def part(thing: Any, name: str) -> Any:
    """A field of an SDK object. What the SDK could not fit to its types it leaves as plain JSON."""
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)


class Choice:
    """Collects text, reasoning, log-probabilities and counts, and tells the run of the text as it comes."""

    def __init__(self, run: Run, request: DecodeRequest, config: CerebrasConfig, index: int) -> None:
        self._run, self._request, self._index = run, request, index
        self._split = ThinkSplitter(config.think)
        self._mend = (Mender(), Mender())
        self._parts: tuple[list[str], list[str]] = ([], [])
        self._logprobs: list[TokenLogprob] = []
        self._model = config.model
        self._began = time.monotonic()
        self._first: float | None = None
        self._characters = 0
        self._calls = Calls()
        self._times: dict[str, float] = {}
        self.tokens = 0
        """Counted here: exact where token ids or log-probabilities come along, else estimated."""
        self.chunks = 0
        self.finish: str | None = None
        self.prompt: int | None = None
        self.reported: int | None = None
        self.drafts: tuple[int, int] | None = None
        """Accepted and rejected tokens of the prediction."""

    @property
    def text(self) -> str:
        return "".join(self._parts[0])

    def begin(self) -> None:
        """The request goes out now."""
        self._began = time.monotonic()

    def chunk(self, chunk: Any) -> None:
        """Take one chunk of a stream. Raises `BrokenAnswer` when it is none."""
        self.chunks += 1
        try:
            self._report(chunk)
            for choice in part(chunk, "choices") or ():
                self._take(choice, part(choice, "delta"))
        except (TypeError, ValueError, AttributeError) as error:
            raise BrokenAnswer(str(error)) from None

    def whole(self, answer: Any) -> None:
        """Take an answer in one piece. Raises `BrokenAnswer` when it is none."""
        try:
            self._report(answer)
            choices: Any = part(answer, "choices") or ()
            if len(choices) != 1:
                raise ValueError(f"{len(choices)} choices instead of one")
            self._take(choices[0], part(choices[0], "message"))
        except (TypeError, ValueError, AttributeError) as error:
            raise BrokenAnswer(str(error)) from None

    def _report(self, answer: Any) -> None:
        model, usage, times = part(answer, "model"), part(answer, "usage"), part(answer, "time_info")
        self._model = model if isinstance(model, str) and model else self._model
        if usage is not None:
            self.prompt = _count(usage, "prompt_tokens", self.prompt)
            self.reported = _count(usage, "completion_tokens", self.reported)
            details = part(usage, "completion_tokens_details")
            accepted = _count(details, "accepted_prediction_tokens", None)
            rejected = _count(details, "rejected_prediction_tokens", None)
            if accepted is not None or rejected is not None:
                self.drafts = accepted or 0, rejected or 0
        for name in ("queue", "prompt", "completion"):
            seconds = part(times, f"{name}_time")
            if isinstance(seconds, (int, float)) and seconds >= 0:
                self._times[name] = float(seconds)

    def _take(self, choice: Any, piece: Any) -> None:
        if part(choice, "index") not in (None, 0):
            raise ValueError(f"choice {part(choice, 'index')}, and one was asked for")
        content, reasoning = _text(piece, "content"), _text(piece, "reasoning")
        new = [*_logprobs(part(choice, "reasoning_logprobs")), *_logprobs(part(choice, "logprobs"))]
        self._logprobs += new
        ids = part(piece, "tokens")
        known = len(ids) if isinstance(ids, list) else len(new)
        called = self._take_calls(piece)
        self._grow(content, reasoning, known or self._estimate(content + reasoning + called))
        if finish := part(choice, "finish_reason"):
            self.finish = str(finish)
            rest = self._mend[0].end()
            held = [*(self._split.feed(rest) if rest else ()), *self._split.end()]
            self._put([(self._mend[1].end(), True), *held], 0)

    def _take_calls(self, piece: Any) -> str:
        """Take the calls, or pieces of them, of a delta or message; what the model wrote of them."""
        written = ""
        for call in part(piece, "tool_calls") or ():
            function = part(call, "function")
            name, arguments = part(function, "name"), part(function, "arguments")
            self._calls.take(part(call, "index"), part(call, "id"), name, arguments)
            written += f"{name or ''}{arguments or ''}"
        return written

    def _estimate(self, text: str) -> int:
        """Tokens of a piece: one at least, and four characters each over the whole; never more than were asked for."""
        self._characters += len(text)
        if not text:
            return 0
        likely = max(self.tokens + 1, -(-self._characters // 4))
        return max(0, min(likely, self._request.max_tokens) - self.tokens)

    def _grow(self, content: str, reasoning: str, tokens: int) -> None:
        pieces: list[Piece] = []
        if reasoning:
            self._split.text_only()
            pieces.append((self._mend[1].feed(reasoning), True))
        if content:
            pieces += self._split.feed(self._mend[0].feed(content))
        if (content or reasoning) and self._first is None:
            self._first = time.monotonic()
        self._put(pieces, tokens)

    def _put(self, pieces: Iterable[Piece], tokens: int) -> None:
        self.tokens += tokens
        for text, reasoning in pieces:
            if text:
                self._parts[reasoning].append(text)
                self._run.delta(text, self._index, reasoning=reasoning, tokens=tokens)
                tokens = 0
        if tokens:  # text that is held back until more is known
            self._run.delta("", self._index, tokens=tokens)

    def completion(self) -> Completion:
        """What has become of it."""
        first = None if self._first is None else self._first - self._began
        return Completion(
            text=self.text,
            reasoning="".join(self._parts[1]),
            tokens=self.tokens if self.reported is None else self.reported,
            finish=self._finish(),
            tool_calls=self._calls.made(),
            logprobs=tuple(self._logprobs) if self._request.logprobs else None,
            model=self._model,
            timing=Timing(first_token=first, total=time.monotonic() - self._began, **self._times),
        )

    def _finish(self) -> Finish:
        finish = FINISHES.get(self.finish or "", "stop")
        return finish if finish in ("length", "filter") else "tool" if self._calls else "stop"


class Mender:
    """Mends characters beyond U+FFFF that JSON escapes split over two chunks; lone halves become U+FFFD."""

    def __init__(self) -> None:
        self._half = ""

    def feed(self, text: str) -> str:
        """The text, with what the last one left open, without what this one leaves open."""
        text = self._half + text
        self._half = text[-1] if "\ud800" <= text[-1:] <= "\udbff" else ""
        return text[: len(text) - len(self._half)].encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def end(self) -> str:
        half, self._half = self._half, ""
        return "\ufffd" if half else ""


def _count(usage: Any, name: str, known: int | None) -> int | None:
    value = part(usage, name)
    return value if isinstance(value, int) and value >= 0 else known


def _text(piece: Any, name: str) -> str:
    value = part(piece, name)
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{name} is no text: {value!r:.80}")
    return value or ""


def _logprobs(logprobs: Any) -> list[TokenLogprob]:
    return [_logprob(token) for token in part(logprobs, "content") or ()]


def _logprob(token: Any) -> TokenLogprob:
    top = tuple((part(other, "token"), part(other, "logprob")) for other in part(token, "top_logprobs") or ())
    return TokenLogprob(token=part(token, "token"), logprob=part(token, "logprob"), top=top)
