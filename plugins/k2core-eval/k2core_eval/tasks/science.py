"""Questions with choices, and questions whose answers need a model to compare."""

from __future__ import annotations

import random
from collections.abc import Sequence

from k2core.errors import ConfigError
from k2core.toolkit.benchmark import Benchmark, Grader, Published, Source
from k2core.types import Task

from .entry import Entry, identity, make
from .rows import ANSWERS, IDS, PROBLEMS, Row

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
CHOICE = "{problem}\n\n{options}"
REPORT = "K2 Think report, arXiv 2509.07604: mean of 16 runs, T 1.0, top-p 0.95, 64 k tokens"
_GPQA = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
_LISTED = ("choices", "options")
_PICTURES = ("image_preview", "rationale_image")


def laid_out(options: Sequence[str]) -> str:
    """A line an option, with its letter: `(A) …`."""
    return "\n".join(f"({LETTERS[place]}) {option.strip()}" for place, option in enumerate(options))


def shuffled(options: Sequence[str], right: int, name: str, seed: int) -> tuple[list[str], str]:
    """The options in an order drawn by seed and problem id alone, and the letter of the right one."""
    order = list(range(len(options)))
    random.Random(f"options/{seed}/{name}").shuffle(order)
    return [options[place] for place in order], LETTERS[order.index(right)]


def gpqa(row: Row, card: Benchmark, seed: int) -> Task:
    """The hub's columns, or `problem` with `choices` and an `answer` that is a letter, an index or the right option's text."""
    problem = row.text(PROBLEMS, "problem")
    if row.data.get(_GPQA[0]) is not None:
        options, right = [row.text((name,), name) for name in _GPQA], 0
    else:
        options, right = choices(row)
    options, letter = shuffled(options, right, identity(row, card.name), seed)
    return make(
        row, card, {"problem": problem, "options": laid_out(options)}, letter, (*PROBLEMS, *ANSWERS, *IDS, *_GPQA, *_LISTED)
    )


def choices(row: Row, answers: Sequence[str] = ANSWERS) -> tuple[list[str], int]:
    """The options, and the index of the right one, which `answer` names by text, letter or index. Raises `ConfigError`."""
    options, answer = row.need(_LISTED, "choices"), row.need(answers, "answer")
    if not (isinstance(options, list) and 2 <= len(options) <= len(LETTERS) and all(isinstance(one, str) for one in options)):
        raise ConfigError(f"{row.where}: choices must be a list of 2 to {len(LETTERS)} texts")
    if answer in options:
        return options, options.index(answer)
    letter = str(answer).strip("() .").upper()
    place = answer if isinstance(answer, int) else LETTERS.find(letter) if len(letter) == 1 else -1
    if not 0 <= place < len(options):
        raise ConfigError(f"{row.where}: the answer {answer!r:.60} is none of the {len(options)} choices, nor its letter or index")
    return options, place


def hle(row: Row, card: Benchmark, seed: int) -> Task | None:
    """Text only: a question with a picture is left out. Choices stand in the question, and their letters are not drawn anew."""
    if row.data.get("image"):
        return None
    kind = str(row.data.get("answer_type", "exactMatch"))
    return make(
        row, card, {"problem": row.text(PROBLEMS, "problem")}, row.text(ANSWERS, "answer"), (*PROBLEMS, *ANSWERS, *IDS, "canary"),
        answer_format="choice" if kind == "multipleChoice" else "text",
    )  # fmt: skip


ENTRIES = (
    Entry(Benchmark(
        name="gpqa-diamond", title="GPQA, the diamond set", domain="science", answer_format="choice", prompt=CHOICE,
        grader=Grader(use="math"),
        source=Source(
            hub="Idavidrein/gpqa", revision="633f5ee89ab8ad4522a9f850766b73f62147ffdd", subset="gpqa_diamond", split="train",
            gated=True, files=("gpqa_diamond",),
        ),
        size=198, licence="CC BY 4.0; the authors ask that its texts are not published", publish=False,
        published=(Published(system="K2 Think", score=71.08, source=REPORT),), citation="arXiv:2311.12022",
    ), gpqa, "The options' order is drawn by seed and problem id; another seed is another order."),
    Entry(Benchmark(
        name="hle", title="Humanity's Last Exam, questions without pictures", domain="science", answer_format="text",
        prompt="{problem}", grader=Grader(use="stem", options={"decoder": "judge"}),
        source=Source(hub="cais/hle", revision="5a81a4c7271a2a2a312b9a690f0c2fde837e4c29", gated=True, files=("hle",)),
        size=2158, licence="MIT; the authors ask that its texts are not published", publish=False,
        published=(Published(system="K2 Think", score=9.95, source=REPORT),), citation="arXiv:2501.14249",
    ), hle, "Answers are compared by a model, under [grading.decoders.judge]; scores depend on which it is.", drop=_PICTURES),
)  # fmt: skip
