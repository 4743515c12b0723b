"""From chats to tokens, by the model's own chat template: what a decoder would see, and what the assistant would have said."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from k2core.errors import ConfigError
from k2core.types import Message

from ..packing import TokenSequence
from .chats import Chat, Unusable

_MARK = "k2core-the-turn-is-here"
_OPEN = re.compile(r"<think>\s*$")
_OPENING = re.compile(r"\s*<think>\n*")


class Piece(NamedTuple):
    """A stretch of text, and whether its tokens are learnt."""

    text: str
    learnt: bool


class Renderer:
    """A tokenizer with its chat template, and the tokens that end a turn."""

    def __init__(self, tokenizer: Any, ends: frozenset[int]) -> None:
        """Raises `ConfigError` for a tokenizer without a chat template."""
        need_template(tokenizer.chat_template)
        self._tokenizer = tokenizer
        words = tokenizer.convert_ids_to_tokens(sorted(ends))
        self._ends = [word for word in words if isinstance(word, str) and word]
        self._end_id = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else min(ends, default=None)

    def sequences(self, chats: Sequence[Chat]) -> list[list[TokenSequence] | Unusable]:
        """Of each chat its sequences, or why it has none.

        A sequence is what a decoder sees before an answer, and the answer with the token that ends it, which are its targets.
        Further answers follow in the same sequence as long as the template leaves what is there as it is; where it changes earlier
        turns (such as by taking their reasoning out) each answer is a sequence of its own, as it would be seen in use.
        """
        rendered: list[list[list[Piece]] | Unusable] = []
        for chat in chats:
            try:
                rendered.append(self.pieces(chat.messages))
            except Unusable as error:
                rendered.append(error)
        texts = [piece.text for made in rendered if not isinstance(made, Unusable) for pieces in made for piece in pieces]
        ids = iter(self._tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else [])
        found: list[list[TokenSequence] | Unusable] = []
        for made in rendered:
            if isinstance(made, Unusable):
                found.append(made)
            else:
                found.append([self._sequence([(next(ids), piece) for piece in pieces]) for pieces in made])
        return found

    def _sequence(self, parts: list[tuple[list[int], Piece]]) -> TokenSequence:
        ids, targets = list[int](), list[bool]()
        for own, piece in parts:
            ids += own
            targets += [piece.learnt] * len(own)
        if self._end_id is not None and not self._ends_turn(parts[-1][1].text):
            ids.append(self._end_id)  # the template does not end turns, so nothing else would teach to stop
            targets.append(True)
        return TokenSequence(ids, targets)

    def _ends_turn(self, text: str) -> bool:
        return any(text.endswith(end) for end in self._ends)

    def pieces(self, messages: Sequence[Message]) -> list[list[Piece]]:
        """The texts of the sequences. Raises `Unusable` where the template refuses the chat."""
        made: list[list[Piece]] = []
        current = ""
        rest = ""
        for at, message in enumerate(messages):
            if message.role != "assistant":
                continue
            before = self._render(messages[:at], True)
            turn = self._turn(messages[: at + 1], before)
            if made and before.startswith(current + rest):
                made[-1].append(Piece(before[len(current) :], False))
            else:
                made.append([Piece(before, False)])
            said, rest = self._split(turn, message.content)
            made[-1].append(Piece(said, True))
            current = before + said
        return made

    def _turn(self, messages: Sequence[Message], before: str) -> str:
        """What the assistant's turn adds to the prompt for it."""
        content = messages[-1].content.strip()
        whole = self._render(messages, False)
        if whole.startswith(before) and content in whole[len(before) :]:
            return whole[len(before) :]
        marked = self._render([*messages[:-1], Message(role="assistant", content=_MARK)], False)
        _, found, closing = marked.rpartition(_MARK)
        if not found:
            raise Unusable("template", "the chat template leaves the assistant's turn out")
        if _OPEN.search(before):  # the prompt has begun the reasoning already
            content = _OPENING.sub("", content, count=1)
        return content + closing

    def _split(self, turn: str, content: str) -> tuple[str, str]:
        """The turn up to the token that ends it, and the rest."""
        if any(end in content for end in self._ends):
            raise Unusable("malformed", "the token that ends a turn stands within one")
        cut = max((at + len(end) for end in self._ends if (at := turn.rfind(end)) >= 0), default=-1)
        return (turn, "") if cut < 0 else (turn[:cut], turn[cut:])

    def _render(self, messages: Sequence[Message], generate: bool) -> str:
        from jinja2 import TemplateError

        turns = [{"role": m.role, "content": m.content} for m in messages]
        try:
            return str(self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=generate))
        except (TemplateError, TypeError, KeyError, AttributeError, ValueError) as error:
            raise Unusable("template", f"the chat template refuses the chat: {error}") from error


def need_template(template: object) -> None:
    """Raises `ConfigError` where the model that is trained has none."""
    if not template:
        raise ConfigError("the model has no chat template; give one, as Jinja text or a file", "trainer.model.chat_template")


def shortened(sequence: TokenSequence, longest: int) -> TokenSequence | None:
    """Its first `longest` tokens; None where nothing to learn is among them."""
    targets = sequence.targets
    if isinstance(targets, slice):
        targets = [place in range(len(sequence.ids))[targets] for place in range(len(sequence.ids))]
    cut = list(targets[:longest])
    return TokenSequence(list(sequence.ids[:longest]), cut, sequence.weight) if any(cut[1:]) else None
