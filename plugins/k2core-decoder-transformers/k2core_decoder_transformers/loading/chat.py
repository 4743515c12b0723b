"""From messages to a prompt's tokens."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from k2core.types import DecodeRequest, Message

_MARK = "k2core-continues-here"
_EMPTY_THOUGHT = re.compile(r"<think>\s*</think>\s*$")


def template_of(option: str) -> str:
    """The Jinja text of a `chat_template` option: the text itself, or the file that it names. Raises `ValueError`."""
    if "{" in option or "\n" in option:
        return option
    try:
        return Path(option).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"chat_template is neither a Jinja template nor a readable file: {error}") from error


class Chat:
    """A chat template and its tokenizer. Raises `ValueError` when the template is no valid Jinja."""

    def __init__(self, tokenizer: Any, template: str = "") -> None:
        self._tokenizer = tokenizer
        if template:
            tokenizer.chat_template = template_of(template)
        self.template: str = _text_of(tokenizer.chat_template)

    @property
    def opens_thinking(self) -> bool:
        """Whether the prompt for an answer ends with an opening <think>."""
        _, asked, end = self.template.rpartition("add_generation_prompt")
        return bool(asked) and "<think>" in end and "</think>" not in end

    def prompt_ids(self, request: DecodeRequest) -> list[int]:
        """The prompt's tokens. Raises `ValueError` where the template refuses the messages or there is nothing to continue."""
        ids = self._tokenizer(self.prompt(request), add_special_tokens=False)["input_ids"]
        return [int(id) for id in ids]

    def prompt(self, request: DecodeRequest) -> str:
        """The prompt as text. Nothing at all to continue is an ordinary request."""
        if not request.messages:
            raise ValueError("the request has no messages")
        *earlier, last = request.messages
        if not request.continue_last:
            return self._render(request.messages, True)
        if last.role != "assistant":
            raise ValueError(f"only an assistant's turn can be continued; the last message is of the {last.role}")
        if not last.content:
            return self._render(earlier, True)
        marked = self._render([*earlier, Message(role="assistant", content=_MARK)], False)
        before, found, _ = marked.rpartition(_MARK)
        if not found:
            raise ValueError("the chat template leaves an assistant's turn out, so it cannot be continued")
        if last.content.lstrip().startswith("<think>"):
            before = _EMPTY_THOUGHT.sub("", before)
        return before + last.content

    def _render(self, messages: Sequence[Message], generate: bool) -> str:
        from jinja2 import TemplateError

        if not self.template:
            raise ValueError("the model has no chat template; give one as `chat_template`")
        turns = [{"role": m.role, "content": m.content} for m in messages]
        try:
            made = self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=generate)
        except (TemplateError, TypeError, KeyError, AttributeError, ValueError) as error:
            roles = ", ".join(m.role for m in messages)
            raise ValueError(f"the chat template refuses these messages ({roles}): {error}") from error
        return str(made)


def _text_of(template: Any) -> str:
    """Some tokenizers have several named templates."""
    if isinstance(template, dict):
        return str(template.get("default") or "")
    return str(template or "")


def ends(model: Any, tokenizer: Any, template: str) -> frozenset[int]:
    """The tokens that end a text: of the generation settings, the tokenizer, and the one that closes a turn in the template."""
    found: set[int] = set()
    for source in (model.generation_config, model.config, tokenizer):
        value = getattr(source, "eos_token_id", None)
        found |= {value} if isinstance(value, int) else set(value or ())
    if isinstance(id := tokenizer.get_vocab().get("<|endoftext|>"), int):
        found.add(id)  # ends a text wherever it exists, as in llama.cpp
    for word in ("<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>", "<|end_of_turn|>", "<|eom_id|>", "<|return|>"):
        id = tokenizer.convert_tokens_to_ids(word) if word in template else None
        if isinstance(id, int) and id != tokenizer.unk_token_id:
            found.add(id)
    return frozenset(id for id in found if id >= 0)
