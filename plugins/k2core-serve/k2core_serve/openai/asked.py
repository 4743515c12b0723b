"""What a request asks for, once its form has been understood: the same for chat completions and responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from k2core.config import validated
from k2core.errors import ConfigError
from k2core.types import Message, Problem, Tools, uses_tools

from ..pipelines.runtime import ServedRuntime
from ..pipelines.steering import ASKED
from ..settings import ModelTable
from .errors import bad
from .schemas import Schema


@dataclass(frozen=True)
class Asked:
    """A request for `n` answers to one problem."""

    model: str
    messages: tuple[Message, ...]
    sampling: Mapping[str, Any]
    """`temperature`, `top_p`, `max_tokens`, `stop`, `json_schema`: those that were asked for."""
    tools: Tools | None = None
    effort: str = ""
    n: int = 1
    seed: int | None = None
    stream: bool = False
    include_usage: bool = False
    echo: Mapping[str, Any] = field(default_factory=dict)
    """Parameters that a response repeats."""

    @property
    def schema(self) -> Schema | None:
        """What the answer must satisfy."""
        return self.sampling.get("json_schema")

    def problem(self, table: ModelTable) -> Problem:
        """Raises `ApiError` when it is empty or no clean text."""
        only = self.messages[0] if len(self.messages) == 1 and self.messages[0].role == "user" else None
        fields: dict[str, Any] = {"prompt": only.content} if only else {"messages": self.messages}
        if self.tools is not None:
            fields["tools"] = self.tools
        if self.sampling:
            fields["meta"] = {ASKED: dict(self.sampling)}
        answer_format = "json" if self.schema is not None else table.answer_format
        try:
            return validated(Problem, {**fields, "domain": table.domain, "answer_format": answer_format}, "messages")
        except ConfigError as error:
            raise bad(str(error), "messages") from None


def fitting(problem: Problem, runtime: ServedRuntime) -> None:
    """Raises `ApiError` for tools where the pipeline's solver has none, before the request waits or costs anything."""
    if uses_tools(problem) and not runtime.calls_tools:
        said = "no decoder of this model's solver can call tools; leave them out, or ask another model"
        raise bad(said, "tools" if problem.tools else "messages", "unsupported_parameter")


class Body(BaseModel):
    """Base of what is accepted in requests: nothing is ignored in silence."""

    model_config = ConfigDict(frozen=True, extra="forbid")


B = TypeVar("B", bound=Body)


def understood(form: type[B], data: Mapping[str, Any]) -> B:
    """The body as `form`. Raises `ApiError` naming the first parameter that is wrong or unknown."""
    try:
        return form.model_validate(data)
    except ValidationError as error:
        item = error.errors(include_url=False, include_context=False)[0]
        param = place(item["loc"])
        if item["type"] == "extra_forbidden":
            raise bad(f"unknown or unsupported parameter: {param}", param, "unknown_parameter") from None
        if item["type"] == "missing":
            raise bad(f"missing required parameter: {param}", param, "missing_required_parameter") from None
        raise bad(f"invalid {param}: {item['msg'].removeprefix('Value error, ')}", param, "invalid_value") from None


def place(loc: Sequence[int | str]) -> str:
    """`messages[0].content` of `("messages", 0, "content")`; names that pydantic gives to the members of a union are left out."""
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.isidentifier() and part not in _UNION_MEMBERS:
            text += f".{part}" if text else part
    return text


_UNION_MEMBERS = {"str", "list", "tuple", "int", "float", "bool", "dict", "none"}


def refuse_unless(allowed: Sequence[Any], value: Any, param: str, why: str) -> None:
    """Raises `ApiError` for a parameter that this server can honour only with certain values."""
    if value is not None and value not in allowed:
        raise bad(f"{param} is not supported here: {why}", param, "unsupported_parameter")


def text_of(content: Any, param: str) -> str:
    """Text, also where it comes in parts. Raises `ApiError` for images, sound and files: pipelines read text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise bad(f"{param} must be text or a list of parts", param, "invalid_value")
    return "".join(_part(part, f"{param}[{i}]") for i, part in enumerate(content))


def _part(part: Any, param: str) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind not in ("text", "input_text", "output_text") or not isinstance(part.get("text"), str):
        raise bad(f"{param}: only text is supported here, not {kind!r:.40}", param, "unsupported_content")
    return str(part["text"])


def sampling_of(**fields: Any) -> dict[str, Any]:
    """Those that were given."""
    return {name: value for name, value in fields.items() if value is not None}
