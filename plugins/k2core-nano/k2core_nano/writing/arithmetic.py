"""Arithmetic as lines that a very small model can learn: each one is a single fact of tables, and none needs a long look back.

The model's tokenizer has a token for each digit, and a space before a number costs one more: so there are none.
"""

from __future__ import annotations

from itertools import zip_longest


def digits(number: int) -> list[int]:
    """From the right."""
    return [int(digit) for digit in reversed(str(number))]


def add_lines(a: int, b: int) -> list[str]:
    """Column by column from the right: `7+6=13`, `4+8+1=13`, `3+5+1=9` for 347+586. The sum is the last line's result, then the
    last digits of the others, upwards."""
    lines, carry = [], 0
    for x, y in zip_longest(digits(a), digits(b), fillvalue=0):
        total = x + y + carry
        lines.append(f"{x}+{y}{'+1' if carry else ''}={total}")
        carry = total // 10
    return lines


def subtract_lines(a: int, b: int) -> list[str]:
    """Column by column, for a >= b: `13-7=6`, `12-1-8=3`, `5-1-1=3` for 523-187. A leading 1 borrows from the next column, where
    the first `-1` pays it back."""
    lines, borrowed = [], 0
    for x, y in zip_longest(digits(a), digits(b), fillvalue=0):
        left = x - borrowed - y
        top, paid = (x + 10 if left < 0 else x), "-1" if borrowed else ""
        lines.append(f"{top}{paid}-{y}={top - borrowed - y}")
        borrowed = int(left < 0)
    return lines


def times_lines(number: int, digit: int) -> list[str]:
    """By a digit, from the right: `7*6=42`, `7*4+4=32` for 46*7; the product is read off as in `add_lines`."""
    lines, carry = [], 0
    for x in digits(number):
        total = digit * x + carry
        lines.append(f"{digit}*{x}{f'+{carry}' if carry else ''}={total}")
        carry = total // 10
    return lines


def product_lines(a: int, b: int) -> list[str]:
    """a times b of at most two digits: a product by each digit of b, and their sum. Ends with the product in a line of its own."""
    if b < 10:
        return [*(times_lines(a, b) if a > 9 else []), f"{a}*{b}={a * b}"]
    units, tens = b % 10, b // 10
    first, second = a * units, a * tens * 10
    lines = [*times_lines(a, units), f"{a}*{units}={first}", *times_lines(a, tens), f"{a}*{tens * 10}={second}"]
    return [*lines, *add_lines(second, first), f"{second}+{first}={second + first}"]


def divide_lines(number: int, by: int) -> list[str]:
    """Short division by a digit, without remainder at the end: `9-7*1=2`, `22-7*3=1`, `14-7*2=0` for 924/7. The factors in order
    are the quotient."""
    lines: list[str] = []
    rest = 0
    for x in reversed(digits(number)):
        rest = rest * 10 + x
        if lines or rest >= by:
            lines.append(f"{rest}-{by}*{rest // by}={rest % by}")
            rest %= by
    return lines


def running_lines(start: int, changes: list[int]) -> tuple[list[str], int]:
    """Adds the changes in turn, tens before units: `47+30=77`, `77+5=82` for 47+35. The lines, and where they end."""
    lines, total = [], start
    for change in changes:
        sign, size = ("+", change) if change >= 0 else ("-", -change)
        parts = [size] if size < 10 or size % 10 == 0 else [size - size % 10, size % 10]
        for part in parts:
            new = total + part if sign == "+" else total - part
            lines.append(f"{total}{sign}{part}={new}")
            total = new
    return lines, total
