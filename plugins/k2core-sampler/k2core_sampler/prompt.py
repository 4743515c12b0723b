"""The solver's prompt, from problem and plan. Pure functions, no model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from k2core.types import Message, Plan, Problem

INSTRUCTIONS: Mapping[str, str] = {
    "boxed": "Put the final answer in \\boxed{}.",
    "tag": "Put the final answer between <answer> and </answer>.",
    "choice": "Put the letter of the right choice in \\boxed{}.",
    "number": 'End with a line "Answer: " and the number.',
    "text": 'End with a line "Answer: " and the answer.',
    "code": "Put the complete code in one fenced code block.",
    "json": "Put the answer, as JSON, in one fenced code block.",
}
"""How the solver is asked to mark its answer, by `Problem.answer_format`."""

PLAN_NOTE = "Here is a plan that may help. It is context only and may be wrong:"
_FENCE = re.compile(r"</?\s*plan\s*>", re.IGNORECASE)


def plan_block(plan: Plan) -> str:
    """The plan between `<plan>` tags; tags inside it are taken out, so that it cannot close its own fence."""
    text = _FENCE.sub("", plan.prompt).strip()
    return f"{PLAN_NOTE}\n<plan>\n{text}\n</plan>" if text else ""


def instruction(problem: Problem, wanted: bool | str) -> str:
    """`wanted` itself when it is a text, else the one for the problem's answer format, or nothing."""
    if isinstance(wanted, str):
        return wanted
    return INSTRUCTIONS[problem.answer_format] if wanted else ""


class Example(BaseModel):
    """A question with the reply it should get; shows models the form that are too small to follow an instruction."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    problem: str
    """The question; the answer-format instruction is added to it as to the real one."""
    reply: str
    """What the solver is to have replied."""


def solver_messages(
    problem: Problem,
    plan: Plan | None = None,
    *,
    system: str = "",
    instructions: bool | str = True,
    examples: Sequence[Example] = (),
    plan_in: Literal["user", "system"] = "user",
) -> tuple[Message, ...]:
    """The chat for the solver: system prompt, examples as turns, then one turn of plan, question and answer-format instruction.

    A problem's own messages are kept, in order and with their text; the additions go around the text of the last user
    message (chat templates want users and assistants to alternate). Its own system message wins over `system`. With
    `plan_in="system"` the plan ends the system message.
    """
    messages = list(problem.messages) or [Message(role="user", content=problem.prompt)]
    block, wanted = plan_block(plan) if plan else "", instruction(problem, instructions)
    messages = _wrap_last_user(messages, block if plan_in == "user" else "", wanted)
    if system and not any(message.role == "system" for message in messages):
        messages.insert(0, Message(role="system", content=system))
    if plan_in == "system" and block:
        messages = _end_system(messages, block)
    lead = next((place for place, message in enumerate(messages) if message.role != "system"), len(messages))
    shown = [turn for example in examples for turn in _turns(example, wanted)]
    return (*messages[:lead], *shown, *messages[lead:])


def _turns(example: Example, wanted: str) -> tuple[Message, Message]:
    question = Message(role="user", content=_paragraphs(example.problem, wanted))
    return question, Message(role="assistant", content=example.reply)


def _paragraphs(*texts: str) -> str:
    return "\n\n".join(filter(None, texts))


def _wrap_last_user(messages: Sequence[Message], before: str, after: str) -> list[Message]:
    places = [place for place, message in enumerate(messages) if message.role == "user"]
    if not (before or after):
        return list(messages)
    if not places:
        return [*messages, Message(role="user", content=_paragraphs(before, after))]
    at = places[-1]
    longer = Message(role="user", content=_paragraphs(before, messages[at].content, after))
    return [*messages[:at], longer, *messages[at + 1 :]]


def _end_system(messages: Sequence[Message], text: str) -> list[Message]:
    """With `text` at the end of the system message, which is made if there is none."""
    if messages[0].role != "system":
        return [Message(role="system", content=text), *messages]
    return [Message(role="system", content=_paragraphs(messages[0].content, text)), *messages[1:]]
