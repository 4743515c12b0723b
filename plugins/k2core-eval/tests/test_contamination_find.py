"""What counts as the same problem, and what does not."""

import random

import numpy as np
import pytest
from k2core_eval.contamination.find import find, required
from k2core_eval.contamination.gate import Gate
from k2core_eval.contamination.index import Index, Item
from k2core_eval.contamination.scan import scan
from k2core_eval.contamination.text import canonical, normalised
from k2core_eval.contamination.twins import twins

DUCKS = (
    "Marta keeps 14 ducks behind the mill. Each duck lays 3 eggs a week. Marta gives 8 eggs to her neighbour, and sells what is "
    "left at the harbour for 2 dollars an egg. How many dollars does Marta earn at the harbour every week?"
)
RENAMED = (
    "Wanjiru keeps 35 geese behind the mill. Each geese lays seven eggs a week. Wanjiru gives 21 eggs to her neighbour, and sells "
    "what is left at the harbour for 4 dollars an egg. How many dollars does Wanjiru earn at the harbour every week?"
)
FRACTION = (
    r"Let $f(x)=\dfrac{x^2+3x}{x-1}$ for all real $x \neq 1$. Find the largest integer $n\le 1{,}000$ such that "
    r"$\left(f(n)\right)^{2}\cdot\pi$ is a multiple of $\frac{\pi}{4}$."
)
REWRITTEN = (
    r"Let \(f(x) = \frac{x^{2} + 3x}{x - 1}\) for all real \(x \ne 1\). Find the largest integer \(n \leq 1000\) such that "
    r"\[ ( f(n) )^2 \times π \] is a multiple of \(\tfrac{π}{4}\)."
)
OTHERS = (
    "A baker makes 24 loaves every morning and sells 3 of them before noon. How many loaves are left for the afternoon?",
    "Paul reads 12 pages of his novel every evening. The novel has 300 pages. How many evenings does he need to finish it?",
    "A train leaves the station with 120 people. At the first stop 35 leave and 12 come in. How many people are in the train now?",
    r"Find all real solutions of the equation $x^3 - 3x + 2 = 0$ and give their sum.",
    r"In triangle $ABC$ the angle at $A$ is $60^\circ$ and $AB = 7$. Find the length of $BC$.",
)
CHATTER = (
    "First we look at what is known, then at what is asked, and write down an equation for it. "
    "The number of steps is at most the number of pieces, because every step joins two of them. So we get 12 + 5 = 17 in the end. "
)


def index(*texts: str) -> Index:
    return Index([Item("t", i, str(i), text) for i, text in enumerate(texts)], OTHERS)


def kinds(problem: str, row: str) -> list[str]:
    return [found.kind for found in find(index(problem, *OTHERS), [row]) if found.problem == 0]


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (DUCKS, "exact"),
        (f"user: {DUCKS}\nThink hard!", "exact"),
        (DUCKS.upper().replace(".", " ;"), "normalised"),
        (DUCKS.replace("at the harbour every week", "in one week there"), "ngram"),
        (RENAMED, "near"),
    ],
)
def test_a_problem_is_found_with_its_kind(row: str, kind: str) -> None:
    assert kinds(DUCKS, row) == [kind]


def test_latex_of_another_hand_is_the_same_text() -> None:
    assert kinds(FRACTION, REWRITTEN) in (["normalised"], ["ngram"], ["near"])
    assert normalised(r"$\left(\dfrac{1}{2}\right)\le 1{,}000$") == normalised(r"\( ( \tfrac12 ) \) ≤ 1,000")


@pytest.mark.parametrize(
    ("one", "other"),
    [(r"\dfrac", r"\tfrac"), (r"\leqslant", "≤"), ("10,000", r"10{,}000"), ("Janet's", "janet"), (r"\pi", "π"), ("1.50", "1.5")],
)
def test_variants_stand_for_the_same(one: str, other: str) -> None:
    assert canonical(one) == canonical(other) != ""


@pytest.mark.parametrize("layout", [r"\left", r"\text", r"\quad", r"\begin{align*}", r"\displaystyle"])
def test_layout_stands_for_nothing(layout: str) -> None:
    assert canonical(layout) == ""


@pytest.mark.parametrize("row", OTHERS)
def test_other_problems_are_other_problems(row: str) -> None:
    assert kinds(DUCKS, row) == []


def test_a_problem_is_found_deep_in_a_long_chain_of_thought() -> None:
    row = CHATTER * 800 + RENAMED + CHATTER * 800
    assert len(row) > 300_000
    assert kinds(DUCKS, row) == ["near"]


def test_the_same_words_scattered_over_a_long_text_are_no_match() -> None:
    words = (DUCKS + " ").split(" ")
    random.Random(1).shuffle(words)
    row = " ".join(f"{word} {CHATTER}" for word in words)
    assert kinds(DUCKS, row) == []


def test_a_short_problem_needs_its_own_numbers() -> None:
    short = r"Compute $7 + 3 \cdot 2^4$."
    assert kinds(short, r"user: compute \(7 + 3\times 2^{4}\) please") == ["normalised"]
    assert kinds(short, r"Compute $9 + 5 \cdot 8^6$.") in ([], ["possible"])


def test_required_likeness_falls_with_information() -> None:
    needed = [required(nats) for nats in np.arange(0, 100, 5.0)]
    assert needed == sorted(needed, reverse=True)
    assert needed[0] == pytest.approx(0.95)
    assert needed[-1] == pytest.approx(0.80)


def test_boilerplate_makes_no_match() -> None:
    end = (
        r" Express your answer in the form $\frac{m}{n}$, where $m$ and $n$ are relatively prime positive integers, and find $m+n$."
    )
    problems = [text + end for text in OTHERS]
    found = find(
        Index([Item("t", i, str(i), text) for i, text in enumerate(problems)]), ["Marta draws two marbles from a bag." + end]
    )
    assert list(found) == []


def test_a_row_counts_for_the_problem_that_it_is() -> None:
    twin = DUCKS.replace("14", "15").replace("3 eggs", "5 eggs")
    assert [found.problem for found in find(index(DUCKS, twin), [twin])] == [1]


def test_an_unpublishable_problem_leaves_no_excerpt() -> None:
    for publishable in (True, False):
        known = Index([Item("t", 0, "0", DUCKS, publishable)], OTHERS)
        (found,) = find(known, [RENAMED])
        assert bool(found.excerpt) is publishable


def test_damaged_text_harms_nothing() -> None:
    rows = ["", "\ud800 lone", "\x00" * 50, "$" * 1000, "\\" * 1001, "[asy]" * 100 + "[/asy]", "7" * 10_000, "( " * 5000]
    assert list(find(index(DUCKS, FRACTION), rows)) == []


def test_drawings_do_not_hide_a_problem() -> None:
    drawing = '[asy] size(100); draw((0,0)--(3,4)--(5,1)--cycle); label("$A$", (0,0), SW); [/asy]'
    assert kinds(DUCKS, DUCKS.replace("Each", drawing + " Each")) == ["normalised"]
    assert kinds(DUCKS, f"[asy] draw((0,0)); {DUCKS} draw((1,1)); [/asy]") == ["exact"]


def test_scan_counts_and_the_gate_agrees() -> None:
    rows = [*OTHERS, RENAMED, DUCKS, DUCKS]
    report = scan([("ducks", DUCKS), ("fraction", FRACTION)], rows)
    (found,) = report.found
    assert (found.id, found.kind, found.rows) == ("ducks", "exact", 3)
    assert [match.row for match in found.matches] == [7, 8, 6]
    gate = Gate([("ducks", DUCKS), ("fraction", FRACTION)], OTHERS)
    assert list(gate.clean(rows, str)) == list(OTHERS)
    assert gate.is_clean(OTHERS[0])
    assert gate.problems_in("so: " + RENAMED) == ["ducks"]


def test_twins_within_an_evaluation() -> None:
    items = [Item("a", 0, "x", DUCKS), Item("a", 1, "y", OTHERS[0]), Item("b", 0, "z", RENAMED), Item("b", 1, "w", OTHERS[1])]
    (twin,) = twins(items)
    assert {(twin.task, twin.id), (twin.other_task, twin.other_id)} == {("a", "x"), ("b", "z")}
    assert twin.kind == "near"


def test_nothing_to_look_for_and_nothing_to_look_at() -> None:
    assert scan([], OTHERS).found == ()
    report = scan([("empty", ""), ("tiny", "$x$")], [*OTHERS, "", "$x$"])
    assert report.found == ()
    assert report.tasks[0].unsearched == 2
