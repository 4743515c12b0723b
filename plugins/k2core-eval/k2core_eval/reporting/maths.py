"""Formulas in texts as MathML, which browsers lay out by themselves.

What a model writes is hostile until shown otherwise. A formula is converted to a tree, and of the tree only known elements and
attributes are written, every text escaped; the converter's own serialisation does neither. What cannot be converted, or is longer
than `LONGEST`, or comes after `Maths` has spent its allowance, stays as it was written. All limits count characters, never
seconds, so that the same texts always make the same page; 2,000 characters take the converter at most some 20 ms.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from .text import shown

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

LONGEST = 2_000
"""Characters of a formula that is converted."""

LARGEST = 40_000
"""Characters of MathML that one formula may become."""

_ELEMENTS = frozenset(
    "math mrow mi mn mo mtext mspace msup msub msubsup mfrac msqrt mroot mover munder munderover mtable mtr mtd mstyle mpadded "
    "mphantom mmultiscripts mprescripts none merror".split()
)
_WORDS = dict.fromkeys("columnalign form mathvariant display".split(), re.compile(r"[a-z -]{1,40}"))
_FLAGS = dict.fromkeys("stretchy fence accent displaystyle movablelimits separator symmetric".split(), re.compile(r"true|false"))
_SIZE = re.compile(r"-?\d{0,2}(\.\d{1,4})?(em|ex|px|pt)?")
_SIZES = dict.fromkeys("width lspace rspace linethickness minsize maxsize".split(), _SIZE)
_ATTRIBUTES = {**_WORDS, **_FLAGS, **_SIZES, "scriptlevel": re.compile(r"[+-]?\d")}

_DEFINITIONS = re.compile(r"\\(?:[a-zA-Z]*newcommand|[egx]?def|let|newenvironment|DeclareMathOperator|catcode|input|include)\b")
"""Macros can grow without bounds, so formulas that define some are shown as written."""

_ENVIRONMENTS = (
    "align|aligned|equation|gather|gathered|multline|eqnarray|cases|array|matrix|pmatrix|bmatrix|vmatrix|Bmatrix|split|alignat"
)
FORMULA = re.compile(
    r"(?P<fence>```.{0,20000}?(?:```|\Z)|`[^`\n]{1,300}`)"
    r"|\$\$(?P<display>.{1,2000}?)\$\$"
    r"|\\\[(?P<bracket>(?:[^\\]|\\(?!\[)){1,2000}?)\\\]"
    r"|\\\((?P<paren>(?:[^\\]|\\(?!\()){1,2000}?)\\\)"
    rf"|(?P<environment>\\begin\{{(?P<name>{_ENVIRONMENTS})\*?\}}.{{1,2000}}?\\end\{{(?P=name)\*?\}})"
    r"|(?P<boxed>\\boxed\{(?:[^{}\n]|\{(?:[^{}\n]|\{[^{}\n]{0,200}\}){0,200}\}){1,300}\})"
    r"|(?<![\\$])\$(?![\s$])(?P<inline>(?:[^$`\\\n]|\\.|\n(?!\s*\n)){1,2000}?)(?<!\s)\$(?![\d$])",
    re.DOTALL,
)
"""Formulas with their delimiters, and code, in which there are none. `Maths.found` lays out a match."""


class Maths:
    """Renders texts until its allowance of formula characters is spent; equal formulas are converted once."""

    def __init__(self, allowance: int = 600_000) -> None:
        self.left = allowance
        self.skipped = 0
        """Formulas that were left as written because the allowance was spent."""
        self.failed = 0
        """Formulas that the converter does not understand, such as unbalanced ones."""
        self._known: dict[tuple[str, bool], Markup | None] = {}

    def text(self, text: str) -> Markup:
        """The text for HTML with its formulas laid out. Code between back-ticks is left alone."""
        found = []
        at = 0
        for match in FORMULA.finditer(text):
            made = self.found(match)
            alone = made.startswith(
                '<math display="block"'
            )  # has a line of its own, so that the breaks around it would be one too many
            before = text[at : match.start()]
            found += [shown(before.removesuffix("\n") if alone else before), made]
            at = match.end() + (alone and text.startswith("\n", match.end()))
        return Markup("").join([*found, shown(text[at:])])

    def found(self, match: re.Match[str]) -> Markup:
        """What `FORMULA` has found, laid out; code is left as it is."""
        if match["fence"]:
            return Markup("<code>{}</code>").format(shown(match[0]))
        inline = match["inline"] or match["paren"] or match["boxed"]
        if inline:
            made = self.formula(inline)
        else:
            made = self.formula(match["display"] or match["bracket"] or match["environment"], display=True)
        return made if made is not None else Markup('<span class="tex">{}</span>').format(shown(match[0]))

    def formula(self, latex: str, display: bool = False) -> Markup | None:
        """One formula without its delimiters as MathML, or None where it has to stay as it is."""
        key = (latex, display)
        if key not in self._known:
            if len(latex) > self.left:
                self.skipped += 1
                return None
            self.left -= len(latex)
            self._known[key] = convert(latex, display)
            self.failed += self._known[key] is None
        return self._known[key]


def convert(latex: str, display: bool = False) -> Markup | None:
    """LaTeX as MathML, or None where the converter does not understand it. Never raises."""
    if len(latex) > LONGEST or _DEFINITIONS.search(latex) or shown(latex) != escape(latex):
        return None
    from latex2mathml.converter import Converter

    try:
        tree = Converter(display="block" if display else "inline").convert_to_element(latex)
        made = "".join(_written(tree))
    except Exception:  # the converter raises whatever malformed input leads to: IndexError, KeyError, RecursionError, its own
        return None
    return Markup(made) if len(made) <= LARGEST else None


def _written(element: Element) -> Iterator[str]:
    """The element as HTML: unknown ones as their contents, attributes only where name and value are known to be harmless."""
    inner: list[str] = [escape(unescape(element.text or ""))]
    for before, child in zip((None, *element), element, strict=False):
        _settle(child, before)
        inner += [*_written(child), escape(unescape(child.tail or ""))]
    boxed = element.tag == "menclose"
    if (element.tag not in _ELEMENTS and not boxed) or (element.tag == "mrow" and len(element) == 1 and not element.text):
        yield from inner
        return
    given = (
        f' {name}="{value}"' for name, value in element.attrib.items() if (rule := _ATTRIBUTES.get(name)) and rule.fullmatch(value)
    )
    yield '<mrow class="boxed">' if boxed else f"<{element.tag}{''.join(given)}>"
    yield from inner
    yield f"</{'mrow' if boxed else element.tag}>"


def _settle(operator: Element, before: Element | None) -> None:
    """Tell a sign from a difference, and a bar that encloses from one that divides: the converter leaves it to the browser."""
    if operator.tag != "mo" or "form" in operator.attrib:
        return
    text = unescape(operator.text or "")
    if text in ("|", "\N{DIVIDES}"):
        operator.attrib.update(lspace="0em", rspace="0em")
    elif text in ("+", "-", "\N{MINUS SIGN}") and before is not None and before.tag == "mo":
        operator.attrib.update({} if unescape(before.text or "") in (")", "]", "}", "|", "!") else {"form": "prefix"})
