"""Units that convert into each other: where two of one kind meet in a claim, a number may have been converted in silence."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction

from .value import Interval

_KINDS = {
    "time": "second seconds sec secs minute minutes min mins hour hours hr hrs h day days week weeks month months year years "
    "decade decades century centuries am pm noon weekend weekends fortnight",
    "length": "mm cm dm m km inch inches foot feet ft yard yards yd yds mile miles meter meters metre metres centimeter "
    "centimeters kilometer kilometers block blocks",
    "mass": "g kg mg gram grams kilogram kilograms kilo kilos pound pounds lb lbs ounce ounces oz ton tons stone",
    "volume": "ml l liter liters litre litres cup cups pint pints quart quarts gallon gallons tablespoon tablespoons "
    "teaspoon teaspoons",
    "money": "$ cent cents dollar dollars penny pennies nickel nickels dime dimes quarter quarters euro euros bill bills",
    "count": "dozen dozens pair pairs percent half halves third thirds fourth fourths hundred hundreds thousand thousands million "
    "millions billion billions couple gross tens ones",
    "data": "kb mb gb tb bytes byte bits",
    "angle": "degree degrees radian radians deg rad arcsecond arcseconds arcsec arcminute arcminutes arcmin",
}
_SAME = {"sec": "second", "min": "minute", "hr": "hour", "h": "hour", "foot": "feet", "ft": "feet", "inche": "inch", "$": "dollar"}
_KIND_OF = {word: kind for kind, words in _KINDS.items() for word in words.split()}


def mixed_units(*sides: Iterable[str]) -> bool:
    """Whether two different units of one kind occur, or a word that multiplies, such as `dozen`."""
    seen: dict[str, set[str]] = {}
    for side in sides:
        for phrase in side:
            for word in phrase.replace("/", " ").split():
                if kind := _KIND_OF.get(word):
                    seen.setdefault(kind, set()).add(_singular(word))
    return bool(seen.get("count")) or any(len(units) > 1 for units in seen.values())


def converts(left: Iterable[str], right: Iterable[str], one: Interval, other: Interval) -> bool:
    """Whether the sides have different units, one of them known, and values that a usual conversion makes equal."""
    names = [{_singular(word) for phrase in side for word in phrase.replace("/", " ").split()} for side in (left, right)]
    names = [side - {"dollar"} for side in names]
    if names[0] == names[1] or not any(word in _KIND_OF or f"{word}s" in _KIND_OF for side in names for word in side):
        return _metric(names[0] | names[1]) and _ratio(one, other) in _POWERS
    return _ratio(one, other) in _FACTORS


_SI = re.compile("[munpfkcdhgt\u03bc]?(?:m|g|s|mol|hz|n|pa|j|w|v|l|ev|cal|bar|wh)|micron|nanometer|parsec|angstrom")


def _metric(names: set[str]) -> bool:
    """Names such as `nm`, `kpa`, with which powers of ten may come."""
    return any(_SI.fullmatch(name) for name in names)


def _ratio(one: Interval, other: Interval) -> Fraction:
    if not (one.exact and other.exact and one.lo and other.lo):
        return Fraction(0)
    ratio = abs(one.lo / other.lo)
    return ratio if ratio >= 1 else 1 / ratio


_POWERS = frozenset(Fraction(10**power) for power in range(1, 16))
_FACTORS = _POWERS | frozenset(map(Fraction, (7, 12, 16, 24, 30, 36, 52, 60, 144, 168, 365, 1440, 1760, 3600, 5280, 86400)))


def _singular(word: str) -> str:
    bare = word.removesuffix("s") if len(word) > 2 else word
    return _SAME.get(bare, bare)
