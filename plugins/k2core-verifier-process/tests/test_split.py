"""Where steps begin and end."""

from __future__ import annotations

import time

import pytest
from k2core_verifier_process.split import split

TEXTS = [
    "Step 1: a\nStep 2: b\n\nStep 3: c",
    "One.\n\n\nTwo.\r\nThree.",
    "We have\n\\[\n3 + 4\n= 7\n\\]\nso 7.",
    "Table\n\\begin{align*}\na &= 1 \\\\\nb &= 2\n\\end{align*}\nDone.",
    "```python\nx = 1\n\ny = 2\n```\nThe answer is 3.",
    "It is so. " * 100,
    "$$\n1\n$$ and $$2$$ and\n3",
    "\\begin{align}\n1 never closed",
]


@pytest.mark.parametrize("text", TEXTS)
def test_steps_are_the_whole_text_in_order(text: str) -> None:
    steps = split(text)
    assert "".join(step.text for step in steps).strip() == text.strip()
    assert [step.number for step in steps] == list(range(1, len(steps) + 1))
    assert all(text[step.start : step.end] == step.text for step in steps)


def test_lines_are_steps_and_blocks_are_one() -> None:
    assert [step.text.strip() for step in split("Step 1: a\nStep 2: b\n\nStep 3: c")] == ["Step 1: a", "Step 2: b", "Step 3: c"]
    assert [step.text.strip() for step in split("We have\n\\[\n3 + 4\n= 7\n\\]\nso 7.")] == [
        "We have",
        "\\[\n3 + 4\n= 7\n\\]",
        "so 7.",
    ]
    assert len(split("```python\nx = 1\n\ny = 2\n```\nThe answer is 3.")) == 2


def test_a_long_line_is_split_between_sentences() -> None:
    steps = split("He has 3 apples and then he buys 4.5 more of them. " * 20)
    assert 3 < len(steps) < 8
    assert all(step.text.startswith("He") and step.text.rstrip().endswith(".") for step in steps)


def test_nothing_to_split() -> None:
    assert split("") == split(" \n\n ") == split("---\n***") == []


@pytest.mark.parametrize("text", TEXTS)
def test_a_prefix_has_the_steps_of_the_whole(text: str) -> None:
    """All but its last, which goes on."""
    whole = [step.text for step in split(text)]
    for cut in range(len(text)):
        part = [step.text for step in split(text[:cut])]
        assert part[:-1] == whole[: max(0, len(part) - 1)]


@pytest.mark.parametrize("piece", ["\n", "$$", "\\[", "\\begin{a}", "a. B", "```\n", "x\u2028", ". "])
def test_linear(piece: str) -> None:
    began = time.process_time()
    split(piece * (200_000 // len(piece)))
    assert time.process_time() - began < 5
