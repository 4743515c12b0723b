"""Does a plan help the embedded model, and does it hurt the form of its answers?

Usage: python benchmarks/small_model.py [SAMPLES] [ARM …]. Needs k2core-decoder-llamacpp with its model and k2core-sampler.
Every arm solves the same sixteen problems. Columns: share of samples with a number in a box; share whose last box is right;
share whose last number, boxed or not, is right; mean tokens of a sample; and of the plans: how many were made, how many
disclosed an answer by the guard, mean tokens.
"""

from __future__ import annotations

import asyncio
import re
import sys
from typing import Any

from k2core import PipelineConfig, Problem, Result, Runtime

PROBLEMS = (
    ("Lena has 34 beads and finds 27 more. How many beads has she now?", "61"),
    ("A shop had 82 lamps and sold 35. How many lamps are left?", "47"),
    ("A crate holds 12 bottles. How many bottles are in 6 crates?", "72"),
    ("Four friends share 52 cards equally. How many cards does each get?", "13"),
    ("A bus has 41 people. 16 get off and 23 get on. How many are on it now?", "48"),
    ("Nils runs 15 km a day for 5 days. How far does he run in all?", "75"),
    ("A coat costs 64 dollars and a scarf 19 dollars. What do both cost together?", "83"),
    ("A wire of 91 cm is cut; 38 cm are taken off. How long is the rest?", "53"),
    ("A garden has 14 rows of 4 plants. How many plants are there?", "56"),
    ("A book has 96 pages. Iris has read 58. How many pages are left?", "38"),
    ("Three bags weigh 24 kg each. What do they weigh together?", "72"),
    ("There are 78 pupils in 6 equal groups. How many are in a group?", "13"),
    ("Omar saves 11 dollars a week for 8 weeks and then spends 20. How much has he left?", "68"),
    ("A tank holds 45 litres. 17 litres leak out and 9 are added. How much is in it now?", "37"),
    ("Rosa is 29. Her aunt is 33 years older. How old is the aunt?", "62"),
    ("A team scores 13 points in each of 7 games. How many points is that?", "91"),
)
EXAMPLES = [
    {
        "problem": "Ann has 3 apples and buys 4 more. How many has she?",
        "reply": "She has 3 + 4 = 7 apples. The final answer is \\boxed{7}.",
    },
    {
        "problem": "A bag has 6 nuts. How many nuts are in 3 bags?",
        "reply": "There are 3 * 6 = 18 nuts. The final answer is \\boxed{18}.",
    },
]
# as the planner's own examples are off in "no shown plans", and the solver's in "bare" and "plan"
PLAN = {"use": "think", "max_tokens": 200, "always_plan": True}
ARMS: dict[str, dict[str, Any]] = {
    "bare": {},
    "plan": {"planner": PLAN},
    "examples": {"sampler": {"examples": EXAMPLES}},
    "plan, examples": {"planner": PLAN, "sampler": {"examples": EXAMPLES}},
    "plan in system, ex.": {"planner": PLAN, "sampler": {"examples": EXAMPLES, "plan_in": "system"}},
    "one call, examples": {"planner": {**PLAN, "calls": 1}, "sampler": {"examples": EXAMPLES}},
    "no shown plans": {"planner": {**PLAN, "examples": False}, "sampler": {"examples": EXAMPLES}},
    "as judged, examples": {"planner": {**PLAN, "always_plan": False}, "sampler": {"examples": EXAMPLES}},
}


def boxed(text: str) -> str | None:
    found: list[str] = re.findall(r"\\boxed\s*\{[^{}\d-]*(-?\d[\d,]*(?:\.\d+)?)[^{}]*\}", text)
    return found[-1].replace(",", "") if found else None


def last_number(text: str) -> str | None:
    found: list[str] = re.findall(r"-?\d[\d,]*(?:\.\d+)?", text)
    return found[-1].replace(",", "") if found else None


def pipeline(arm: dict[str, Any], samples: int) -> PipelineConfig:
    sampler = {"use": "best-of-n", "n": samples, "batch": "all", "max_tokens": 256, "temperature": 0.6, "top_p": 0.95}
    data = {"decoders": {"solver": {"use": "llamacpp"}}, **arm, "sampler": {**sampler, **arm.get("sampler", {})}}
    return PipelineConfig.from_dict(data)


def line(results: list[tuple[Result, str]]) -> str:
    texts = [(c.text, answer) for result, answer in results for c in result.candidates]
    tokens = sum(c.completion.tokens for result, _ in results for c in result.candidates if c.completion) / len(texts)
    plans = [result for result, _ in results if "plan" in result.usage]
    leaks = sum(any("disclose" in warning for warning in result.warnings) for result in plans)
    spent = sum(result.usage["plan"].completion_tokens for result in plans) / (len(plans) or 1)
    made = sum(result.plan is not None for result in plans)
    shares = (
        sum(boxed(text) is not None for text, _ in texts) / len(texts),
        sum(boxed(text) == answer for text, answer in texts) / len(texts),
        sum(last_number(text) == answer for text, answer in texts) / len(texts),
    )
    return " ".join(f"{share:6.0%}" for share in shares) + f" {tokens:7.0f} {made:6} {leaks:6} {spent:6.0f}"


async def main(samples: int, names: list[str]) -> None:
    print(
        f"{'arm':20} {'boxed':>6} {'right':>6} {'last':>6} {'tokens':>7} {'plans':>6} {'leaks':>6} {'spent':>6}  of {16 * samples}"
    )
    for name in names:
        async with Runtime(pipeline(ARMS[name], samples)) as runtime:
            results = [(await runtime.solve(Problem(prompt=text), seed=1), answer) for text, answer in PROBLEMS]
        print(f"{name:20} {line(results)}", flush=True)
        for result, _ in results:
            if "-v" in sys.argv and result.plan:
                print("   ", result.plan, flush=True)


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "-v"]
    asyncio.run(main(int((words or ["4"])[0]), words[1:] or list(ARMS)))
