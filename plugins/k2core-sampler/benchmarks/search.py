"""Tournament, beam, particle and refine against best-of-n at equal tokens. A SIMULATION: no model takes part.

Usage: python benchmarks/search.py [--problems N] [--strength E …] [--only ARM]
       python benchmarks/search.py --model [--problems N]

Without --model, a made-up solver writes solutions of 8 steps. A step that follows right ones is right with probability 0.65, drawn
from the request's seed, so a whole solution is right with probability 0.03; a wrong one ends in one of 6 wrong answers. The
verifiers are made up as well, and as strong as the table says: the process verifier calls each step right or wrong, and errs with
probability E; the judge picks the right one of a right and a wrong solution but errs with the same probability, and throws a coin
between two right or two wrong ones. Errors belong to the text: asking again gives the same verdict. A solver that gets feedback
keeps the steps before the first one that was called wrong. Everything runs through the real Runtime, samplers and ledger.

Columns: share of problems solved, with the half-width of its 95 % interval; decode calls and completion tokens of the solver a
problem; tokens of prompts and completions together; verifier questions a problem (pairs judged, or solutions scored). "oracle"
is the share of problems where any of best-of-n's candidates is right.

With --model, the embedded model adds up three two-digit numbers, a sum a line, and the model-free verifier `steps` scores the
lines. It needs k2core-decoder-llamacpp and k2core-verifier-process.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import math
import random
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from k2core import (
    Candidate,
    Completion,
    DecodeRequest,
    PipelineConfig,
    Plugin,
    PluginConfig,
    Problem,
    Registry,
    Result,
    Run,
    Runtime,
    Usage,
    Verdict,
    hookimpl,
)

STEPS, RIGHT, WRONG_ANSWERS, STEP_TOKENS = 8, 0.65, 6, 10
STEP = re.compile(r"^step \d+: (\d+)$", re.MULTILINE)


def chance(*parts: object) -> float:
    """Uniform in 0..1, always the same for the same parts."""
    return int.from_bytes(hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=6).digest(), "big") / 2**48


def right_steps(problem: str, text: str) -> list[bool]:
    """Which steps of a solution are right: none after a wrong one."""
    found: list[bool] = []
    for place, code in enumerate(STEP.findall(text)):
        found.append(all(found) and chance(problem, place, code) < RIGHT)
    return found


def solved(problem: str, text: str) -> bool:
    return len(steps := right_steps(problem, text)) == STEPS and all(steps)


def answer_of(problem: str, text: str) -> str:
    if solved(problem, text):
        return "R"
    return f"W{int(chance('answer', problem, *STEP.findall(text)) * WRONG_ANSWERS)}"


class Solver(Plugin):
    """Writes, or goes on with, a solution."""

    config: PluginConfig

    @hookimpl
    async def k2_decode(self, run: Run, request: DecodeRequest) -> Sequence[Completion]:
        run.meter(prompt_tokens=sum(-(-len(message.content) // 4) for message in request.messages))
        return [self._one(run, request, index) for index in range(request.n)]

    def _one(self, run: Run, request: DecodeRequest, index: int) -> Completion:
        last, dice = request.messages[-1], random.Random((request.seed or 0) + index)
        kept: list[str] = []
        if request.continue_last:
            kept = STEP.findall(last.content)
        elif flagged := re.search(r"step (\d+) looks wrong", last.content):
            kept = STEP.findall(request.messages[-2].content)[: int(flagged[1])]
        codes = [*kept, *(str(dice.randrange(10**8)) for _ in range(STEPS - len(kept)))]
        begun = len(kept) if request.continue_last else 0
        parts = written(run.problem.id, codes)[begun : begun + 1 if "\n\n" in request.stop else STEPS]
        over = begun + len(parts) == STEPS
        return Completion(text="\n\n".join(parts), tokens=STEP_TOKENS * len(parts), stopped="" if over else "\n\n")


def written(problem: str, codes: Sequence[str]) -> list[str]:
    """A whole solution, step by step; the answer is part of the last one."""
    steps = [f"step {place}: {code}" for place, code in enumerate(codes)]
    return [*steps[:-1], f"{steps[-1]}\n\\boxed{{{answer_of(problem, chr(10).join(steps))}}}"]


class NoisyConfig(PluginConfig):
    error: float = 0.0
    """Probability of calling a right step wrong, or a wrong one right."""


class Counting(Plugin):
    """Counts what it is asked about."""

    asked: ClassVar[Counter[str]] = Counter()


class Process(Counting):
    """The process verifier: the probability that all steps are right, from noisy opinions on each."""

    config: NoisyConfig
    listwise = False

    @hookimpl
    async def k2_verify(self, problem: Problem, candidates: Sequence[Candidate]) -> Sequence[Verdict]:
        self.asked["process"] += len(candidates)
        return [self._verdict(problem.id, candidate) for candidate in candidates]

    def _verdict(self, problem: str, candidate: Candidate) -> Verdict:
        codes, score, flagged = STEP.findall(candidate.text), 1.0, None
        for place, right in enumerate(right_steps(problem, candidate.text)):
            opinion = right != (chance("process", problem, *codes[: place + 1]) < self.config.error)
            hit, miss = (1 - self.config.error, self.config.error) if opinion else (self.config.error, 1 - self.config.error)
            score *= RIGHT * hit / (RIGHT * hit + (1 - RIGHT) * miss) if hit else 0.0
            if not opinion and flagged is None:
                flagged = place
        reason = "" if flagged is None else f"step {flagged} looks wrong"
        status: Any = "undecided" if flagged is None else "incorrect"
        return Verdict(candidate_id=candidate.id, status=status, score=score, reason=reason, key=answer_of(problem, candidate.text))


class Pairs(Counting):
    """The judge of two."""

    config: NoisyConfig

    @hookimpl
    async def k2_verify(self, problem: Problem, candidates: Sequence[Candidate]) -> Sequence[Verdict]:
        self.asked["judge"] += 1
        first, second = sorted(candidates, key=lambda candidate: candidate.id)
        a, b = solved(problem.id, first.text), solved(problem.id, second.text)
        lot = chance("judge", problem.id, first.text, second.text)
        better = first if (lot < 0.5 if a == b else a == (lot >= self.config.error)) else second
        return [Verdict(candidate_id=c.id, status="undecided", score=float(c is better)) for c in candidates]


class Votes(Plugin):
    """The share of candidates with the same answer."""

    config: PluginConfig

    @hookimpl
    async def k2_verify(self, problem: Problem, candidates: Sequence[Candidate]) -> Sequence[Verdict]:
        answers = [answer_of(problem.id, candidate.text) for candidate in candidates]
        count = Counter(answers)
        pairs = zip(candidates, answers, strict=True)
        return [Verdict(candidate_id=c.id, status="undecided", score=count[a] / len(answers), key=a) for c, a in pairs]


PROCESS, JUDGE, VOTES = {"process": {"use": "sim-process"}}, {"judge": {"use": "sim-judge"}}, {"votes": {"use": "sim-votes"}}
ARMS: Mapping[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "best-of-16, votes": ({"use": "best-of-n", "n": 16}, VOTES),
    "best-of-16, process": ({"use": "best-of-n", "n": 16}, PROCESS),
    "tournament 16, knock-out": ({"use": "tournament", "n": 16}, JUDGE),
    "tournament 16, swiss": ({"use": "tournament", "n": 16, "format": "swiss"}, JUDGE),
    "tournament 16, swiss, 8 rounds": ({"use": "tournament", "n": 16, "format": "swiss", "rounds": 8}, JUDGE),
    "tournament 16, knock-out of answers": ({"use": "tournament", "n": 16, "group_by": "votes"}, {**JUDGE, **VOTES}),
    "beam 4 of 4": ({"use": "beam", "width": 4, "expand": 4}, PROCESS),
    "beam 4 of 4, 4 trees": ({"use": "beam", "width": 4, "expand": 4, "trees": 4}, PROCESS),
    "particle 16": ({"use": "particle", "n": 16}, PROCESS),
    "particle 16, resampled below one half": ({"use": "particle", "n": 16, "ess": 0.5}, PROCESS),
    "refine 8, 1 round": ({"use": "refine", "n": 8, "rounds": 1, "verifier": "process"}, PROCESS),
    "refine 4, 3 rounds": ({"use": "refine", "n": 4, "rounds": 3, "verifier": "process"}, PROCESS),
}


def registry() -> Registry:
    found = Registry()
    found.add("decoder", "sim-solver", Solver)
    found.add("verifier", "sim-process", Process)
    found.add("verifier", "sim-judge", Pairs)
    found.add("verifier", "sim-votes", Votes)
    return found


def pipeline(sampler: Mapping[str, Any], verifiers: Mapping[str, Any], error: float) -> PipelineConfig:
    noisy = {name: {**table, **({} if name == "votes" else {"error": error})} for name, table in verifiers.items()}
    return PipelineConfig.from_dict({"sampler": sampler, "verifiers": noisy, "decoders": {"solver": {"use": "sim-solver"}}})


async def simulate(config: PipelineConfig, problems: int) -> list[Result]:
    async with Runtime(config, registry=registry()) as runtime:
        return [await runtime.solve(Problem(id=f"p{i}", prompt=f"Problem {i}"), seed=i) for i in range(problems)]


def report(name: str, right: Sequence[bool], usage: Sequence[Usage], asked: int) -> None:
    n, mean = len(right), sum(right) / len(right)
    wide = 1.96 * math.sqrt(max(mean * (1 - mean), 1 / n) / n)
    calls, tokens = (sum(getattr(u, what) for u in usage) / n for what in ("started", "completion_tokens"))
    total = sum(u.tokens for u in usage) / n
    print(f"{name:<38} {mean:6.1%} ±{wide:5.1%} {calls:7.1f} {tokens:8.0f} {total:8.0f} {asked / n:8.1f}")


HEADER = f"{'':<38} {'solved':>6} {'':>6} {'calls':>7} {'tokens':>8} {'all':>8} {'asked':>8}"


async def simulation(problems: int, errors: Sequence[float], only: str) -> None:
    for error in errors:
        print(f"\nverifiers that err with probability {error:g}; {problems} problems\n{HEADER}")
        for name, (sampler, verifiers) in ((name, arm) for name, arm in ARMS.items() if only in name):
            Counting.asked.clear()
            results = await simulate(pipeline(sampler, verifiers, error), problems)
            right = [solved(result.problem_id, result.candidate.text) for result in results]
            report(name, right, [result.usage["solve"] for result in results], sum(Counting.asked.values()))
            if name == "best-of-16, votes":
                oracle = sum(any(solved(r.problem_id, c.text) for c in r.candidates) for r in results) / problems
                print(f"{'oracle':<38} {oracle:6.1%}")


EXAMPLES = (
    ("What is 21 + 13 + 40?", "21 + 13 = 34\n34 + 40 = 74\n\\boxed{74}"),
    ("What is 35 + 22 + 11?", "35 + 22 = 57\n57 + 11 = 68\n\\boxed{68}"),
    ("What is 17 + 25 + 31?", "17 + 25 = 42\n42 + 31 = 73\n\\boxed{73}"),
)
STEPWISE = {"step_stop": "\n", "step_tokens": 24, "max_steps": 8, "verifier": "steps"}
MODEL_ARMS: Mapping[str, dict[str, Any]] = {
    "single, greedy": {"use": "single", "temperature": 0.0},
    "best-of-8": {"use": "best-of-n", "n": 8, "batch": "all"},
    "beam 2 of 4": {"use": "beam", "width": 2, "expand": 4, **STEPWISE},
    "particle 8": {"use": "particle", "n": 8, **STEPWISE},
    "refine 4, 1 round": {"use": "refine", "n": 4, "rounds": 1, "verifier": "steps"},
}


async def with_model(problems: int) -> None:
    dice = random.Random(11)
    tasks = [[dice.randint(11, 49) for _ in range(3)] for _ in range(problems)]
    examples = [{"problem": question, "reply": reply} for question, reply in EXAMPLES]
    print(f"\nSmolLM2-135M-Instruct, three two-digit numbers added up, verifier `steps`; {problems} problems\n{HEADER}")
    for name, sampler in MODEL_ARMS.items():
        table = {"temperature": 0.7, "top_p": 0.95, "max_tokens": 60, "instructions": False, **sampler, "examples": examples}
        config = {
            "sampler": table,
            "verifiers": {"steps": {}},
            "decoders": {"solver": {"use": "llamacpp", "context": 1024, "parallel": 8}},
        }
        began = time.monotonic()
        async with Runtime(PipelineConfig.from_dict(config)) as runtime:
            asked = [Problem(prompt=f"What is {' + '.join(map(str, numbers))}?") for numbers in tasks]
            results = [await runtime.solve(problem, seed=i) for i, problem in enumerate(asked)]
        right = [f"\\boxed{{{sum(numbers)}}}" in r.candidate.text for numbers, r in zip(tasks, results, strict=True)]
        report(name, right, [r.usage["solve"] for r in results], sum(len(r.candidates) for r in results))
        print(f"{'':<38} {(time.monotonic() - began) / problems:.2f} s a problem")


def main() -> None:
    parser = argparse.ArgumentParser(description="Search against best-of-n at equal tokens; see the file's head.")
    parser.add_argument("--problems", type=int, help="problems an arm (200; with --model 30)")
    parser.add_argument("--strength", type=float, nargs="+", default=[0.0, 0.1, 0.3], help="error probabilities of the verifiers")
    parser.add_argument("--only", default="", help="arms whose name holds this")
    parser.add_argument("--model", action="store_true", help="ask the embedded model")
    args = parser.parse_args()
    if args.model:
        asyncio.run(with_model(args.problems or 30))
    else:
        asyncio.run(simulation(args.problems or 200, args.strength, args.only))


if __name__ == "__main__":
    main()
