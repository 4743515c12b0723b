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
    """Column by column, for a >= b: each is compared first, so that it is known whether to borrow before the column is worked out.
    `3<7`, `13-7=6`, `2-1=1`, `1<8`, `11-8=3`, `5-1=4`, `4>1`, `4-1=3` for 523-187: what was borrowed is paid back first."""
    lines: list[str] = []
    borrowed = False
    for x, y in zip_longest(digits(a), digits(b), fillvalue=0):
        if borrowed:
            borrowed = x == 0  # then the next column is borrowed from as well
            x = x + 10 if borrowed else x
            lines.append(f"{x}-1={x - 1}")
            x -= 1
        lines.append(f"{x}{_sign(x, y)}{y}")
        if x < y:
            x, borrowed = x + 10, True
        lines.append(f"{x}-{y}={x - y}")
    return lines


def _sign(x: int, y: int) -> str:
    return "<" if x < y else ">" if x > y else "="


def times_lines(number: int, digit: int) -> list[str]:
    """By a digit, from the right, carries added in lines of their own: `7*6=42`, `7*4=28`, `28+4=32` for 46*7; the product is read
    off as in `add_lines`."""
    lines, carry = [], 0
    for x in digits(number):
        product = digit * x
        lines.append(f"{digit}*{x}={product}")
        if carry:
            lines.append(f"{product}+{carry}={product + carry}")
        carry = (product + carry) // 10
    return lines


def product_lines(a: int, b: int) -> list[str]:
    """a times b of at most two digits: a product by each digit of b, and their sum. Ends with the product in a line of its own."""
    if b < 10:
        return [*(times_lines(a, b) if a > 9 else []), f"{a}*{b}={a * b}"]
    units, tens = b % 10, b // 10
    first, second = a * units, a * tens * 10
    lines = [*times_lines(a, units), f"{a}*{units}={first}", *times_lines(a, tens), f"{a}*{tens * 10}={second}"]
    return [*lines, *add_lines(second, first), f"{second}+{first}={second + first}"]


def multiples(by: int, beyond: int) -> str:
    """`8 16 24 32 40 48` for 8 and 41: as far as the first that is beyond, so that no quotient has to be guessed."""
    return " ".join(str(by * times) for times in range(1, beyond // by + 2))


def divide_lines(number: int, by: int) -> list[str]:
    """Long division by a digit, without remainder at the end: what is divided now with the digits that are still to come, which is
    the larger, multiples, the quotient's digit, what is left, the quotient so far. For 416/8: `4,16`, `4<8`, `41,6`, `41>8`,
    `8 16 24 32 40 48`, `40/8=5`, `41-40=1`, `q5`, `16`, `16>8`, `8 16 24`, `16/8=2`, `16-16=0`, `q52`."""
    lines: list[str] = []
    rest, quotient, text = 0, "", str(number)
    for place, digit in enumerate(text, 1):
        rest = rest * 10 + int(digit)
        lines += [",".join(filter(None, (str(rest), text[place:]))), f"{rest}{_sign(rest, by)}{by}"]
        times = rest // by
        if times:
            taken = times * by
            lines += [multiples(by, rest), f"{taken}/{by}={times}", f"{rest}-{taken}={rest - taken}"]
            rest -= taken
        if times or quotient:
            quotient += str(times)
            lines.append(f"q{quotient}")
    return lines


def quotient_lines(number: int, by: int) -> list[str]:
    """The quotient in a line of its own, after a short division where it has more than a digit and the divisor has not."""
    long = divide_lines(number, by) if number // by > 9 and by < 10 else []
    return [*long, f"{number}/{by}={number // by}"]


def running_lines(start: int, changes: list[int]) -> tuple[list[str], int]:
    """Adds the changes in turn, column by column where one line is not enough: `7+5=12`, `4+3+1=8`, `47+35=82`. The lines, and
    where they end."""
    lines, total = [], start
    for change in changes:
        size = abs(change)
        new = total + change
        if max(total, new) > 20 or size > 10:
            lines += add_lines(total, size) if change >= 0 else subtract_lines(total, size)
        lines.append(f"{total}{'+' if change >= 0 else '-'}{size}={new}")
        total = new
    return lines, total
