"""Names, things and words that problems are made of, and how one is chosen."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

NAMES = (
    "Ann Ben Carl Dan Emma Fred Grace Henry Ivan Jack Kate Leo Mary Nick Olga Paul Rosa Sam Tina Victor Anna Bob Clara David"
    " Eva Frank Helen Jane Lisa Mark Nina Peter Ruth Sara Tom Wendy Alex Lucy Max Julia"
).split()
THINGS = (
    "apples pens books coins cards stamps eggs nuts marbles shells stickers balls cups keys stones beads buttons cookies"
    " candles pencils plums lemons pears plates ribbons tickets toys flowers"
).split()
BOXES = "boxes bags baskets packs jars trays bowls drawers".split()
ITEMS = (
    "apple bread chair dog egg fish grape hat ink jar key lamp map nut orange pen quilt rope ship table umbrella van wheel"
    " yarn zebra bell cake door fork glass horse iron jacket kite lemon mirror needle onion paper ring spoon tree bottle cloud"
    " drum flag garden hammer island knife ladder money nest ocean pearl river stone tiger violin window branch candle desk"
    " engine feather goat hill"
).split()
WORDS = (
    "access accommodate addition address apple arrange assassin assessment attention balance balloon banana barrier beginning"
    " believe blackberry blueberry bookkeeper bottle business butter calendar carrot channel cheese cinnamon coffee collect"
    " college committee common connect correct cottage cotton cranberry current daffodil dessert different dinner discuss"
    " dollar effect effort element elephant engine escape evening expect express february fellow follow football forest"
    " freedom funny gallery garden giraffe glasses goggles grammar grasshopper hammer happiness hello holiday homework hopping"
    " hotel hundred include insect intelligent internet island jacket january jungle kangaroo kettle killer kingdom kitten"
    " knitting ladder lemon letter level library little manner matter meeting member message middle millennium million mirror"
    " mission mississippi mummy narrow necessary needle noon nothing occasion october offer office opposite orange parallel"
    " parrot pattern peanut people pepper pillow pineapple planet pocket poppy possess potato pretty process puppet puzzle"
    " queen question rabbit raspberry reason river rubber running science september settle shallow shopping silver slipper"
    " soccer spelling spinning stopping strawberry street success summary summer supper supply sweet swimming tennis terror"
    " thirteen tomato tomorrow tunnel twenty umbrella universe vacation valley velvet village volleyball wallet weather"
    " wednesday weekend whistle willow window winter worry written yellow yesterday zebra"
).split()
MADE_UP = "wug zib blick fep toma glip norp sile karn lorp mib plon rudd sorn tarp quon yub dat bock gorn".split()


class Reworded(Random):
    """A generator whose problems are asked in words that no worked solution has."""


def some(draw: Random, *choices: str, other: Sequence[str] = ()) -> str:
    """One of them; of `other`, if there are any, where the generator is a `Reworded`."""
    among = other if other and isinstance(draw, Reworded) else choices
    return among[draw.randrange(len(among))]


def vary(draw: Random, text: str) -> str:
    """With one of the alternatives of each `[one|other]`."""
    return re.sub(r"\[([^\[\]]*)\]", lambda match: some(draw, *match[1].split("|")), text)


def distinct(draw: Random, words: list[str], count: int) -> list[str]:
    """That many different ones."""
    return draw.sample(words, count)


def listed(parts: list[str]) -> str:
    """`a, b and c`."""
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]
