"""What the planner asks its model. Pure functions, no model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from k2core.types import Message, Problem

JUDGE_TASK = """Here is a problem. Do not solve it.

<problem>
{problem}
</problem>

Reply with JSON only: {{"topics": ["…"], "hard": true or false}}
"topics" are the key concepts, five at most. "hard" is true when a careful student would make a plan first."""

PLAN_TASK = """Here is a problem. Do not solve it.

<problem>
{problem}
</problem>
{topics}
Write a plan for solving it: at most {steps} numbered steps, each one short sentence that says what to do. \
Do not carry out the steps, and do not state the answer."""

BOTH_TASK = """Here is a problem. Do not solve it.

<problem>
{problem}
</problem>

Reply with JSON only: {{"topics": ["…"], "hard": true or false, "plan": "…"}}
"topics" are the key concepts, five at most. "hard" is true when a careful student would make a plan first. "plan" has at most \
{steps} numbered steps, each one short sentence that says what to do; it does not carry them out and does not state the answer."""

AGAIN = "Your last plan stated a result. Say only what to do, without any result."

_TOPICS = {"type": "array", "items": {"type": "string", "maxLength": 60}, "maxItems": 5}


class Shown(NamedTuple):
    """An example: a problem and what a good planner would say of it."""

    problem: Problem
    topics: Sequence[str]
    hard: bool
    plan: str

    def reply(self, plan: bool) -> str:
        """The JSON reply, with or without the plan."""
        return json.dumps({"topics": self.topics, "hard": self.hard, **({"plan": self.plan} if plan else {})})


EASY = Shown(
    Problem(prompt="A shop sells 12 boxes of 8 pens each and 5 single pens. How many pens does it sell?"),
    ("multiplication", "addition"),
    False,
    "1. Multiply to find how many pens are in all the boxes.\n2. Add the single pens.\n3. Check the sum.",
)
HARD = Shown(
    Problem(prompt="How many 4-digit numbers have digits that add up to 9?"),
    ("counting", "digit sums"),
    True,
    "1. Let the digits be variables and note that the first is at least 1.\n"
    "2. Turn this into counting the solutions of one equation.\n"
    "3. Count them with stars and bars.\n4. Check that no digit exceeds 9.",
)


def judge_messages(problem: Problem, *, examples: bool = True) -> tuple[Message, ...]:
    """Whether it is hard, and its topics."""
    shown = [(JUDGE_TASK.format(problem=problem_text(e.problem)), e.reply(plan=False)) for e in (EASY, HARD)]
    return _chat(JUDGE_TASK.format(problem=problem_text(problem)), shown if examples else ())


def plan_messages(
    problem: Problem, topics: Sequence[str], steps: int, *, examples: bool = True, again: bool = False
) -> tuple[Message, ...]:
    """The plan, from problem and topics."""

    def task(problem: Problem, topics: Sequence[str]) -> str:
        named = f"Topics: {', '.join(topics)}\n" if topics else ""
        return PLAN_TASK.format(problem=problem_text(problem), topics=named, steps=steps)

    shown = [(task(EASY.problem, EASY.topics), EASY.plan)]
    return _chat(task(problem, topics), shown if examples else (), again)


def both_messages(problem: Problem, steps: int, *, examples: bool = True, again: bool = False) -> tuple[Message, ...]:
    """Judgement, topics and plan at once."""
    shown = [(BOTH_TASK.format(problem=problem_text(e.problem), steps=steps), e.reply(plan=True)) for e in (EASY, HARD)]
    return _chat(BOTH_TASK.format(problem=problem_text(problem), steps=steps), shown if examples else (), again)


def reply_schema(plan: bool) -> Mapping[str, Any]:
    """JSON schema of a reply; topics first, so that they are thought of before the judgement."""
    properties: dict[str, Any] = {"topics": _TOPICS, "hard": {"type": "boolean"}}
    if plan:
        properties["plan"] = {"type": "string"}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def problem_text(problem: Problem) -> str:
    """The question; of a longer chat every turn, with who said it."""
    if len(problem.messages) < 2:
        return problem.text
    return "\n\n".join(f"{message.role}: {message.content}" for message in problem.messages)


def _chat(text: str, shown: Iterable[tuple[str, str]], again: bool = False) -> tuple[Message, ...]:
    turns: list[Message] = []
    for asked, said in shown:
        turns += [Message(role="user", content=asked), Message(role="assistant", content=said)]
    return (*turns, Message(role="user", content=f"{text}\n\n{AGAIN}" if again else text))
