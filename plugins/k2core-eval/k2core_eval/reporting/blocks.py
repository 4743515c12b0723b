"""What a report is made of, whatever it is written as: sections of prose, tables, charts and lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from markupsafe import Markup

from ..statistics.records import Estimate

NONE = "\N{EN DASH}"
"""A cell without a value."""


@dataclass(frozen=True)
class Cell:
    text: str = ""
    chart: Markup | None = None
    """Shown in HTML only, instead of the text, which then is its label."""
    series: int | None = None
    """Arm whose colour the cell has."""
    flag: str = ""
    """A word of warning after the text."""


Row: TypeAlias = Sequence[Cell | str] | str


@dataclass(frozen=True)
class Table:
    """`head` names the columns; those whose name starts with `#` hold numbers, with `~` charts (left out of Markdown), whose
    name is then the axis: labels divided by `|`, spread over the column.

    A row that is a string is a heading within the table; a row that starts with `=` in its first cell is a total.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Row]


@dataclass(frozen=True)
class Prose:
    text: str
    note: bool = False


@dataclass(frozen=True)
class Chart:
    """Shown in HTML only; a table with the same figures goes with it."""

    caption: str
    svg: Markup
    keys: Sequence[tuple[str, str]] = ()
    """Class and name of each colour."""
    style: str = "plot"


@dataclass(frozen=True)
class Keys:
    """What the colours of the next table mean; HTML only."""

    keys: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Items:
    """A numbered list; each has a few words and a sentence."""

    items: Sequence[tuple[str, str, bool]]
    """The words, the sentence, and whether it is serious."""


@dataclass(frozen=True)
class Code:
    text: str
    caption: str = ""


Block: TypeAlias = Table | Prose | Chart | Keys | Items | Code


@dataclass(frozen=True)
class Fold:
    """Details that are folded away at first."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Section:
    anchor: str
    title: str
    blocks: Sequence[Block | Fold] = field(default_factory=tuple)


def percent(share: float | None, digits: int = 1) -> str:
    """A share of 0..1 in percent, without the sign."""
    return NONE if share is None else f"{100 * share:.{digits}f}"


def whole(number: float | None) -> str:
    """1234567 as 1,234,567."""
    return NONE if number is None else f"{number:,.0f}"


def money(cost: float) -> str:
    return f"{cost:,.2f}" if cost >= 1 or not cost else f"{cost:.2g}"


def estimated(estimate: Estimate | None) -> str:
    """`62.5 [55.1, 69.3]`; only the value where there is no interval."""
    if estimate is None or estimate.value is None:
        return NONE
    return f"{percent(estimate.value)} {within(estimate)}".rstrip()


def within(estimate: Estimate, signed: bool = False) -> str:
    sign = "+" if signed else ""
    if estimate.low is None or estimate.high is None:
        return ""
    return minus(f"[{100 * estimate.low:{sign}.1f}, {100 * estimate.high:{sign}.1f}]")


def minus(number: str) -> str:
    """With a true minus sign."""
    return number.replace("-", "\N{MINUS SIGN}")


def counted(number: int, one: str, many: str = "") -> str:
    """`1 sample`, `12,345 samples`."""
    return f"{whole(number)} {one if number == 1 else many or one + 's'}"


def listed(words: Sequence[str], most: int = 6) -> str:
    """`a, b and c`, with the rest counted."""
    if len(words) > most:
        words = [*words[:most], f"{len(words) - most} more"]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "none"
