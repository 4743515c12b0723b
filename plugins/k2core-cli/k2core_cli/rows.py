"""The lines that `k2 verify` reads and writes."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from k2core.types import Candidate, Problem, Verdict

_GIVEN = ("id", "problem", "prediction", "completion", "answer_format", "domain")
"""Fields that are not the reference's; `prompt` may be a part of a test's description, and is both."""


class Row(NamedTuple):
    """One solution to be judged."""

    id: Any
    problem: Problem
    candidate: Candidate
    reference: str


def read(line: bytes, number: int, answer_format: str) -> Row:
    """Parse one line. Raises `ValueError` with what is wrong in it."""
    try:
        row = json.loads(line)
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8: {error}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(row, dict):
        raise ValueError(f"a line is an object, not {type(row).__name__}")
    problem = Problem(
        id=f"line-{number}",
        prompt=_text(row, "problem", "prompt") or f"line {number}",
        answer_format=row.get("answer_format", answer_format),
        domain=row.get("domain", "general"),
    )
    text = _text(row, "prediction", "completion")
    if text is None:
        raise ValueError(f"there is neither `prediction` nor `completion`; the fields are: {', '.join(row) or 'none'}")
    return Row(row.get("id", number), problem, Candidate(id="0", text=text), _reference(row))


def _text(row: dict[str, Any], *names: str) -> str | None:
    found = [row[name] for name in names if row.get(name) is not None]
    if found and not isinstance(found[0], str):
        raise ValueError(f"{', '.join(names)}: a text is wanted, not {json.dumps(found[0])[:60]}")
    return found[0] if found else None


def _reference(row: dict[str, Any]) -> str:
    """`gold`, or every field that describes the tests, as JSON."""
    if row.get("gold") is not None:
        return row["gold"] if isinstance(row["gold"], str) else json.dumps(row["gold"])
    rest = {name: value for name, value in row.items() if name not in _GIVEN}
    if "gold" in row or not rest.keys() - {"prompt"}:
        raise ValueError("there is no `gold`, nor anything else to check the prediction against")
    return json.dumps(rest)


def write(name: Any, verdict: Verdict, seconds: float) -> str:
    """One line of output; `ms` is the time since its line was read, waiting for a worker included."""
    said = {
        "status": verdict.status,
        "score": verdict.score,
        "key": verdict.key,
        "answer": verdict.answer,
        "reason": verdict.reason,
    }
    return json.dumps({"id": name, **said, "ms": round(1000 * seconds, 3)})


def identified(line: bytes, number: int) -> Any:
    """The id of a line that is wrong otherwise, or else its number."""
    try:
        row = json.loads(line)
        return row.get("id", number) if isinstance(row, dict) else number
    except (ValueError, RecursionError):
        return number
