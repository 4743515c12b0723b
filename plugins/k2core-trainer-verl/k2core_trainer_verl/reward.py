"""verl's reward function: the pipeline's own verifiers, in a `Runtime` that has nothing else.

verl imports this module in each of its reward workers and calls `compute_score` there, in the worker's event loop, for one
answer at a time; calls are concurrent. A verifier that fails or hangs costs its own verdict, see the kernel's rules, or, where
nothing else has judged, the reward: that is then 0 and counted as an error, and training goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from k2core.choice import scores_of
from k2core.config import PipelineConfig
from k2core.errors import K2Error, explain
from k2core.registry import Registry, Slot
from k2core.runtime import Runtime
from k2core.toolkit.thinking import ThinkSplitter
from k2core.types import Candidate, Completion, Problem, Verdict

from .rows import PROBLEM

log = logging.getLogger(__name__)
_graders: dict[tuple[str, int], tuple[Runtime, list[Slot]]] = {}
TRUNCATED = "k2core_truncated"
"""Key of `extra_info`: the answer has been cut at its limit; `inside.manager` sets it."""
PROMPT = "k2core_prompt"
"""Key of `extra_info`: the messages that were answered; `inside.manager` sets it."""
ADDED = (TRUNCATED, PROMPT, "num_turns", "rollout_reward_scores")
"""What verl and we add to `extra_info`."""
_loud = 5
"""Errors that are told in full; all are counted."""
_numbers = itertools.count()


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    *,
    pipeline: str,
    timeout: float = 120.0,  # noqa: ASYNC109 (verl calls this)
    opened: bool = False,
    verifier: Mapping[str, str] | None = None,
    errors: str = "",
    **_: Any,
) -> dict[str, float]:
    """Grade one answer.

    :param data_source: of the row; the problem's domain, where the row holds no problem of ours.
    :param solution_str: the answer as decoded, reasoning included.
    :param ground_truth: the reference; what is no text is passed on as JSON.
    :param extra_info: of the row.
    :param pipeline: `[verifiers]`, and the decoders they need, as JSON.
    :param timeout: seconds until it is given up.
    :param opened: the prompt ends within the block of reasoning.
    :param verifier: by domain, or the beginning of `data_source`, the name of the verifier that alone grades.
    :param errors: a file to which a line is appended for each answer that could not be graded.
    :raises K2Error: the pipeline itself is wrong, which no further answer would mend.
    :return: `score` in 0..1, and as 0 or 1 whether it was `acc` (correct), `unparsed`, `undecided` or an `error`.
    """
    runtime, slots = _grader(pipeline)
    candidate = candidate_of(solution_str, opened, bool((extra_info or {}).get(TRUNCATED)))
    try:
        problem = problem_of(data_source, extra_info or {})
        reference = reference_of(ground_truth)
        async with asyncio.timeout(timeout):
            async with runtime.open(problem, seed=0) as run:
                only = grading_verifier(verifier or {}, problem.domain, data_source)
                verdicts = await run.verify([candidate], reference, only=only)
    except (K2Error, TimeoutError, ValueError, TypeError) as error:
        _tell(data_source, explain(error), errors)
        return outcome(None, [])
    score = scores_of([candidate], verdicts, slots)[candidate.id]
    if score is None:
        _tell(data_source, "; ".join(f"{verdict.verifier}: {verdict.reason}" for verdict in verdicts), errors)
    return outcome(score, verdicts)


def grading_verifier(by_domain: Mapping[str, str], domain: str, data_source: str) -> str | None:
    """Who grades alone; None for all."""
    return by_domain.get(domain) or by_domain.get(data_source.partition("__")[0])


def problem_of(data_source: str, extra_info: Mapping[str, Any]) -> Problem:
    """The problem that the row was made from; of other rows the source is the domain, the fields are `meta`, and the question is a
    field of that name, else what was asked.
    """
    if stored := extra_info.get(PROBLEM):
        return Problem.model_validate_json(stored)
    meta = {name: plain(value) for name, value in extra_info.items() if name not in ADDED}
    named = next((str(meta[name]) for name in ("question", "problem", "prompt") if meta.get(name)), "")
    text = named or question_of(plain(extra_info.get(PROMPT)) or ()) or data_source
    domain = data_source.partition("__")[0] or "general"
    marks: Any = "code" if domain.startswith("code") else "boxed" if domain.startswith("math") else "tag"
    return Problem(prompt=text, domain=domain, answer_format=marks, meta={**meta, "data_source": data_source})


def question_of(messages: Sequence[Mapping[str, Any]]) -> str:
    """The last turn of the user; without one all turns."""
    texts = [(message.get("role"), _written(message.get("content"))) for message in messages]
    asked = [text for role, text in texts if role == "user"]
    return asked[-1] if asked else "\n\n".join(text for _, text in texts)


def _written(content: Any) -> str:
    """The text of a turn, which may be in parts, some of them pictures."""
    if isinstance(content, list):
        return "\n".join(str(part["text"]) for part in content if isinstance(part, Mapping) and part.get("text"))
    return "" if content is None else str(content)


def reference_of(ground_truth: Any) -> str:
    """The reference as verifiers take it: a text as it is, anything else as JSON."""
    return ground_truth if isinstance(ground_truth, str) else json.dumps(plain(ground_truth), ensure_ascii=False)


def candidate_of(text: str, opened: bool, cut: bool = False) -> Candidate:
    """The answer, told from the reasoning before it, as a decoder would have told them; `cut` at its limit or not."""
    splitter = ThinkSplitter("open" if opened else "auto")
    pieces = [*splitter.feed(text), *splitter.end()]
    answer = "".join(piece for piece, thought in pieces if not thought)
    reasoning = "".join(piece for piece, thought in pieces if thought)
    return Candidate(
        id="0", text=answer, completion=Completion(text=answer, reasoning=reasoning, finish="length" if cut else "stop")
    )


def outcome(score: float | None, verdicts: list[Verdict] | Any) -> dict[str, float]:
    """What verl is told: floats only, the same names each time. Nothing that could judge is an error."""
    said = {verdict.status for verdict in verdicts if verdict.status != "error"}
    return {
        "score": score or 0.0,
        "acc": float("correct" in said and "incorrect" not in said),
        "unparsed": float(said == {"unparsed"}),
        "undecided": float(bool(said) and not said & {"correct", "incorrect", "unparsed"}),
        "error": float(score is None),
    }


def plain(value: Any) -> Any:
    """Without NumPy's types, which come out of Parquet files."""
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def _grader(pipeline: str) -> tuple[Runtime, list[Slot]]:
    """One for each event loop of this process; it lives as long as the worker. Raises what is wrong with the pipeline."""
    key = (pipeline, id(asyncio.get_running_loop()))
    if key not in _graders:
        config = PipelineConfig.from_dict(json.loads(pipeline), source="the pipeline of the reward")
        slots = [slot for slot in Registry().assemble(config) if slot.role == "verifier"]
        _graders[key] = Runtime(config), slots
    return _graders[key]


async def close() -> None:
    """Stop the verifiers of this event loop. verl ends its workers without a word; verifiers' processes end with them."""
    loop = id(asyncio.get_running_loop())
    for key in [key for key in _graders if key[1] == loop]:
        with contextlib.suppress(K2Error):
            await _graders.pop(key)[0].stop()


def _tell(source: str, why: str, errors: str) -> None:
    if errors:
        with open(errors, "a", encoding="utf-8") as file:
            file.write(json.dumps({"data_source": source, "why": why}, ensure_ascii=False) + "\n")
    count = next(_numbers) + 1
    if count <= _loud:
        log.error("an answer to a problem of %s could not be graded and is worth 0: %s", source, why)
    elif count == _loud + 1:
        log.error("further errors of grading are counted only")
