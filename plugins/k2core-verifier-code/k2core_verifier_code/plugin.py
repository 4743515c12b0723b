"""The verifier: finds the program in the text, has it tested in the sandbox, and says what came out."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from k2core.concurrency import gather
from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.types import Candidate, Problem, Verdict

from .extract import NONE, NoCode, find
from .pool import Sandboxes
from .reference import Suite, parse, suite
from .sandbox import Limits


class CodeConfig(PluginConfig):
    timeout: float = Field(default=4.0, gt=0)
    """Seconds of processor time that one test may use; time spent waiting for a busy machine does not count."""
    wall: float = Field(default=0.0, ge=0)
    """Seconds by the clock that a test may take that mostly waits; 0 means three times `timeout`. One that computes has `total`."""
    total: float = Field(default=60.0, gt=0)
    """Seconds by the clock for all the tests of one candidate."""
    memory_mb: int = Field(default=1024, ge=64)
    """Address space of a program in megabytes (2**20 bytes)."""
    output_kb: int = Field(default=1000, ge=1)
    """Most that a program may print in one stdin/stdout test, in kilobytes (1,000 bytes)."""
    threads: int = Field(default=32, ge=0)
    """Most threads beside the first one."""
    processes: int = Field(default=0, ge=0, le=1000)
    """Most processes that a program may start. More than 0 needs bubblewrap."""
    disk_mb: int = Field(default=0, ge=0)
    """Size of a private folder to write to, gone after each test run. 0: nothing can be written. More needs bubblewrap."""
    workers: int = Field(default=2, ge=1, le=256)
    """Candidates that are tested side by side."""
    scoring: Literal["all", "partial"] = "all"
    """`all`: the score is 1 when every test passed, else 0. `partial`: the share of tests passed."""
    tolerance: float = Field(default=1e-6, ge=0)
    """Relative and absolute difference allowed between floats, in formats that compare values or printed numbers."""
    sandbox: Literal["auto", "bubblewrap", "landlock"] = "auto"
    """`auto` takes bubblewrap where it works, else Landlock."""
    python: str = ""
    """Path of the interpreter that runs programs and tests, 3.11 or newer; empty means this one."""
    packages: bool = False
    """Let programs import that interpreter's installed packages."""
    preload: tuple[str, ...] = ()
    """Modules imported once a worker instead of once a program, such as numpy; with `packages` only."""
    imports: Literal["auto", "none", "common"] = "auto"
    """Modules imported ahead of a program: `auto` does as the official harness of the tests' format."""
    cache: int = Field(default=4096, ge=0)
    """Verdicts remembered, by program and tests; time-outs are not."""


class CodeVerifier(Plugin):
    """Tests model-written Python programs in a sandbox; without tests, equal programs vote together."""

    config: CodeConfig
    listwise: ClassVar[bool] = False

    def __init__(self, config: CodeConfig | None = None) -> None:
        super().__init__(config)
        self._sandboxes: Sandboxes | None = None
        self._lock = threading.Lock()
        self._cache: OrderedDict[str, dict[str, Any]] = OrderedDict()

    @hookimpl
    async def k2_start(self) -> None:
        await asyncio.to_thread(self._open)

    def _open(self) -> None:
        with self._lock:
            self._sandboxes = self._sandboxes or self._opened()

    def _opened(self) -> Sandboxes:
        config = self.config
        limits = Limits(math.ceil(config.total) + 1, config.memory_mb << 20, config.disk_mb << 20, config.threads, config.processes)
        preload = config.preload if config.packages else ()
        return Sandboxes.open(config.sandbox, config.python, limits, config.workers, packages=config.packages, preload=preload)

    @hookimpl
    async def k2_stop(self) -> None:
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        with self._lock:
            sandboxes, self._sandboxes = self._sandboxes, None
            if sandboxes is not None:
                sandboxes.close()

    @hookimpl
    async def k2_verify(self, problem: Problem, candidates: Sequence[Candidate], reference: str | None) -> Sequence[Verdict]:
        try:
            tests, fault = self._tests(problem, reference)
        except ValueError as error:
            return [
                Verdict(candidate_id=candidate.id, status="error", reason=f"no usable tests: {error}") for candidate in candidates
            ]
        texts = list(dict.fromkeys(candidate.text for candidate in candidates))
        outcomes = dict(zip(texts, await gather(self._verify(tests, text) for text in texts), strict=True))
        return [self._verdict(candidate, outcomes[candidate.text], fault) for candidate in candidates]

    def _tests(self, problem: Problem, reference: str | None) -> tuple[Suite, str]:
        """The tests, and why there are none. Tests that cannot be read raise `ValueError`."""
        if reference is not None:
            return parse(reference), ""
        if not problem.meta.get("tests"):
            return Suite("none"), "no tests: neither a reference nor the problem's meta.tests"
        data = problem.meta["tests"]
        extra = {key: value for key, value in problem.meta.items() if key != "tests"}
        return suite({**extra, "tests": data} if isinstance(data, list) else data), ""

    async def _verify(self, tests: Suite, text: str) -> dict[str, Any]:
        try:
            found = find(text, prompt=tests.prompt, entry=tests.entry, wanted=tests.wanted)
        except NoCode as error:
            return {"kind": "unparsed", "text": str(error)}
        job = self._job(tests, found.programs)
        key = hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()
        outcome = self._cache.get(key)
        if outcome is None:
            if self._sandboxes is None:  # asked without having been started
                await self.k2_start()
            assert self._sandboxes is not None
            outcome = await self._sandboxes.ask(job, self.config.total + 15.0)
            self._remember(key, outcome)
        if outcome.get("kind") == "compile" and not found.sure:
            return {"kind": "unparsed", "text": NONE}
        return {**outcome, "shown": found.shown}

    def _job(self, tests: Suite, sources: list[tuple[str, int]]) -> dict[str, Any]:
        config = self.config
        return {
            "suite": tests.message(),
            "sources": sources,
            "wanted": tests.wanted,
            "preamble": tests.preamble(config.imports),
            "partial": config.scoring == "partial",
            "timeout": config.timeout,
            "wall": config.wall or 3 * config.timeout,
            "total": config.total,
            "cpu": math.ceil(config.total) + 1,
            "output": config.output_kb * 1000,
            "tolerance": config.tolerance,
            "judge_memory": (2 * config.memory_mb + 512) << 20,
        }

    def _remember(self, key: str, outcome: dict[str, Any]) -> None:
        if "error" in outcome or outcome.get("kind") == "timeout":
            return
        self._cache[key] = outcome
        while len(self._cache) > self.config.cache:
            self._cache.popitem(last=False)

    def _verdict(self, candidate: Candidate, outcome: dict[str, Any], fault: str) -> Verdict:
        cut = "; the text was truncated at its token limit" if _truncated(candidate) else ""
        kind, text = outcome.get("kind"), outcome.get("text", "")
        common: dict[str, Any] = {"candidate_id": candidate.id, "key": outcome.get("key"), "answer": outcome.get("shown")}
        if kind == "unparsed" or (kind == "compile" and cut):
            return Verdict(**common, status="unparsed", reason=text + cut)
        if "error" in outcome:
            return Verdict(**common, status="error", reason=outcome["error"])
        passed, total = outcome["passed"], outcome["total"]
        if kind is None and total and passed == total:
            return Verdict(**common, status="correct", score=1.0, reason=f"passed {_counted(total, 'test')}")
        if kind is None and not total:
            return Verdict(**common, status="undecided", reason=fault)
        score = passed / total if self.config.scoring == "partial" and total else 0.0
        return Verdict(**common, status="incorrect", score=min(score, 0.99), reason=_why(outcome, self.config.scoring) + cut)


def _why(outcome: dict[str, Any], scoring: str) -> str:
    where = f"test {outcome['test'] + 1}: " if outcome.get("test") is not None else ""
    count = f"passed {outcome['passed']} of {_counted(outcome['total'], 'test')}; " if scoring == "partial" else ""
    return f"{count}{where}{outcome['text']}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _truncated(candidate: Candidate) -> bool:
    return candidate.completion is not None and candidate.completion.finish == "length"
