"""Answers in words: "The answer is …", "Answer: …", "A: …", and whether a text ends as a finished one does."""

from __future__ import annotations

import re

_ANSWER = re.compile(
    r"(?:\b(?:(?P<answer>answer|r[ée]ponse)|result|solution)\b[^.\n:=]{0,80}?(?:\bis\b|\best\b|[:\uff1a=])|^[ \t]*(?P<mark>A:))"
    r"[*\s:]{0,40}(?:\bis\b)?[*:]{0,4}[ \t]*(?=(?P<rest>[^\n]*))",
    re.IGNORECASE | re.MULTILINE,
)
_DENIED = re.compile(r"\s*(?:not|in(?:correct|valid)|wrong|close|unclear|unknown|to|as|in|of)\b", re.IGNORECASE)
"""How the rest of a sentence starts that talks about an answer and gives none."""
_NEAR = 400
"""Characters from the end within which a "result" or a "solution", and in a text that breaks off any answer, is the last word."""
_SEARCHED = 8000

_HOPE = re.compile(r"\.?\s{0,4}I hope.*$", re.IGNORECASE | re.DOTALL)
_MATH = re.compile(r"\$([^$]+)\$|\\\((.{1,1000}?)\\\)|\\\[(.{1,1000}?)\\\]", re.DOTALL)
_LEADING = re.compile(
    r"[-\u2212+]?\\?[$€£¥]?\s?[-\u2212+]?\d[\d,]*(?:\.\d+)?(?:\s?/\s?\d+)?\s?\\?%?"
    r"(?=$|[.,;)!]|\s+[A-Za-z]{2}|\s*$)"
)
_FRAME = re.compile(r"\\\((.*)\\\)|\\\[(.*)\\\]|\$\$([^$]*)\$\$|\$([^$]*)\$|\*\*([^*]*)\*\*|`([^`]*)`", re.DOTALL)
_FRAMES = 8
"""Most frames around an answer that are taken off."""

_ENDING = re.compile(r"[.!?:;\u2026\u3002\uff01\uff1f)\]}>$%\"'\u201d\u2019*`_|=~\u25a0\u25a1\u2605\u2713]$")
_TELLING = re.compile(r"\d|\b[A-J]\b|\\[a-z]")
_PAIRS = (("(", ")"), ("{", "}"), (r"\(", r"\)"), (r"\[", r"\]"))


def unframe(text: str) -> str:
    """Without the white space, full stop and math or bold marks around it."""
    text = text.strip()
    for _ in range(_FRAMES):
        bare = text.rstrip(".").rstrip() if not text.endswith("..") else text
        match = _FRAME.fullmatch(bare)
        inner = next(group for group in match.groups() if group is not None).strip() if match else bare
        if inner == text:
            break
        text = inner
    return text


def sentence(text: str, *, whole: bool = False, cut: bool = False) -> str | None:
    """What follows the last "answer is", up to the end of the line; the number or formula in it unless `whole`.

    A "result" or "solution" counts near the end only. In a text that is `cut`, an answer counts if it is near the end and a
    line of its own follows: more of it may have been to come.
    """
    tail = text[-_SEARCHED:]
    if cut:
        tail = tail.rpartition("\n")[0]
    for match in reversed([*_ANSWER.finditer(tail)]):
        rest = match.group("rest")
        last = cut or not (match.group("answer") or match.group("mark"))
        if not rest.strip(" *") or _DENIED.match(rest) or (last and len(tail) - match.end() - len(rest) > _NEAR):
            continue
        rest = unframe(_HOPE.sub("", rest).strip().strip("*"))
        return (rest if whole else _core(rest)) or None
    return None


def _core(rest: str) -> str:
    """The answer inside an answer sentence: the number it starts with, its only formula, or what follows its last "is"."""
    while True:
        if leading := _LEADING.match(rest):
            return leading.group().rstrip(" ,")
        formulas = [next(part for part in match if part) for match in _MATH.findall(rest)]
        if len(formulas) == 1 and len(rest) > len(formulas[0]) + 4 and " is " not in rest:
            return str(formulas[0]).strip()
        before, found, after = rest.rpartition(" is ")
        if not (found and before):
            return rest
        rest = unframe(after)


def breaks_off(text: str) -> bool:
    """Whether a text stops in the middle of a sentence or a formula, as one does that was cut or ran in circles.

    Without a mark at its end it may still be whole if its last line says something: a number, a letter of choice, a formula.
    """
    text = text.rstrip()
    last = text[-2000:].rpartition("\n")[2]
    if len(text) < _NEAR or not last:
        return False
    if any(last.count(left) > last.count(right) for left, right in _PAIRS) or last.count("$") % 2:
        return True
    return not _ENDING.search(last) and not _TELLING.search(last)
