"""Mathematics: a problem, and an answer that the math verifier compares with the reference."""

from __future__ import annotations

import re

from k2core.toolkit.benchmark import Benchmark, Grader, Published, Source
from k2core.types import Task

from .entry import Entry, make, written
from .rows import ANSWERS, IDS, PROBLEMS, Row

MATH = Grader(use="math")
THINK = "K2 Think report, arXiv 2509.07604, table 2: mean of 16 runs, T 1.0, top-p 0.95, 64 k tokens"
_BOX = re.compile(r"^\s*\\boxed\{(.*)\}\s*$", re.DOTALL)


def plain(row: Row, card: Benchmark, seed: int) -> Task:
    """`problem` and `answer` under the names that data sets give them; a `solution` that is a box alone holds the answer."""
    problem = row.text(PROBLEMS, "problem")
    found = row.find(ANSWERS)
    if found is None and (box := _BOX.match(str(row.data.get("solution", "")))):
        found = box[1]
    answer = written(found) if found is not None else row.text(ANSWERS, "answer")
    return make(row, card, {"problem": problem}, answer, (*PROBLEMS, *ANSWERS, *IDS))


def gsm8k(row: Row, card: Benchmark, seed: int) -> Task:
    """The answer stands behind `####` at the end of the worked solution, thousands with commas."""
    task = plain(row, card, seed)
    worked, mark, last = str(task.reference).rpartition("####")
    if not mark:
        return task
    return task.model_copy(update={"reference": last.strip().replace(",", ""), "meta": {**task.meta, "solution": worked.strip()}})


def _published(*scores: float) -> tuple[Published, ...]:
    arms = ("K2 Think, SFT + RL checkpoint", "K2 Think, + plan", "K2 Think, + best-of-3", "K2 Think, + plan and best-of-3")
    return tuple(Published(system=arm, score=score, source=THINK) for arm, score in zip(arms, scores, strict=True))


def _contest(name: str, title: str, owner: str, source: Source, size: int, scores: tuple[Published, ...] = ()) -> Entry:
    licence = f"no open licence: problems (c) {owner}"
    return Entry(Benchmark(
        name=name, title=title, domain="math", prompt="{problem}", grader=MATH, source=source, size=size, licence=licence,
        publish=False, published=scores,
    ), plain)  # fmt: skip


_OMNI = (
    "Difficulty 9 and above of Omni-MATH is this tool's reading of `HARD`: the report gives the number of its problems, 173, and "
    "no list of ids; a set of another number is another set."
)
ENTRIES = (
    _contest(
        "aime24", "AIME 2024, I and II", "MAA",
        Source(hub="math-ai/aime24", revision="83a7f387baaa524a8bda0022eac0541582297103", files=("aime24", "aime_2024")), 30,
        _published(86.26, 85.21, 90.77, 90.83),
    ),
    _contest(
        "aime25", "AIME 2025, I and II", "MAA",
        Source(hub="math-ai/aime25", revision="563bb8404243c5f09de6ec262f2db674fe5bce9b", files=("aime25", "aime_2025")), 30,
        _published(77.72, 81.04, 81.22, 81.24),
    ),
    _contest(
        "hmmt-feb25", "Harvard-MIT Mathematics Tournament, February 2025", "HMMT",
        Source(
            hub="MathArena/hmmt_feb_2025", revision="6fdc4277120810ff75aa22d2d5489b91f7a262a1", split="train",
            files=("hmmt_feb25", "hmmt_feb_2025"),
        ), 30, _published(66.46, 71.87, 71.16, 73.75),
    ),
    _contest("hmmt-feb24", "Harvard-MIT Mathematics Tournament, February 2024", "HMMT", Source(files=("hmmt_feb24",)), 30),
    _contest("cmimc24", "Carnegie Mellon Informatics and Mathematics Competition 2024", "CMIMC", Source(files=("cmimc24",)), 30),
    _contest(
        "amc23", "AMC 12 2023, A and B, 40 of the problems", "MAA",
        Source(hub="math-ai/amc23", revision="80815d37005feb82cd7f8fbc6901d5d3eff43057", files=("amc23",)), 40,
    ),
    Entry(Benchmark(
        name="omni-math-hard", title="Omni-MATH, difficulty 9 and above", domain="math", prompt="{problem}", grader=MATH,
        source=Source(
            hub="KbsdJames/Omni-MATH", revision="40ba231d8f16e29ecd40e6407e2c8640145a8f62", files=("omni_math", "Omni-Math"),
        ),
        size=173, licence="Apache-2.0 (collection); problems belong to their contests", publish=False,
        published=_published(56.74, 58.97, 59.47, 60.73), citation="arXiv:2410.07985",
    ), plain, _OMNI, levels=("9+",)),
    Entry(Benchmark(
        name="omni-math-rule", title="Omni-MATH, problems whose answers rules can grade", domain="math", prompt="{problem}",
        grader=MATH, source=Source(files=("omni_math_rule",)), size=2821,
        licence="none stated; problems belong to their contests", publish=False, citation="arXiv:2410.07985",
    ), plain, "Some problems occur twice."),
    Entry(Benchmark(
        name="gsm8k", title="Grade School Math 8K, test", domain="math", prompt="{problem}", grader=MATH,
        source=Source(
            hub="openai/gsm8k", revision="740312add88f781978c0658806c59bc2815b9866", subset="main",
            files=("gsm8k_test", "gsm8k"),
        ),
        size=1319, licence="MIT", citation="arXiv:2110.14168",
    ), gsm8k),
    Entry(Benchmark(
        name="math-500", title="MATH, the 500 test problems of Let's Verify Step by Step", domain="math", prompt="{problem}",
        grader=MATH,
        source=Source(hub="HuggingFaceH4/MATH-500", revision="6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be", files=("math500",)),
        size=500, licence="MIT", citation="arXiv:2305.20050",
    ), plain),
    Entry(Benchmark(
        name="math-test", title="MATH, test", domain="math", prompt="{problem}", grader=MATH,
        source=Source(files=("math_test5000",)), size=5000, licence="MIT", citation="arXiv:2103.03874",
    ), plain),
    Entry(Benchmark(
        name="minerva-math", title="MIT OpenCourseWare problems of Minerva", domain="math", prompt="{problem}", grader=MATH,
        source=Source(files=("minerva_math",)), size=272, licence="CC BY-NC-SA (MIT OpenCourseWare)", citation="arXiv:2206.14858",
    ), plain, "Many answers are physical values without a stated tolerance."),
    Entry(Benchmark(
        name="olympiadbench", title="OlympiadBench, open-ended mathematics in English, text only", domain="math",
        prompt="{problem}", grader=MATH, source=Source(files=("olympiadbench_math_en",)), size=675,
        licence="MIT (collection); problems belong to their contests", publish=False, citation="arXiv:2402.14008",
    ), plain),
    Entry(Benchmark(
        name="gaokao2023en", title="Gaokao 2023, mathematics in English", domain="math", prompt="{problem}", grader=MATH,
        source=Source(files=("gaokao2023en",)), size=385, licence="none stated", publish=False,
    ), plain),
)  # fmt: skip
