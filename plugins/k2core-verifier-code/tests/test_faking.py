"""Programs that would rather be called right than be right. None succeeds: the judge is another process."""

from __future__ import annotations

from typing import Any

import pytest

ASSERTS = {"tests": ["assert f(3) == 9", "assert f(4) == 16", "assert abs(f(5) - 25) < 1e-6", "assert f(6) in (36, 36.0)"]}
CHECK = {
    "prompt": "def f(x):\n    '''The square.'''\n",
    "test": "def check(candidate):\n    assert candidate(3) == 9\n    assert candidate(4) == 16\n    assert f(5) == 25\n",
    "entry_point": "f",
}
CALLS = {"fn_name": "f", "inputs": [[3], [4], [5]], "outputs": [9, 16, 25]}
REFERENCES = {"asserts": ASSERTS, "check": CHECK, "calls": CALLS}

LIAR = """
class Liar{base}:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __lt__(self, other): return True
    __le__ = __gt__ = __ge__ = __lt__
    def __sub__(self, other): return 0
    __rsub__ = __add__ = __radd__ = __sub__
    def __abs__(self): return 0
    def __bool__(self): return True
    def __hash__(self): return 9
    def __contains__(self, other): return True
    def __instancecheck__(self, other): return True
    def __getattr__(self, name): return self
    def __call__(self, *args, **kwargs): return self
"""
LINK = "import json, os, struct\ndef tell(**m):\n    b = json.dumps(m).encode()\n    os.write(3, struct.pack('>I', len(b)) + b)\n"
FAKES = {
    "exit": "import sys\nsys.exit(0)",
    "hard exit": "import os\nos._exit(0)",
    "exit when called": "import os\ndef f(x):\n    os._exit(0)",
    "system exit when called": "def f(x):\n    raise SystemExit(0)",
    "at exit": "import atexit, os\natexit.register(lambda: os._exit(0))\ndef f(x): return 0",
    "liar": LIAR.format(base="") + "def f(x): return Liar()",
    "int liar": LIAR.format(base="(int)") + "def f(x): return Liar(1)",
    "float liar": LIAR.format(base="(float)") + "def f(x): return Liar(1.0)",
    "str liar": LIAR.format(base="(str)") + "def f(x): return Liar('x')",
    "list liar": LIAR.format(base="(list)") + "def f(x): return Liar()",
    "dict liar": LIAR.format(base="(dict)") + "def f(x): return Liar()",
    "liar class": LIAR.format(base="") + "class f:\n    def __new__(cls, x): return Liar()",
    "liar instance": LIAR.format(base="") + "f = Liar()",
    "liar type": LIAR.format(base="(type)") + "def f(x): return Liar('L', (), {})",
    "mock": "from unittest.mock import ANY, MagicMock\ndef f(x): return ANY",
    "nan": "def f(x): return float('nan')",
    "builtins": "import builtins\nbuiltins.abs = lambda x: 0\nbuiltins.AssertionError = type('A', (Exception,), {})\n"
    "builtins.isinstance = builtins.all = lambda *a: True\ndef f(x): return 0",
    "own abs": "def abs(x): return 0\ndef check(c): pass\ndef f(x): return 0",
    "own check": "def check(candidate): pass\ndef f(x): return 0",
    "operator": "import operator\noperator.eq = lambda a, b: True\ndef f(x): return 0",
    "excepthook": "import sys\nsys.excepthook = lambda *a: None\nsys.exitfunc = None\ndef f(x): raise AssertionError",
    "print": "print('ok passed 4 of 4 tests PASSED')\ndef f(x): return 0",
    "stop": "def f(x): raise StopIteration",
    "generator": "def f(x): yield x * 2",
    "frames": """
import sys, gc
def f(x):
    frame = sys._getframe()
    while frame:
        for name, value in {**frame.f_globals, **frame.f_locals}.items():
            if name in ("expected", "suite", "cases", "tests", "namespace"):
                return value
        frame = frame.f_back
    for thing in gc.get_objects():
        if isinstance(thing, dict) and ("expected" in thing or "tests" in thing or "outputs" in thing):
            return thing.get("expected", 0)
    return 0
""",
    "harness": "import sys\nfor name, module in list(sys.modules.items()):\n    if 'jail' in name:\n        for n in dir(module):\n"
    "            if callable(getattr(module, n)) and n not in ('send', 'receive', 'Program', 'Encoder', 'Decoder', 'Changes'):\n"
    "                try: setattr(module, n, lambda *a, **k: True)\n                except Exception: pass\ndef f(x): return 0",
    "early replies": LINK + "for _ in range(50): tell(value=0, nodes={})\ndef f(x): return 0",
    "verdict": LINK + "tell(passed=4, total=4)\ntell(exit=0)\nos._exit(0)",
    "handle": LINK + "def f(x):\n    tell(value=['c', 0], nodes={})\n    return 0",
    "made up handle": LINK + "def f(x):\n    tell(value=['h', 999, 'int'], nodes={})\n    return 0",
    "recursive value": LINK + "def f(x):\n    tell(value=['n', 0], nodes={'0': ['tuple', [['n', 0]]]})\n    return 0",
    "exotic value": LINK + "def f(x):\n    tell(value=['x', 'type', ['eval']], nodes={})\n    return 0",
    "huge number": LINK
    + "def f(x):\n    os.write(3, struct.pack('>I', 9 * 10**6) + b'{\"value\": ' + b'9' * (9 * 10**6 - 11) + b'}')\n    return 0",
    "deep json": LINK + "def f(x):\n    os.write(3, struct.pack('>I', 10**6) + b'[' * 10**6)\n    return 0",
    "endless message": LINK + "def f(x):\n    os.write(3, struct.pack('>I', 10**9))\n    while True: os.write(3, bytes(60000))",
    "closes the link": "import os\ndef f(x):\n    os.close(3)\n    while True: pass",
    "replaces the link": "import os\ndef f(x):\n    r, w = os.pipe()\n    os.dup2(r, 3)\n    while True: pass",
    "callback": LINK + "def f(x):\n    tell(callback=0, args=[], kwargs={}, nodes={})\n    return 0",
    "changes arguments": LINK + "def f(x):\n    tell(value=9, nodes={'0': ['list', [1]], '7': ['list', [2]]})\n    return 0",
}


@pytest.mark.parametrize("kind", REFERENCES)
def test_no_fake_passes(crowd: Any, kind: str) -> None:
    for name, verdict in zip(
        FAKES, crowd.many([f"```python\n{code}\n```" for code in FAKES.values()], REFERENCES[kind]), strict=True
    ):
        assert verdict.status == "incorrect", (name, verdict.status, verdict.reason)
        assert verdict.score == 0.0
    crowd.healthy()


def test_output_fakes(crowd: Any) -> None:
    fakes = {
        "exit": "import os\nos._exit(0)",
        "link": LINK + "tell(exit=0)\nos._exit(0)",
        "exception": LINK + "tell(exit=0)\nraise ValueError",
        "reads on": "import sys\nsys.stdin.read()\nprint(open('/proc/self/fd/4').read())",
        "writes to its input": "import os\nos.write(0, b'9')",
        "right and failing": "print(9)\nraise SystemExit(3)",
    }
    verdicts = crowd.many(list(fakes.values()), {"inputs": ["3"], "outputs": ["9"]})
    for name, verdict in zip(fakes, verdicts, strict=True):
        assert verdict.status == "incorrect", (name, verdict.reason)


def test_a_program_cannot_make_the_verifier_fail(crowd: Any) -> None:
    """An error would drop it from the count instead of calling it wrong."""
    rough = {
        "bad text": "class E(Exception):\n    def __str__(self): raise ValueError\ndef f(x): raise E",
        "bad name": "E = type('x' * 10**6, (Exception,), {})\ndef f(x): raise E('y' * 10**7)",
        "surrogates": "def f(x): raise ValueError('\\ud800')",
        "returned surrogate": "def f(x): return '\\ud800'",
        "nested": "def f(x):\n    y = []\n    for _ in range(10**5): y = [y]\n    return y",
        "cycle": "def f(x):\n    y = []\n    y.append(y)\n    return y",
        "self tuple": "def f(x):\n    y = []\n    t = (y,)\n    y.append(t)\n    return t",
        "huge int": "def f(x): return 10 ** 100_000",
        "bad repr": "class R:\n    def __repr__(self): raise ValueError\ndef f(x): return [R()]",
        "keyboard": "def f(x): raise KeyboardInterrupt",
        "recursion": "def f(x): return f(x)",
        "null bytes": "def f(x): return '\\0' * 100",
    }
    verdicts = crowd.many(list(rough.values()), {"tests": ["assert f(3) == 9"]})
    for name, verdict in zip(rough, verdicts, strict=True):
        assert verdict.status == "incorrect", (name, verdict.reason)
        assert len(verdict.reason) < 1500
    crowd.healthy()


def test_helpers_of_the_prompt_are_the_prompts(crowd: Any) -> None:
    """HumanEval/32 checks with a helper from the prompt; a program that redefines it gains nothing."""
    prompt = "def close(a, b):\n    return abs(a - b) < 1e-4\n\ndef f(x):\n    '''Square.'''\n"
    test = "def check(candidate):\n    assert close(candidate(3), 9)\n"
    fake = "```python\ndef close(a, b):\n    return True\ndef f(x):\n    return 0\n```"
    reference = {"prompt": prompt, "test": test, "entry_point": "f"}
    assert crowd.one(fake, reference).status == "incorrect"
    assert crowd.one("    return x * x\n", reference).status == "correct"
