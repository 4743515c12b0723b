"""What the page is told of a run: its events, those of a live one and those of a stored one alike, without what no reader sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .rendering import Renderer

Json = dict[str, Any]
SHOWN_AS_TEXT = ("solve", "plan", "draft")
"""Roles whose text is shown while it is written; what judges write is counted only."""
USED = ("started", "served", "cancelled", "failed", "prompt_tokens", "completion_tokens", "seconds", "cost", "estimated")
HIDDEN = "it failed; the server's log says why"


class Viewer:
    """Of one run. It remembers which call writes which candidate. Fields that are missing or of odd types show as nothing."""

    def __init__(self, *, details: bool = True) -> None:
        self._renderer: Renderer | None = None
        self._details = details
        self._candidates: dict[str, list[str]] = {}
        self._completions: dict[str, Json] = {}
        self._views: Mapping[str, Callable[[Json], Json | None]] = {
            "run_started": self._run_started,
            "call_started": self._call_started,
            "delta": self._delta,
            "call_ended": self._call_ended,
            "plan_made": self._plan_made,
            "candidate_made": self._candidate_made,
            "candidate_failed": self._candidate_failed,
            "sampler_stopped": self._sampler_stopped,
            "verified": self._verified,
            "warned": self._warned,
            "run_ended": self._run_ended,
        }

    def view(self, event: Json) -> Json | None:
        """The event for the page; None for those that it does not show, such as other plugins' own."""
        kind = event.get("kind")
        make = self._views.get(kind) if isinstance(kind, str) else None
        made = make(event) if make else None
        return None if made is None else {"kind": kind, "at": number(event.get("at")), **made}

    @property
    def renderer(self) -> Renderer:
        self._renderer = self._renderer or Renderer()
        return self._renderer

    def _run_started(self, event: Json) -> Json:
        problem = table(event.get("problem"))
        messages = [table(message) for message in rows(problem.get("messages"))]
        turns = [{"role": string(m.get("role")), "html": self._document(m.get("content"))} for m in messages]
        text = string(problem.get("prompt"))
        return {"run_id": string(event.get("run_id")), "text": text, "html": self._document(text), "messages": turns}

    def _call_started(self, event: Json) -> Json:
        request = table(event.get("request"))
        names = [string(name) for name in rows(request.get("candidates"))]
        self._candidates[string(event.get("call_id"))] = names
        return {
            "call_id": string(event.get("call_id")),
            "role": string(request.get("role")),
            "decoder": string(request.get("decoder")),
            "candidates": names,
        }

    def _delta(self, event: Json) -> Json:
        shown = event.get("role") in SHOWN_AS_TEXT
        return {
            "call_id": string(event.get("call_id")),
            "role": string(event.get("role")),
            "candidate": string(event.get("candidate")),
            "index": number(event.get("index")),
            "reasoning": event.get("reasoning") is True,
            "tokens": number(event.get("tokens")),
            "text": string(event.get("text")) if shown else "",
        }

    def _call_ended(self, event: Json) -> Json:
        call_id = string(event.get("call_id"))
        for name, completion in zip(self._candidates.get(call_id, ()), rows(event.get("completions")), strict=False):
            self._completions[name] = table(completion)
        return {
            "call_id": call_id,
            "role": string(event.get("role")),
            "status": string(event.get("status")),
            "candidates": self._candidates.get(call_id, []),
            "usage": used(event.get("usage")),
            "error": self._trouble(event.get("error")),
        }

    def _plan_made(self, event: Json) -> Json:
        plan = table(event.get("plan"))
        topics = [string(topic) for topic in rows(plan.get("topics"))]
        return {"html": self._document(plan.get("prompt")), "topics": topics, "hard": plan.get("hard") is not False}

    def _candidate_made(self, event: Json) -> Json:
        return {"candidate": self._candidate(table(event.get("candidate")))}

    def _candidate(self, candidate: Json) -> Json:
        name = string(candidate.get("id"))
        completion = table(candidate.get("completion")) or self._completions.get(name, {})
        return {
            "id": name,
            "html": self._document(candidate.get("text")),
            "reasoning": self._document(completion.get("reasoning")),
            "tokens": number(completion.get("tokens")),
            "finish": string(completion.get("finish")),
            "model": string(completion.get("model")),
        }

    def _candidate_failed(self, event: Json) -> Json:
        return {"candidate_id": string(event.get("candidate_id")), "error": self._trouble(event.get("error"))}

    def _sampler_stopped(self, event: Json) -> Json:
        numbers = {name: number(event.get(name)) for name in ("counted", "launched", "cancelled", "n")}
        return {"reason": string(event.get("reason")), **numbers}

    def _verified(self, event: Json) -> Json:
        return {
            "verifier": string(event.get("verifier")),
            "verdicts": [self._verdict(table(v)) for v in rows(event.get("verdicts"))],
        }

    def _verdict(self, verdict: Json) -> Json:
        status, reason = string(verdict.get("status")), verdict.get("reason")
        return {
            "candidate_id": string(verdict.get("candidate_id")),
            "status": status,
            "score": number(verdict.get("score")),
            "answer": self._answer(verdict.get("answer")),
            "reason": (self._trouble(reason) if status == "error" else string(reason))[:2000],
        }

    def _warned(self, event: Json) -> Json:
        return {"where": string(event.get("where")), "message": self._trouble(event.get("message"))}

    def _run_ended(self, event: Json) -> Json:
        result = event.get("result")
        usage = {string(role): used(u) for role, u in table(event.get("usage")).items()}
        if not isinstance(result, dict):
            return {"result": None, "error": self._stopped(event) or self._trouble(event.get("error")), "usage": usage}
        candidate = table(result.get("candidate"))
        chosen = {
            "chosen": string(candidate.get("id")),
            "answer": self._answer(result.get("answer")),
            "whole": result.get("answer") == candidate.get("text"),
            "decision": string(result.get("decision")),
            "scores": {string(name): number(score) for name, score in table(result.get("scores")).items()},
            "seconds": number(result.get("seconds")),
        }
        return {"result": chosen, "error": "", "usage": usage}

    def _stopped(self, event: Json) -> str:
        return "stopped" if string(event.get("error")).startswith("CancelledError") else ""

    def _trouble(self, text: Any) -> str:
        """An error's text, where readers may see what it may name, such as the address of a back end."""
        return string(text)[:2000] if self._details or not text else HIDDEN

    def _document(self, text: Any) -> str:
        return self.renderer.document(text) if isinstance(text, str) and text.strip() else ""

    def _answer(self, text: Any) -> str:
        return self.renderer.answer(text) if isinstance(text, str) and text.strip() else ""


def used(usage: Any) -> Json:
    """The parts of a usage that the page shows."""
    data = table(usage)
    return {name: data.get(name) is True if name == "estimated" else number(data.get(name)) for name in USED}


def table(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def rows(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def number(value: Any) -> float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15 else 0
