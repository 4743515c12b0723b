"""Text to tokens, in one pass from left to right.

Layout commands vanish, signs of LaTeX, Unicode and plain text become the same sign, and a run of letters becomes a function, a
symbol or a word. Numbers keep their spelling: whether the comma in 1,234 groups digits is decided by `Commas`.
"""

from __future__ import annotations

import re
import unicodedata

from . import names
from .tokens import END, Commas, Kind, Token, Unreadable, prose

MAX_TOKENS = 1500

_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}

_SKIP = re.compile(r"(?:\s|~|\\[,;:!> ](?![A-Za-z])|\\[,;:!> ]|\\\s|\\[-/]|\u200b)+")
_NUMBER = {
    "group": re.compile(
        r"[1-9]\d{0,2}(?:(?:,|\{,\}|,?\\!|\\,|,\\!\s|\u202f|\u00a0|\s)\d{3})+(?![\d/])(?:\.\d+)?|\d+\.\d+|\.\d+|\d+(?:\.(?=[^\d.]))?",
        re.ASCII,
    ),
    "list": re.compile(r"[1-9]\d{0,2}(?:(?:\{,\}|,?\\!|\\,)\d{3})+(?!\d)(?:\.\d+)?|\d+\.\d+|\.\d+|\d+(?:\.(?=[^\d.]))?", re.ASCII),
    "decimal": re.compile(r"\d+[.,]\d+|[.,]\d+|\d+", re.ASCII),
}
_EXPONENT = re.compile(r"[eE]([-+]?\d{1,6})(?![\w.])")
_NOT_DIGIT = re.compile(r"[^\d.]")
_COMMAND = re.compile(r"\\(?:[A-Za-z]+|.)", re.DOTALL)
_LETTERS = re.compile(r"[A-Za-z]+")
_OTHER_WORD = re.compile(r"[^\W\d_A-Za-z][^\W\d_]*")
_COMPARED = {"<=": "≤", ">=": "≥", "!=": "≠", "==": "=", "=<": "≤", "=>": "→", "->": "→", "**": "^", "/=": "≠", "≤=": "≤"}
_ENVIRONMENT = re.compile(r"\s*\{([A-Za-z]+)\*?\}(?:\{[lcr|\s]*\})?")
_BRACED = re.compile(r"\s*\{([^{}]*)\}")
_NEGATED = {"=": "≠", "∈": "∉", "≡": "≢"}
_OPENING, _CLOSING = frozenset(("(", "[", "\\{", "⟨")), frozenset((")", "]", "\\}", "⟩"))


def tokenize(text: str, commas: Commas = "group") -> list[Token]:
    """The tokens of a text, an end token last. Raises `Unreadable` on more than 1,500 tokens or signs without a meaning here."""
    lexer = _Lexer(text.translate(_FULL_WIDTH), commas)
    lexer.run()
    lexer.found.append(END)
    return prose(lexer.found)


class _Lexer:
    def __init__(self, text: str, commas: Commas, *, upright: bool = False) -> None:
        self.text, self.commas, self.upright = text, commas, upright
        self.place, self.depth, self.spaced = 0, 0, False
        self.found: list[Token] = []

    def put(self, kind: Kind, text: str) -> None:
        self.found.append(Token(kind, text, self.spaced, self.upright))
        self.spaced = False
        if kind == "op":
            self.depth += (text in _OPENING) - (text in _CLOSING)

    def run(self) -> None:
        text, end = self.text, len(self.text)
        while self.place < end:
            if len(self.found) > MAX_TOKENS:
                raise Unreadable("more than 1,500 tokens")
            if skipped := _SKIP.match(text, self.place):
                self.place, self.spaced = skipped.end(), True
                continue
            char = text[self.place]
            if char.isdigit() or (char in ".," and text[self.place + 1 : self.place + 2].isdigit()):
                self.number()
            elif char == "\\":
                self.command()
            elif char.isascii() and char.isalpha():
                self.letters()
            else:
                self.sign(char)

    def number(self) -> None:
        pattern = _NUMBER["list" if self.commas == "group" and self.depth > 0 else self.commas]
        match = pattern.match(self.text, self.place)
        if match is None:
            char = self.text[self.place]
            self.place += 1
            if char in names.SIGNS or char in "⁰¹²³⁴⁵⁶⁷⁸⁹":
                self.place -= 1
                self.script("^", names.SUPERSCRIPTS)
            elif char in "₀₁₂₃₄₅₆₇₈₉":
                self.place -= 1
                self.script("_", names.SUBSCRIPTS)
            elif char in ".,":
                self.put("op", char)
            else:
                raise Unreadable(f"the digit {char!r}")
            return
        self.place = match.end()
        digits = match.group()
        if not digits.isdecimal():
            digits = _NOT_DIGIT.sub("", digits.replace(",", "." if self.commas == "decimal" else ""))
        if exponent := _EXPONENT.match(self.text, self.place):
            self.place = exponent.end()
            digits += "e" + exponent.group(1)
        self.put("num", digits)

    def script(self, operator: str, table: dict[int, int]) -> None:
        start = self.place
        while self.place < len(self.text) and ord(self.text[self.place]) in table:
            self.place += 1
        content = self.text[start : self.place].translate(table)
        self.put("op", operator)
        for kind, value in (("op", "{"), *_scripted(content), ("op", "}")):
            self.put(kind, value)

    def command(self) -> None:
        match = _COMMAND.match(self.text, self.place)
        if match is None:
            self.place += 1
            return
        self.place, name = match.end(), match.group()[1:]
        if name in ("(", ")", "[", "]"):
            self.spaced = True
        elif name in ("{", "}", "\\", "%", "&", "|"):
            self.put("op", {"{": "\\{", "}": "\\}", "\\": "\\\\"}.get(name, name))
        elif name in ("$", "#", "_"):
            self.put("op", "money" if name == "$" else name)
        elif name.isalpha():
            self.named(name)

    def named(self, name: str) -> None:
        if name not in names.KNOWN and len(name) > 2:
            known = next((name[:size] for size in range(len(name) - 1, 1, -1) if name[:size] in names.KNOWN), name)
            self.place -= len(name) - len(known)
            name = known
        if name in names.UPRIGHT:
            self.words()
        elif name in names.LAYOUT:
            self.layout(name)
        elif name == "mathbb":
            self.mathbb()
        elif name in ("begin", "end"):
            self.environment(name)
        elif name in names.OPERATORS:
            self.put("op", names.OPERATORS[name])
        elif name in names.FUNCTIONS:
            self.put("fn", names.FUNCTIONS[name])
        elif name in names.CONSTANTS:
            self.put("const", names.CONSTANTS[name])
        elif name in names.GREEK:
            self.put("name", names.GREEK[name])
        elif name == "not":
            self.negated()
        elif name in ("i", "j") or name not in names.KNOWN:
            self.put("name", "\\" + name)
        else:
            self.put("cmd", name)

    def layout(self, name: str) -> None:
        """Skip the command, and the arguments of those that only take sizes or colours."""
        if name in ("hspace", "vspace", "mkern", "color", "textcolor", "phantom") and (
            match := _BRACED.match(self.text, self.place)
        ):
            self.place = match.end()
        self.spaced = True
        if name in ("left", "right") and self.text.startswith(".", self.place):
            self.place += 1

    def words(self) -> None:
        """The content of `\\text{…}`, read as words; a single letter or function name in it is what it would be outside."""
        match = _BRACED.match(self.text, self.place)
        if match is None:
            return
        self.place = match.end()
        content = match.group(1)
        if content.strip() in ("e", "i", "d"):
            return self.put("name", content.strip())
        inner = _Lexer(content.replace("^", " ^ "), self.commas, upright=True)
        inner.spaced = self.spaced or content[:1].isspace()
        inner.run()
        self.found += inner.found
        self.spaced = content[-1:].isspace()

    def mathbb(self) -> None:
        match = re.compile(r"\s*\{?\s*([A-Za-z])\s*\}?").match(self.text, self.place)
        if match is None:
            raise Unreadable(r"\mathbb without a letter")
        self.place = match.end()
        self.put("set" if match.group(1) in names.SETS else "name", match.group(1))

    def environment(self, name: str) -> None:
        match = _ENVIRONMENT.match(self.text, self.place)
        if match is None:
            raise Unreadable(f"\\{name} without a name")
        self.place = match.end()
        self.put("cmd", name)
        self.put("word", match.group(1))

    def negated(self) -> None:
        self.run_one()
        if self.found and self.found[-1].text in _NEGATED:
            self.found[-1] = self.found[-1]._replace(text=_NEGATED[self.found[-1].text])

    def run_one(self) -> None:
        while skipped := _SKIP.match(self.text, self.place):
            self.place = skipped.end()
        if self.place < len(self.text):
            if self.text[self.place] == "\\":
                self.command()
            else:
                self.sign(self.text[self.place])

    def letters(self) -> None:
        match = _LETTERS.match(self.text, self.place)
        assert match is not None
        run = match.group()
        self.place = match.end()
        if len(run) == 1:
            self.put("word" if self.upright and run not in "eid" else "name", run)
        elif run in ("min", "max", "sec") and self.text[self.place : self.place + 1] not in ("(", "{", "_"):
            self.put("word", run)
        elif run in names.FUNCTIONS:
            self.put("fn", names.FUNCTIONS[run])
        elif run in ("sqrt", "cbrt"):
            self.put("op", run)
        elif run in ("frac", "dfrac", "tfrac", "binom") and self.text.startswith("{", self.place):
            self.put("cmd", run)
        elif run in names.CONSTANTS or run in ("oo", "inf"):
            self.put("const", names.CONSTANTS.get(run, "inf"))
        elif run in names.GREEK and len(run) > 2 and not self.upright:
            self.put("name", names.GREEK[run])
        elif run[:-1] in names.FUNCTIONS and len(run) > 2 and run[-1] in "xyztnuvk" and not self.upright:
            self.put("fn", names.FUNCTIONS[run[:-1]])
            self.put("name", run[-1])
        elif run.lower() in ("and", "or"):
            self.put("op", run.lower())
        elif run in ("mod", "in"):
            self.put("op", names.OPERATORS[run])
        else:
            self.put("word", run)

    def sign(self, char: str) -> None:
        pair = self.text[self.place : self.place + 2]
        if pair in _COMPARED:
            self.place += 2
            return self.put("op", _COMPARED[pair])
        if self.text.startswith("...", self.place):
            self.place += 3
            return self.put("op", "…")
        if char in "ⁿ⁺⁻":
            return self.script("^", names.SUPERSCRIPTS)
        if char == "ₙ":
            return self.script("_", names.SUBSCRIPTS)
        self.place += 1
        if char == "$":
            self.spaced = True
        elif char in "€£¥":
            self.put("op", "money")
        elif char in names.PLAIN:
            self.put("op", char)
        elif char == ".":
            self.put("op", ".")
        elif char in names.SIGNS:
            self.put("op", names.SIGNS[char])
        elif char in names.FRACTIONS:
            self.vulgar(names.FRACTIONS[char])
        else:
            self.foreign(char)

    def vulgar(self, fraction: str) -> None:
        top, _, bottom = fraction.partition("/")
        self.put("cmd", "frac")
        for kind, value in (("num", top), ("num", bottom)):
            self.put(kind, value)  # type: ignore[arg-type]  # a literal in a tuple is inferred as str

    def foreign(self, char: str) -> None:
        """Greek letters, double-struck sets, the infinity sign, other scripts."""
        if char in names.GREEK_LETTERS:
            self.put("name", names.GREEK_LETTERS[char])
        elif char in "πϖ":
            self.put("const", "pi")
        elif char in "∞∅":
            self.put("const", "inf" if char == "∞" else "empty")
        elif char in "\u211d\u2124\u2115\u211a\u2102":
            self.put("set", unicodedata.normalize("NFKC", char))
        elif match := _OTHER_WORD.match(self.text, self.place - 1):
            self.place = match.end()
            self.put("word", match.group())
        else:
            raise Unreadable(f"the sign {char!r}")


def _scripted(content: str) -> list[tuple[Kind, str]]:
    """Tokens of a Unicode super- or subscript: a sign, digits, the letter n."""
    found: list[tuple[Kind, str]] = []
    for part in re.findall(r"\d+|.", content):
        found.append(("num" if part.isdigit() else "name" if part == "n" else "op", part))
    return found
