"""Whole numbers: sums, differences, products, quotients, chains."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from ..items import Drawn, numbered
from ..writing.arithmetic import add_lines, divide_lines, product_lines, running_lines, subtract_lines
from ..writing.words import some

_DIGITS = {1: (2, 2), 2: (3, 2), 3: (3, 3)}
"""Digits of the two numbers, by level."""


def _number(draw: Random, digits: int) -> int:
    return draw.randint(10 ** (digits - 1), 10**digits - 1)


def _asked(draw: Random, expression: str, *others: str, other: Sequence[str]) -> str:
    """A question about an expression, or one of the others; `other` are words that are not taught."""
    plain = (
        f"What is {expression}?",
        f"Compute {expression}.",
        f"{expression} = ?",
        f"How much is {expression}?",
        f"Calculate {expression}",
    )
    return some(draw, *plain, *others, other=other)


def addition(draw: Random, level: int) -> Drawn:
    sizes = list(_DIGITS[level])
    draw.shuffle(sizes)
    a, b = (_number(draw, size) for size in sizes)
    others = (f"Add {a} and {b}.", f"What is the sum of {a} and {b}?", f"{a} plus {b} is what?", f"Find the sum {a}+{b}.")
    other = (
        f"What number is {b} more than {a}?",
        f"Increase {a} by {b}.",
        f"Put {a} and {b} together. How many is that?",
        f"{a} and {b} make how many?",
    )
    plan = numbered("Add the digits from the right, with carries.", "Read the sum off.")
    return Drawn(
        _asked(draw, f"{a} + {b}", *others, other=other), str(a + b), tuple(add_lines(a, b)), plan, f"{max(a, b)}+{min(a, b)}"
    )


def subtraction(draw: Random, level: int) -> Drawn:
    first, second = _DIGITS[level]
    a, b = sorted((_number(draw, first), _number(draw, second)), reverse=True)
    a += a == b
    others = (
        f"Subtract {b} from {a}.",
        f"What is {a} minus {b}?",
        f"What is left of {a} after taking away {b}?",
        f"What is the difference between {a} and {b}?",
    )
    other = (
        f"Take {b} away from {a}.",
        f"How much bigger is {a} than {b}?",
        f"What number is {b} less than {a}?",
        f"Decrease {a} by {b}.",
        f"What must be added to {b} to get {a}?",
    )
    plan = numbered("Compare and subtract the digits from the right, with borrows.", "Read the difference off.")
    return Drawn(_asked(draw, f"{a} - {b}", *others, other=other), str(a - b), tuple(subtract_lines(a, b)), plan, f"{a}-{b}")


def multiplication(draw: Random, level: int) -> Drawn:
    a = _number(draw, 3 if level == 2 else 2)
    b = draw.randint(11, 99) if level == 3 else draw.randint(3, 9)
    x, y = (a, b) if draw.random() < 0.5 else (b, a)
    others = (f"Multiply {x} by {y}.", f"What is the product of {x} and {y}?", f"What is {x} times {y}?")
    expression = some(draw, f"{x} * {y}", f"{x} \u00d7 {y}", f"{x} x {y}")
    other = (
        f"What do {x} groups of {y} make?",
        f"{x} times {y} is what number?",
        f"How many are {x} rows of {y}?",
        f"Find {x} multiplied by {y}.",
    )
    plan = numbered("Multiply digit by digit, with carries.", "Add the partial products, if there are several.")
    return Drawn(
        _asked(draw, expression, *others, other=other), str(a * b), tuple(product_lines(a, b)), plan, f"{max(a, b)}*{min(a, b)}"
    )


def division(draw: Random, level: int) -> Drawn:
    by = draw.randint(2, 9)
    quotient = draw.randint(*{1: (11, 49), 2: (50, 199), 3: (200, 999)}[level])
    a = by * quotient
    others = (f"Divide {a} by {by}.", f"What is {a} divided by {by}?", f"How many times does {by} go into {a}?")
    expression = some(draw, f"{a} / {by}", f"{a} \u00f7 {by}")
    other = (
        f"Split {a} into {by} equal parts. How big is each?",
        f"How many {by}s make {a}?",
        f"What number times {by} is {a}?",
        f"Share {a} among {by}. How much does each get?",
    )
    plan = numbered("Divide digit by digit from the left.", "Take each rest to the next digit.")
    return Drawn(_asked(draw, expression, *others, other=other), str(quotient), tuple(divide_lines(a, by)), plan, f"{a}/{by}")


def chained_sum(draw: Random, level: int) -> Drawn:
    """Terms of two digits and fewer, never below zero on the way."""
    total = start = draw.randint(10, 60)
    changes: list[int] = []
    for _ in range(level + 1):
        size = draw.randint(3, 49)
        change = -size if total >= size and draw.random() < 0.45 else size
        changes.append(change)
        total += change
    text = str(start) + "".join(f" {'+' if change > 0 else '-'} {abs(change)}" for change in changes)
    others = (f"Work out {text}.", f"Evaluate {text}", f"What do you get for {text}?", f"Find {text}.")
    told = f"Start with {start}." + "".join(f" {'Add' if change > 0 else 'Subtract'} {abs(change)}." for change in changes)
    other = (f"{told} What do you have?", f"{told} Where do you end?", f"{told} What comes out?")
    plan = numbered("Go from left to right.", "Keep a running total.")
    lines, end = running_lines(start, changes)
    return Drawn(_asked(draw, text, *others, other=other), str(end), tuple(lines), plan, text)
