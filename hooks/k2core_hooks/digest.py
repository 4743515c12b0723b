"""What a run decided and spent, as one hash: what a replay must reproduce."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from k2core.types import Result, Usage

COUNTS = ("started", "served", "cancelled", "failed", "cached", "prompt_tokens", "completion_tokens")
"""The parts of a usage that no clock decides."""


def digest(result: Result | None, usage: Mapping[str, Usage], error: str = "") -> str:
    """SHA-256 in hex over plan, candidates, verdicts, decision, answer, counted usage by role and, without a result, the error.

    Canonical JSON: sorted keys, no spaces, UTF-8; scores with six decimals; counts of zero left out; lone surrogates as question
    marks, as traces hold them. No clocks, ids of runs or costs.
    """
    counts = {role: {name: getattr(used, name) for name in COUNTS if getattr(used, name)} for role, used in usage.items()}
    facts = {"usage": {role: found for role, found in counts.items() if found}, **(_facts(result) if result else {"error": error})}
    text = json.dumps(facts, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _facts(result: Result) -> dict[str, Any]:
    verdicts = ([v.verifier, v.candidate_id, v.status, f"{v.score:.6f}", v.key] for v in result.verdicts)
    return {
        "plan": result.plan.prompt if result.plan else None,
        "candidates": {candidate.id: candidate.text for candidate in result.candidates},
        "verdicts": sorted(verdicts, key=lambda verdict: verdict[:2]),
        "chosen": result.candidate.id,
        "decision": result.decision,
        "answer": result.answer,
    }
