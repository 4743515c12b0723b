"""Units: what a word means as a unit, as a product of base dimensions and an exact factor."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

Dimension = tuple[tuple[str, int], ...]


class Unit(NamedTuple):
    dimension: Dimension
    factor: Fraction
    """How many base units one of it is: metre, kilogram, second, ampere, kelvin, mole, dollar, radian, byte."""


_BASE = {
    "m": "m=1 metre meter metres meters",
    "kg": "kg=1 kilogram kilograms kilo kilos;g=1/1000 gram grams gm;mg=1/1000000 milligram milligrams;t=1000 tonne tonnes;"
    "lb=45359237/100000000 lbs pound pounds;oz=45359237/1600000000 ounce ounces;ton=1000 tons",
    "s": "s=1 sec secs second seconds;min=60 mins minute minutes;h=3600 hr hrs hour hours;day=86400 days d;week=604800 weeks;"
    "year=31557600 years yr yrs;month=2629800 months;ms=1/1000 millisecond milliseconds",
    "A": "A=1 amp amps ampere amperes;mA=1/1000",
    "K": "K=1 kelvin kelvins",
    "degC": "°c=1 celsius",
    "degF": "°f=1 fahrenheit",
    "mol": "mol=1 mole moles",
    "usd": "usd=1 dollar dollars $;cent=1/100 cents ¢",
    "euro": "€=1 euro euros",
    "pound_sterling": "£=1",
    "yen": "¥=1 yen yuan",
    "byte": "B=1 byte bytes;bit=1/8 bits;kB=1000 KB;MB=1000000;GB=1000000000",
    "eV": "eV=1 electronvolt electronvolts;keV=1000;MeV=1000000",
}
_LENGTHS = "km=1000 kilometer kilometers kilometre kilometres;cm=1/100 centimeter centimeters centimetre centimetres;"
_LENGTHS += "mm=1/1000 millimeter millimeters millimetre millimetres;dm=1/10;nm=1/1000000000 nanometer nanometers;"
_LENGTHS += "in=127/5000 inch inches;ft=381/1250 foot feet;yd=1143/1250 yard yards;mi=201168/125 mile miles"
_VOLUMES = "L=1/1000 l liter liters litre litres;mL=1/1000000 ml milliliter milliliters millilitre millilitres cc;"
_VOLUMES += "gal=473176473/125000000000 gallon gallons"
_COMPOUND = {
    "N": "kg m s-2",
    "J": "kg m2 s-2",
    "W": "kg m2 s-3",
    "Pa": "kg m-1 s-2",
    "Hz": "s-1",
    "V": "kg m2 s-3 A-1",
    "C": "s A",
    "F": "kg-1 m-2 s4 A2",
    "T": "kg s-2 A-1",
}
_COMPOUND_WORDS = {"newton": "N", "joule": "J", "watt": "W", "pascal": "Pa", "hertz": "Hz", "volt": "V", "coulomb": "C"}
_PREFIXES = {"k": Fraction(1000), "M": Fraction(10**6), "G": Fraction(10**9), "m": Fraction(1, 1000)}


def _table() -> dict[str, Unit]:
    table: dict[str, Unit] = {}
    groups = [(((base, 1),), text) for base, text in _BASE.items()]
    groups += [((("m", 1),), _LENGTHS), ((("m", 3),), _VOLUMES)]
    for dimension, text in groups:
        for entry in text.split(";"):
            first, *others = entry.split()
            name, _, factor = first.partition("=")
            table |= dict.fromkeys((name, *others), Unit(dimension, Fraction(factor)))
    for name, parts in _COMPOUND.items():
        powers = tuple(sorted((part.rstrip("-0123456789"), int(re.sub(r"[^-\d]", "", part) or 1)) for part in parts.split()))
        table[name] = Unit(powers, Fraction(1))
        table |= {prefix + name: Unit(powers, factor) for prefix, factor in _PREFIXES.items()}
    for word, name in _COMPOUND_WORDS.items():
        table |= {word: table[name], word + "s": table[name], "kilo" + word + "s": table["k" + name]}
    table |= {"mph": Unit((("m", 1), ("s", -1)), Fraction(201168, 450000)), "acre": Unit((("m", 2),), Fraction(316160658, 78125))}
    return table


UNITS = _table()
BARE = frozenset("km cm mm nm kg mg ms min sec hr hrs ft mi mL ml kJ kW kN kPa Hz kHz mph lb lbs oz am pm".split())
BARE |= frozenset(name for name in UNITS if len(name) > 4)
"""Units that are recognised right behind a number even without upright letters; single letters would be symbols."""

NOT_COUNTED = frozenset("unit units square sq cubic of per a an the each".split())
_PARTS = re.compile(r"\s*([*/]|per\b)?\s*([^\s*/^]+)(?:\s*\^\s*\{?\s*(-?\d)\s*\}?)?")


def unit(text: str) -> Unit | None:
    """The unit that words name: `km/h`, `square inches`, `kg * m / s`; None where a word is no unit that is known here."""
    powers: dict[str, int] = {}
    factor, exponent_of_next, place = Fraction(1), 1, 0
    while place < len(text) and (match := _PARTS.match(text, place)):
        place = match.end()
        sign, word, power = match.groups()
        if word in ("square", "sq", "cubic"):
            exponent_of_next = 3 if word == "cubic" else 2
            continue
        found = UNITS.get(word) or UNITS.get(word.lower().rstrip("."))
        if found is None:
            return None
        exponent = (int(power) if power else exponent_of_next) * (-1 if sign in ("/", "per") else 1)
        exponent_of_next = 1
        for base, count in found.dimension:
            powers[base] = powers.get(base, 0) + count * exponent
        factor *= found.factor**exponent
    if not powers or text[place:].strip():
        return None
    return Unit(tuple(sorted((base, count) for base, count in powers.items() if count)), factor)


def power(text: str) -> int:
    """The exponent that the words of a unit name, even of an unknown one: 2 for units^2 and square units."""
    if found := re.search(r"\^\s*\{?\s*(\d)", text):
        return int(found[1])
    words = set(text.lower().split())
    return 2 if words & {"square", "sq", "squared"} else 3 if words & {"cubic", "cu", "cubed"} else 1
