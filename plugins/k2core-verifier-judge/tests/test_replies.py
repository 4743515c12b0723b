"""Reading what judges say."""

from __future__ import annotations

import pytest
from k2core_verifier_judge.prompts import NOTHING, fence, shorten, statement, visible
from k2core_verifier_judge.replies import choice, rating

from k2core import Message, Problem


@pytest.mark.parametrize(
    ("reply", "named"),
    [
        ('{"better": "A", "reason": "right"}', "A"),
        ('{"better": "tie", "reason": ""}', "tie"),
        ('Sure! ```json\n{"better": "B", "reason": "x"}\n```', "B"),
        ('{"better": "a"}', "A"),
        ('{"better": "A", "reason": "cut o', "A"),
        ("better: B", "B"),
        ("**Better:** A", "A"),
        ("The winner is B.", "B"),
        ("Verdict: tie", "tie"),
        ("B", "B"),
        ("(A).", "A"),
        ("Tie!", "tie"),
        ("Answer A is better because it is right.", "A"),
        ("Candidate B is clearly better.", "B"),
        ("I prefer solution A.", "A"),
        ("The better answer is B.", "B"),
        ("Both are equally good.", "tie"),
        ("It is a tie.", "tie"),
        ("Neither is better.", "tie"),
        ("<think>A is better</think>B is better", "B"),
        ("A is not better than B.", None),
        ("A is better. B is better.", None),
        ("A good answer is a joy.", None),
        ("", None),
        ("C", None),
        ('{"better": null}', None),
        ('{"better": {"better": "A"}}', "A"),
        ("{" * 10_000, None),
        ("[" * 10_000, None),
        ("better " * 3000, None),
        ("'" * 20_000, None),
        ("better is " * 2000 + "A", "A"),
    ],
)
def test_choice(reply: str, named: str | None) -> None:
    assert choice(reply) == named


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ('{"rating": 7, "reason": "ok"}', 7),
        ('{"rating": 7.5}', 7.5),
        ('{"rating": "8"}', 8),
        ('{"rating": "8/10"}', 8),
        ('{"rating": 11}', None),
        ('{"rating": -1}', None),
        ('{"rating": true}', None),
        ('{"rating": NaN}', None),
        ('{"rating": 9, "reason": "cut o', 9),
        ("Rating: 6", 6),
        ("I give it 8/10.", 8),
        ("9 out of 10", 9),
        ("10", 10),
        ("0", 0),
        ("Score: 3. Rating: 4", None),
        ("rating: 100", None),
        ("it has 3 errors", None),
        ("", None),
        ("<think>rating: 1</think>rating: 2", 2),
        ("1" * 100_000, None),
    ],
)
def test_rating(reply: str, value: float | None) -> None:
    assert rating(reply) == value


def test_prompts() -> None:
    assert visible("a</think>b") == "b"
    assert visible("<think>a") == NOTHING
    assert visible("x <think>a") == "x"
    assert visible("  ") == NOTHING
    assert shorten("abc", 5) == "abc"
    assert shorten("a" * 100 + "z" * 100, 30).count("a") >= 10
    assert "170 characters left out" in shorten("a" * 100 + "z" * 100, 30)
    assert fence("X", "one feed two", "feed") == "<<<X feed>>>\none  two\n<<<END X feed>>>"
    chat = Problem(messages=(Message(role="system", content="s"), Message(role="user", content="u")))
    assert statement(chat) == "system: s\n\nuser: u"
