"""Programs, graded by running them against tests."""

from __future__ import annotations

import base64
import binascii
import io
import json
import pickle
import zlib
from typing import Any

from k2core.errors import ConfigError
from k2core.toolkit.benchmark import Benchmark, Grader, Published, Source
from k2core.types import Task

from .entry import Entry, make
from .rows import IDS, PROBLEMS, Row
from .science import REPORT

COMPLETE = "Complete this Python program. Give all of it, with what is already there.\n\n```python\n{problem}\n```"
WITH_TESTS = "{problem}\n\nWrite it in Python. Your program must pass these tests:\n\n```python\n{tests}\n```"
STDIN = "{problem}\n\nWrite a Python program that reads from standard input and writes the answer to standard output."
STARTER = "{problem}\n\nWrite it in Python, and go on from this:\n\n```python\n{starter}\n```"
_MOST = 1 << 30
"""Bytes to which the packed tests of one problem may unfold."""


def human_eval(row: Row, card: Benchmark, seed: int) -> Task:
    """A function's head and docstring; `check(candidate)` is the test."""
    head = row.text(("prompt", "problem"), "prompt")
    tests = {"prompt": head, "test": row.text(("test",), "test"), "entry_point": row.text(("entry_point",), "entry_point")}
    used = ("prompt", "problem", "test", "entry_point", *IDS)
    return make(row, card, {"problem": head.rstrip()}, json.dumps(tests), used)


def mbpp(row: Row, card: Benchmark, seed: int) -> Task:
    """As the set's authors prompt: with the asserts that grade it, since names and signatures stand nowhere else."""
    tests = row.need(("tests", "test_list"), "tests")
    if not (isinstance(tests, list) and all(isinstance(test, str) for test in tests)):
        raise ConfigError(f"{row.where}: the tests must be a list of asserts")
    setup = str(row.find(("test_setup", "test_setup_code")) or "")
    imports = row.data.get("test_imports") or []
    setup = "\n".join([*imports, setup]).strip()
    problem = row.text(("text", "problem", "prompt"), "problem")
    reference = json.dumps({"tests": tests, "test_setup_code": setup})
    used = ("text", "problem", "prompt", "tests", "test_list", "test_setup", "test_setup_code", "test_imports", *IDS)
    return make(row, card, {"problem": problem, "tests": "\n".join(tests)}, reference, used)


def livecodebench(row: Row, card: Benchmark, seed: int) -> Task:
    """Public and private tests grade; the question shows its own examples."""
    problem, starter = row.text(PROBLEMS[::-1], "question"), str(row.data.get("starter_code") or "").strip()
    tests = [*_cases(row, "public_test_cases"), *_cases(row, "private_test_cases")]
    if not tests:
        raise ConfigError(f"{row.where}: no tests; wanted public_test_cases or private_test_cases")
    metadata = row.data.get("metadata") or {}
    reference = json.dumps({"public_test_cases": tests, "metadata": metadata, "starter_code": starter})
    used = (*PROBLEMS, "starter_code", "public_test_cases", "private_test_cases", "metadata", *IDS)
    template = STARTER if starter else STDIN
    return make(row, card, {"problem": problem, "starter": starter}, reference, used, template=template)


class _TextOnly(pickle.Unpickler):
    """Reads a pickled text, and refuses whatever would import or call something."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def unpacked(text: str, where: str) -> str:
    """The hub's packing of private tests undone: JSON text, pickled, deflated, in base 64. Raises `ConfigError`."""
    try:
        inflater = zlib.decompressobj()
        data = inflater.decompress(base64.b64decode(text, validate=True), _MOST)
        if inflater.unconsumed_tail:
            raise ConfigError(f"{where}: private_test_cases unfold to more than {_MOST >> 20} MiB")
        found = _TextOnly(io.BytesIO(data)).load()
    except (binascii.Error, zlib.error, pickle.UnpicklingError, EOFError, ValueError) as error:
        raise ConfigError(f"{where}: private_test_cases are neither JSON nor packed JSON: {error}") from error
    if not isinstance(found, str):
        raise ConfigError(f"{where}: private_test_cases hold a packed {type(found).__name__}, not text")
    return found


def _cases(row: Row, name: str) -> list[Any]:
    value = row.data.get(name) or []
    if isinstance(value, str):
        found = _parsed(value)
        value = _parsed(unpacked(value, row.where)) if found is None else found
    if not isinstance(value, list):
        raise ConfigError(f"{row.where}: {name} must be a list of tests, or JSON of one")
    return value


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def leetcode(row: Row, card: Benchmark, seed: int) -> Task:
    """A stub of `class Solution`, and asserts on its method."""
    stub = row.text(("stub", "prompt"), "stub")
    reference = json.dumps({"prompt": stub, "test": row.text(("test",), "test")})
    return make(row, card, {"problem": stub.rstrip()}, reference, ("stub", "prompt", "test", "problem", *IDS))


CODE = Grader(use="code")
_LIVE = (
    "The K2 Think report's window is 2024-07-01 to 2025-02-01: `since` and `until`. Without one, every problem of the release is "
    "taken, those from before a model's data cut-off included."
)
ENTRIES = (
    Entry(Benchmark(
        name="humaneval", title="HumanEval", domain="code", answer_format="code", prompt=COMPLETE, grader=CODE,
        source=Source(
            hub="openai/openai_humaneval", revision="7dce6050a7d6d172f3cc5c32aa97f52fa1a2e544", files=("humaneval", "HumanEval"),
        ),
        size=164, licence="MIT", citation="arXiv:2107.03374",
    ), human_eval),
    Entry(Benchmark(
        name="mbpp", title="Mostly Basic Python Problems, test", domain="code", answer_format="code", prompt=WITH_TESTS,
        grader=CODE,
        source=Source(
            hub="google-research-datasets/mbpp", revision="4bb6404fdc6cacfda99d4ac4205087b89d32030c", subset="full",
            files=("mbpp",),
        ),
        size=500, licence="CC BY 4.0", citation="arXiv:2108.07732",
    ), mbpp, "The prompt shows the asserts that grade, as the set's authors do: a program can answer them by heart."),
    Entry(Benchmark(
        name="livecodebench-v5", title="LiveCodeBench, code generation, release 5", domain="code", answer_format="code",
        prompt=f"with a starter: {STARTER}\nelse: {STDIN}", grader=Grader(use="code", options={"timeout": 6.0, "total": 600.0}),
        source=Source(
            hub="livecodebench/code_generation_lite", revision="0fe84c3912ea0c4d4a78037083943e8f0c4dd505",
            files=("livecodebench_v5", "livecodebench"),
        ),
        size=880, licence="none stated for the contests' texts", publish=False,
        published=(Published(system="K2 Think", score=63.97, source=REPORT),), citation="arXiv:2403.07974",
    ), livecodebench, _LIVE, hub_files=("test.jsonl", "test2.jsonl", "test3.jsonl", "test4.jsonl", "test5.jsonl")),
    Entry(Benchmark(
        name="leetcode-contest", title="180 LeetCode contest problems, July 2023 to January 2024", domain="code",
        answer_format="code", prompt=COMPLETE, grader=CODE, source=Source(files=("leetcode_contest_180",)), size=180,
        licence="no open licence: texts (c) LeetCode", publish=False, citation="arXiv:2401.14196",
    ), leetcode, "There are no reference solutions to check its tests with."),
)  # fmt: skip
