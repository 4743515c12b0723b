"""Where is the answer? Pure functions on text, none of which takes more than linear time.

`extract` asks the finders in the order that `ORDER` gives for the problem's answer format. Only text after the last `</think>`
counts, and text that is still thinking holds no answer: an answer that was not given is never the same as a wrong one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from .reading.answer import is_answer
from .sentence import breaks_off, sentence, unframe

Format: TypeAlias = Literal["boxed", "tag", "choice", "number", "text", "code", "json"]

TAIL = 65_536
"""Characters at the end of the text that are searched; an answer further from the end is not the final one."""

_BOX = re.compile(r"\\(?:boxed|fbox)\s*(?=\{)")
_BARE_BOX = re.compile(r"\\(?:boxed|fbox)\s+([^\s${}]+)")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_JOINT = re.compile(r"(?:[\s$,;.]|\\q?quad|\\[\[\]()]|\\text\{\s*(?:and|or)\s*\}|and|or)*")
_JOINING = re.compile(r",|;|and|or|quad")
_BOX_TRIES, _BOX_LENGTH = 20, 10_000

NUMBER = re.compile(
    r"(?<![\w.^\\{])(?<![^#]#)"
    r"(?:[-\u2212+]?[ ]?\\[dtc]?frac\{-?\d+\}\{-?\d+\}"
    r"|[-\u2212+]?(?:\\?[$€£¥][ ]?[-\u2212+]?)?(?:\d{1,3}(?:,\d{3})+(?!\d)|(?<![,\d])\d+,\d{1,2}(?![\d,.]\d|\d)|\d+)?"
    r"(?:(?<=\d)\.\d+|(?<=\d)|\.\d+)(?:[eE][-+]?\d+(?!\w))?"
    r"(?:[ ]?/[ ]?\d+(?:\.\d+)?)?)"
    r"(?:[ ]?\\?%)?"
)
"""A number in running text: thousands separators, decimals, fractions, percent, currency. Not the 2 of `x^2`, `H2O` or `#2`."""

_HASHES = re.compile(rf"^[ \t]*####[ \t]*({NUMBER.pattern})[ \t]*[^\d\s]*[ \t]*$", re.MULTILINE)
_FORMULA = re.compile(r"\$\$([^$]+)\$\$|\$([^$\n]+)\$|\\\((.{1,1000}?)\\\)|\\\[(.{1,1000}?)\\\]", re.DOTALL)
_TELLING = re.compile(r"\d|\\[a-z]|\([A-J]\)")
_FIRST_LETTER = re.compile(r"\(?([A-J])[.:)\u3002\uff0c\uff1a](?=\D)")
_LETTER = re.compile(
    r"\s*(?:\\text(?:bf|rm|it)?\s*\{\s*)?[\"'(\[{*]*\s*([A-Ja-j])\s*[\"')\]}*]*(?![\w'])(?:\s*[.:)}].*|\s*$|\s+\S.*)", re.DOTALL
)
_LONE_LETTER = re.compile(r"(?:^|[\s(\[*{])([A-J])[)\].:*}]*(?=\s|[,;。]|$)")
_OPTION = re.compile(r"(?i:option|choice|answer|correct)\b[^.\n]{0,40}?[\s(*]([A-J])\b")


@dataclass(frozen=True, slots=True)
class Found:
    """An answer and the finder that saw it."""

    text: str
    how: str


def visible(text: str) -> str:
    """The text after the thinking; empty when the thinking was never finished."""
    _, closed, after = text.rpartition("</think>")
    if not closed and "<think>" in text:
        return ""
    return (after if closed else text)[-TAIL:]


def boxed(text: str) -> str | None:
    r"""Content of the last balanced `\boxed{}` or `\fbox{}`; boxes joined by "," or "and" at the end are one list."""
    boxes: list[tuple[int, int, str]] = []
    for start, end, content in _boxes(text):
        if boxes and not _joined(text[end + 1 : boxes[-1][0]]):
            break
        boxes.append((start, end, content))
    if boxes:
        return _listed(content for _, _, content in boxes)
    bare = _BARE_BOX.findall(text)
    return str(bare[-1]) if bare else None


def _boxes(text: str) -> Iterator[tuple[int, int, str]]:
    """Start, end and content of the balanced boxes with content, the last first, as far as is worth looking."""
    for match in [*_BOX.finditer(text)][-_BOX_TRIES:][::-1]:
        end = _closing(text, match.end())
        if end is not None and (content := text[match.end() + 1 : end].strip()):
            yield match.start(), end, content


def _listed(contents: Iterable[str]) -> str:
    return ", ".join(reversed(dict.fromkeys(contents)))


def _joined(between: str) -> bool:
    return len(between) < 40 and bool(_JOINING.search(between) and _JOINT.fullmatch(between))


def _closing(text: str, start: int) -> int | None:
    """Index of the brace that closes the one at `start`; escaped braces are text."""
    depth = 0
    for token in _BRACE.finditer(text, start, start + _BOX_LENGTH):
        depth += {"{": 1, "}": -1}.get(token.group(), 0)
        if depth == 0:
            return token.start()
    return None


def tagged(text: str, *, open_ended: bool = True) -> str | None:
    """Content of the last `<answer>`; without its end mark, which is often the stop sequence, only if `open_ended`."""
    start = text.rfind("<answer>")
    if start < 0:
        return None
    content, closed, _ = text[start + len("<answer>") :].partition("</answer>")
    if not (closed or open_ended):
        return None
    return boxed(content) or unframe(content) or None


def hashes(text: str) -> str | None:
    """The number on the last line of the form `#### 42`; a heading is none."""
    found = _HASHES.findall(text)
    return found[-1].strip() if found else None


def number(text: str) -> str | None:
    """The last number of the text."""
    found = [match.group().strip() for match in NUMBER.finditer(text[-4000:].replace(r"\!", "").replace("{,}", ","))]
    return found[-1] if found else None


def formula(text: str) -> str | None:
    """The last formula, if it holds more than a name and no number follows it."""
    matches = [*_FORMULA.finditer(text[-4000:])]
    if not matches or re.search(r"\d", text[-4000:][matches[-1].end() :]):
        return None
    content = next(group for group in matches[-1].groups() if group is not None).strip()
    return content if re.search(r"\d|\\[a-z]", content) else None


def letter(text: str) -> str | None:
    r"""The choice that a short answer names: `B`, `(b)`, `\text{B}`, `B) because …`. Upper case."""
    match = _LETTER.fullmatch(text[:200])
    if match is None:
        return None
    named = match.group(1)
    word = text.strip()[:2]
    return None if word in ("A ", "a ", "I ", "i ") and len(text.split()) > 1 else named.upper()


def choice(text: str, *, open_ended: bool = True) -> str | None:
    """The letter in the box, in the tag or after "the answer is"."""
    for source in (boxed(text), tagged(text, open_ended=open_ended), sentence(text, whole=True, cut=not open_ended)):
        if source and (named := letter(source)):
            return named
    return None


def stray_letter(text: str) -> str | None:
    """The letter that a short text starts with, else the last after "option" or "answer", else the last that stands alone."""
    if len(text) <= 200 and (first := _FIRST_LETTER.match(text.strip())):
        return first.group(1)
    tail = text[-4000:]
    found = _OPTION.findall(tail) or _LONE_LETTER.findall(tail)
    return str(found[-1]) if found else None


def bare(text: str) -> str | None:
    """The whole text, if it is short and nothing but an answer in mathematical notation."""
    text = text.strip()
    if len(text) <= 60 and text[:1] == "$" == text[-1:] and (inside := unframe(text)) != text:
        return inside or None
    alone = len(_FORMULA.findall(text[:400])) == 1 and not _TELLING.search(_FORMULA.sub("", text[:400]))
    return None if alone or not is_answer(text) else text  # a formula among words: the next finder takes it out


def whole(text: str) -> str | None:
    """The whole text, if it is one line of at most 200 characters, else its last line of that length."""
    lines = text.strip().splitlines()
    return unframe(lines[-1]) or None if lines and len(lines[-1]) <= 200 else None


_FINDERS: dict[str, tuple[Callable[[str], str | None], str]] = {
    "boxed": (boxed, r"\boxed{}"),
    "tag": (tagged, "<answer>"),
    "bare": (bare, "the text as a whole"),
    "hashes": (hashes, "#### number"),
    "sentence": (sentence, '"the answer is …"'),
    "formula": (formula, "the last formula"),
    "number": (number, "the last number"),
    "choice": (choice, "a choice letter in a box, a tag or an answer sentence"),
    "letter": (stray_letter, "a letter that stands alone"),
    "whole": (whole, "a short last line"),
}

_LOOSE = ("hashes", "sentence", "bare", "formula", "number")
ORDER: dict[Format, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "boxed": (("boxed",), ("tag", *_LOOSE)),
    "tag": (("tag",), ("boxed", *_LOOSE)),
    "number": (("boxed", "tag", "hashes", "sentence", "bare", "number"), ()),
    "choice": (("choice",), ("letter",)),
    "text": (("tag", "boxed", "sentence"), ("whole",)),
    "code": (("tag", "boxed"), ("whole",)),
    "json": (("tag", "boxed"), ("whole",)),
}
"""Finders by answer format: those that the format names, then the fall-backs, which `strict` switches off."""

_LAST = ("bare", "formula", "number", "letter", "whole")
"""Finders that take the end of the text for its conclusion."""

assert set(ORDER) == set(get_args(Format))


def finders(answer_format: Format, *, strict: bool = False, truncated: bool = False) -> tuple[str, ...]:
    """Names of the finders that apply. A truncated text has no last number, line or letter that means anything."""
    first, then = ORDER[answer_format]
    names = first if strict else first + then
    return tuple(name for name in names if not (truncated and name in _LAST))


def extract(text: str, answer_format: Format = "boxed", *, strict: bool = False, truncated: bool = False) -> Found | None:
    """The final answer of a completion, or None when there is none."""
    shown = visible(text)
    cut = truncated or is_cut(shown, answer_format)
    for name in finders(answer_format, strict=strict, truncated=cut):
        if found := _find(name, shown, cut):
            return Found(found, name)
    return None


def is_cut(text: str, answer_format: Format) -> bool:
    """Whether the text looks truncated, though nobody said so. A name or a program may end in any way."""
    return answer_format in ("boxed", "tag", "number") and breaks_off(text)


def _find(name: str, text: str, truncated: bool) -> str | None:
    """Ask one finder. In a truncated text an open tag, and whatever the last line says, may be half an answer."""
    if name == "tag":
        return tagged(text, open_ended=not truncated)
    if name == "choice":
        return choice(text, open_ended=not truncated)
    if name == "sentence":
        return sentence(text, cut=truncated)
    return _FINDERS[name][0](text.rpartition("\n")[0] if truncated and name == "hashes" else text)


def looked_for(answer_format: Format, *, strict: bool = False, truncated: bool = False) -> str:
    """What `extract` looked for, in words."""
    return ", ".join(_FINDERS[name][1] for name in finders(answer_format, strict=strict, truncated=truncated))


def reference_answer(reference: str) -> str:
    """The answer that a reference holds: the bare answer, or a solution with boxes, all of which count, a tag or a `####` line."""
    boxes = [content for _, _, content in _boxes(reference[-TAIL:])]
    return (_listed(boxes) if boxes else None) or tagged(reference) or hashes(reference) or unframe(reference)
