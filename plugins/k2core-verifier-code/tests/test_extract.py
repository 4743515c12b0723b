"""Finding the program in a text."""

from __future__ import annotations

import time

import pytest
from k2core_verifier_code.extract import NoCode, find

CODE = "def f(x):\n    return x\n"


@pytest.mark.parametrize(
    "text",
    [
        CODE,
        f"```python\n{CODE}```",
        f"Here:\n\n```py\n{CODE}```\nIt works.",
        f"```\n{CODE}```",
        f"<think>```python\nno\n```</think>\n```python\n{CODE}```",
        f"```python\n{CODE}",
        f"~~~python\n{CODE}~~~",
        f"1. Do:\n   ```python\n{''.join('   ' + line for line in CODE.splitlines(True))}   ```",
        f"```bash\npip install x\n```\n```python\n{CODE}```\n```text\n3\n```",
        f"````python\n{CODE}````",
        "> ```python\n> def f(x):\n>     return x\n> ```",
        f"```python\n{CODE}```\n```python\nprint(f(3))\n```",
        f"```Python3\n{CODE}```",
        f"```python\r\n{CODE}```",
    ],
)
def test_one_program(text: str) -> None:
    assert find(text, wanted=("f",)).programs[0][0].strip() == CODE.strip()


def test_the_last_block_that_defines_it_comes_first() -> None:
    text = "```python\ndef f(x): return 1\n```\nBetter:\n```python\ndef f(x): return 2\n```\nUse:\n```python\nf(3)\n```"
    found = find(text, wanted=("f",))
    assert found.programs[0][0] == "def f(x): return 2\n"
    assert found.shown == "def f(x): return 2\n"


def test_blocks_that_need_each_other() -> None:
    text = "```python\nimport math\n```\nthen\n```python\ndef f(x): return math.pi\n```"
    assert "import math\n\ndef f(x)" in [program for program, _ in find(text, wanted=("f",)).programs][1]


def test_prose_around_bare_code() -> None:
    found = find(f"Sure, here you are.\n\n{CODE}\nThis returns x.\n", wanted=("f",))
    assert CODE.strip() in [program.strip() for program, _ in found.programs]


@pytest.mark.parametrize("text", ["", "  \n", "I do not know.", "The answer is 42", "```\n```", "\0", "x" * 500_000])
def test_no_code(text: str) -> None:
    with pytest.raises(NoCode):
        find(text)


@pytest.mark.parametrize(
    "text",
    [
        "```" * 60_000,
        "`" * 390_000,
        "\n" * 390_000,
        " " * 390_000,
        "```python\n" * 30_000,
        "a " * 190_000,
        "def " * 90_000,
        "(" * 390_000,
    ],
)
def test_hostile_texts_take_no_time(text: str) -> None:
    began = time.perf_counter()
    try:
        found = find(text, prompt="def f():\n", entry="f", wanted=("f",))
        assert len(found.programs) <= 12
    except NoCode:
        pass
    assert time.perf_counter() - began < 5


def test_lines_ahead() -> None:
    prompt = "import math\n\ndef f(x):\n    '''Doc.'''\n"
    assert find("    return x\n", prompt=prompt, entry="f").programs[0] == (prompt + "    return x\n", 4)
    assert find(f"```python\n{CODE}```", prompt=prompt, entry="f").programs[0] == (f"{prompt}\n{CODE}", 5)


def test_all_of_a_text_comes_before_parts_of_it() -> None:
    """A function's attributes, set below it, belong to the program."""
    prompt = "def f(x):\n    'Doc.'\n"
    body = "    return f.table[x]\n\n"
    found = find(body + "f.table = {1: 2}\n", prompt=prompt, entry="f")
    assert [program for program, _ in found.programs][:2] == [prompt + body + "f.table = {1: 2}\n", prompt + body]
