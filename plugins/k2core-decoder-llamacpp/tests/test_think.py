"""Reasoning and answer told apart, wherever the stream is cut."""

from __future__ import annotations

import pytest
from k2core_decoder_llamacpp.think import ThinkSplitter, opens

CASES = [
    ("<think>a < b</think>\n\nSo c.", False, ("a < b", "So c.")),
    (" \n<think>a</think>b", False, ("a", "b")),
    ("no <think>tags</think>", False, ("", "no <think>tags</think>")),
    ("<thin air", False, ("", "<thin air")),
    ("<think>never ends </thin", False, ("never ends </thin", "")),
    ("<think></think>x", False, ("", "x")),
    ("<think>a</think> \n", False, ("a", "")),
    ("  ", False, ("", "  ")),
    ("a</think>b", True, ("a", "b")),
    ("<think>a</think>b", True, ("a", "b")),
    ("a</think>b</think>c<think>", True, ("a", "b</think>c<think>")),
    ("<", True, ("<", "")),
    ("", True, ("", "")),
]


@pytest.mark.parametrize(("text", "inside", "wanted"), CASES)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_split(text: str, inside: bool, wanted: tuple[str, str], size: int) -> None:
    splitter = ThinkSplitter(inside)
    pieces = [piece for at in range(0, len(text), size) for piece in splitter.feed(text[at : at + size])] + splitter.finish()
    assert all(piece for piece, _ in pieces)
    assert ("".join(p for p, r in pieces if r), "".join(p for p, r in pieces if not r)) == wanted


def test_templates_that_open_the_block() -> None:
    assert opens("{{ m }}{% if add_generation_prompt %}<|assistant|>\n<think>\n{% endif %}")
    assert not opens("{% if add_generation_prompt %}{% if enable_thinking is false %}<think>\n\n</think>{% endif %}{% endif %}")
    assert not opens("{{ '<think>' }}{% if add_generation_prompt %}<|assistant|>{% endif %}")
    assert not opens("")
