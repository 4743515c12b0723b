"""Counting: letters in a word, digits in a number, entries of a list, each with the count so far."""

from __future__ import annotations

from random import Random

from ..items import Drawn, numbered
from ..writing.words import ITEMS, WORDS, some

_LENGTHS = {1: (4, 6), 2: (7, 8), 3: (9, 13)}
_WORDS = {level: [word for word in WORDS if low <= len(word) <= high] for level, (low, high) in _LENGTHS.items()}
_PLAN = ("Go through it from the left.", "Say of each whether it counts, and keep a count.")


def _count(parts: list[str], hits: list[bool], joint: str) -> tuple[list[str], int]:
    """Each part with whether it counts, `y` or `n`, and the count so far."""
    total, shown = 0, []
    for part, hit in zip(parts, hits, strict=True):
        total += hit
        shown.append(f"{part}{joint}{'y' if hit else 'n'}{total}")
    return shown, total


def letters(draw: Random, level: int) -> Drawn:
    """Words of more letters on higher levels; the letter mostly is one that the word has, often twice."""
    word = draw.choice(_WORDS[level])
    twice = sorted({letter for letter in word if word.count(letter) > 1})
    letter = (
        draw.choice(twice) if twice and draw.random() < 0.6 else draw.choice(word if draw.random() < 0.8 else "abcdefghilmnoprst")
    )
    asked = some(
        draw,
        f'How many times does the letter "{letter}" appear in "{word}"?',
        f'How many {letter}\'s are in the word "{word}"?',
        f'Count the letter {letter} in "{word}".',
        f'How often does "{letter}" occur in the word {word}?',
        other=(
            f"The word is {word}. How many {letter}'s does it have?",
            f'Look at "{word}" and tell how many of its letters are {letter}.',
            f"Say how many times you see {letter} in {word}.",
        ),
    )
    shown, total = _count(list(word), [one == letter for one in word], " ")
    return Drawn(asked, str(total), (" ".join(word), " ".join(shown)), numbered("Spell the word.", _PLAN[1]), f"{letter} in {word}")


def number_digits(draw: Random, level: int) -> Drawn:
    """Digits of a kind in a number."""
    digits = [draw.randint(1, 9), *(draw.randint(0, 9) for _ in range(3 + 2 * level))]
    if draw.random() < 0.6:
        common = draw.choice(digits)
        digits = [digits[0], *(common if draw.random() < 0.3 else digit for digit in digits[1:])]
    number = "".join(map(str, digits))
    kind = draw.choice(("same", "even", "odd", "greater"))
    digit = draw.choice(digits)
    low = max(digit, 1) - 1
    wanted, hits = {
        "same": (f"digits are {digit}", [one == digit for one in digits]),
        "even": ("digits are even", [one % 2 == 0 for one in digits]),
        "odd": ("digits are odd", [one % 2 == 1 for one in digits]),
        "greater": (f"digits are greater than {low}", [one > low for one in digits]),
    }[kind]
    of = wanted.replace(" are", f" of {number} are", 1)
    are = wanted.removeprefix("digits ")
    other = (
        f"Count the digits in {number} that {are}.",
        f"The number is {number}. Tell how many of its digits {are}.",
        f"Look at {number}. How many digits there {are}?",
    )
    asked = some(draw, f"In {number}, how many {wanted}?", f"How many of the {of}?", f"How many {of}?", other=other)
    compared = [f"{one}{'>' if one > low else '<' if one < low else '='}{low}" if kind == "greater" else str(one) for one in digits]
    shown, total = _count(compared, hits, "")
    return Drawn(asked, str(total), (" ".join(shown),), numbered(*_PLAN), f"{wanted} in {number}")


def lists(draw: Random, level: int) -> Drawn:
    """Entries of a list: all of them, those that begin with a letter, or how often one occurs."""
    kind = draw.choice(("all", "initial", "same"))
    size = draw.randint(3 + 2 * level, 5 + 2 * level)
    entries = draw.sample(ITEMS, size)
    chosen = draw.choice(entries)
    if kind == "same":
        entries = [chosen if draw.random() < 0.35 else entry for entry in entries]
    if kind == "initial":
        more = [item for item in ITEMS if item[0] == chosen[0]]
        entries = list(dict.fromkeys(draw.choice(more) if draw.random() < 0.3 else entry for entry in entries))
    shown = ", ".join(entries)
    question, order, hits = {
        "all": ("How many words are in this list", "Count the words here", [True] * len(entries)),
        "initial": (
            f'How many of these words begin with "{chosen[0]}"',
            f"Tell how many of these start with {chosen[0]}",
            [entry[0] == chosen[0] for entry in entries],
        ),
        "same": (
            f'How many times does "{chosen}" occur in this list',
            f"Count how often you see {chosen} here",
            [entry == chosen for entry in entries],
        ),
    }[kind]
    other = (f"{order}: {shown}.", f"{shown}. {order}.")
    asked = some(draw, f"{question}: {shown}?", f"{question}? {shown}", f"{shown}. {question}?", other=other)
    counted, total = _count([f"{entry} {entry[0]}" for entry in entries] if kind == "initial" else entries, hits, " ")
    return Drawn(asked, str(total), (", ".join(counted),), numbered(*_PLAN), f"{question}: {shown}")
