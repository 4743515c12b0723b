"""What a row says, whatever its format: a chat, and the reference answer where it has one."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, Literal, cast

from k2core.types import Message

from .config import DataOptions

ROLES = {"system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant", "tool": "tool"}
REASONING = ("reasoning_content", "reasoning", "thinking")
REFERENCES = ("reference", "ground_truth", "answer", "expected_answer", "target")
PROMPTS = ("prompt", "problem", "question", "instruction", "query")
RESPONSES = ("response", "completion", "generation", "solution", "output")
DOMAINS = ("domain", "ability", "category")
KEY = 16
"""Bytes of a chat's key."""
_THOUGHT = re.compile(r"\s*<think>(.*?)</think>\s*(.*)", re.DOTALL)
_TAGGED = re.compile(r"<answer>(.*?)</answer>\s*", re.DOTALL)


class Unusable(ValueError):
    """A row that cannot be trained on; the message is the reason that is counted, and `detail` says more."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.detail = detail


@dataclass(frozen=True)
class Chat:
    """A conversation whose assistant is to be learnt from."""

    messages: tuple[Message, ...]
    place: str
    """File and line."""
    reference: str | None = None
    domain: str = "general"

    @property
    def key(self) -> bytes:
        """The same for the same messages, and for no others."""
        return _digest(self.messages)

    @property
    def question(self) -> bytes:
        """The same for all chats with the same messages before the first answer."""
        return _digest(takewhile(lambda message: message.role != "assistant", self.messages))

    @property
    def text(self) -> str:
        return "\n\n".join(message.content for message in self.messages)


def _digest(messages: Iterable[Message]) -> bytes:
    texts = json.dumps([(m.role, m.content) for m in messages])
    return hashlib.blake2b(texts.encode("utf-8", "surrogatepass"), digest_size=KEY).digest()


def chat_of(value: Any, place: str, options: DataOptions) -> Chat:
    """The chat of a row. Raises `Unusable` for one that is malformed, empty, has no assistant's turn, or is no clean text."""
    if not isinstance(value, Mapping):
        raise Unusable("malformed", "a row is a table of fields")
    name = _format(value) if options.format == "auto" else options.format
    chat = _READERS[name](value, place)
    chat = _tidied(chat, options)
    for message in chat.messages:
        try:
            message.content.encode()
        except UnicodeEncodeError as error:
            raise Unusable("bad UTF-8", "a lone surrogate") from error
        if "\0" in message.content:
            raise Unusable("malformed", "a NUL character")
    return chat


def _format(row: Mapping[str, Any]) -> str:
    if row.get("messages"):
        return "messages"
    if row.get("conversations"):
        return "sharegpt"
    if "reward_model" in row or ("data_source" in row and "prompt" in row):
        return "guru"
    if any(name in row for name in RESPONSES):
        return "prompt-response"
    known = "messages, conversations, reward_model, or a prompt and a response"
    raise Unusable("malformed", f"no known fields: {known} (has {', '.join(map(str, list(row)[:6])) or 'none'})")


def _messages(row: Mapping[str, Any], place: str) -> Chat:
    turns = [turn_of(turn, "role", "content") for turn in turns_of(row.get("messages"))]
    return Chat(tuple(turns), place, _first(row, REFERENCES), _domain(row))


def _sharegpt(row: Mapping[str, Any], place: str) -> Chat:
    """ShareGPT's layout, and AM-Thinking-v1-Distilled's, whose turns carry an `info` with the reference."""
    given = turns_of(row.get("conversations"))
    turns = [turn_of(turn, "from", "value") for turn in given]
    if isinstance(system := row.get("system"), str) and system and turns[:1] and turns[0].role != "system":
        turns.insert(0, Message(role="system", content=system))
    infos = [info for turn in given if isinstance(info := decoded(turn.get("info")), Mapping)]
    reference = next((found for source in (row, *infos) if (found := _first(source, REFERENCES))), None)
    domain = next((found for source in (row, *infos) if (found := _domain(source)) != "general"), "general")
    return Chat(tuple(turns), place, reference, domain)


def _guru(row: Mapping[str, Any], place: str) -> Chat:
    """Guru's and verl's rows: prompt, ground truth, and a response where there is one."""
    turns = [turn_of(turn, "role", "content") for turn in turns_of(row.get("prompt"))]
    extra, model = decoded(row.get("extra_info")), decoded(row.get("reward_model"))
    extra = extra if isinstance(extra, Mapping) else {}
    truth = model.get("ground_truth") if isinstance(model, Mapping) else None
    response = _response(row) or _response(extra)
    if not response:
        raise Unusable("no assistant turn", "neither the row nor its extra_info has a response")
    return Chat((*turns, *response), place, text_of(truth), _domain(row))


def _prompt_response(row: Mapping[str, Any], place: str) -> Chat:
    turns, response = _prompt(row), _response(row)
    if not response:
        raise Unusable("no assistant turn", "no response")
    return Chat((*turns, *response), place, _first(row, REFERENCES), _domain(row))


def _prompt(row: Mapping[str, Any]) -> list[Message]:
    """What is asked; after an instruction of Alpaca's its `input`."""
    name = _present(row, PROMPTS)
    if not name:
        raise Unusable("empty", "no prompt")
    turns = _turns(row[name], "user", name)
    if name != "instruction" or not _present(row, ["input"]):
        return turns
    if not isinstance(row["input"], str):
        raise Unusable("malformed", f"the input is {type(row['input']).__name__}, not text")
    *earlier, last = turns
    return [*earlier, last.model_copy(update={"content": f"{last.content}\n\n{row['input']}"})]


def _response(row: Mapping[str, Any]) -> list[Message]:
    """What is answered; empty where no field says it."""
    name = _present(row, RESPONSES)
    return _turns(row[name], "assistant", name) if name else []


def _turns(value: Any, role: Literal["user", "assistant"], name: str) -> list[Message]:
    """The turns of a field, whose text is a turn of that role. Raises `Unusable` for what is neither."""
    if isinstance(value, str):
        return [Message(role=role, content=value)]
    if isinstance(value, list):
        return [turn_of(turn, "role", "content") for turn in value]
    raise Unusable("malformed", f"the {name} is {type(value).__name__}, neither text nor turns")


_READERS: Mapping[str, Callable[[Mapping[str, Any], str], Chat]] = {
    "messages": _messages,
    "sharegpt": _sharegpt,
    "am-thinking": _sharegpt,
    "guru": _guru,
    "prompt-response": _prompt_response,
}


def decoded(value: Any) -> Any:
    """Some store JSON within a column of text. Raises `Unusable` where it cannot be taken in."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except RecursionError as error:
            raise Unusable("malformed", "JSON in a text, nested too deeply") from error
        except ValueError:
            return value
    return value


def turns_of(value: Any) -> Sequence[Mapping[str, Any]]:
    """The turns of a chat, or of a text one; raises `Unusable`."""
    value = decoded(value)
    if isinstance(value, str) and value:
        return [{"role": "user", "content": value}]
    if not isinstance(value, list) or not value:
        raise Unusable("empty" if not value else "malformed", "no turns")
    if not all(isinstance(turn, Mapping) for turn in value):
        raise Unusable("malformed", "a turn is a table of fields")
    return cast("Sequence[Mapping[str, Any]]", value)


def turn_of(turn: Any, role_field: str, text_field: str) -> Message:
    """The message of a turn, reasoning included; the fields may have the other layout's names. Raises `Unusable`."""
    if not isinstance(turn, Mapping):
        raise Unusable("malformed", "a turn is a table of fields")
    name = turn.get(role_field, turn.get("role" if role_field == "from" else "from"))
    role = ROLES.get(name) if isinstance(name, str) else None
    if role is None:
        raise Unusable("malformed", f"a turn of the role {name!r:.40}" if isinstance(name, str) else "a turn without a role")
    content = turn.get(text_field, turn.get("content" if text_field == "value" else "value"))
    if isinstance(content, list) and all(map(_is_text, content)):
        content = "".join(part["text"] for part in content)
    if not isinstance(content, str):
        raise Unusable("malformed", f"a turn's text is {type(content).__name__}")
    reasoning = next((turn[name] for name in REASONING if isinstance(turn.get(name), str) and turn[name]), "")
    if role == "assistant" and reasoning and "<think>" not in content:
        content = f"<think>\n{reasoning.strip()}\n</think>\n\n{content.strip()}"
    return Message(role=cast("Any", role), content=content)


def _is_text(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part.get("text"), str)


def _tidied(chat: Chat, options: DataOptions) -> Chat:
    """Checks, the system message, and the layout of answers."""
    turns = list(chat.messages)
    if not any(turn.role == "assistant" for turn in turns):
        raise Unusable("no assistant turn")
    while turns[-1].role != "assistant":  # what comes after the last answer is not learnt from
        turns.pop()
    if turns[0].role == "assistant":
        raise Unusable("malformed", "it begins with the assistant")
    if any(not turn.content.strip() for turn in turns if turn.role in ("assistant", "user")):
        raise Unusable("empty", "a turn without text")
    if options.layout == "think-answer":
        turns = [_think_answer(turn) if turn.role == "assistant" else turn for turn in turns]
    if options.system and turns[0].role != "system":
        turns.insert(0, Message(role="system", content=options.system))
    return replace(chat, messages=tuple(turns))


def _think_answer(turn: Message) -> Message:
    match = _THOUGHT.fullmatch(turn.content)
    if match is None or not match[1].strip():
        raise Unusable("malformed", "no <think>…</think> with reasoning in it")
    tagged = _TAGGED.fullmatch(match[2])
    answer = (tagged[1] if tagged else match[2]).strip()
    if not answer or "<think>" in answer or "<answer>" in answer:
        raise Unusable("malformed", "no one answer after the reasoning")
    return Message(role="assistant", content=f"<think>\n{match[1].strip()}\n</think>\n<answer>\n{answer}\n</answer>")


def text_of(value: Any) -> str | None:
    """A reference as a text, where there is one; what is no text as JSON. Raises `Unusable` for what is neither."""
    if value is None or value == "" or isinstance(value, bool):
        return None
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, RecursionError) as error:
        raise Unusable("malformed", f"a reference that is no JSON: {error}") from error


def _present(row: Mapping[str, Any], names: Sequence[str]) -> str:
    """The first of the fields that holds something; empty where none does."""
    return next((name for name in names if row.get(name) not in (None, "", [])), "")


def _first(row: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return next((text for name in names if (text := text_of(row.get(name)))), None)


def _domain(row: Mapping[str, Any]) -> str:
    return next((str(row[name]) for name in DOMAINS if isinstance(row.get(name), str) and row[name]), "general")
