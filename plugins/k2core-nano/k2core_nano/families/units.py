"""Conversions of units, from the larger to the smaller, mixed, and back."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from ..items import Drawn, numbered
from ..writing.arithmetic import product_lines, running_lines
from ..writing.words import some


class Pair(NamedTuple):
    """So many of the small unit are one of the large one."""

    small: str
    large: str
    factor: int


EASY = (
    Pair("minutes", "hours", 60),
    Pair("seconds", "minutes", 60),
    Pair("days", "weeks", 7),
    Pair("inches", "feet", 12),
    Pair("feet", "yards", 3),
    Pair("centimeters", "meters", 100),
    Pair("cents", "dollars", 100),
    Pair("meters", "kilometers", 1000),
    Pair("grams", "kilograms", 1000),
    Pair("milliliters", "liters", 1000),
    Pair("months", "years", 12),
    Pair("hours", "days", 24),
    Pair("ounces", "pounds", 16),
    Pair("millimeters", "centimeters", 10),
    Pair("quarts", "gallons", 4),
    Pair("eggs", "dozens of eggs", 12),
)


def units(draw: Random, level: int) -> Drawn:
    """Level 1 one way, 2 mixed, 3 decimals or back."""
    pair = draw.choice(EASY)
    if level == 1:
        return _down(draw, pair)
    if level == 2:
        return _mixed(draw, pair)
    return _decimal(draw) if draw.random() < 0.5 else _up(draw, pair)


def _down(draw: Random, pair: Pair) -> Drawn:
    count = draw.randint(3, _most(pair.factor))
    small, large, factor = pair
    asked = some(
        draw,
        f"How many {small} are {count} {large}?",
        f"How many {small} are there in {count} {large}?",
        f"Convert {count} {large} to {small}.",
        f"{count} {large} = ? {small}",
        other=(
            f"Give {count} {large} in {small}.",
            f"Turn {count} {large} into {small}. How many is that?",
            f"What do {count} {large} come to in {small}?",
        ),
    )
    plan = numbered(f"Take the number of {small} in one.", "Multiply.")
    return Drawn(asked, str(count * factor), (f"{large} {factor}", *_scaled(count, factor)), plan, f"{count} {large} {small}")


def _mixed(draw: Random, pair: Pair) -> Drawn:
    small, large, factor = pair
    count, rest = draw.randint(2, 9), draw.randint(1, min(factor - 1, 95))
    asked = some(
        draw,
        f"How many {small} are {count} {large} and {rest} {small}?",
        f"Convert {count} {large} and {rest} {small} to {small}.",
        f"How many {small} are {count} {large} plus {rest} {small}?",
        f"Express {count} {large} and {rest} {small} in {small}.",
        other=(
            f"Give {count} {large} and {rest} {small} in {small} alone.",
            f"Turn {count} {large} and {rest} {small} into {small}. How many is that?",
            f"What do {count} {large} and {rest} {small} come to in {small}?",
        ),
    )
    more, total = running_lines(count * factor, [rest])
    plan = numbered(f"Convert the {large}.", f"Add the {small}.")
    return Drawn(asked, str(total), (f"{large} {factor}", *_scaled(count, factor), *more), plan, f"{count} {large} {rest} {small}")


def _up(draw: Random, pair: Pair) -> Drawn:
    count = draw.randint(2, 99 if pair.factor in (10, 100, 1000) else 12)
    small, large, factor = pair
    amount = count * factor
    asked = some(
        draw,
        f"How many {large} are {amount} {small}?",
        f"Convert {amount} {small} to {large}.",
        f"{amount} {small} are how many {large}?",
    )
    plan = numbered(f"Take the number of {small} in one.", "Divide.")
    return Drawn(asked, str(count), (f"{amount}/{factor}={count}",), plan, f"{amount} {small} {large}")


def _decimal(draw: Random) -> Drawn:
    small, large, factor = draw.choice([pair for pair in EASY if pair.factor in (10, 100, 1000)])
    tenths = draw.choice([n for n in range(11, 99) if n % 10])
    shown = f"{tenths // 10}.{tenths % 10}"
    asked = some(
        draw, f"How many {small} are {shown} {large}?", f"Convert {shown} {large} to {small}.", f"{shown} {large} = ? {small}"
    )
    total = tenths * factor // 10
    plan = numbered(f"Take the number of {small} in one.", "Multiply by moving the point.")
    return Drawn(asked, str(total), (f"{shown}*{factor}={total}",), plan, f"{shown} {large} {small}")


def _most(factor: int) -> int:
    """The largest count that keeps the multiplication short."""
    return 99 if factor < 10 or factor in (10, 100, 1000) else 29 if factor == 60 else 9


def _scaled(count: int, factor: int) -> list[str]:
    """The product, by digits where the factor has two that count."""
    if factor in (10, 100, 1000):
        return [f"{count}*{factor}={count * factor}"]
    if factor == 60:
        return [*product_lines(count, 6), f"{count}*60={count * 60}"]
    return product_lines(max(count, factor), min(count, factor))
