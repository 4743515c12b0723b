"""The formats of the field, from reference text to verdict, with right and wrong programs."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from k2core_verifier_code.reference import parse

from k2core import Candidate, Completion, Problem

HUMANEVAL = {
    "prompt": "from typing import List\n\ndef add(a: int, b: int) -> int:\n    '''Sum.'''\n",
    "test": "METADATA = {}\n\ndef check(candidate):\n    assert candidate(1, 2) == 3, 'first'\n    assert candidate(-1, 1) == 0\n",
    "entry_point": "add",
}
MBPP = {
    "test_list": ["assert add(1, 2) == 3", "assert add(-1, 1) == 0"],
    "test_setup_code": "",
    "challenge_test_list": ["assert add(9, 9) == 18"],
}
APPS = {"fn_name": "add", "inputs": [[1, 2], [-1, 1]], "outputs": [3, 0]}
LCB_CALLS = {
    "tests": [
        {"input": "1\n2", "output": "3", "testtype": "functional"},
        {"input": "-1\n1", "output": "0", "testtype": "functional"},
    ],
    "metadata": json.dumps({"func_name": "add"}),
}
LEETCODE = {"test": "my_solution = Solution()\n\ntest_input = {'a': 1, 'b': 2}\nassert my_solution.add(**test_input) == 3\n"}
STDIO = {"inputs": ["1 2\n", "-1 1\n"], "outputs": ["3\n", "0\n"]}
LCB_STDIO = [{"input": "1 2\n", "output": "3", "testtype": "stdin"}, {"input": "-1 1\n", "output": "0", "testtype": "stdin"}]
PYTEST = {
    "test": "from solution import add\nimport math\n\ndef test_one():\n    assert add(1, 2) == 3\n\n"
    "def test_two():\n    assert math.isclose(add(.1, .2), .3)\n"
}

FUNCTION = "def add(a, b):\n    return a {} b\n"
METHOD = "class Solution:\n    def add(self, a: int, b: int) -> Optional[int]:\n        return a {} b\n"
PROGRAM = "a, b = map(int, input().split())\nprint(a {} b)\n"
ROWS = [
    ("humaneval", HUMANEVAL, "    return a {} b\n"),
    ("humaneval whole", HUMANEVAL, f"Sure:\n```python\n{FUNCTION}```\nDone."),
    ("humaneval body in a fence", HUMANEVAL, "```python\n    return a {} b\n```"),
    ("humaneval dedented", HUMANEVAL, "return a {} b"),
    ("humaneval run on", HUMANEVAL, "    return a {} b\n\n\nprint(add(1,\n"),
    ("mbpp", MBPP, FUNCTION),
    ("apps", APPS, FUNCTION),
    ("apps method", APPS, METHOD),
    ("lcb calls", LCB_CALLS, METHOD),
    ("leetcode", LEETCODE, METHOD),
    ("pytest", PYTEST, FUNCTION),
    ("text", "assert add(1, 2) == 3", FUNCTION),
    ("stdio", STDIO, PROGRAM),
    ("lcb stdio", LCB_STDIO, PROGRAM),
    ("wrapped", {"input_output": json.dumps(STDIO)}, PROGRAM),
    ("async", APPS, "async def add(a, b):\n    return a {} b\n"),
    ("lambda", MBPP, "add = lambda a, b: a {} b\n"),
    (
        "main guard",
        STDIO,
        "def main():\n    a, b = map(int, input().split())\n    print(a {} b)\nif __name__ == '__main__':\n    main()\n",
    ),
    ("no output at import", MBPP, FUNCTION + "if __name__ == '__main__':\n    raise SystemExit(1)\n"),
]


def test_right_and_wrong_in_every_format(judge: Any) -> None:
    for name, reference, code in ROWS:
        right, wrong = judge.many([code.replace("{}", "+"), code.replace("{}", "-")], reference)
        assert right.status == "correct", (name, right.reason)
        assert wrong.status == "incorrect", (name, wrong.reason)
        assert (right.score, wrong.score) == (1.0, 0.0)


def test_partial_scores(open_judge: Any) -> None:
    judge = open_judge(scoring="partial", workers=1)
    code = "def add(a, b):\n    if a < 0: raise ValueError('negative')\n    return a + b\n"
    for reference, share in ((HUMANEVAL, 1 / 2), (MBPP, 2 / 3), (APPS, 1 / 2), (LCB_CALLS, 1 / 2)):
        verdict = judge.one(code, reference)
        assert (verdict.status, verdict.score) == ("incorrect", pytest.approx(share)), (reference, verdict.reason)
        assert "ValueError: negative in line 2: if a < 0" in verdict.reason
    verdict = judge.one("a, b = map(int, input().split())\nprint(a + abs(b))", {"inputs": ["1 2", "1 -2"], "outputs": ["3", "-1"]})
    assert (verdict.status, verdict.score) == ("incorrect", 0.5)
    dying = "import os\ndef add(a, b):\n    if a < 0: os._exit(7)\n    return a + b\n"
    for reference in (MBPP, {**APPS, "inputs": [[-1, 1], [1, 2]], "outputs": [0, 3]}):
        verdict = judge.one(dying, reference)
        assert verdict.score == pytest.approx(2 / 3 if reference is MBPP else 1 / 2), verdict.reason
        assert "exit status 7" in verdict.reason


def test_reasons_say_what_and_where(judge: Any) -> None:
    def why(code: str, reference: Any) -> str:
        return str(judge.one(code, reference).reason)

    assert why(FUNCTION.replace("{}", "-"), MBPP) == "test 1: failed: assert add(1, 2) == 3, got -1 instead of 3"
    assert (
        why("def add(a, b):\n    c = a\n    return c / 0", MBPP)
        == "test 1: raises ZeroDivisionError: division by zero in line 3: return c / 0"
    )
    assert why("def plus(a, b): return 1", MBPP) == "test 1: does not define add"
    assert "does not compile: SyntaxError" in why("def add(a, b:\n    return", MBPP)
    assert "failed: add(1, 2), got None instead of 3" in why("def add(a, b): pass", APPS)
    assert "word 1 of the output is '-1' instead of '3'" in why(PROGRAM.replace("{}", "-"), STDIO)
    assert "the output has 0 words instead of 1" in why("input()", STDIO)
    assert "ValueError: too bad in line 1" in why("raise ValueError('too bad')", STDIO)
    assert "exit status 3" in why("print(3)\nraise SystemExit(3)", STDIO)
    assert "defines neither add nor a class Solution" in why("x = 1", APPS)


def test_arguments_are_changed_in_place_for_the_test_too(judge: Any) -> None:
    test = "x = [3, 1, 2]\ny = {'a': x}\nassert sort(x, y) is None\nassert x == [1, 2, 3]\nassert y['a'] is x and y['b'] == {1}"
    assert judge.one("def sort(x, y):\n    x.sort()\n    y['b'] = {1}", {"test": test}).status == "correct"
    assert judge.one("def sort(x, y):\n    x = sorted(x)\n    y['b'] = {1}", {"test": test}).status == "incorrect"
    same = {"test": "x = [1]\nassert f(x) is x\nassert f([x, x])[0] is not None"}
    assert judge.one("def f(x): return x", same).status == "correct"


def test_objects_of_the_program(judge: Any) -> None:
    code = """
class Node:
    def __init__(self, value, next=None):
        self.value, self.next = value, next
    def __eq__(self, other): return isinstance(other, Node) and self.value == other.value
    def __len__(self): return 1 + (len(self.next) if self.next else 0)
    def __iter__(self):
        yield self.value
        yield from self.next or ()
class Empty(ValueError): pass
def chain(*values): return Node(values[0], chain(*values[1:])) if values else None
def pop(values):
    if not values: raise Empty('nothing')
    return values.pop()
def apply(function, values): return [function(value) for value in values]
def lazy(n): yield from range(n)
"""
    test = """
a = Node(1)
a.next = Node(2)
assert len(a) == 2 and list(a) == [1, 2] and a.next.value == 2
assert a == Node(1) and a != Node(3) and not a == 1
assert isinstance(chain(1, 2, 3), Node) and list(chain(1, 2, 3)) == [1, 2, 3]
try:
    pop([])
    assert False
except Empty as error:
    assert str(error) == 'nothing'
try:
    pop([])
    assert False
except ValueError:
    pass
assert apply(lambda x: x * 2, [1, 2]) == [2, 4]
assert list(lazy(3)) == [0, 1, 2] and sum(lazy(4)) == 6 and next(iter(lazy(2))) == 0
"""
    verdict = judge.one(code, {"test": test})
    assert verdict.status == "correct", verdict.reason


def test_what_the_tests_may_need(judge: Any) -> None:
    """Modules that the tests use without importing them; names of builtins that the program defines; test helpers."""
    assert judge.one("def f(x): return x / 3", {"tests": ["assert math.isclose(f(1), 1 / 3)"]}).status == "correct"
    assert (
        judge.one(
            "import sys\ndef size(x): return sys.getsizeof(x)", {"tests": ["assert size((1, 2)) == sys.getsizeof((1, 2))"]}
        ).status
        == "correct"
    )
    assert judge.one("def sum(x, y): return x + y", {"tests": ["assert sum(1, 2) == 3"]}).status == "correct"
    assert judge.one("def set(x): return 0\ndef f(x): return [2, 1]", {"tests": ["assert set(f(1)) == {1, 2}"]}).status == "correct"


def test_imports(judge: Any, open_judge: Any) -> None:
    code = "def f(x: List[int]) -> int:\n    return gcd(*x) + len(deque(x)) + heapq.heappop(x)"
    calls = {"fn_name": "f", "inputs": [[[4, 6]]], "outputs": [8]}
    assert judge.one(code, calls).status == "correct"
    assert judge.one(code, {"tests": ["assert f([4, 6]) == 8"]}).status == "incorrect"
    assert open_judge(imports="common", workers=1).one(code, {"tests": ["assert f([4, 6]) == 8"]}).status == "correct"
    assert open_judge(imports="none", workers=1).one(code, calls).status == "incorrect"
    assert judge.one("def f(x): return pow(x, 2, 7)", {"fn_name": "f", "inputs": [[5]], "outputs": [4]}).status == "correct"


FAULTS = [
    ("{}", "no tests in the reference"),
    ('{"inputs": ["1"]}', "both must be lists"),
    ('{"inputs": [], "outputs": []}', "one at least"),
    ('{"inputs": ["1", "2"], "outputs": ["1"]}', "2 and 1"),
    ('{"tests": ["assert f("]}', "tests[0]: is no Python"),
    ('{"tests": [1]}', "not int"),
    ("null", "not NoneType"),
    ('{"tests": [{"input": "1"}]}', "tests[0]: needs input and output"),
    ("[3]", "not int"),
    ("3", "not int"),
    ('{"tests": ["f(1) == 1"]}', "assert nothing"),
    ('{"test": "def check(c): pass"}', "entry_point: missing"),
    ('{"tests": [{"input": "1", "output": "1", "testtype": "functional"}]}', "function's name"),
    ('{"fn_name": "f", "inputs": ["x"], "outputs": [1]}', "one JSON value a line"),
    ('{"inputs": [1], "outputs": ["1"]}', "inputs[0]: text"),
    ('{"test": "x", "entry_point": "a b"}', "is no name of a function"),
    ('{"test_list": "assert"}', "is text but no JSON"),
]


@pytest.mark.parametrize(("text", "message"), FAULTS)
def test_faulty_references_say_where(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"(?s).*") as caught:
        parse(text)
    assert message in str(caught.value)


def test_a_faulty_reference_is_an_error(judge: Any) -> None:
    verdict = judge.one(FUNCTION, {"inputs": ["1"], "outputs": []})
    assert verdict.status == "error"
    assert "inputs and outputs: 1 and 0" in verdict.reason


def test_a_test_that_fails_by_itself_is_an_error(judge: Any) -> None:
    verdict = judge.one("def f(x): return x", {"test": "import nonesuch\nassert f(1) == 1"})
    assert verdict.status == "error"
    assert "the test itself fails: ModuleNotFoundError" in verdict.reason


def test_public_tests_and_none(judge: Any) -> None:
    public = Problem(prompt="x", meta={"tests": ["assert add(1, 2) == 3"]})
    right, wrong, same = judge.many(
        [FUNCTION.replace("{}", "+"), FUNCTION.replace("{}", "-"), "def add(x, y):\n    '''Sum.'''\n    return x + y  # sum"],
        None,
        public,
    )
    assert (right.status, wrong.status, same.status) == ("correct", "incorrect", "correct")
    right, wrong, same = judge.many(
        [
            FUNCTION.replace("{}", "+"),
            FUNCTION.replace("{}", "-"),
            "def add(x: int, y: int) -> int:\n    '''Sum.'''\n    return x + y",
        ],
        None,
    )
    assert (right.status, right.score) == ("undecided", 0.0)
    assert "no tests" in right.reason
    assert right.key == same.key != wrong.key
    assert judge.one("def f(:\n", None).status == "incorrect"


def test_truncated_and_unparsed(judge: Any) -> None:
    texts = [
        "I think that it is\nimpossible.",
        "",
        "```\n```",
        "```python\ndef add(a, b):\n    return (a +",
        FUNCTION.replace("{}", "+"),
    ]
    cut = [Candidate(id=str(n), text=t, completion=Completion(text=t, finish="length")) for n, t in enumerate(texts)]
    verdicts = asyncio.run(judge.verifier.k2_verify(Problem(prompt="x"), cut, json.dumps(MBPP)))
    assert [verdict.status for verdict in verdicts] == ["unparsed"] * 4 + ["correct"]
    assert all("truncated" in verdict.reason for verdict in verdicts[:4])
    assert judge.one(texts[3], MBPP).status == "incorrect"
    assert judge.one("no code here", MBPP).reason.startswith("no code found")
