"""Texts of models as HTML: Markdown without anything that acts, formulas as MathML.

What a model writes is hostile until shown otherwise. No HTML of it passes, no link or picture is made, no attribute holds a piece
of it. Formulas are taken out first, as Markdown would mangle them, and put back where their markers are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

ALLOWANCE = 100_000
"""Characters of formulas that one trace has converted; further ones stay as they were written."""
_OPEN, _CLOSE = "\ue000", "\ue001"
_MARKER = re.compile(f"{_OPEN}(\\d+){_CLOSE}")
_OFF = ["link", "image", "autolink", "reference", "html_block", "html_inline", "entity", "code", "lheading"]
_LATEX = re.compile(r"[\\^_{}]")


class Renderer:
    """For the texts of one trace. Not for several threads at a time."""

    def __init__(self) -> None:
        from k2core_eval.reporting.maths import Maths

        self._maths = Maths(ALLOWANCE)
        self._markdown = _markdown()

    def document(self, text: str) -> str:
        """A whole text; of a very long one its beginning and its end."""
        from k2core_eval.reporting.text import clipped

        head, left_out, tail = clipped(text.strip())
        if not left_out:
            return self._document(head)
        note = f'<p class="omitted">{left_out:,} characters are left out here.</p>'
        return self._document(head) + note + self._document(tail)

    def answer(self, text: str) -> str:
        """A final answer, which often is a bare formula without delimiters."""
        from k2core_eval.reporting.text import shown

        text = text.strip()
        if "\n" in text or len(text) > 200:
            return self.document(text)
        if _LATEX.search(text) and "$" not in text and "\\(" not in text and (made := self._maths.formula(text)):
            return str(made)
        return str(self._maths.text(text)) if "$" in text or "\\" in text else str(shown(text))

    def line(self, text: str) -> str:
        """A text on one line, for lists."""
        from k2core_eval.reporting.text import line

        return str(self._maths.text(line(text, 300)))

    def answer_line(self, text: str) -> str:
        """A final answer on one line."""
        flat = " ".join(text.split())
        return self.answer(flat) if len(flat) <= 200 else self.line(flat)

    def _document(self, text: str) -> str:
        from k2core_eval.reporting.maths import FORMULA
        from k2core_eval.reporting.text import plain

        made: list[str] = []

        def marker(found: re.Match[str]) -> str:
            if found["fence"]:
                return found[0]
            made.append(str(self._maths.found(found)))
            return f"{_OPEN}{len(made) - 1}{_CLOSE}"

        clean = plain(text.replace(_OPEN, "").replace(_CLOSE, ""))
        html = str(self._markdown.render(FORMULA.sub(marker, clean)))
        return _MARKER.sub(lambda found: made[int(found[1])], html)


def _markdown() -> MarkdownIt:
    from markdown_it import MarkdownIt

    markdown = MarkdownIt("commonmark", {"html": False, "breaks": True, "maxNesting": 20}).enable("table").disable(_OFF)
    for name, rule in (
        ("fence", _fence),
        ("heading_open", _heading),
        ("heading_close", _end),
        ("th_open", _cell),
        ("td_open", _cell),
    ):
        markdown.add_render_rule(name, rule)
    return markdown


def _fence(self: Any, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    from markupsafe import escape

    return f'<pre tabindex="0"><code>{escape(tokens[at].content)}</code></pre>\n'


def _heading(self: Any, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    return '<p class="heading">'  # the page's headings are the page's own


def _end(self: Any, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    return "</p>\n"


def _cell(self: Any, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    side = str(tokens[at].attrs.get("style", "")).removeprefix("text-align:")
    return f'<{tokens[at].tag} class="{side}">' if side in ("left", "right", "center") else f"<{tokens[at].tag}>"
