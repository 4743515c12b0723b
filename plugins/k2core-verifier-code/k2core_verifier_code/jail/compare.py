"""Whether a value or a printed text is what was expected."""

from __future__ import annotations

import math
import re
from typing import Any

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z|[+-]?(inf|infinity|nan)\Z", re.IGNORECASE)


def equal(got: Any, expected: Any, tolerance: float) -> bool:
    """Equal as JSON knows it: tuples are lists, keys of tables are text; floats within `tolerance`, relative or absolute.

    Integers are compared exactly, also with a float of integral value; true is not 1.
    """
    if isinstance(got, (list, tuple)) and isinstance(expected, (list, tuple)):
        return len(got) == len(expected) and all(equal(one, other, tolerance) for one, other in zip(got, expected, strict=True))
    if isinstance(got, dict) and isinstance(expected, dict):
        left, right = ({str(key): value for key, value in table.items()} for table in (got, expected))
        return left.keys() == right.keys() and all(equal(left[key], right[key], tolerance) for key in left)
    if isinstance(got, bool) or isinstance(expected, bool):
        return got is expected
    if (isinstance(got, float) and isinstance(expected, (int, float))) or (isinstance(got, int) and isinstance(expected, float)):
        return _close(float(got), float(expected), tolerance)
    return bool(got == expected)


def _close(got: float, expected: float, tolerance: float) -> bool:
    if math.isnan(got) or math.isnan(expected):
        return math.isnan(got) and math.isnan(expected)
    return got == expected or math.isclose(got, expected, rel_tol=tolerance, abs_tol=tolerance)


def same_output(got: str, expected: str, tolerance: float) -> str | None:
    """None when both texts have the same words; else where they differ. Numbers with a decimal point may differ by `tolerance`."""
    words, wanted = got.split(), expected.split()
    for place, (word, want) in enumerate(zip(words, wanted, strict=False)):
        if word != want and not _same_number(word, want, tolerance):
            return f"word {place + 1} of the output is {_cut(word)} instead of {_cut(want)}"
    if len(words) != len(wanted):
        return f"the output has {len(words)} words instead of {len(wanted)}" + (f": {_cut(got)}" if len(words) < 20 else "")
    return None


def _same_number(word: str, want: str, tolerance: float) -> bool:
    if len(word) > 400 or len(want) > 400 or not (_NUMBER.match(word) and _NUMBER.match(want)):
        return False
    if not set(".eEnN") & set(word + want):
        return int(word) == int(want)
    return _close(float(word), float(want), tolerance)


def _cut(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
