"""What may be evaluated while a family judges, seen by the hook in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from k2core_verifier_guru.gym.inert import inert


@pytest.mark.parametrize(
    "text",
    [
        "1 + 2*3",
        "[[1, 2], ['a', 'b']]",
        "-(3 - 4)/5",
        "Integer (2 )*Symbol ('x' )**Integer (3 )",
        "sin (x )+C",
        "{'a': (1, 2)}",
        "(0xff << 3) & 1",
        "not an expression at all",
        "1 +",
        "(" * 5000,
        "",
        "\x00",
    ],
)
def test_arithmetic_and_what_cannot_compile_is_inert(text: str) -> None:
    assert inert(text)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "open('/etc/passwd')",
        "x.__class__",
        "().__class__",
        "[x for x in 'ab']",
        "lambda: 1",
        "exec('1')",
        "xs[0]",
        "import os",
        "x = 1",
        "print",
        "f'{x}'",
        "(y := 1)",
        "1 if x else 2",
        "a and b",
        "x()()",
        "Symbol(name='x')",
        "1 < 2",
        "x\ny",
        "oracle_answer",
        "Integral (x ,x )",
        "eval",
        "1" * 20000,
    ],
)
def test_everything_else_is_not(text: str) -> None:
    assert not inert(text)


@given(st.text())
def test_any_text_is_classified(text: str) -> None:
    assert inert(text) in (True, False)


PROBE = """
import json, sys
from k2core_verifier_guru.gym.inert import Guard
guard, out = Guard(), {}
def tried(name, action):
    with guard.watching() as refused:
        try:
            result = repr(action())
        except BaseException as error:
            result = type(error).__name__
    out[name] = [result, len(refused)]
tried("arithmetic", lambda: eval("1 + 2"))
tried("code", lambda: eval("__import__('os').getpid()"))
tried("statements", lambda: exec("import os"))
def swallowed():
    try:
        return eval("open('/dev/null')")
    except:
        return "swallowed"
tried("swallowed", swallowed)
import os, subprocess, socket
tried("command", lambda: os.system("true"))
tried("process", lambda: subprocess.run(["true"]))
tried("socket", lambda: socket.socket().connect(("127.0.0.1", 9)))
tried("import", lambda: __import__("colorsys").rgb_to_hsv(0, 0, 0))
out["after"] = [repr(eval("len('ab')")), 0]
from sympy.parsing.sympy_parser import parse_expr
tried("sympy", lambda: parse_expr("2*x + sin(x)"))
tried("sympy code", lambda: parse_expr("__import__('os').getpid()"))
print(json.dumps(out))
"""


def test_the_hook_refuses_code_and_keeps_count() -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True, timeout=60)
    seen = json.loads(done.stdout)
    assert seen == {
        "arithmetic": ["3", 0],
        "code": ["Refused", 1],
        "statements": ["Refused", 1],
        "swallowed": ["'swallowed'", 1],
        "command": ["Refused", 1],
        "process": ["Refused", seen["process"][1]],
        "socket": ["Refused", 1],
        "import": ["(0.0, 0.0, 0)", 0],
        "after": ["2", 0],
        "sympy": ["2*x + sin(x)", 0],
        "sympy code": ["Refused", 1],
    }
