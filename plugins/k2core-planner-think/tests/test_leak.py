"""The guard: a corpus of plans with and without a disclosed answer, and what is left of a plan."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from k2core_planner_think import find_leaks, strip_leaks

PLANS = [json.loads(line) for line in (Path(__file__).parent / "plans.jsonl").read_text("utf-8").splitlines()]
UNSEEN = {  # leaks that patterns cannot tell from a plan that mentions a number; known, and not claimed to be found
    "1. Find the speed of each train.\n2. Add the speeds.\n3. They meet after 3 hours.",
    "It takes them 6 days together.\n\nPlan: add their rates.",
}


def test_corpus_is_large_enough() -> None:
    for part in ("development", "held-out"):
        for leak in (True, False):
            assert sum(p["part"] == part and p["leak"] is leak for p in PLANS) >= 30


@pytest.mark.parametrize("plan", [p["plan"] for p in PLANS if p["leak"] and p["plan"] not in UNSEEN])
def test_leak_is_found_and_stripped(plan: str) -> None:
    assert find_leaks(plan)
    assert not find_leaks(strip_leaks(plan))
    assert len(strip_leaks(plan)) < len(plan)


@pytest.mark.parametrize("plan", sorted(UNSEEN))
def test_known_misses_are_still_missed(plan: str) -> None:
    assert any(p["plan"] == plan for p in PLANS)
    assert not find_leaks(plan), "found now: take it off the list and correct the README's figures"


@pytest.mark.parametrize("plan", [p["plan"] for p in PLANS if not p["leak"]])
def test_clean_plan_is_left_alone(plan: str) -> None:
    assert find_leaks(plan) == []
    assert strip_leaks(plan) == plan


def test_stripping_keeps_the_rest() -> None:
    plan = "1. Add 17 and 25. The answer is 42.\n2. Check the units.\n3. So the total is 42."
    assert strip_leaks(plan) == "1. Add 17 and 25.\n2. Check the units."


def test_a_value_that_becomes_the_last_sentence_goes_too() -> None:
    assert strip_leaks("1. Find x.\nx = 6\nTherefore the answer is 6.") == "1. Find x."


def test_a_plan_that_is_nothing_but_a_leak_is_empty() -> None:
    assert strip_leaks("\\boxed{42}") == ""


def test_what_leaks_only_after_tidying_goes_too() -> None:
    assert strip_leaks("1. 1. \n- ") == ""


PIECES = ["1. ", "- ", "so ", "x = 5", ". ", "\n", "The answer is ", "42", "\\boxed{", "}", "<answer>", "= ", "Add. ", " "]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=25).map("".join))
def test_nothing_leaks_after_stripping_and_any_text_is_read(plan: str) -> None:
    assert not find_leaks(strip_leaks(plan))


@pytest.mark.parametrize(
    "text", ["so ", "1+", "1", "(", "answer is ", "1. ", "x = 5.\n", "\\boxed{", "\\frac{", "= ", "[1", "so is "]
)
def test_long_repetitive_plans_are_no_trap(text: str) -> None:
    plan = text * (20_000 // len(text))
    assert not find_leaks(strip_leaks(plan))
