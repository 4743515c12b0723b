"""Evaluations made up by a seeded generator: plausible samples, manifests and whole folders on disk, for tests.

>>> folder = made_folder(tmp_path / "bare", Arm(repeats=8))                                # one task, 30 problems
>>> tasks = (MadeTask("hard", 30, solved=0.3), MadeTask("easy", 50, solved=0.8))
>>> folder = made_folder(tmp_path / "best", Arm(tasks, repeats=4, candidates=3, planner="planner-32b", lift=0.5))

The same tasks have the same problems, difficulties and references in every arm; an arm's `seed` decides its luck.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from k2core_eval.records import Graded, Manifest, Outcome, Referenced, Sample, Spent, TaskRun, Times
from k2core_eval.store.folder import MANIFEST, PROBLEMS, SAMPLES, TIMES, Folder

from k2core.toolkit.benchmark import Benchmark, Grader, Published
from k2core.types import Problem, Record, Usage

LEVELS = ("easy", "middle", "hard")


@dataclass(frozen=True)
class MadeTask:
    """A data set: addition problems, whose difficulty has nothing to do with their text."""

    name: str = "made"
    problems: int = 30
    solved: float = 0.5
    """Mean probability that a sample is right."""
    spread: float = 3.0
    """How alike problems are: a + b of their Beta distribution; small means easy or hopeless, infinite means all alike."""
    dimension: str = ""
    domain: str = "math"
    publish: bool = True
    published: tuple[Published, ...] = ()

    def chances(self) -> np.ndarray:
        """Probability of a right sample by problem; of shape (problems,). A property of the task, whoever solves it."""
        if np.isinf(self.spread) or self.solved in (0.0, 1.0):
            return np.full(self.problems, self.solved)
        luck = np.random.default_rng(_number(self.name))
        return luck.beta(self.solved * self.spread, (1 - self.solved) * self.spread, self.problems)

    def referenced(self) -> list[Referenced]:
        luck = np.random.default_rng(_number(self.name, "texts"))
        chances, found = self.chances(), []
        for place in range(self.problems):
            a, b = (int(n) for n in luck.integers(10, 1000, 2))
            problem = Problem(id=f"{self.name}-{place:03}", prompt=f"What is ${a} + {b}$?", domain=self.domain)
            level = LEVELS[int(np.searchsorted([0.34, 0.67], 1 - chances[place]))]
            found.append(Referenced(task=self.name, place=place, problem=problem, reference=str(a + b), meta={"level": level}))
        return found

    def card(self) -> Benchmark:
        return Benchmark(
            name=self.name,
            title=self.name.title(),
            domain=self.domain,
            grader=Grader(use="math"),
            size=self.problems,
            dimension=self.dimension,
            publish=self.publish,
            published=self.published,
        )


@dataclass(frozen=True)
class Arm:
    """A pipeline under test, and how its samples end."""

    tasks: tuple[MadeTask, ...] = (MadeTask(),)
    repeats: int = 4
    candidates: int = 1
    lift: float = 0.0
    """Added to every problem's log-odds of a right candidate."""
    seed: int = 1
    label: str = ""
    model: str = "solver-1b"
    planner: str = ""
    """Model that plans; empty for no planner."""
    judge: str = ""
    """Model that judges candidates; empty for none."""
    length: float = 400.0
    """Median tokens of a candidate."""
    prompt: int = 60
    """Tokens of the solver's prompt."""
    truncated: float = 0.03
    unparsed: float = 0.02
    undecided: float = 0.01
    verifier_error: float = 0.005
    infrastructure: float = 0.0
    """Share of samples without a result."""
    cancelled: float = 0.0
    """Share of candidates that are cancelled half-way: they cost and are not there."""
    grading: str = ""
    """Model that grades; empty where a program does."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Goes over the made-up configuration, table by table."""

    def manifest(self, **changes: Any) -> Manifest:
        runs = tuple(
            TaskRun(name=t.name, card=t.card(), problems=t.problems, repeats=self.repeats, digest=_digest(t)) for t in self.tasks
        )
        grading = {t.name: {"verifiers": {"math": {"use": "math", "timeout": 10.0}}} for t in self.tasks}
        base: dict[str, Any] = {
            "tasks": runs,
            "config": self.pipeline(),
            "plugins": {"sampler": "k2core-sampler 0.1.0", "verifiers.math": "k2core-verifier-math 0.1.0"},
            "grading": grading,
            "seed": self.seed,
            "software": {"k2core": "0.1.0", "k2core-eval": "0.1.0", "python": "3.11.9"},
            "label": self.label,
        }
        return Manifest(**(base | changes))

    def pipeline(self) -> dict[str, Any]:
        """The made-up effective configuration."""
        sampler: dict[str, Any] = {
            "use": "best-of-n" if self.candidates > 1 else "single",
            "temperature": 0.6,
            "top_p": 0.95,
            "max_tokens": 2048,
        }
        if self.candidates > 1:
            sampler["n"] = self.candidates
        decoders = {name: {"use": "openai", "model": model} for name, model in self._models().items()}
        base: dict[str, Any] = {
            "seed": None,
            "plan": "problem",
            "planner": {"use": "think", "decoder": "planner", "max_tokens": 512} if self.planner else None,
            "sampler": sampler,
            "verifiers": {"judge": {"use": "judge", "decoder": "judge"}} if self.judge else {"math": {"use": "math"}},
            "decoders": decoders,
            "limits": {"timeout": 600.0, "soft_deadline": None},
            "retry": {"attempts": 4, "base": 0.5, "max": 30.0},
            "prices": {"solver": {"prompt": 0.1, "completion": 0.4}},
        }
        for name, table in self.config.items():
            base[name] = {**base[name], **table} if isinstance(table, Mapping) and isinstance(base.get(name), Mapping) else table
        return base

    def _models(self) -> dict[str, str]:
        models = {"solver": self.model, "planner": self.planner, "judge": self.judge}
        return {name: model for name, model in models.items() if model}

    def samples(self) -> Iterator[Sample]:
        """In the order of a complete file."""
        for task in sorted(self.tasks, key=lambda t: t.name):
            references = task.referenced()
            odds = np.log(np.clip(task.chances(), 1e-12, 1) / np.clip(1 - task.chances(), 1e-12, 1)) + self.lift
            chances = np.where(np.isin(task.chances(), (0.0, 1.0)), task.chances(), 1 / (1 + np.exp(-odds)))
            for place, reference in enumerate(references):
                for repeat in range(self.repeats):
                    yield self._sample(task, reference, float(chances[place]), repeat)

    def _sample(self, task: MadeTask, reference: Referenced, chance: float, repeat: int) -> Sample:
        seed = _number(task.name, reference.place, repeat, self.seed) % 2**31
        luck = np.random.default_rng(seed)
        named = {"task": task.name, "place": reference.place, "repeat": repeat, "problem_id": reference.problem.id, "seed": seed}
        if luck.random() < self.infrastructure:
            failed = Usage(started=2, failed=2, prompt_tokens=2 * self.prompt)
            spent = (Spent(role="solve", decoder="solver", usage=failed),)
            return Sample(**named, outcome="infrastructure", spent=spent, error="the server at decoders.solver does not answer")
        dropped = [i > 0 and luck.random() < self.cancelled for i in range(self.candidates)]
        drawn = [self._candidate(luck, f"c{i}", str(reference.reference), chance) for i in range(self.candidates)]
        kept = tuple(c for c, gone in zip(drawn, dropped, strict=True) if not gone)
        votes = Counter(c.key for c in kept if c.key is not None)
        chosen = max(kept, key=lambda c: votes[c.key] if c.key is not None else 0)
        kept = tuple(c.model_copy(update={"own_score": votes[c.key] / len(kept) if c.key else 0.0}) for c in kept)
        lost = sum(c.tokens // 2 for c, gone in zip(drawn, dropped, strict=True) if gone)
        return Sample(
            **named,
            outcome=chosen.outcome,
            score=chosen.score,
            chosen=chosen.id,
            answer=chosen.answer,
            key=chosen.key,
            decision=f"{votes[chosen.key] if chosen.key else 0} of {len(kept)} votes",
            plan="Add the units, then the tens." if self.planner else None,
            candidates=kept,
            spent=self._spent(luck, sum(c.tokens for c in kept), lost, len(kept), sum(dropped)),
            grading=(_spent("verify", "grader", self.grading, len(kept), 300 * len(kept), 20 * len(kept)),) if self.grading else (),
            digest=hashlib.sha256(f"{named}{[c.text for c in kept]}{chosen.id}".encode()).hexdigest(),
        )

    def _candidate(self, luck: np.random.Generator, name: str, reference: str, chance: float) -> Graded:
        tokens = max(1, int(luck.lognormal(np.log(self.length), 0.4)))
        shares = [self.truncated, self.unparsed, self.undecided, self.verifier_error]
        endings: tuple[Outcome, ...] = ("truncated", "unparsed", "undecided", "verifier_error")
        which = int(np.searchsorted(np.cumsum(shares), luck.random(), side="right"))
        if which < 2:
            cut = which == 0
            tokens, text = (2048, "We add the digits one by one, so that") if cut else (tokens, "I am not sure about this.")
            return Graded(
                id=name, text=text, tokens=tokens, finish="length" if cut else "stop", outcome=endings[which], reason="no answer"
            )
        right = luck.random() < chance
        answer = reference if right else str(int(reference) + int(luck.choice([1, -1, 10, 100], p=[0.5, 0.25, 0.15, 0.1])))
        outcome: Outcome = endings[which] if which < 4 else "correct" if right else "incorrect"
        text = f"Adding up gives ${answer}$. The final answer is $\\boxed{{{answer}}}$."
        score = float(outcome == "correct")
        return Graded(id=name, text=text, tokens=tokens, outcome=outcome, score=score, answer=answer, key=answer, reason="exact")

    def _spent(self, luck: np.random.Generator, tokens: int, lost: int, kept: int, dropped: int) -> tuple[Spent, ...]:
        calls = kept + dropped
        usage = Usage(
            started=calls,
            served=kept,
            cancelled=dropped,
            prompt_tokens=self.prompt * calls,
            completion_tokens=tokens + lost,
            cost=round((0.1 * self.prompt * calls + 0.4 * (tokens + lost)) / 1e6, 9),
        )
        found = []
        if self.planner:
            found.append(_spent("plan", "planner", self.planner, 2, 240, int(luck.integers(60, 200))))
        found.append(Spent(role="solve", decoder="solver", model=self.model, usage=usage))
        if self.judge and kept > 1:
            found.append(_spent("judge", "judge", self.judge, kept - 1, (kept - 1) * 900, (kept - 1) * int(luck.integers(40, 80))))
        return tuple(found)

    def times(self) -> Iterator[Times]:
        """Clocks that fit the samples: 200 tokens a second, candidates side by side."""
        for sample in self.samples():
            luck = np.random.default_rng(sample.seed + 1)
            seconds = max((c.tokens for c in sample.candidates), default=200) / 200 * float(luck.uniform(0.9, 1.3))
            model = sum(c.tokens for c in sample.candidates) / 200
            named = {"task": sample.task, "place": sample.place, "repeat": sample.repeat}
            yield Times(**named, seconds=round(seconds, 4), first_token=0.05, model_seconds=model, graded=round(seconds + 0.01, 4))


def _spent(role: str, decoder: str, model: str, calls: int, prompt: int, completion: int) -> Spent:
    usage = Usage(started=calls, served=calls, prompt_tokens=prompt, completion_tokens=completion)
    return Spent(role=role, decoder=decoder, model=model, usage=usage)


def _number(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big")


def _digest(task: MadeTask) -> str:
    return hashlib.sha256("".join(r.model_dump_json() for r in task.referenced()).encode()).hexdigest()


def write_folder(
    path: Path, manifest: Manifest, samples: Iterable[Sample], problems: Iterable[Referenced] = (), times: Iterable[Times] = ()
) -> Folder:
    """Put the files of an evaluation to disk, but for traces."""
    path.mkdir(parents=True, exist_ok=True)
    (path / MANIFEST).write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
    records: dict[str, Iterable[Record]] = {SAMPLES: samples, PROBLEMS: problems, TIMES: times}
    for name, lines in records.items():
        (path / name).write_text("".join(r.model_dump_json() + "\n" for r in lines), encoding="utf-8")
    return Folder(path)


def made_folder(path: Path, arm: Arm | None = None, **changes: Any) -> Folder:
    """The whole folder of an arm; `changes` replace fields of its manifest."""
    arm = arm or Arm()
    problems = [r for task in arm.tasks for r in task.referenced()]
    return write_folder(path, arm.manifest(**changes), arm.samples(), problems, arm.times())
