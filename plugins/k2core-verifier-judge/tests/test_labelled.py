"""Labelled completions, the pairs drawn from them, and the statistics over them."""

from __future__ import annotations

import gzip
import json
import math
import random
from pathlib import Path

import pytest
from k2core_verifier_judge.labelled import Labelled, draw, read
from k2core_verifier_judge.statistics import above, beta_quantile, beta_share, isotonic, jeffreys, kappa, wilson

ROWS = [Labelled(f"p{n}", f"Problem {n}?", f"answer {kind} {n}", kind == "right") for n in range(40) for kind in ("right", "wrong")]


def test_pairs_are_drawn_one_a_problem_and_balanced_in_length() -> None:
    rows = [Labelled("p", "?", "a", True), *ROWS]
    pairs = draw(rows, None, 3)
    assert sorted(pair.pid for pair in pairs) == sorted({row.pid for row in ROWS})
    assert draw(rows, 5, 3) == pairs[:5]
    assert draw(rows, None, 3) == pairs != draw(rows, None, 4)
    many = [Labelled(f"p{n}", "?", kind * length, kind == "r") for n in range(50) for kind in "rw" for length in (10, 100)]
    assert abs(sum(pair.longer for pair in draw(many, None, 0))) <= 1


def test_reading_rows(tmp_path: Path) -> None:
    row = {"pid": "p", "problem": "?", "gold": "42", "completion": "x", "correct": True}
    plain, packed = tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz"
    plain.write_text(json.dumps(row) + "\n\n" + json.dumps({**row, "ambiguous": True}))
    packed.write_bytes(gzip.compress(json.dumps({**row, "completion": "\u2028"}).encode()))
    assert [one.completion for one in read([str(plain), str(packed)])] == ["x", "\u2028"]
    for wrong, message in ((row | {"correct": "yes"}, "true or false"), ({"pid": 1}, "line 1"), ([], "line 1")):
        plain.write_text(json.dumps(wrong))
        with pytest.raises(ValueError, match=message):
            read([str(plain)])
    with pytest.raises(ValueError, match="cannot read"):
        read([str(tmp_path / "missing")])


def test_intervals() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(50, 100) == (pytest.approx(0.4038, abs=1e-4), pytest.approx(0.5962, abs=1e-4))
    mean, (low, high) = jeffreys(8, 10)
    assert mean == pytest.approx(8.5 / 11)
    assert (beta_share(low, 8.5, 2.5), beta_share(high, 8.5, 2.5)) == (pytest.approx(0.025), pytest.approx(0.975))
    assert beta_share(0.3, 1, 1) == pytest.approx(0.3)
    assert beta_share(0.5, 3, 3) == pytest.approx(0.5)
    assert beta_quantile(0.5, 2.5, 2.5) == pytest.approx(0.5)
    assert beta_share(0.2, 2, 3) == pytest.approx(1 - 0.8**4 - 4 * 0.2 * 0.8**3)


def test_kappa() -> None:
    assert kappa([]) is None
    assert kappa([(1, 1), (1, 1)]) is None
    assert kappa([(1, 1), (-1, -1)]) == 1
    assert kappa([(1, -1), (-1, 1)]) == -1
    pairs = [(1, 1)] * 20 + [(1, 0)] * 5 + [(0, 1)] * 10 + [(0, 0)] * 15
    assert kappa(pairs) == pytest.approx(0.4)


def test_isotonic_regression_rises_and_keeps_what_rises() -> None:
    assert isotonic([(1, False), (2, True)]) == [(1, 0.25, 1), (2, 0.75, 1)]
    assert isotonic([(1, True), (2, False)]) == [(2, 0.5, 2)]
    chance = random.Random(0)
    points = [(value, chance.random() < value / 10) for value in (chance.randint(0, 10) for _ in range(500))]
    blocks = isotonic(points)
    assert [p for _, p, _ in blocks] == sorted(p for _, p, _ in blocks)
    assert sum(count for _, _, count in blocks) == 500


def test_above() -> None:
    assert above([], [1]) is None
    assert above([3, 1], [1, 1]) == 0.75
    assert math.isclose(above([1, 2], [2, 1]) or 0, 0.5)
