"""Reasoning is told from text however the stream is cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k2core.toolkit.thinking import ThinkSplitter


def split(chunks: list[str], mode: str = "auto") -> tuple[str, str]:
    """Reasoning and text."""
    splitter = ThinkSplitter(mode)  # type: ignore[arg-type] # one of three words
    pieces = [piece for chunk in chunks for piece in splitter.feed(chunk)] + splitter.end()
    return "".join(t for t, thinks in pieces if thinks), "".join(t for t, thinks in pieces if not thinks)


@pytest.mark.parametrize(
    ("mode", "text", "expected"),
    [
        ("auto", "<think>a < b</think>\n\n42", ("a < b", "42")),
        ("auto", "\n <think>a</think>b<think>c</think>", ("a", "b<think>c</think>")),
        ("auto", "no <think> first </think>", ("", "no <think> first </think>")),
        ("auto", "<think>never closed </thin", ("never closed </thin", "")),
        ("auto", "<thin", ("", "<thin")),
        ("auto", "<thin air", ("", "<thin air")),
        ("auto", "<think></think>x", ("", "x")),
        ("auto", "<think>a</think> \n", ("a", "")),
        ("auto", "  ", ("", "  ")),
        ("open", "a</think>b</think>c<think>", ("a", "b</think>c<think>")),
        ("open", "<", ("<", "")),
        ("auto", "", ("", "")),
        ("open", "a</think> b", ("a", "b")),
        ("open", "<think>a</think>b", ("a", "b")),
        ("open", "never closed", ("never closed", "")),
        ("off", "<think>a</think>b", ("", "<think>a</think>b")),
    ],
)
def test_whole_and_letter_by_letter(mode: str, text: str, expected: tuple[str, str]) -> None:
    assert split([text], mode) == expected
    assert split(list(text), mode) == expected


@given(st.text("<think>/ab \n", max_size=40), st.lists(st.integers(0, 40)), st.sampled_from(["auto", "open", "off"]))
def test_cuts_change_nothing(text: str, cuts: list[int], mode: str) -> None:
    places = sorted({0, len(text), *(c for c in cuts if c < len(text))})
    chunks = [text[a:b] for a, b in pairwise(places)]
    assert split(chunks, mode) == split([text], mode)
