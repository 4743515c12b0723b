"""Texts as sequences of tokens: what stays of a text when its layout, its LaTeX dialect and its punctuation are taken away."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

TOKEN = re.compile(
    r"\\\\"  # a line break in LaTeX: skipped, so that its second backslash starts no command
    r"|\\[()\[\],;:! ]"  # delimiters of formulas and spaces
    r"|\\(?:begin|end|label|vspace|hspace)\s?\{[^{}]*\}"
    r"|\\[A-Za-z]+"
    r"|[^\W\d_]+(?:['’][a-z]{1,2}(?![a-z]))?"  # noqa: RUF001  typographic apostrophe
    r"|(?<=frac)\d(?=\d)"  # \frac12 is a half
    r"|\d+(?:(?:,|\{,\}|\\,)\d{3}(?!\d))*(?:\.\d+)?"
    r"|[-+*/^()=<>|!−°√π∞≤≥≠∠△∈∪∩→×÷·]"  # noqa: RUF001  the signs themselves
)
DRAWING = re.compile(r"\[asy\].*?\[/asy\]", re.DOTALL)
PROSE = re.compile(r"(?:[A-Za-z]{2,} ){3}[a-z]{2}")

_LAYOUT = (
    "left right big Big bigg Bigg bigl bigr Bigl Bigr middle text textrm textbf textit mathrm mathbf mathit "
    "mathbb mathcal mathsf mathfrak mathscr operatorname rm bf it emph quad qquad displaystyle textstyle limits nolimits "
    "dots ldots cdots dotsc dotsb vdots ddots hline cline item mbox hbox boldsymbol bm hfill nonumber noindent ensuremath "
    "boxed phantom hphantom vphantom par newline linebreak allowbreak lbrace rbrace lbrack rbrack langle rangle underline"
)
_ALIASES = {
    "over": "/",
    "frac": "/",
    "dfrac": "/",
    "tfrac": "/",
    "cfrac": "/",
    "div": "/",
    "÷": "/",
    "cdot": "*",
    "times": "*",
    "×": "*",  # noqa: RUF001  the sign itself
    "·": "*",
    "−": "-",  # noqa: RUF001  the sign itself
    "le": "leq",
    "leqslant": "leq",
    "≤": "leq",
    "ge": "geq",
    "geqslant": "geq",
    "≥": "geq",
    "ne": "neq",
    "≠": "neq",
    "to": "rightarrow",
    "→": "rightarrow",
    "longrightarrow": "rightarrow",
    "implies": "rightarrow",
    "lt": "<",
    "gt": ">",
    "mid": "|",
    "vert": "|",
    "lvert": "|",
    "rvert": "|",
    "bar": "overline",
    "widehat": "hat",
    "circ": "degree",
    "degree": "degree",
    "degrees": "degree",
    "°": "degree",
    "√": "sqrt",
    "π": "pi",
    "∞": "infty",
    "∠": "angle",
    "△": "triangle",
    "∈": "in",
    "∪": "cup",  # noqa: RUF001  the sign itself
    "∩": "cap",
    "dbinom": "binom",
    "tbinom": "binom",
    "choose": "binom",
    "varphi": "phi",
    "varepsilon": "epsilon",
    "epsilon": "epsilon",
    "lfloor": "floor",
    "rfloor": "floor",
    "lceil": "ceil",
    "rceil": "ceil",
    "cot": "cot",
    "pmod": "mod",
    "bmod": "mod",
    "perp": "perp",
}
_GREEK = {chr(code): unicodedata.name(chr(code)).split()[-1].lower() for code in range(0x3B1, 0x3CA) if code != 0x3C2}
_SIGNS = {sign: _ALIASES[sign] for sign in "≤≥≠→°√π∞∠△∈∪∩×÷·−"}  # noqa: RUF001  the signs themselves
_COMMANDS: dict[str, str] = {**dict.fromkeys(_LAYOUT.split(), ""), **_ALIASES}

NUMBERS = frozenset(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred hundreds thousand thousands million billion dozen "
    "dozens half halves third thirds fourth fourths fifth fifths sixth sixths seventh sevenths eighth eighths ninth tenth tenths "
    "quarter quarters twice thrice double triple quadruple first second once st nd rd th".split()
)
FUNCTION_WORDS = frozenset(
    "a an the and or but if then else of to in on at by for with from as into onto over under than that this these those there "
    "here it its is are was were be been being am do does did done has have had having will would shall should can could may "
    "might must not no nor so such he she they him her his hers their theirs them we us our you your i my me who whom whose which "
    "what when where why how many much each every all any some both either neither one's up down out off again also just only "
    "very more most less few other another same about after before between during while until because per s t".split()
)

OPENERS = frozenset(
    "find compute determine evaluate calculate let given suppose simplify solve prove show write express consider assume define "
    "function python return convert factor expand round enter two three four five six seven eight nine ten".split()
)


def tidy(text: str) -> str:
    """Compatibility forms folded, such as `²` to `2`, and drawings left out where there is other text."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    if "[/asy]" in text:
        rest = DRAWING.sub(lambda drawing: drawing[0] if PROSE.search(drawing[0]) else " ", text)
        text = rest if rest.strip() else text
    return text


def raw_tokens(text: str) -> list[str]:
    """The words, numbers, commands and signs of a text, as they are written."""
    return TOKEN.findall(tidy(text))


@lru_cache(maxsize=1 << 17)
def canonical(raw: str) -> str:
    """What a raw token stands for, whatever its case and its LaTeX dialect; empty for layout."""
    first = raw[0]
    if first == "\\":
        name = raw[1:]
        if not name.isalpha():
            return ""
        return _COMMANDS.get(name, name.lower())
    if first.isdigit():
        return _number(raw)
    if not first.isalpha():
        return _SIGNS.get(raw, raw)
    if raw in _GREEK:
        return _GREEK[raw]
    word = raw.lower()
    return word.split("'")[0].split("’")[0]  # noqa: RUF001  typographic apostrophe


def _number(raw: str) -> str:
    digits = raw.replace("{,}", "").replace("\\,", "").replace(",", "")
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    return digits.lstrip("0") or "0"


def is_number(word: str) -> bool:
    """Whether a canonical token is a number, in digits or in words."""
    return word[0].isdigit() or word in NUMBERS


def is_name(raw: str, word: str) -> bool:
    """Whether a token may be a name: capitalised, wherever it stands, and no word that sentences often start with."""
    return raw[0].isupper() and raw[1:2].islower() and word not in FUNCTION_WORDS and word not in OPENERS


def normalised(text: str) -> list[str]:
    """The canonical tokens of a text, layout left out."""
    return [word for raw in raw_tokens(text) if (word := canonical(raw))]
