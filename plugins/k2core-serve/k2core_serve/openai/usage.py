"""What an answer has cost, in OpenAI's form and by role."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from k2core.types import Result, Usage

ROLE_FIELDS = (
    "started",
    "served",
    "cancelled",
    "failed",
    "unsent",
    "cached",
    "prompt_tokens",
    "completion_tokens",
    "cost",
    "estimated",
)


@dataclass(frozen=True)
class Spent:
    """Over all runs of a request."""

    roles: Mapping[str, Usage]
    visible: int
    """Completion tokens that the client gets as the answer; all others were spent on reasoning."""

    @property
    def prompt(self) -> int:
        return sum(usage.prompt_tokens for usage in self.roles.values())

    @property
    def completion(self) -> int:
        return sum(usage.completion_tokens for usage in self.roles.values())

    @property
    def reasoning(self) -> int:
        return max(0, self.completion - self.visible)

    @property
    def by_role(self) -> dict[str, Any]:
        return {role: {name: getattr(usage, name) for name in ROLE_FIELDS} for role, usage in self.roles.items()}

    def chat(self) -> dict[str, Any]:
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": self.reasoning,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
            "k2core": self.by_role,
        }

    def responses(self) -> dict[str, Any]:
        return {
            "input_tokens": self.prompt,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": self.completion,
            "output_tokens_details": {"reasoning_tokens": self.reasoning},
            "total_tokens": self.prompt + self.completion,
            "k2core": self.by_role,
        }


def spent(runs: Iterable[tuple[Result, int]]) -> Spent:
    """Of runs, each with the tokens of its answer."""
    roles: dict[str, Usage] = {}
    visible = 0
    for result, tokens in runs:
        visible += tokens
        for role, usage in result.usage.items():
            roles[role] = roles[role] + usage if role in roles else usage
    return Spent(roles, visible)
