"""Keeping only what verifies: the last answer of each chat, by the pipeline's verifiers and the row's own reference."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from k2core.ports import Session
from k2core.types import Candidate, Problem, Verdict

from .chats import Chat
from .config import DataOptions

AT_ONCE = 16
"""Rows that are verified side by side."""


async def faults(session: Session, chats: Sequence[Chat], options: DataOptions) -> list[tuple[str, str]]:
    """Of each chat why it is to be left out, and the verifiers' reasons; ("", "") where its answer is right."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(chat: Chat) -> tuple[str, str]:
        async with gate:
            return await _fault(session, chat, options)

    return list(await asyncio.gather(*map(one, chats)))


async def _fault(session: Session, chat: Chat, options: DataOptions) -> tuple[str, str]:
    if chat.reference is None:
        return "not verified: no reference", ""
    candidate = Candidate(id="0", text=chat.messages[-1].content)
    try:
        problem = problem_of(chat, options)
    except ValueError as error:
        return "malformed", " ".join(str(error).split())[:200]
    try:
        async with asyncio.timeout(options.verify_timeout), session.open(problem, seed=0) as run:
            return judged(await run.verify([candidate], chat.reference))
    except TimeoutError:
        return "not verified: the verifiers took too long", f"more than {options.verify_timeout:g} s"


def problem_of(chat: Chat, options: DataOptions) -> Problem:
    """What the chat's last answer answers. Raises `ValueError` where that is no problem."""
    answer = chat.messages[-1].content
    found = "tag" if "<answer>" in answer else "boxed" if "\\boxed" in answer else "text"
    form = found if options.answer_format == "auto" else options.answer_format
    return Problem(messages=chat.messages[:-1], domain=chat.domain, answer_format=form)  # type: ignore[arg-type]


def judged(verdicts: Sequence[Verdict]) -> tuple[str, str]:
    """One verdict that says correct and none that says incorrect: right. Otherwise the weightiest reason against it."""
    for status, reason in (("incorrect", "wrong answer"), ("error", "not verified: a verifier failed")):
        for verdict in verdicts:
            if verdict.status == status:
                return reason, f"{verdict.verifier}: {verdict.reason}"
    if any(verdict.status == "correct" for verdict in verdicts):
        return "", ""
    said = "; ".join(f"{verdict.verifier} {verdict.status}: {verdict.reason}" for verdict in verdicts)
    return f"not verified: {verdicts[0].status if verdicts else 'the pipeline has no verifiers'}", said
