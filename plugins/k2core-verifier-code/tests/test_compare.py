"""Values and printed texts that count as the same, and those that do not."""

from __future__ import annotations

import pytest
from k2core_verifier_code.jail.compare import equal, same_output

VALUES = [
    ("[1, 2]", "(1, 2)", True),
    ("{'1': 2}", "{1: 2}", True),
    ("1.0000001", "1.0", True),
    ("1.1", "1.0", False),
    ("True", "1", False),
    ("1", "1.0", True),
    ("None", "0", False),
    ("[[1], []]", "[[1], []]", True),
    ("10**40", "10**40", True),
    ("10**40 + 1", "10**40", False),
    ("float('nan')", "float('nan')", True),
    ("'a'", "'a '", False),
    ("[True]", "[1]", False),
]


@pytest.mark.parametrize(("got", "expected", "same"), VALUES)
def test_comparing_values(got: str, expected: str, same: bool) -> None:
    assert equal(eval(got), eval(expected), 1e-6) is same


OUTPUTS = [
    ("1 2\n3", "1 2 3\n", True),
    ("0.3333333", "0.33333333", True),
    ("3", "3.0", True),
    ("1000001", "1000000", False),
    ("007", "7", True),
    ("Yes", "YES", False),
    ("1e6", "1000000", True),
    ("", "", True),
    ("", "1", False),
    ("1 2 3", "1 2", False),
    ("inf", "1e999", True),
    ("9" * 30, "9" * 29 + "8", False),
    ("1_0", "10", False),
    ("nan", "1", False),
]


@pytest.mark.parametrize(("got", "expected", "same"), OUTPUTS)
def test_comparing_outputs(got: str, expected: str, same: bool) -> None:
    assert (same_output(got, expected, 1e-6) is None) is same
