"""Nothing in the pipeline can find a reference answer: a plugin in each of its roles searches all that its process holds.

What a sceptic asks for: not that nobody looks, but that who looks does not find. The control puts one `Task` into the process,
and the same search finds it. What is on the disk is another matter: a plugin may read any file that its user can.
"""

import asyncio
import gc
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from evaluations import settings
from k2core_eval.running.evaluate import evaluate

from k2core import Candidate, Plan, Plugin, PluginConfig, Problem, Registry, Task, Verdict, hookimpl
from k2core.testing import FakeDecoder

PARTS = ("ZQX", "71", "83", "64")
"""Of the references, which are made of them anew each time, so that this module does not hold one."""
FOUND: dict[str, list[str]] = {}
CALLS: Counter[str] = Counter()
SEARCHED: Counter[str] = Counter()


def planted(place: int) -> str:
    return "-".join([*PARTS, str(place)])


def mark() -> str:
    return "-".join(PARTS)


def search(where: str, *given: object, first: int = 1) -> None:
    """Look through everything that a plugin in this process can reach, and note where the mark was seen.

    What it was given is searched each time, the whole process, which takes a while, at one call.
    """
    seen: list[str] = FOUND.setdefault(where, [])
    text = mark()
    CALLS[where] += 1
    if CALLS[where] == first:
        SEARCHED[where] += 1
        seen += _everywhere(text)
    seen += [f"argument: {one!r:.80}" for one in given if text in repr(one)]


def _everywhere(text: str) -> list[str]:
    return [f"{what}: {value[:80]!r}" for what, value in (*_objects(text), *_frames(text), *_process(text)) if text in value]


def _objects(text: str) -> Iterator[tuple[str, str]]:
    """Strings and bytes in containers and in the attributes of all objects; those in tuples and frozen records, too.

    Reads containers by the methods of their built-in type: those of a subclass may import all of a library.
    """
    for one in gc.get_objects():
        if one is FOUND or _is(one, type):
            continue
        values: Any = ()
        if _is(one, dict):
            values = [*dict.keys(one), *dict.values(one)]
        else:
            of = next((kind for kind in (list, tuple, set, frozenset) if _is(one, kind)), None)
            values = list(of.__iter__(one)) if of else ()
        for value in values:
            if value is not text:
                yield type(one).__name__, _text(value)


def _text(value: Any) -> str:
    if _is(value, str):
        return str(value)
    return bytes(value).decode("utf-8", "replace") if _is(value, bytes, bytearray) else ""


def _is(value: Any, *kinds: type) -> bool:
    """Unlike `isinstance` does not ask the value, which runs code of modules that other tests have imported."""
    return issubclass(type(value), kinds)


def _frames(text: str) -> Iterator[tuple[str, str]]:
    for frame in sys._current_frames().values():
        inner: Any = frame
        while inner is not None:
            if inner.f_code.co_filename != __file__:
                for name, value in list(inner.f_locals.items()):
                    yield (
                        f"local {name}",
                        repr(value) if _is(value, tuple, dict) else _text(value),
                    )
            inner = inner.f_back


def _process(text: str) -> Iterator[tuple[str, str]]:
    """Modules, arguments, environment, and the files that are open."""
    for name, module in list(sys.modules.items()):
        for key, value in list(getattr(module, "__dict__", {}).items()):
            if key not in ("__doc__", "__file__"):
                yield f"{name}.{key}", _text(value)
    yield "environment", repr(dict(os.environ))
    for name in ("cmdline", "environ"):
        yield name, Path(f"/proc/self/{name}").read_bytes().decode("utf-8", "replace")
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = Path(os.readlink(link))
            yield f"open file {target}", target.read_text(errors="replace") if target.is_file() else ""
        except OSError:
            continue


PLANNER_AT = [1]
"""At which of its calls the planner searches the whole process."""


class SpyConfig(PluginConfig):
    """There is nothing to set."""


class SpyPlanner(Plugin):
    config: SpyConfig

    @hookimpl
    async def k2_plan(self, run: Any, problem: Problem) -> Plan | None:
        search("planner", problem, problem.meta, vars(run), first=PLANNER_AT[0])
        return None


class SpySampler(Plugin):
    config: SpyConfig

    @hookimpl
    async def k2_sample(self, run: Any, problem: Problem) -> Sequence[Candidate]:
        from k2core import DecodeRequest, Message

        search("sampler", problem, problem.meta, vars(run))
        request = DecodeRequest(messages=(Message(role="user", content=problem.text),))
        [made] = await run.decode(request)
        return [Candidate(id="0", text=made.text, completion=made)]


class SpyVerifier(Plugin):
    config: SpyConfig

    @hookimpl
    async def k2_verify(self, run: Any, candidates: Sequence[Candidate], reference: str | None) -> Sequence[Verdict]:
        search("verifier", reference, candidates)
        assert reference is None
        return [Verdict(candidate_id=c.id, status="undecided") for c in candidates]


class SpyHook(Plugin):
    config: SpyConfig
    rank: ClassVar[int] = 10

    @hookimpl
    def k2_event(self, event: Any) -> None:
        if event.kind in ("run_started", "run_ended"):
            search("hook", event)


class SpyDecoder(FakeDecoder):
    @hookimpl
    async def k2_decode(self, run: Any, request: Any) -> Any:
        search("decoder", request)
        return await super().k2_decode(run, request)


PIPELINE: Mapping[str, Any] = {
    "planner": {"use": "spy"},
    "sampler": {"use": "spy"},
    "verifiers": {"spy": {}},
    "hooks": {"spy": {}},
    "decoders": {"solver": {"use": "spy"}},
}


def registry() -> Registry:
    made = Registry()
    made.add("decoder", "fake", FakeDecoder)
    spies = {"planner": SpyPlanner, "sampler": SpySampler, "verifier": SpyVerifier, "hook": SpyHook, "decoder": SpyDecoder}
    for role, plugin in spies.items():
        made.add(role, "spy", plugin)
    return made


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """Two problems; the file is written by another process, so that the references have never been in this one."""
    file = tmp_path / "planted.jsonl"
    parts = "','".join(PARTS)
    code = (
        f"import json; m='-'.join(['{parts}'])\n"
        f"with open({str(file)!r}, 'w') as f:\n"
        "  for i in range(2): f.write(json.dumps({'id': f'p{i}', 'problem': f'What is it, {i}?', 'answer': f'{m}-{i}'}) + chr(10))"
    )
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0
    return file


@pytest.fixture(autouse=True)
def fresh() -> None:
    for kept in (FOUND, CALLS, SEARCHED):
        kept.clear()
    PLANNER_AT[0] = 1
    gc.collect()


def test_nobody_in_the_pipeline_finds_a_reference(tmp_path: Path, task: Path) -> None:
    done = asyncio.run(evaluate(settings([task], tmp_path / "out", PIPELINE, concurrency=1), registry()))
    assert done.complete
    assert set(SEARCHED) == {"planner", "sampler", "verifier", "hook", "decoder"}
    assert {where: seen for where, seen in FOUND.items() if seen} == {}
    assert mark() in (tmp_path / "out" / "problems.jsonl").read_text()  # the scorer had it all the time


def test_not_even_what_the_grader_said_of_an_earlier_run(tmp_path: Path, task: Path) -> None:
    """Its reasons may quote the reference. They are in samples.jsonl, but never in the process of the pipeline."""
    PLANNER_AT[0] = 20
    pipeline = {**PIPELINE, "sampler": {"use": "single"}, "verifiers": {}, "hooks": {}, "decoders": {"solver": {"use": "fake"}}}
    asyncio.run(evaluate(settings([task], tmp_path / "out", pipeline, repeats=12, concurrency=2, peek=True), registry()))
    assert SEARCHED == {"planner": 1}
    assert {where: seen for where, seen in FOUND.items() if seen} == {}


def test_the_search_finds_a_task_that_is_in_the_process() -> None:
    kept = Task(problem=Problem(prompt="What is it?"), reference=planted(0))
    search("control", Problem(prompt="unsuspicious"))
    assert FOUND["control"]
    assert kept.reference is not None
    del kept


def test_the_search_finds_it_in_a_frame_and_in_a_problem() -> None:
    search("argument", Problem(prompt="x", meta={"note": planted(1)}))
    assert any(seen.startswith("argument") for seen in FOUND["argument"])
