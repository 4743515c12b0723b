"""Small tables: sums and differences of a column, amounts that need two columns, the row with the most."""

from __future__ import annotations

from random import Random

from ..items import Drawn, numbered
from ..writing.arithmetic import product_lines, running_lines
from ..writing.words import ITEMS, NAMES, distinct, some

_HEADS = (("item", "price", "count"), ("name", "age", "points"), ("day", "rain", "visits"), ("team", "wins", "goals"))
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
_TEAMS = "red blue green yellow white black orange purple".split()


def tables(draw: Random, level: int) -> Drawn:
    """Of two columns and a few rows."""
    heads = draw.choice(_HEADS)
    names = {"item": ITEMS, "name": NAMES, "day": _DAYS, "team": _TEAMS}[heads[0]]
    rows = [(name, draw.randint(2, 9), draw.randint(10, 29 + 10 * level)) for name in distinct(draw, names, level + 2)]
    text = "\n".join([" | ".join(heads), *(f"{name} | {a} | {b}" for name, a, b in rows)])
    kind = draw.choice(("sum", "difference", "most", "product"))
    makers = {"sum": _sum, "difference": _difference, "most": _most, "product": _product}
    question, answer, lines, plan = makers[kind](draw, heads, rows)
    asked = f"{text}\n{question}" if draw.random() < 0.7 else f"{question}\n{text}"
    return Drawn(asked, answer, tuple(lines), plan, f"{text}\n{kind} {question if kind != 'sum' else heads}")


Rows = list[tuple[str, int, int]]
Made = tuple[str, str, list[str], str]
Heads = tuple[str, str, str]


def _sum(draw: Random, heads: Heads, rows: Rows) -> Made:
    column = draw.choice((1, 2))
    values = [int(row[column]) for row in rows]
    asked = some(
        draw,
        f"What is the sum of the column {heads[column]}?",
        f"Add up {heads[column]} over all rows.",
        f"What is the total of {heads[column]}?",
        other=(
            f"All values of {heads[column]} together: how much is that?",
            f"How much is {heads[column]} for the whole table?",
        ),
    )
    lines, total = running_lines(values[0], values[1:])
    read = ", ".join(f"{row[0]} {row[column]}" for row in rows)
    return asked, str(total), [read, *lines], numbered("Read the column.", "Add it up with a running total.")


def _difference(draw: Random, heads: Heads, rows: Rows) -> Made:
    high, low = sorted(draw.sample(rows, 2), key=lambda row: row[2], reverse=True)
    asked = some(
        draw,
        f"By how much is {heads[2]} of {high[0]} above that of {low[0]}?",
        f"What is the difference in {heads[2]} between {high[0]} and {low[0]}?",
        other=(
            f"Compare {heads[2]} of {high[0]} and {low[0]}. How much more has {high[0]}?",
            f"How much lower is {heads[2]} of {low[0]} than that of {high[0]}?",
        ),
    )
    lines, total = running_lines(high[2], [-low[2]]) if low[2] else ([], high[2])
    return asked, str(total), [f"{high[0]} {high[2]}", f"{low[0]} {low[2]}", *lines], numbered("Look up both values.", "Subtract.")


def _most(draw: Random, heads: Heads, rows: Rows) -> Made:
    values = [row[2] for row in rows]
    while len(set(values)) < len(values):
        values = [value + place for place, value in enumerate(values)]
    largest = draw.random() < 0.5
    word = "largest" if largest else "smallest"
    best, lines = rows[0], []
    for row in rows[1:]:
        first, second = sorted((best, row), key=lambda one: one[2], reverse=largest)
        if row[2] == best[2]:
            first, second = best, row
        sign = "=" if first[2] == second[2] else ">" if largest else "<"
        lines.append(f"{first[2]}{sign}{second[2]}")
        best = first
    other = (
        f"What is the {'maximum' if largest else 'minimum'} of {heads[2]}?",
        f"How much is the {'highest' if largest else 'lowest'} {heads[2]}?",
    )
    asked = some(draw, f"What is the {word} value of {heads[2]}?", f"Find the {word} {heads[2]}.", other=other)
    return asked, str(best[2]), lines, numbered("Read the column.", f"Compare in turn and keep the {word}.")


def _product(draw: Random, heads: Heads, rows: Rows) -> Made:
    name, a, b = draw.choice(rows)
    other = (f"For {name}, take {heads[1]} by {heads[2]}.", f"{heads[1]} and {heads[2]} of {name} are multiplied. What comes out?")
    taught = (f"What is {heads[1]} times {heads[2]} for {name}?", f"Multiply {heads[1]} and {heads[2]} of {name}.")
    asked = some(draw, *taught, other=other)
    return asked, str(a * b), [f"{name} {a} {b}", *product_lines(b, a)], numbered("Look up both values of the row.", "Multiply.")
