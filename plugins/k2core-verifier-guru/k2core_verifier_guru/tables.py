"""Puzzle tables (`{"header": […], "rows": [[…]]}`), grids of numbers and lists: read from an answer, compared by cell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .literals import Unreadable, read
from .wording import cell, unlatex

_SEPARATORS = re.compile(r"->|→|[,;>\n]")
_NUMBERING = re.compile(r"^(?:\d{1,3}[.)]|[-*•])\s+")


@dataclass(frozen=True, slots=True)
class Table:
    """Cells in their comparable form; a header may be missing."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def cells(self) -> int:
        return sum(map(len, self.rows))


def table(value: Any) -> Table | None:
    """A table out of `{"header", "rows"}`, a list of objects with equal keys, or a plain list of rows; None when it is none."""
    if isinstance(value, dict) and isinstance(value.get("rows"), list):
        header, rows = value.get("header") or [], value["rows"]
        if isinstance(header, list) and all(isinstance(row, list) for row in rows):
            return Table(tuple(map(cell, header)), tuple(tuple(map(cell, row)) for row in rows))
    if isinstance(value, list) and value and all(isinstance(row, dict) and row.keys() == value[0].keys() for row in value):
        return Table(tuple(map(cell, value[0])), tuple(tuple(map(cell, row.values())) for row in value))
    if isinstance(value, list) and value and all(isinstance(row, list) for row in value):
        return Table((), tuple(tuple(map(cell, row)) for row in value))
    return None


def share(answer: Table, gold: Table) -> float:
    """Share of cells that are right, of the larger table's: cells too many are wrong ones.

    Columns are matched by their names where the headers have the same ones, rows by the first column where it has the same
    values, each in both tables; else both by place.
    """
    answer = _rows_as(_columns_as(answer, gold), gold)
    right = sum(
        one == other for mine, theirs in zip(answer.rows, gold.rows, strict=False) for one, other in zip(mine, theirs, strict=False)
    )
    return right / max(answer.cells, gold.cells, 1)


def _columns_as(answer: Table, gold: Table) -> Table:
    width = len(gold.header)
    fits = len(set(gold.header)) == width and all(len(row) == width for row in answer.rows)
    if not fits or sorted(answer.header) != sorted(gold.header):
        return answer
    order = [answer.header.index(name) for name in gold.header]
    return Table(gold.header, tuple(tuple(row[place] for place in order) for row in answer.rows))


def _rows_as(answer: Table, gold: Table) -> Table:
    names = [row[0] if row else "" for row in gold.rows]
    mine = {row[0] if row else "": row for row in answer.rows}
    if len(set(names)) < len(names) or len(mine) < len(answer.rows) or mine.keys() != set(names):
        return answer
    return Table(answer.header, tuple(mine[name] for name in names))


def grid(text: str) -> list[list[Any]] | None:
    """A list of rows: as a literal, the last one in the text, or as lines of numbers with spaces."""
    start, end = text.rfind("[["), text.rfind("]]")
    for part in (text, text[start : end + 2] if 0 <= start < end else "", text[text.find("[[") : end + 2] if end > 0 else ""):
        try:
            value = read(part) if part else None
        except Unreadable:
            continue
        if isinstance(value, list) and value and all(isinstance(row, list) for row in value):
            return value
    lines = [line.split() for line in text.strip().splitlines() if line.strip()]
    if lines and all(re.fullmatch(r"-?\d{1,9}", number) for line in lines for number in line):
        return [[int(number) for number in line] for line in lines]
    return None


def items(text: str) -> list[str]:
    """The items of a list: a literal, or words between brackets, commas, arrows or line ends."""
    text = unlatex(text).strip()
    try:
        value = read(text)
        if isinstance(value, list) and not any(isinstance(one, list | dict) for one in value):
            return [cell(one) for one in value]
    except Unreadable:
        pass
    if text[:1] in "[(" and text[-1:] in "])":
        text = text[1:-1]
    parts = [_NUMBERING.sub("", part.strip()) for part in _SEPARATORS.split(text)]
    return [cell(part) for part in parts if part.strip()]
