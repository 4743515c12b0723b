"""The order of the checkers, their limits, and that no text is ever run."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from k2core_verifier_math.check import check, letters, quick, wording
from k2core_verifier_math.compare import compare
from k2core_verifier_math.pool import Opinion, Pool
from k2core_verifier_math.reading.answer import read

OPEN = Path(__file__).parents[3].parent / "shared" / "data" / "open"
CODE = [
    "__import__('os').system('touch owned')",
    r"\text{__import__('os').system('touch owned')}",
    "exec(open('/etc/passwd').read())",
    "().__class__.__bases__[0].__subclasses__()",
    "lambda: 0",
    "(lambda x: x)(1)",
    r"\operatorname{eval}(1+1)",
    r"$\int_0^1 __import__('os') dx$",
    "x.__class__",
    "{{7*7}}",
]


class NoPool(Pool):
    """Stands for the workers and counts what reaches them."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def compare(self, gold: str, answer: str, *, symmetric: bool = False) -> Opinion:
        self.asked.append((gold, answer))
        return "undecided", "nobody there"


@pytest.mark.parametrize(
    ("gold", "answer", "outcome"),
    [
        ("1/2", "0.5", "equal"),
        ("x+1", "1+x", "equal"),
        (r"\sqrt{8}", r"2\sqrt{2}", "equal"),
        (r"\sin 2x", r"2 \sin x \cos x", "equal"),
        ("[1,2)", "[1,2]", "different"),
        ("(A) Cecile", "C", "different"),
        (r"\int_0^1 2x dx", "1", "undecided"),
        ("8", "3" * 5000, "different"),
        ("x" * 3000, "x" * 2999 + "y", "undecided"),
        ("x" * 1500, "x" * 1500, "equal"),
    ],
)
def test_most_pairs_need_no_worker(gold: str, answer: str, outcome: str) -> None:
    pool = NoPool()
    opinion = asyncio.run(check(pool, gold, answer, max_length=2000))
    assert opinion[0] == outcome
    assert bool(pool.asked) == (opinion[1] == "nobody there")


def test_what_is_too_hard_reaches_no_worker() -> None:
    pool = NoPool()
    for text in ("9^{9^{9^9}}", "((9!)!)!", r"\binom{1000000}{500000}", r"\frac{1}{" * 100 + "1" + "}" * 100):
        outcome, reason = asyncio.run(check(pool, "17", text, max_length=2000))
        assert outcome in ("undecided", "different")
        assert reason
    assert not pool.asked


def test_text_is_compared_as_text() -> None:
    pool = NoPool()
    assert asyncio.run(check(pool, "x+1", "1+x", max_length=100, as_text=True))[0] == "different"
    assert wording("New York", "new  york")[0] == "equal"
    assert letters("(A) Cecile", "C")[0] == "different"
    assert letters("Cecile", "C")[0] == "different"


@pytest.mark.parametrize("text", CODE)
def test_no_text_is_run(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    monkeypatch.chdir(tmp_path)
    for door in ("sympy.parsing.sympy_parser.eval_expr", "sympy.parsing.sympy_parser.parse_expr", "math_verify.parser.parse_expr"):
        monkeypatch.setattr(door, lambda *args, **kwargs: ran.append(args))
    for gold in ("2", "x^2", text):
        assert compare(gold, text)[0] != "equal" or gold == text
        assert compare(text, gold)[0] != "equal" or gold == text
    assert not ran
    assert not list(tmp_path.iterdir())


def test_long_lists_take_no_longer() -> None:
    quick("1", "2")
    listed = ", ".join(f"\\sqrt{{{n}}}" for n in range(2, 26))
    started = time.thread_time()
    quick(listed, listed[::-1])
    quick(listed, ", ".join(f"\\ln {n}" for n in range(2, 40)))
    assert time.thread_time() - started < 0.5


@pytest.mark.skipif(not OPEN.is_dir(), reason="the labelled pairs are not next to this checkout")
@pytest.mark.parametrize(("name", "share"), [("pairs_unit_tests.jsonl", 0.95), ("pairs_model_outputs.jsonl", 0.98)])
def test_labelled_pairs(name: str, share: float) -> None:
    """Decided in this process; those that the labels have wrong are named in the README."""
    rows = [json.loads(line) for line in (OPEN / name).read_text().splitlines()]
    rows = [row for row in rows if row["expected"] is not None and not row.get("debatable") and len(row["prediction"]) < 60]
    rows = [row for row in rows if row.get("kind") != "mcq_letter" and read(row["prediction"]) is not None]
    outcomes = [(row["expected"], (quick(row["gold"], row["prediction"]) or ("undecided", ""))[0]) for row in rows]
    accepted = [row for row, (expected, outcome) in zip(rows, outcomes, strict=True) if not expected and outcome == "equal"]
    right = outcomes.count((True, "equal")) + outcomes.count((False, "different"))
    assert len(accepted) <= 4
    assert right / len(rows) > share, right / len(rows)
