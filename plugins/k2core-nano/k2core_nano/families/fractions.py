"""Fractions, parts of numbers, lowest terms; and numbers compared."""

from __future__ import annotations

import math
from decimal import Decimal
from random import Random

from ..items import Drawn, numbered
from ..writing.arithmetic import product_lines, quotient_lines, running_lines
from ..writing.words import some

_BELOW = {1: (2, 3, 4, 5, 6), 2: (2, 3, 4, 5, 6, 8, 10), 3: (2, 3, 4, 5, 6, 7, 8, 9, 10, 12)}


def fractions(draw: Random, level: int) -> Drawn:
    """The sum or difference of two proper fractions, reduced."""
    b, d = (draw.choice(_BELOW[level]) for _ in range(2))
    a, c = draw.randint(1, b - 1), draw.randint(1, d - 1)
    minus = draw.random() < 0.4
    if minus and a * d < c * b:
        a, b, c, d = c, d, a, b
    sign, word = ("-", "minus") if minus else ("+", "plus")
    verb = f"Subtract {c}/{d} from {a}/{b}." if minus else f"Add {a}/{b} and {c}/{d}."
    text = f"{a}/{b} {sign} {c}/{d}"
    more = (f"Put {a}/{b} and {c}/{d} together.", f"How much are {a}/{b} and {c}/{d} in all?", f"Increase {a}/{b} by {c}/{d}.")
    less = (f"Take {c}/{d} away from {a}/{b}.", f"How much more is {a}/{b} than {c}/{d}?", f"Decrease {a}/{b} by {c}/{d}.")
    asked = some(
        draw,
        f"What is {text}?",
        f"Compute {text}.",
        f"{text} = ?",
        f"What is {a}/{b} {word} {c}/{d}?",
        verb,
        f"Work out {text}.",
        other=less if minus else more,
    )
    common = math.lcm(b, d)
    x, y = a * common // b, c * common // d
    top = x - y if minus else x + y
    lines = [_common(*sorted((b, d)))]
    lines += [f"{common}/{b}={common // b}", f"{common}/{d}={common // d}", f"{a}*{common // b}={x}", f"{c}*{common // d}={y}"]
    lines += [*running_lines(x, [-y if minus else y])[0], f"{top}/{common}"]
    answer, reducing = _reduced(top, common)
    plan = numbered("Find a common denominator among multiples.", f"{'Subtract' if minus else 'Add'} the numerators.", "Reduce.")
    return Drawn(asked, answer, (*lines, *reducing), plan, text)


def _common(low: int, high: int) -> str:
    """The common denominator: multiples of the larger, each with whether the smaller divides it, as `4: 6n 12y`."""
    multiples = range(high, math.lcm(low, high) + 1, high)
    return f"{low}: " + " ".join(f"{one}{_mark(one, low)}" for one in multiples)


def _mark(number: int, by: int) -> str:
    """Whether it can be divided."""
    return "n" if number % by else "y"


def _reduced(top: int, below: int) -> tuple[str, list[str]]:
    """In lowest terms, and the lines that lead there: of each prime whether it divides the denominator, and if so the numerator.
    `2: 12y9n`, `3: 12y9y`, `9/3=3`, `12/3=4`, `3/4`, `3: 4n`, `5: 4n` for 9/12. No denominator here has another prime in common."""
    if top % below == 0:
        return str(top // below), [f"{top}/{below}={top // below}"]
    lines = []
    for prime in (2, 3, 5):
        while below % prime == 0 and top % prime == 0:
            lines += [f"{prime}: {below}y{top}y", f"{top}/{prime}={top // prime}", f"{below}/{prime}={below // prime}"]
            top, below = top // prime, below // prime
            lines.append(f"{top}/{below}")
        lines.append(f"{prime}: {below}n" if below % prime else f"{prime}: {below}y{top}n")
    return f"{top}/{below}", lines


def parts(draw: Random, level: int) -> Drawn:
    """A fraction of a number, a percentage of it, or one term of a fraction in lowest terms."""
    kind = draw.choice(("of", "percent", "lowest"))
    return {"of": _part_of, "percent": _percent, "lowest": _lowest}[kind](draw, level)


def _part_of(draw: Random, level: int) -> Drawn:
    below = draw.randint(3, 6 + level)
    top = draw.randint(2, below - 1)
    each = draw.randint(3, 12 + 12 * level)
    whole = below * each
    asked = some(
        draw,
        f"What is {top}/{below} of {whole}?",
        f"Find {top}/{below} of {whole}.",
        f"How much is {top}/{below} of {whole}?",
        f"A rope is {whole} metres long. How many metres are {top}/{below} of it?",
        f"A class has {whole} children, and {top}/{below} of them walk to school. How many walk?",
        f"{top}/{below} of {whole} cars are red. How many cars are red?",
        other=(
            f"Take {top}/{below} of {whole}.",
            f"A tank holds {whole} gallons, and {top}/{below} of it is full. How many gallons are in it?",
            f"{whole} seats, {top}/{below} of them taken: how many are taken?",
        ),
    )
    lines = [*quotient_lines(whole, below), *product_lines(max(each, top), min(each, top))]
    plan = numbered("Divide the number by the denominator.", "Multiply by the numerator.")
    return Drawn(asked, str(each * top), tuple(lines), plan, f"{top}/{below} of {whole}")


def _percent(draw: Random, level: int) -> Drawn:
    tens = draw.randint(2, 9)
    whole = 10 * draw.randint(3, 15 + 25 * level)
    tenth = whole // 10
    asked = some(
        draw,
        f"What is {tens}0% of {whole}?",
        f"Find {tens}0 percent of {whole}.",
        f"How much is {tens}0% of {whole}?",
        f"A shop has {whole} shirts, and {tens}0% of them are sold. How many are sold?",
        f"Of {whole} people, {tens}0% said yes. How many people said yes?",
        other=(
            f"Take {tens}0% of {whole}.",
            f"A jar holds {whole} sweets, and {tens}0% of them are mints. How many mints are there?",
            f"{whole} letters, {tens}0 percent of them sent: how many are sent?",
        ),
    )
    lines = [f"{whole}/10={tenth}", *product_lines(tenth, tens)]
    plan = numbered("Take a tenth of the number.", "Multiply it by the tens of the percentage.")
    return Drawn(asked, str(tenth * tens), tuple(lines), plan, f"{tens}0% of {whole}")


def _lowest(draw: Random, level: int) -> Drawn:
    below = draw.randint(3, 8 + 2 * level)
    top = draw.choice([n for n in range(1, below) if math.gcd(n, below) == 1])
    factor = draw.choice((2, 3, 4, 5, 6, 8, 9, 10, 12)[: 3 + 2 * level])
    a, b = top * factor, below * factor
    which = draw.choice(("numerator", "denominator"))
    asked = some(
        draw,
        f"Reduce {a}/{b} to lowest terms. What is the {which}?",
        f"Write {a}/{b} in simplest form. What is its {which}?",
        f"What is the {which} of {a}/{b} in lowest terms?",
        f"Simplify {a}/{b} as far as possible and give the {which}.",
        other=(
            f"Cancel {a}/{b} down fully. Which {which} do you get?",
            f"What {which} is left when {a}/{b} is reduced?",
            f"Make {a}/{b} as simple as it can be, and name the {which}.",
        ),
    )
    _, lines = _reduced(a, b)
    plan = numbered("Divide both numbers by common primes.", f"Give the {which} that is left.")
    reference = str(top if which == "numerator" else below)
    return Drawn(asked, reference, (f"{a}/{b}", *lines, f"{top}/{below}"), plan, f"lowest {a}/{b} {which}")


def comparison(draw: Random, level: int) -> Drawn:
    """The largest or smallest of some numbers, found by keeping the best so far."""
    count, places = (5, 0) if level == 1 else (level + 2, 2)
    numbers = _near(draw, count, places)
    largest = draw.random() < 0.5
    shown = ", ".join(numbers)
    word, other = ("largest", "biggest") if largest else ("smallest", "lowest")
    asked = some(
        draw,
        f"Which of these numbers is the {word}: {shown}?",
        f"What is the {word} of {shown}?",
        f"Find the {word} number: {shown}",
        f"Which number is the {other}? {shown}",
        f"Of the numbers {shown}, which is the {word}?",
        other=(
            f"{shown}: which one is {'the greatest' if largest else 'the least'}?",
            f"Pick the {'maximum' if largest else 'minimum'} of {shown}.",
            f"Which of {shown} is {'more' if largest else 'less'} than all the others?",
        ),
    )
    padded = [f"{Decimal(number):.{places}f}" for number in numbers]
    best, lines = padded[0], []
    for number in padded[1:]:
        first, second = sorted((best, number), key=Decimal, reverse=largest)
        lines.append(f"{first}{'>' if largest else '<'}{second}")
        best = first
    plan = numbered("Write all with as many places.", f"Compare in turn and keep the {word}.")
    return Drawn(asked, numbers[padded.index(best)], tuple(lines), plan, f"{word} of {shown}")


def _near(draw: Random, count: int, places: int) -> list[str]:
    """Different numbers that begin alike, some with fewer places than others."""
    if not places:
        start = draw.randint(1, 9) * 100
        return [str(number) for number in draw.sample(range(start, start + 100), count)]
    whole = draw.randint(0, 19)
    chosen = draw.sample(range(1, 100), count)
    if all(number % 10 for number in chosen):
        chosen[draw.randrange(count)] = 10 * draw.choice([n for n in range(1, 10) if 10 * n not in chosen])
    return [f"{whole}.{number:02d}".rstrip("0") for number in chosen]
