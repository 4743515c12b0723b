"""What a reference says: the tests, in one of the formats of the field, as one kind of suite.

`code`   tests as Python text: HumanEval's `check(candidate)`, MBPP's asserts, LeetCode asserts, pytest functions
`calls`  a function, its arguments and the value it must return: APPS, TACO, LiveCodeBench "functional"
`stdio`  what a program reads and what it must print: APPS, TACO, LiveCodeBench "stdin"
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .preamble import IMPORTS

_ENTRY = ("entry_point", "fn_name", "func_name", "function_name")
_LISTS = ("tests", "test_list", "test_cases", "public_test_cases", "input_output", "cases")
_MORE = ("challenge_test_list", "challenge_tests", "private_test_cases")
_SETUP = ("test_setup_code", "test_setup", "test_imports", "setup")
_CALLED = re.compile(r"\b([A-Za-z_]\w*)\s*\(")


@dataclass(frozen=True)
class Suite:
    """Tests as the judge takes them."""

    kind: Literal["code", "calls", "stdio", "none"]
    tests: tuple[str, ...] = ()
    cases: tuple[dict[str, Any], ...] = ()
    setup: str = ""
    prompt: str = ""
    """Text that the completion goes on with, or that defines what the tests need besides."""
    entry: str | None = None
    contest: bool = False
    """Whether the format's own harness imports the usual modules ahead of the program."""
    wanted: tuple[str, ...] = field(default=())
    """Names of which the program must define one."""

    def message(self) -> dict[str, Any]:
        """For the judge."""
        size = len(self.tests) or len(self.cases)
        return {"kind": self.kind, "tests": self.tests, "cases": self.cases, "setup": self.setup, "size": size} | {
            "prompt": self.prompt,
            "entry": self.entry,
        }

    def preamble(self, imports: str) -> str:
        """What is executed ahead of the program, by the option `imports`."""
        return IMPORTS if imports == "common" or (imports == "auto" and self.contest) else ""


def parse(reference: str) -> Suite:
    """The tests that a reference holds. Raises `ValueError` that says what is wrong and where."""
    try:
        data = json.loads(reference)
    except (ValueError, RecursionError):
        data = reference
    return suite(data)


def suite(data: Any) -> Suite:
    """As `parse`, of what is no text any more, such as a problem's `meta["tests"]`."""
    if isinstance(data, str):
        return _code({"test": data})
    if isinstance(data, list):
        return suite({"tests": data})
    if not isinstance(data, Mapping):
        raise ValueError(f"a reference is test code, a list of tests or an object that holds them, not {type(data).__name__}")
    if "inputs" in data or "outputs" in data:
        return _columns(data)
    if isinstance(data.get("test"), str):
        return _code(data)
    name = next((name for name in _LISTS if data.get(name)), None)
    if name is None:
        raise ValueError(
            f"no tests in the reference: expected test, tests or inputs and outputs, got {', '.join(map(str, data)) or 'no fields'}"
        )
    return _listed(data, name)


def _listed(data: Mapping[str, Any], name: str) -> Suite:
    tests = _unpacked(data[name], name)
    if isinstance(tests, Mapping):
        return _columns({**data, **tests})
    for more in _MORE:
        found = _unpacked(data.get(more) or [], more)
        tests = [*tests, *found] if isinstance(found, list) else tests
    if isinstance(tests, list) and all(isinstance(test, str) for test in tests):
        return _code({**data, "tests": tests})
    if isinstance(tests, list) and all(isinstance(test, Mapping) for test in tests):
        return _rows(data, tests, name)
    raise ValueError(f"{name}: a list of asserts (text) or of objects with input and output, not {_kind(tests)}")


def _unpacked(value: Any, name: str) -> Any:
    """Some data sets keep lists as JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"{name}: is text but no JSON ({error})") from None


def _kind(value: Any) -> str:
    kinds = sorted({type(item).__name__ for item in value}) if isinstance(value, list) else [type(value).__name__]
    return " and ".join(kinds)


def _code(data: Mapping[str, Any]) -> Suite:
    tests = tuple(data["tests"]) if "tests" in data else (str(data["test"]),)
    entry, setup = _entry(data), _setup(data)
    if not tests or not any(test.strip() for test in tests):
        raise ValueError("tests: there are none")
    if entry is None and any(re.search(r"^def check\(", test, re.MULTILINE) for test in tests):
        raise ValueError("entry_point: missing, and the test defines check(candidate)")
    for place, test in enumerate([setup, *tests]):
        _checked(test, "test_setup_code" if place == 0 else f"tests[{place - 1}]")
    text = "\n".join([*tests, setup])
    if not re.search(r"\b(?:assert|raise)", text):
        raise ValueError("tests: they assert nothing, so that every program would pass")
    called = (entry,) if entry else tuple(dict.fromkeys(_CALLED.findall(text[:20000])))
    prompt = str(data.get("prompt") or data.get("stub") or "")
    return Suite("code", tests, setup=setup, prompt=prompt, entry=entry, contest="Solution" in text, wanted=called)


def _checked(test: str, where: str) -> None:
    try:
        compile(test, where, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{where}: is no Python: {error}") from None
    except (RecursionError, MemoryError):
        raise ValueError(f"{where}: is nested too deep") from None


def _setup(data: Mapping[str, Any]) -> str:
    parts = [data.get(name) for name in _SETUP]
    return "\n".join("\n".join(part) if isinstance(part, list) else str(part) for part in parts if part).replace("\r\n", "\n")


def _entry(data: Mapping[str, Any]) -> str | None:
    metadata = data.get("metadata")
    if isinstance(metadata, str) and metadata.strip():
        metadata = _unpacked(metadata, "metadata")
    tables = [data, metadata] if isinstance(metadata, Mapping) else [data]
    found = next((table[name] for table in tables for name in _ENTRY if table.get(name)), None)
    if found is not None and not (isinstance(found, str) and found.isidentifier()):
        raise ValueError(f"entry_point: {found!r:.80} is no name of a function")
    return found


def _columns(data: Mapping[str, Any]) -> Suite:
    inputs, outputs = data.get("inputs"), data.get("outputs")
    if not (isinstance(inputs, list) and isinstance(outputs, list)):
        raise ValueError("inputs and outputs: both must be lists")
    if not inputs or len(inputs) != len(outputs):
        raise ValueError(f"inputs and outputs: {len(inputs)} and {len(outputs)}; there must be as many of each, and one at least")
    return _cases(data, list(zip(inputs, outputs, strict=True)), "inputs")


def _rows(data: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], name: str) -> Suite:
    for place, row in enumerate(rows):
        if not ("input" in row and "output" in row):
            raise ValueError(f"{name}[{place}]: needs input and output, has {', '.join(map(str, row)) or 'no fields'}")
    kinds = {row.get("testtype", "functional" if _entry(data) else "stdin") for row in rows}
    if kinds not in ({"stdin"}, {"functional"}):
        raise ValueError(f"{name}: testtype must be stdin or functional, the same in all; got {', '.join(sorted(map(str, kinds)))}")
    if kinds == {"functional"} and not _entry(data):
        raise ValueError(f"{name}: functional tests need the function's name, in entry_point, fn_name or metadata.func_name")
    data = data if kinds == {"functional"} else {}
    return _cases(data, [(row["input"], row["output"]) for row in rows], name, json_text=True)


def _cases(data: Mapping[str, Any], pairs: Sequence[tuple[Any, Any]], name: str, *, json_text: bool = False) -> Suite:
    entry = _entry(data)
    prompt = str(data.get("prompt") or data.get("starter_code") or "")
    if entry is None:
        texts = [
            (_text(given, f"{name}[{place}]"), _text(expected, f"outputs[{place}]"))
            for place, (given, expected) in enumerate(pairs)
        ]
        return Suite("stdio", cases=tuple({"input": given, "output": expected} for given, expected in texts), contest=True)
    cases = tuple(_call(given, expected, f"{name}[{place}]", json_text) for place, (given, expected) in enumerate(pairs))
    return Suite("calls", cases=cases, prompt=prompt, entry=entry, contest=True, wanted=(entry, "Solution"))


def _text(value: Any, where: str) -> str:
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "\n".join(value)
    if not isinstance(value, str):
        raise ValueError(f"{where}: text, or a list of lines, for a program without entry_point; got {type(value).__name__}")
    return value


def _call(given: Any, expected: Any, where: str, json_text: bool) -> dict[str, Any]:
    if isinstance(given, str):
        lines = [line for line in given.split("\n") if line.strip()]
        try:
            given = [json.loads(line) for line in lines]
        except ValueError:
            raise ValueError(f"{where}: one JSON value a line, an argument each; got {lines[0][:80]!r}") from None
    if json_text and isinstance(expected, str):
        try:
            expected = json.loads(expected)
        except ValueError:
            raise ValueError(f"{where}: its output is no JSON: {expected[:80]!r}") from None
    if isinstance(given, Mapping):
        return {"args": [], "kwargs": dict(given), "expected": expected}
    if not isinstance(given, list):
        raise ValueError(f"{where}: a list of arguments, an object of named ones or JSON lines, not {type(given).__name__}")
    return {"args": given, "kwargs": {}, "expected": expected}
