"""Tables by cell, grids and orderings exactly, words and numbers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from k2core_verifier_guru.logic import Logic, grade, key
from k2core_verifier_guru.reference import load

from k2core import Candidate, Completion

ZEBRA = {
    "header": ["Position", "Nationality", "Job"],
    "rows": [["1", "british", "plumber"], ["2", "polish", "carpenter"], ["3", "thai", "judge"]],
}
GRID = [[0, 1], [2, 3]]


def status(answer: str, gold: Any) -> tuple[str, float]:
    opinion = grade(answer, load(gold if isinstance(gold, str) else json.dumps(gold)))
    return opinion.status, round(opinion.score, 3)


def zebra(**changes: Any) -> str:
    return json.dumps({**ZEBRA, **changes})


def test_a_table_is_right_when_all_cells_are() -> None:
    assert status(zebra(), ZEBRA) == ("correct", 1)
    assert status(repr(ZEBRA), ZEBRA) == ("correct", 1)
    assert status(zebra(), repr(ZEBRA)) == ("correct", 1)
    assert status(zebra(rows=[[1, " British", "PLUMBER"], *ZEBRA["rows"][1:]]), ZEBRA) == ("correct", 1)
    assert status(zebra().replace("{", r"\{").replace("}", r"\}"), ZEBRA) == ("correct", 1)


def test_the_order_of_columns_and_rows_does_not_count_where_their_names_say_which_is_which() -> None:
    turned = {"header": ["Job", "Position", "Nationality"], "rows": [[row[2], row[0], row[1]] for row in ZEBRA["rows"][::-1]]}
    assert status(json.dumps(turned), ZEBRA) == ("correct", 1)
    objects = [dict(zip(ZEBRA["header"], row, strict=True)) for row in ZEBRA["rows"]]
    assert status(json.dumps(objects), ZEBRA) == ("correct", 1)


def test_a_wrong_table_scores_its_share_of_cells() -> None:
    swapped = [["1", "polish", "plumber"], ["2", "british", "carpenter"], ["3", "thai", "judge"]]
    assert status(zebra(rows=swapped), ZEBRA) == ("incorrect", round(7 / 9, 3))
    assert status(zebra(rows=ZEBRA["rows"][:1]), ZEBRA) == ("incorrect", round(1 / 3, 3))
    assert status(zebra(rows=[]), ZEBRA) == ("incorrect", 0)


def test_cells_too_many_do_not_pay() -> None:
    everything = [[*row, *ZEBRA["rows"][0]] for row in ZEBRA["rows"]]
    assert status(zebra(rows=everything), ZEBRA) == ("incorrect", 0.5)
    assert status(zebra(rows=[*ZEBRA["rows"], ["4", "", ""]]), ZEBRA)[0] == "incorrect"


@pytest.mark.parametrize(
    "answer", ["The British plumber lives first.", "{", "[]", "7", "{'rows': 3}", "[" * 9999, "null", '{"a": 1}']
)
def test_what_is_no_table_is_unparsed(answer: str) -> None:
    assert status(answer, ZEBRA) == ("unparsed", 0)


def test_broken_references_are_errors() -> None:
    assert status(zebra(), {"header": ["a"], "rows": [1, 2]})[0] == "error"
    assert status(zebra(), {"header": ["a"], "rows": []})[0] == "error"


@pytest.mark.parametrize("answer", ["[[0, 1], [2, 3]]", "0 1\n2 3", "((0, 1), (2, 3))", "The grid is [[0, 1],\n [2, 3]]."])
def test_a_grid_in_any_notation(answer: str) -> None:
    assert status(answer, GRID) == ("correct", 1)


@pytest.mark.parametrize("answer", ["[[0, 1], [3, 2]]", "[[0, 1, 2], [2, 3]]", "[[0, 1]]", "[[0, 1], [2, 3], [0, 0]]", "0 1 2 3"])
def test_grids_are_exact(answer: str) -> None:
    assert status(answer, GRID) == ("incorrect", 0)


def test_no_grid_is_unparsed() -> None:
    assert status("I cannot see it", GRID)[0] == "unparsed"


@pytest.mark.parametrize(
    "answer",
    [
        "['crow', 'owl', 'hawk']",
        '["Crow", "OWL", "hawk"]',
        "[crow, owl, hawk]",
        "crow, owl, hawk",
        "crow > owl > hawk",
        "crow -> owl -> hawk",
        "1. crow\n2. owl\n3. hawk",
        "(crow; owl; hawk)",
        r"[\text{crow}, \text{owl}, \text{hawk}]",
    ],
)
def test_an_ordering_in_any_notation(answer: str) -> None:
    assert status(answer, ["crow", "owl", "hawk"]) == ("correct", 1)


@pytest.mark.parametrize("answer", ["['owl', 'crow', 'hawk']", "crow, owl", "crow owl hawk", "['crow', 'owl', 'hawk', 'hawk']", ""])
def test_orderings_are_exact(answer: str) -> None:
    assert status(answer, ["crow", "owl", "hawk"])[0] == "incorrect"


def test_words_and_numbers() -> None:
    assert status("FDEBME", "fdebme") == ("correct", 1)
    assert status(" 'Yes'. ", "yes") == ("correct", 1)
    assert status("7.0", "7") == ("correct", 1)
    assert status("fdebm", "fdebme")[0] == "incorrect"
    assert status('{"b": "X", "a": 1}', {"a": "1", "b": "x"}) == ("correct", 1)
    assert status('{"a": 2}', {"a": "1", "b": "x"})[0] == "incorrect"


@pytest.mark.parametrize("wrapped", [{"ground_truth": ZEBRA}, {"reward_model": {"style": "rule", "ground_truth": ZEBRA}}])
def test_rows_of_a_corpus_are_unwrapped(wrapped: dict[str, Any]) -> None:
    assert status(zebra(), wrapped) == ("correct", 1)
    assert status(zebra(), {"ground_truth": json.dumps(ZEBRA)}) == ("correct", 1)


def test_the_plugin_finds_answers(verify: Any) -> None:
    texts = ["<think>['owl']</think> <answer> ['crow', 'owl'] </answer>", r"\boxed{[crow, owl]}", "```json\n['crow', 'owl']\n```"]
    texts += [
        "crow, owl",
        "<answer>['owl', 'crow']</answer>",
        "I think that the crow comes first.\nThen comes the owl.",
        "",
        "<think>",
    ]
    verdicts = verify(Logic, texts, '["crow", "owl"]')
    assert [verdict.status for verdict in verdicts] == ["correct"] * 4 + ["incorrect", "unparsed", "unparsed", "unparsed"]
    assert len({verdict.key for verdict in verdicts[:3]}) == 1


def test_partial_can_be_switched_off(verify: Any) -> None:
    half = json.dumps({**ZEBRA, "rows": ZEBRA["rows"][:2]})
    [verdict] = verify(Logic, [f"<answer>{half}</answer>"], json.dumps(ZEBRA))
    assert (verdict.status, round(verdict.score, 3)) == ("incorrect", 0.667)
    [verdict] = verify(Logic, [f"<answer>{half}</answer>"], json.dumps(ZEBRA), partial=False)
    assert (verdict.status, verdict.score) == ("incorrect", 0)


def test_truncated_is_not_wrong(verify: Any) -> None:
    cut = Candidate(id="a", text="<answer> ['crow', 'ow", completion=Completion(text="", finish="length"))
    [verdict] = verify(Logic, [cut], '["crow", "owl"]')
    assert verdict.status == "unparsed"
    assert "truncated" in verdict.reason


def test_without_a_reference_equal_answers_vote_together(verify: Any) -> None:
    texts = ["<answer>['A', 'b']</answer>", '<answer>["a", "B"]</answer>', "<answer>['b', 'a']</answer>", "Well.\nI do not know."]
    verdicts = verify(Logic, texts)
    assert [(verdict.status, verdict.score) for verdict in verdicts[:3]] == [("undecided", 0.5)] * 2 + [("undecided", 0.25)]
    [strict] = verify(Logic, texts[3:], strict=True)
    assert strict.status == "unparsed"


@given(st.text(), st.text() | st.just(json.dumps(ZEBRA)) | st.just("[[1]]") | st.just("['a']") | st.just("{'a': 1}"))
def test_any_text_gets_an_opinion(answer: str, reference: str) -> None:
    assert 0 <= grade(answer, load(reference)).score <= 1
    assert key(answer) == key(answer)
