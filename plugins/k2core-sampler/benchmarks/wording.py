"""Which wording of the answer-format instruction makes the embedded model end with a boxed answer most often?

Usage: python benchmarks/wording.py [PROBLEMS] [SAMPLES] [WORDING …]. Needs k2core-decoder-llamacpp and its model. The
problems are two-digit word problems made from templates here, the same for every wording; sampling at T = 0.6, top-p 0.95.
Columns: share with a number in a box; share whose last box is right; share whose last number, boxed or not, is right; mean
tokens; completions cut at 256 tokens.
"""

from __future__ import annotations

import asyncio
import random
import re
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from k2core_sampler import Example, solver_messages

from k2core import Completion, DecodeRequest, PipelineConfig, Problem, Runtime

STEPS = (
    Example(
        problem="Ann has 3 apples and buys 4 more. How many has she?",
        reply="She has 3 + 4 = 7 apples. The final answer is \\boxed{7}.",
    ),
    Example(
        problem="A bag has 6 nuts. How many nuts are in 3 bags?",
        reply="There are 3 * 6 = 18 nuts. The final answer is \\boxed{18}.",
    ),
)
TERSE = (
    Example(problem="Ann has 23 apples and buys 14 more. How many has she?", reply="23 + 14 = 37. \\boxed{37}"),
    Example(problem="A bag has 12 nuts. How many nuts are in 3 bags?", reply="12 * 3 = 36. \\boxed{36}"),
    Example(problem="Bob has 58 coins and gives away 15. How many are left?", reply="58 - 15 = 43. \\boxed{43}"),
)
WITHIN = "Please reason step by step, and put your final answer within \\boxed{}."
WORDINGS: dict[str, dict[str, Any]] = {
    "ours": {},
    "within": {"instructions": WITHIN},
    "system": {"instructions": False, "system": WITHIN},
    "number": {"instructions": "Think step by step, then write the answer as \\boxed{number}."},
    "last line": {"instructions": "Think step by step. The last line must be the final answer, written as \\boxed{answer}."},
    "short example": {"instructions": "End with the final answer in a box, like \\boxed{5}."},
    "none": {"instructions": False},
    "one turn": {"examples": STEPS[:1]},
    "two turns": {"examples": STEPS},
    "no instruction": {"examples": STEPS, "instructions": False},
    "terse turns": {"examples": TERSE},
    "three turns": {"examples": (*STEPS, TERSE[2])},
}
TEMPLATES = (
    ("Mia has {a} stickers and her brother gives her {b} more. How many stickers does she have now?", "a+b"),
    ("A baker made {c} rolls and sold {b} of them. How many rolls are left?", "c-b"),
    ("A box holds {d} pens. How many pens are in {e} boxes?", "d*e"),
    ("{f} children share {g} nuts equally. How many nuts does each child get?", "g//f"),
    ("A train has {a} passengers. At a stop {e} get off and {b} get on. How many passengers are on it then?", "a-e+b"),
    ("Tom reads {d} pages a day for {e} days and then {b} more. How many pages does he read in all?", "d*e+b"),
    ("A shirt costs {a} dollars and a cap {b} dollars. How much do both cost together?", "a+b"),
    ("A rope of {c} metres is cut: a piece of {b} metres is taken off. How long is the rest?", "c-b"),
)


class Item(NamedTuple):
    problem: Problem
    answer: str


def problems(count: int) -> Iterator[Item]:
    """Always the same ones, going round the templates."""
    chance = random.Random(7)
    for number in range(count):
        text, rule = TEMPLATES[number % len(TEMPLATES)]
        a, b, d, e, f = (chance.randint(*ends) for ends in ((20, 60), (11, 39), (11, 15), (2, 6), (2, 6)))
        values = {"a": a, "b": b, "c": b + chance.randint(11, 50), "d": d, "e": e, "f": f, "g": f * chance.randint(11, 15)}
        yield Item(Problem(prompt=text.format(**values)), str(eval(rule, {}, values)))


def boxed(text: str) -> str | None:
    """The number in the last box."""
    found: list[str] = re.findall(r"\\boxed\s*\{[^{}\d-]*(-?\d[\d,]*(?:\.\d+)?)[^{}]*\}", text)
    return found[-1].replace(",", "") if found else None


def last_number(text: str) -> str | None:
    """The last number of the text, boxed or not: what a lenient verifier would read."""
    found: list[str] = re.findall(r"-?\d[\d,]*(?:\.\d+)?", text)
    return found[-1].replace(",", "") if found else None


async def ask(runtime: Runtime, item: Item, wording: dict[str, Any], samples: int) -> list[Completion]:
    async with runtime.open(item.problem, seed=1) as run:
        request = DecodeRequest(
            messages=solver_messages(item.problem, **wording),
            n=samples,
            max_tokens=256,
            temperature=0.6,
            top_p=0.95,
            seed=run.seed_for("wording", item.problem.id),
        )
        return list(await run.decode(request))


async def main(count: int, samples: int, names: list[str]) -> None:
    config = PipelineConfig.from_dict({"decoders": {"solver": {"use": "llamacpp"}}})
    items = list(problems(count))
    async with Runtime(config) as runtime:
        print(f"{'wording':14} {'boxed':>6} {'right':>6} {'last':>6} {'tokens':>7} {'cut':>5}   of {count * samples}")
        for name in names:
            done = [(item, c) for item in items for c in await ask(runtime, item, WORDINGS[name], samples)]
            box = sum(boxed(c.text) is not None for _, c in done)
            right = sum(boxed(c.text) == item.answer for item, c in done)
            last = sum(last_number(c.text) == item.answer for item, c in done)
            tokens = sum(c.tokens for _, c in done) / len(done)
            cut = sum(c.finish == "length" for _, c in done)
            print(
                f"{name:14} {box / len(done):6.0%} {right / len(done):6.0%} {last / len(done):6.0%} {tokens:7.0f} {cut:5}",
                flush=True,
            )


if __name__ == "__main__":
    asyncio.run(main(int((sys.argv[1:] or ["40"])[0]), int((sys.argv[2:] or ["2"])[0]), sys.argv[3:] or list(WORDINGS)))
