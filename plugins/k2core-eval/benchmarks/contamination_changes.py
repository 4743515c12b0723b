"""Ways in which a problem gets changed on its way into training data, for planting. Shares nothing with the detector."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

PEOPLE = (
    "Olu Priya Mateo Ingrid Kofi Yuki Soraya Bogdan Leilani Tariq Anneke Dmitri Xiomara Hamza Freya Nkechi Ravi Sanna Thiago "
    "Wanjiru Zeynep Caspian Delphine Eamon Farida Gustav Hiroshi Imani Jovan Katya Luca Mirela Nadia Oskar Petra Quentin "
    "Rosalind Stefan Tova Ulrich Valeria Wim Yannick Zofia Adaeze Bruno Chiara Desmond Elif Fionn Greta Hakan Iveta Joachim "
    "Khadija Lorenzo Maribel Nuno "
).split()
THINGS = (
    "apple orange banana book pencil marble cookie card sticker stamp flower rose tree car bicycle truck chair table lamp "
    "shirt hat shoe sock dog cat horse rabbit duck chicken cow pig fish bird egg cake pie muffin sandwich pizza bottle box "
    "bag basket coin ball doll toy puzzle game brick stone shell candle cup plate spoon notebook pen eraser crayon balloon "
    "ribbon necklace ring watch phone computer ticket photo magazine newspaper letter seed carrot potato tomato onion pumpkin "
    "melon lemon peach pear plum grape "
).split()
SMALL = "two three four five six seven eight nine ten eleven twelve".split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
DIGITS = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")


def numbers(text: str, draw: random.Random) -> str:
    """Every number becomes another of as many digits, the same everywhere; some are spelled out."""
    table: dict[str, str] = {}
    for old in DIGITS.findall(text):
        table.setdefault(old, _other_number(old, draw))
    text = DIGITS.sub(lambda found: table[found[0]], text)
    for words in (SMALL, TENS):
        swap = {word: draw.choice([other for other in words if other != word]) for word in words}
        text = re.sub(rf"\b({'|'.join(words)})\b", lambda found, swap=swap: swap[found[1]], text)  # type: ignore[misc]  # a default argument
    if draw.random() < 0.5 and "\\" not in text and "$" not in text:
        text = re.sub(r"(?<![\d.,/])\b([2-9]|1[0-2])\b(?![\d.,/%:]\S)", lambda found: SMALL[int(found[1]) - 2], text)
    return text


def _other_number(old: str, draw: random.Random) -> str:
    if old in ("0", "1"):
        return str(draw.randint(2, 9))
    while True:
        new = "".join(draw.choice("123456789" if i == 0 else "0123456789") if c.isdigit() else c for i, c in enumerate(old))
        if new != old:
            return new


class Names:
    """Renames people and things, the same everywhere. A name is what the corpus never writes with a small letter."""

    def __init__(self, corpus: Iterable[str]) -> None:
        small: Counter[str] = Counter()
        inside: Counter[str] = Counter()
        for text in corpus:
            small.update(re.findall(r"\b[a-z]{3,}\b", text))
            inside.update(re.findall(r"(?<=[a-z,] )[A-Z][a-z]{2,}\b", text))
        self.known = {word for word in inside if not small[word.lower()]}

    def __call__(self, text: str, draw: random.Random) -> str:
        people = sorted(self.known & set(re.findall(r"\b[A-Z][a-z]{2,}\b", text)))
        table = dict(zip(people, draw.sample(PEOPLE, min(len(people), len(PEOPLE))), strict=False))
        words = set(re.findall(r"\b[a-z]+\b", text))
        things = [thing for thing in THINGS if {thing, plural(thing)} & words]
        others = draw.sample([thing for thing in THINGS if thing not in things], len(things))
        for old, new in zip(things, others, strict=True):
            table |= {old: new, plural(old): plural(new)}
        if not table:
            return text
        return re.sub(rf"\b({'|'.join(map(re.escape, table))})\b", lambda found: table[found[1]], text)


def plural(word: str) -> str:
    if word.endswith(("x", "s", "ch", "sh")) or word in ("potato", "tomato"):
        return word + "es"
    return word[:-1] + "ies" if word.endswith("y") and word[-2] not in "aeio" else word + "s"


LATEX: Sequence[tuple[str, Sequence[str]]] = (
    (r"\\[dt]?frac(?![a-z])", (r"\\frac", r"\\dfrac", r"\\tfrac")),
    (r"\\[dt]?frac\{([^{}]+)\}\{([^{}]+)\}", (r"\\frac{\1}{\2}", r"(\1)/(\2)", r"{\1 \\over \2}")),
    (r"\\leq?(?![a-z])", (r"\\le", r"\\leq", r"\\leqslant", "≤")),
    (r"\\geq?(?![a-z])", (r"\\ge", r"\\geq", r"\\geqslant", "≥")),
    (r"\\neq?(?![a-z])", (r"\\ne", r"\\neq", "≠")),
    (r"\\[lc]?dots(?![a-z])", (r"\\ldots", r"\\cdots", r"\\dots", "...", "…")),
    (r"\\cdot(?![a-z])", (r"\\cdot", r"\\times", "*", "·")),
    (r"\\pi(?![a-z])", (r"\\pi", "π")),
    (r"\\theta(?![a-z])", (r"\\theta", "θ")),
    (r"\^\\circ", (r"^{\\circ}", "°", r" \\degree")),
    (r"\^(\w)(?!\w)", (r"^{\1}", r"^\1")),
    (r"\^\{(\w)\}", (r"^\1", r"^{\1}")),
    (r"_\{(\w)\}", (r"_\1", r"_{\1}")),
    (r"\\text\{", (r"\\textrm{", r"\\mathrm{", r"\\mbox{")),
    (r"\\left\s?([(\[|])|\\right\s?([)\]|])", (r"\1\2",)),
    (r"\\mathbb\{(\w)\}", (r"\\mathbb \1", r"\\mathbf{\1}")),
    (r" ?= ?", (" = ", "=", r"\\,=\\,", "  =  ")),
    (r"\\dbinom|\\binom", (r"\\binom", r"\\dbinom", r"\\tbinom")),
    (r"(\d),(\d{3})(?!\d)", (r"\1{,}\2", r"\1\2", r"\1\\,\2")),
)


def latex(text: str, draw: random.Random) -> str:
    """Another writer's LaTeX: other delimiters, commands, braces and spacing; at times none at all."""
    for pattern, ways in LATEX:
        if draw.random() < 0.7:
            way = draw.choice(ways)
            text = re.sub(pattern, way, text)
    if text.count("(") == text.count(")") and "\\left" not in text and draw.random() < 0.3:
        text = re.sub(r"\$([^$]*)\$", lambda found: found[0].replace("(", "\\left(").replace(")", "\\right)"), text)
    style = draw.randrange(4)
    if style == 1:
        text = re.sub(r"(?<!\\)\$\$?([^$]+?)(?<!\\)\$\$?", r"\\(\1\\)", text)
    elif style == 2:
        text = re.sub(r"\\\[(.*?)\\\]", r"$$\1$$", text, flags=re.DOTALL)
    elif style == 3:
        text = re.sub(r"(?<!\\)\$", "", text)
    if draw.random() < 0.3:
        text = re.sub(r"\s+", lambda _: draw.choice([" ", "  ", "\n"]), text)
    return text


BEFORE = (
    "",
    "Solve the following problem step by step.\n\n",
    "Question: ",
    "Please reason step by step, and put your final answer within \\boxed{}.\n\n",
    "I need help with my homework. Here it is: ",
    "<|user|>\nProblem 7. ",
    "### Instruction:\n",
)
AFTER = (
    "",
    "\n\nPlease reason step by step, and put your final answer within \\boxed{}.",
    "\nLet's think step by step.",
    "\n\nAnswer:",
    " Thanks!",
    "\n### Response:\n",
)


def embedded(text: str, draw: random.Random, chatter: Sequence[str]) -> dict[str, Any]:
    """A row that holds the problem somewhere inside: a chat with a long chain of thought, a list of problems, a long plain text."""
    asked = draw.choice(BEFORE) + text + draw.choice(AFTER)
    thought = "\n".join(draw.choice(chatter) for _ in range(draw.choice([1, 5, 20, 80])))
    style = draw.randrange(4)
    if style == 0:
        turns = [
            {"role": "user", "content": asked},
            {"role": "assistant", "content": f"<think>{thought}</think><answer>42</answer>"},
        ]
        return {"messages": turns}
    if style == 1:
        return {"conversations": [{"from": "human", "value": asked}, {"from": "gpt", "value": thought}]}
    if style == 2:
        at = draw.randrange(len(thought) + 1)
        return {"text": f"{thought[:at]}\n{asked}\n{thought[at:]}"}
    return {
        "conversations": [
            {"from": "human", "value": "Go on."},
            {"from": "gpt", "value": f"{thought}\nLet me restate it. {text}\n{thought}"},
        ]
    }


def plain(text: str, draw: random.Random) -> dict[str, Any]:
    """A row as training sets have them, one of the usual shapes."""
    shapes: Sequence[Callable[[], Mapping[str, Any]]] = (
        lambda: {"problem": text, "answer": "0"},
        lambda: {"prompt": [{"role": "user", "content": text}], "reward_model": {"style": "rule", "ground_truth": "0"}},
        lambda: {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "It is 0."}]},
        lambda: {"question": text, "solution": "See above."},
    )
    return dict(draw.choice(shapes)())
