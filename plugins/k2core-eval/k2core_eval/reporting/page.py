"""The report as one HTML page that asks nothing of any network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from markupsafe import Markup

from .blocks import Cell
from .text import plain, shown


def page(values: Mapping[str, Any]) -> str:
    """The page. Style and script are the only ones that its security policy lets run, by their hashes."""
    style, script = (_file(name) for name in ("style.css", "script.js"))
    template = _environment().get_template("report.html")
    inline = {"style": Markup(style), "script": Markup(script), "style_hash": _hash(style), "script_hash": _hash(script)}
    text: str = template.render(**values, **inline)
    return text


def _environment() -> Any:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    made = Environment(autoescape=True, loader=FunctionLoader(_file), undefined=StrictUndefined, finalize=_clean)
    made.trim_blocks = made.lstrip_blocks = True
    made.filters.update(shown=_shown, plain=lambda text: plain(str(text)), kinded=_kinded, first_text=_first_text)
    made.tests["startswith"] = lambda text, start: text.startswith(start)
    return made


def _shown(text: Any) -> Markup:
    return text if isinstance(text, Markup) else shown(str(text))


def _clean(value: Any) -> Any:
    """What goes into the page without being marked as HTML, such as attributes: hidden characters named."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _kinded(block: object) -> dict[str, object]:
    return {"kind": type(block).__name__, "block": block}


def _first_text(row: Sequence[Cell | str]) -> str:
    return row[0] if isinstance(row[0], str) else row[0].text


def _file(name: str) -> str:
    return resources.files(__package__).joinpath("templates", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
