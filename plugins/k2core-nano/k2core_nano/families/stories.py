"""Word problems of one to three steps."""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random

from ..items import Drawn, numbered
from ..writing.expressions import Unfit, work_out
from ..writing.words import BOXES, NAMES, THINGS, Reworded, distinct, vary

_NUMBER = re.compile(r"\{([a-e])(?::(\d+)-(\d+))?\}")


@dataclass(frozen=True, slots=True)
class Story:
    """A text with places for names (`{N}`, `{M}`), a thing (`{t}`), a box (`{x}`) and numbers with their ranges (`{a:2-9}`), what
    is to be worked out, and how one would plan it."""

    text: str
    expression: str
    plan: tuple[str, ...]


ONE = (
    Story(
        "{N} has {a:12-60} {t} and [gets|buys|finds] {b:11-39} more. How many {t} does {N} have [now|in all]?",
        "a+b",
        ("Add what comes.",),
    ),
    Story("{N} had {a:30-90} {t} and [gave away|lost|sold] {b:11-29}. How many {t} are left?", "a-b", ("Subtract what goes.",)),
    Story("[There are|{N} has] {a:3-9} {x} with {b:11-29} {t} [each|in each]. How many {t} are there?", "a*b", ("Multiply.",)),
    Story(
        "{N} [shares|divides] {a:12-96} {t} equally among {b:3-9} friends. How many does each [get|friend get]?",
        "a/b",
        ("Divide.",),
    ),
    Story("[A ticket|A book|A meal] costs {a:11-25} dollars. How many dollars do {b:3-9} of them cost?", "a*b", ("Multiply.",)),
    Story("{N} is {a:8-40} years old. {M} is {b:11-29} years older. How old is {M}?", "a+b", ("Add the years.",)),
    Story("{N} reads {a:12-29} pages a day. How many pages [does {N} read|are that] in {b:3-9} days?", "a*b", ("Multiply.",)),
    Story("{N} packs {a:24-99} {t} into {x} of {b:3-9}. How many {x} are [filled|needed]?", "a/b", ("Divide.",)),
    Story("A train has {a:60-99} seats, and {b:21-49} are taken. How many seats are free?", "a-b", ("Subtract.",)),
)
TWO = (
    Story(
        "{N} has {a:3-9} {x} of {b:4-9} {t} and {c:11-29} [single|more] {t}. How many {t} does {N} have?",
        "a*b+c",
        ("Multiply for the {x}.", "Add the others."),
    ),
    Story(
        "{N} buys {a:3-9} {t} at {b:3-9} dollars each and pays with {c:60-99} dollars. How many dollars does {N} get back?",
        "c-a*b",
        ("Multiply for the price.", "Subtract it from what is paid."),
    ),
    Story(
        "{N} has {a:20-60} {t}. {M} has {b:5-29} more than {N}. How many do they have together?",
        "a+b;_+a",
        ("Find how many {M} has.", "Add both."),
    ),
    Story(
        "{N} had {a:30-70} {t}, [lost|gave away] {b:11-25} and then [found|bought] {c:11-39}. How many {t} does {N} have now?",
        "a-b+c",
        ("Subtract what goes.", "Add what comes."),
    ),
    Story(
        "{N} and {M} pick {a:20-40} and {b:11-40} {t} and share them equally. How many does each get?",
        "a+b;_/2",
        ("Add both.", "Halve the sum."),
    ),
    Story(
        "A bus has {a:30-60} passengers. At a stop {b:5-25} get off and {c:11-29} get on. How many are in the bus then?",
        "a-b+c",
        ("Subtract who gets off.", "Add who gets on."),
    ),
    Story(
        "{N} works {a:3-9} hours a day for {b:11-25} dollars an hour. How many dollars does {N} earn in {c:2-6} days?",
        "a*c;_*b",
        ("Multiply for the hours.", "Multiply by the pay."),
    ),
    Story(
        "A farmer has {a:3-9} rows of {b:4-9} trees. {c:5-19} trees [die|are cut down]. How many trees are left?",
        "a*b-c",
        ("Multiply for all trees.", "Subtract those that are gone."),
    ),
    Story(
        "{N} bakes {a:40-95} cookies, eats {b:3-9} and packs the rest into {x} of {c:3-8}. How many {x} are filled?",
        "a-b;_/c",
        ("Subtract what is eaten.", "Divide the rest."),
    ),
    Story(
        "{N} has twice as many {t} as {M}. {M} has {a:11-45}. How many do they have [in all|together]?",
        "a*2;_+a",
        ("Double for {N}.", "Add both."),
    ),
)
THREE = (
    Story(
        "{N} buys {a:3-9} pens at {b:3-9} dollars and {c:3-9} books at {d:6-9} dollars. How many dollars does {N} [pay|spend]?",
        "a*b+c*d",
        ("Multiply for the pens.", "Multiply for the books.", "Add both."),
    ),
    Story(
        "{N} has {a:3-8} {x} of {b:4-9} {t}, buys {c:11-29} more {t} and gives {d:5-19} to {M}. How many {t} has {N} now?",
        "a*b+c-d",
        ("Multiply for the {x}.", "Add what comes.", "Subtract what goes."),
    ),
    Story(
        "{N} saves {a:4-9} dollars a week for {b:5-9} weeks, and has {c:11-40} already. A bicycle costs {d:110-150} dollars. "
        "How many dollars are missing?",
        "a*b+c;d-_",
        ("Multiply for the savings.", "Add what is there.", "Subtract from the price."),
    ),
    Story(
        "{N} has {a:11-30} {t}, {M} has {b:2-4} times as many. They give {c:5-19} away. How many do they have together then?",
        "a*b+a-c",
        ("Multiply for {M}.", "Add both.", "Subtract what goes."),
    ),
    Story(
        "{a:3-8} {x} hold {b:6-9} {t} each. {N} takes {c:5-15} out and shares the rest among {d:3-6} children. "
        "How many does each child get?",
        "a*b-c;_/d",
        ("Multiply for all.", "Subtract.", "Divide."),
    ),
    Story(
        "A shop sells {a:11-30} {t} on Monday, {b:2-4} times as many on Tuesday, and {c:11-40} on Wednesday. "
        "How many does it sell in the three days?",
        "a*b+a+c",
        ("Multiply for Tuesday.", "Add all days."),
    ),
    Story(
        "{N} drives {a:40-60} miles an hour for {b:2-5} hours, then {c:21-39} miles more. The whole way is {d:280-350} miles. "
        "How many miles are left?",
        "a*b+c;d-_",
        ("Multiply for the first part.", "Add.", "Subtract from the whole way."),
    ),
)


ONE_OTHER = (
    Story(
        "In the morning {N} counts {a:12-60} {t}. Until the evening {b:11-39} are added. How many {t} are there in the evening?",
        "a+b",
        ("Add what comes.",),
    ),
    Story("Of {a:30-90} {t}, {b:11-29} are broken. How many {t} are whole?", "a-b", ("Subtract what is broken.",)),
    Story("{N} fills {a:3-9} {x}. Into each go {b:11-29} {t}. How many {t} go into all of them?", "a*b", ("Multiply.",)),
    Story("{a:12-96} {t} lie in {b:3-9} equal rows. How many {t} are in a row?", "a/b", ("Divide.",)),
    Story(
        "Of a walk of {a:30-90} miles {N} has done {b:11-29}. How many miles are still to go?", "a-b", ("Subtract what is done.",)
    ),
)
TWO_OTHER = (
    Story(
        "{a:3-9} rows of {b:4-9} {t} lie on a table, and {c:11-29} {t} beside them. How many {t} is that in all?",
        "a*b+c",
        ("Multiply for the rows.", "Add the others."),
    ),
    Story(
        "Out of {c:60-99} {t}, {N} fills {a:3-9} {x} with {b:3-9} each. How many {t} are left over?",
        "c-a*b",
        ("Multiply for the {x}.", "Subtract it from all."),
    ),
    Story(
        "{M} is {b:5-29} years older than {N}, who is {a:20-60}. How many years are they together?",
        "a+b;_+a",
        ("Find the age of {M}.", "Add both."),
    ),
    Story(
        "A tank holds {a:30-70} gallons. First {b:11-25} are used, then {c:11-39} are filled in. How many gallons are in it?",
        "a-b+c",
        ("Subtract what is used.", "Add what is filled in."),
    ),
    Story(
        "{N} earns {a:20-40} dollars and {M} {b:11-40}. They split the money evenly. How many dollars does each have?",
        "a+b;_/2",
        ("Add both.", "Halve the sum."),
    ),
)


def stories(draw: Random, level: int) -> Drawn:
    """As many steps as the level says."""
    other = {1: ONE_OTHER, 2: TWO_OTHER}
    story = draw.choice(other[level] if isinstance(draw, Reworded) else {1: ONE, 2: TWO, 3: THREE}[level])
    while True:
        numbers = {name: draw.randint(int(low), int(high)) for name, low, high in _NUMBER.findall(story.text) if low}
        try:
            lines, value = work_out(story.expression, numbers)
        except Unfit:
            continue
        return _told(draw, story, numbers, lines, value)


def _told(draw: Random, story: Story, numbers: dict[str, int], lines: list[str], value: int) -> Drawn:
    first, second = distinct(draw, NAMES, 2)
    words = {"N": first, "M": second, "t": draw.choice(THINGS), "x": draw.choice(BOXES)}
    text = _NUMBER.sub(lambda match: str(numbers[match[1]]), vary(draw, story.text))
    plan = numbered(*(line.format(**words) for line in story.plan))
    key = f"{story.expression} {story.text[:24]} {sorted(numbers.items())}"
    return Drawn(text.format(**words), str(value), tuple(lines), plan, key)
