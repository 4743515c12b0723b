"""The plugin in the kernel: conformance, a pipeline, the cache, concurrency, machines without a sandbox, the corpora."""

from __future__ import annotations

import asyncio
import gzip
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from k2core_verifier_code import sandbox
from k2core_verifier_code.plugin import CodeConfig, CodeVerifier

from k2core import Candidate, PipelineConfig, Problem, Registry, Runtime
from k2core.testing import assert_conforms, fake_decoder

DATA = Path(__file__).parents[3].parent / "shared" / "data"
TESTS = {"tests": ["assert f(2) == 4"]}


def test_conforms() -> None:
    assert_conforms("verifier", CodeVerifier, {"workers": 1})


def test_importing_is_light() -> None:
    code = "import k2core, time\nt = time.perf_counter()\nimport k2core_verifier_code.plugin\nprint(time.perf_counter() - t)"
    seconds = min(float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout) for _ in range(3))
    assert seconds < 0.25


def test_in_a_pipeline() -> None:
    registry = Registry()
    answers = ["```python\ndef f(x):\n    return x + 1\n```", "```python\ndef f(x):\n    return x * x\n```", "no idea"]
    registry.add("decoder", "fake", fake_decoder(lambda request, index: answers.pop()))
    data = {"sampler": {"use": "best-of-n", "n": 3}, "decoders": {"solver": {"use": "fake"}}, "verifiers": {"code": {"workers": 1}}}

    async def main() -> None:
        problem = Problem(prompt="Square f.", domain="code", answer_format="code", meta={"tests": ["assert f(3) == 9"]})
        async with Runtime(PipelineConfig.from_dict(data), registry=registry) as runtime:
            result = await runtime.solve(problem, seed=1)
        assert "x * x" in result.candidate.text
        assert result.answer == "def f(x):\n    return x * x\n"

    asyncio.run(main())


def test_the_cache_and_equal_candidates(open_judge: Any) -> None:
    judge = open_judge(workers=1)
    asked = []
    ask = judge.sandboxes.ask

    async def counted(*args: Any) -> dict[str, Any]:
        asked.append(1)
        return dict(await ask(*args))

    judge.sandboxes.ask = counted
    code = "def f(x): return x * x"
    assert [verdict.status for verdict in judge.many([code] * 5, TESTS)] == ["correct"] * 5
    assert judge.one(code, TESTS).status == "correct"
    assert len(asked) == 1
    assert judge.one(code, {"tests": ["assert f(3) == 4"]}).status == "incorrect"
    assert len(asked) == 2


def test_candidates_run_side_by_side(open_judge: Any) -> None:
    judge = open_judge(workers=8, timeout=20.0)
    judge.many([f"import time\ndef f(x):\n    time.sleep(0)\n    return {n}" for n in range(8)], TESTS)
    began = time.perf_counter()
    judge.many([f"import time\ndef f(x):\n    time.sleep(2)\n    return {n}" for n in range(8)], TESTS)
    assert time.perf_counter() - began < 8  # 16 one after the other


def test_waiting_for_a_busy_machine_does_not_count(open_judge: Any) -> None:
    """The limit is processor time: a program that waits for others gets `wall`."""
    judge = open_judge(workers=1, timeout=0.5, wall=10.0)
    assert judge.one("import time\ndef f(x):\n    time.sleep(1.2)\n    return x * x", TESTS).status == "correct"
    assert judge.one("def f(x):\n    while True: pass", TESTS).reason == "test 1: used more than 0.5 s of processor time"


def test_the_total_is_a_limit(open_judge: Any) -> None:
    judge = open_judge(workers=1, timeout=5.0, total=1.5, scoring="partial")
    tests = {"tests": [f"assert f({n}) == {n}" for n in range(10)]}
    verdict = judge.one("import time\ndef f(x):\n    time.sleep(0.5)\n    return x", tests)
    assert verdict.status == "incorrect"
    assert 0 < verdict.score < 0.5
    assert "all tests together took too long" in verdict.reason


def test_where_nothing_isolates_it_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "bubblewrap", lambda: None)
    monkeypatch.setattr(sandbox.kernel, "landlock_abi", lambda: 0)
    with pytest.raises(RuntimeError, match=r"apt-get install bubblewrap.*Landlock of version 3"):
        asyncio.run(CodeVerifier().k2_start())
    monkeypatch.setattr(sandbox.sys, "platform", "darwin")
    with pytest.raises(RuntimeError, match="needs Linux"):
        asyncio.run(CodeVerifier().k2_start())


def test_a_sandbox_that_does_not_come_up_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sandbox, "bubblewrap", lambda: str(broken))
    with pytest.raises(RuntimeError, match=r"bubblewrap: .*could not be started"):
        asyncio.run(CodeVerifier(CodeConfig(sandbox="bubblewrap")).k2_start())


@pytest.mark.parametrize("options", [{"processes": 4}, {"disk_mb": 4}])
def test_what_landlock_cannot_limit(options: dict[str, Any]) -> None:
    with pytest.raises(RuntimeError, match="need bubblewrap"):
        asyncio.run(CodeVerifier(CodeConfig(sandbox="landlock", **options)).k2_start())


@pytest.mark.parametrize("python", ["/nonesuch/python", "/bin/true"])
def test_an_interpreter_that_is_none(python: str) -> None:
    with pytest.raises(RuntimeError, match="python: "):
        asyncio.run(CodeVerifier(CodeConfig(python=python)).k2_start())


def test_packages(judge: Any, open_judge: Any) -> None:
    code = "def f(x):\n    import pydantic\n    return x * x"
    assert "No module named 'pydantic'" in judge.one(code, TESTS).reason
    assert open_judge(packages=True, workers=1, timeout=20.0).one(code, TESTS).status == "correct"


def test_a_dead_worker_is_an_error_and_replaced(judge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> str:
        candidates = [Candidate(id="a", text="import time\ndef f(x):\n    time.sleep(1)")]
        call = asyncio.ensure_future(judge.verifier.k2_verify(Problem(prompt="x"), candidates, json.dumps(TESTS)))
        await asyncio.sleep(0.3)
        for slot in judge.sandboxes._pool._slots:
            slot.process._popen.kill()
        [verdict] = await call
        return f"{verdict.status}: {verdict.reason}"

    assert asyncio.run(main()).startswith("error: the sandbox failed")
    judge.healthy()


def rows(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        pytest.skip(f"no {path}")
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_every_tenth_reference_solution_passes(open_judge: Any) -> None:
    judge = open_judge(workers=2)
    for row in rows(DATA / "bench" / "humaneval.jsonl")[::10]:
        reference = {"prompt": row["problem"], "test": row["test"], "entry_point": row["entry_point"]}
        assert judge.one(row["answer"], reference).status == "correct", row["id"]
    for row in rows(DATA / "bench" / "mbpp.jsonl")[::20]:
        reference = {"tests": row["tests"], "test_setup_code": row["test_setup"], "challenge_tests": row["challenge_tests"]}
        assert judge.one(row["answer"], reference).status == "correct", row["id"]


def test_labelled_samples(open_judge: Any) -> None:
    judge = open_judge(workers=2)
    tests = {row["id"]: row for row in rows(DATA / "bench" / "humaneval.jsonl")}
    agreed = 0
    problems = rows(DATA / "open" / "solutions_humaneval_codegen16b.jsonl.gz")[::20]
    for row in problems:
        reference = {"prompt": row["prompt"], "test": tests[row["pid"]]["test"], "entry_point": tests[row["pid"]]["entry_point"]}
        verdicts = judge.many([one["completion"] for one in row["samples"][::5]], reference)
        agreed += sum(
            (verdict.status == "correct") == one["passed"] for verdict, one in zip(verdicts, row["samples"][::5], strict=True)
        )
    assert agreed >= 0.99 * 20 * len(problems)


LEETCODE = {
    "minimumPushes": "class Solution:\n    def minimumPushes(self, word: str) -> int:\n"
    "        counts = sorted(Counter(word).values())\n"
    "        return sum(count * (n // 8 + 1) for n, count in enumerate(reversed(counts)))",
    "doubleIt": "class Solution:\n    def doubleIt(self, head: Optional[ListNode]) -> Optional[ListNode]:\n"
    "        digits, node = '', head\n"
    "        while node:\n            digits, node = digits + str(node.val), node.next\n        made = None\n"
    "        for digit in reversed(str(2 * int(digits))):\n            made = ListNode(int(digit), made)\n        return made",
    "insertGreatestCommonDivisors": "class Solution:\n    def insertGreatestCommonDivisors(self, head):\n        node = head\n"
    "        while node.next:\n            node.next = ListNode(gcd(node.val, node.next.val), node.next)\n"
    "            node = node.next.next\n"
    "        return head",
}


@pytest.mark.parametrize("name", LEETCODE)
def test_contest_rows(judge: Any, name: str) -> None:
    found = [row for row in rows(DATA / "bench" / "leetcode_contest_180.jsonl.gz") if f".{name}(" in row["test"]]
    assert found
    row = found[-1]
    wrong = LEETCODE[name].replace("// 8 + 1", "// 9 + 1").replace("2 * int", "3 * int").replace("gcd(", "max(")
    right, not_right = judge.many([LEETCODE[name], wrong], {"test": row["test"], "stub": row["stub"]})
    assert right.status == "correct", right.reason
    assert not_right.status == "incorrect"
