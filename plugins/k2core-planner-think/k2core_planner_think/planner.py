"""The plugin `think`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from k2core.plugin import DecoderName, Plugin, PluginConfig, hookimpl
from k2core.ports import Run
from k2core.types import Completion, DecodeRequest, Message, Plan, Problem

from .leak import find_leaks, strip_leaks
from .prompt import both_messages, judge_messages, plan_messages, reply_schema
from .reply import Reply, read_reply


class ThinkConfig(PluginConfig):
    """Options of the planner."""

    decoder: DecoderName = "solver"
    """Name under `[decoders]` of the model that plans."""
    calls: Literal[1, 2] = 2
    """2: first judge and name topics, then plan if it is hard. 1: all in one reply."""
    always_plan: bool = False
    """Plan easy problems too."""
    structured: bool = True
    """Ask for JSON by a schema; switch it off for a back end that refuses schemas."""
    examples: bool = True
    """Show the model what good replies look like; small models need it."""
    leak: Literal["strip", "retry", "drop"] = "strip"
    """A plan that discloses an answer: take those sentences out, or ask once more and then take them out, or do without a plan."""
    max_tokens: int = Field(default=512, ge=1)
    """Most tokens of each reply, reasoning included."""
    temperature: float = Field(default=0.6, ge=0)
    """Sampling temperature."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """Nucleus sampling: share of the probability that is kept."""
    max_steps: int = Field(default=5, ge=1)
    """Most steps that the model is asked for."""
    max_length: int = Field(default=2000, ge=1)
    """Most characters of a plan; a longer one ends at a line or sentence before."""


class Think(Plugin):
    """Judge, name the topics, plan."""

    config: ThinkConfig

    @hookimpl
    async def k2_plan(self, run: Run, problem: Problem) -> Plan | None:
        turn = run.state["turn"] = run.state.get("turn", -1) + 1
        return await _Planning(run, problem, self.config, turn).plan()


@dataclass
class _Planning:
    """One plan in the making."""

    run: Run
    problem: Problem
    config: ThinkConfig
    turn: int
    """Under `plan = "sample"` a run asks several times, and each time is to have seeds of its own."""

    async def plan(self) -> Plan | None:
        reply = await self._first()
        if not (reply.hard or self.config.always_plan):
            return None
        text = reply.plan if self.config.calls == 1 else await self._write(reply)
        if find_leaks(text):
            text = await self._without_leak(reply, text)
        elif not text:
            self.run.warn("planner", "the model wrote no plan")
        text = clip(text, self.config.max_length)
        return Plan(prompt=text, topics=reply.topics, hard=reply.hard) if text else None

    async def _first(self, again: bool = False) -> Reply:
        """The judgement; in one-call mode with the plan."""
        both, shown = self.config.calls == 1, self.config.examples
        if both:
            messages = both_messages(self.problem, self.config.max_steps, examples=shown, again=again)
        else:
            messages = judge_messages(self.problem, examples=shown)
        step = "again" if again else "judge"
        return read_reply(whole(await self._ask(step, messages, reply_schema(plan=both) if self.config.structured else None)))

    async def _write(self, reply: Reply, again: bool = False) -> str:
        messages = plan_messages(self.problem, reply.topics, self.config.max_steps, examples=self.config.examples, again=again)
        return read_reply(whole(await self._ask("again" if again else "plan", messages))).plan

    async def _ask(self, step: str, messages: tuple[Message, ...], schema: object = None) -> Completion:
        config = self.config
        fields = {"max_tokens": config.max_tokens, "temperature": config.temperature, "top_p": config.top_p}
        seed = self.run.seed_for("plan", self.turn, step)
        request = DecodeRequest.model_validate(
            {"messages": messages, "role": "plan", "decoder": config.decoder, "seed": seed, "json_schema": schema, **fields}
        )
        return (await self.run.decode(request))[0]

    async def _without_leak(self, reply: Reply, text: str) -> str:
        if self.config.leak == "drop":
            self.run.warn("planner", f"dropped a plan that discloses an answer: {_named(text)}")
            return ""
        if self.config.leak == "retry":
            self.run.warn("planner", f"planning again, as the plan discloses an answer: {_named(text)}")
            text = (await self._first(again=True)).plan if self.config.calls == 1 else await self._write(reply, again=True)
        if find_leaks(text):
            self.run.warn("planner", f"took out of the plan what discloses an answer: {_named(text)}")
        return strip_leaks(text)


def whole(completion: Completion) -> str:
    """Its text; without the half line at the end when the length cut it off there."""
    text = completion.text
    return text.rpartition("\n")[0] or text if completion.finish == "length" else text


def clip(text: str, length: int) -> str:
    """At most `length` characters, ended at the last line or sentence that fits, or else anywhere."""
    if len(text) <= length:
        return text
    # a full stop after a digit may be that of a bullet
    ends = [match.start() for match in re.finditer(r"\n|(?<=[^\d\s][.!?])\s", text[: length + 1])]
    return text[: ends[-1]].rstrip() if ends else text[:length]


def _named(text: str) -> str:
    """The leaking sentences for a warning, shortened; a trace holds the plan in full anyway."""
    return " / ".join(f"{leak:.60}" for leak in find_leaks(text)[:3])
