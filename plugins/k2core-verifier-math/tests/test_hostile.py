"""Hostile answers, as prediction, as reference, as both and in votes: nothing is accepted, executed or held up by them."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from k2core_verifier_math.check import quick
from k2core_verifier_math.extract import ORDER, extract, reference_answer
from k2core_verifier_math.plugin import MathConfig, MathVerifier, _form

from k2core import Candidate, PipelineConfig, Problem, Runtime, Verdict
from k2core.testing import fake_decoder

PROBLEM = Problem(prompt="What is it?")


def load(name: str) -> ModuleType:
    path = Path(__file__).parents[1] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


INPUTS = load("hostile_inputs")
ALL = INPUTS.hostile(20_000)
SOME = ALL[::7]


@pytest.fixture
def verifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MathVerifier]:
    monkeypatch.chdir(tmp_path)
    verifier = MathVerifier(MathConfig(timeout=0.6, workers=2))
    yield verifier
    asyncio.run(verifier.k2_stop())
    assert not list(tmp_path.iterdir())


def given(*answers: str) -> list[Candidate]:
    return [Candidate(id=f"c{place}", text=answer, answer=answer) for place, answer in enumerate(answers)]


def test_there_are_enough() -> None:
    assert len(ALL) >= 300
    assert len({one.family for one in ALL}) >= 13
    assert all(one.text != one.other for one in ALL)


@pytest.mark.parametrize("one", [one for one in ALL if one.family != "megabytes"], ids=lambda one: one.text[:30])
def test_look_alikes_differ_in_this_process_too(one: Any) -> None:
    assert (quick(one.text, one.other) or ("", ""))[0] != "equal"
    assert _form(one.text) != _form(one.other)


def test_512_at_once_in_threads_and_nobody_else_suffers(verifier: MathVerifier) -> None:
    pairs = INPUTS.decent(60)
    work = (
        [(one.text, "17", False) for one in SOME]
        + [("17", one.text, False) for one in SOME]
        + [(one.text, one.other, False) for one in SOME]
    )
    work = [pair for several in zip(work[:60], pairs, strict=True) for pair in several] + work[60:]
    verdicts: dict[int, Verdict] = {}

    async def one(place: int) -> None:
        answer, gold, _ = work[place]
        [verdicts[place]] = await verifier.k2_verify(PROBLEM, given(answer), gold)

    async def main(places: range) -> None:
        await asyncio.gather(*map(one, places))

    threads = [threading.Thread(target=lambda turn=turn: asyncio.run(main(range(turn, len(work), 2)))) for turn in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    accepted = [work[place][:2] for place in sorted(verdicts) if not work[place][2] and verdicts[place].status == "correct"]
    assert not accepted
    assert {verdict.status for verdict in verdicts.values()} <= {"correct", "incorrect", "undecided"}
    decent = [(place, expected) for place, (_, _, expected) in enumerate(work[:120]) if place % 2]
    assert [
        (work[place], verdicts[place].reason) for place, expected in decent if (verdicts[place].status == "correct") != expected
    ] == []


def test_one_after_the_other_none_takes_long(verifier: MathVerifier) -> None:
    """The sum of the turns of a worker, with room for a busy machine, a start and work in this process."""

    async def main() -> list[tuple[float, str]]:
        slow = []
        for one in ALL[2::16]:
            started = time.monotonic()
            await verifier.k2_verify(PROBLEM, given(one.text), one.other)
            slow.append((time.monotonic() - started, one.text[:60]))
        return slow

    assert max(asyncio.run(main())) < (8.0, "")


def test_in_a_vote(verifier: MathVerifier) -> None:
    texts = [text for one in ALL[1::16] for text in (one.text, one.other)]
    verdicts = asyncio.run(verifier.k2_verify(PROBLEM, given(*texts, "17", "17.0"), None))
    assert verdicts[-1].key == verdicts[-2].key
    together = [texts[place] for place in range(0, len(texts), 2) if verdicts[place].key == verdicts[place + 1].key]
    assert not together


def test_inside_a_running_loop_through_solve_sync(verifier: MathVerifier) -> None:
    config = PipelineConfig.from_dict(
        {
            "sampler": {"use": "best-of-n", "n": 6},
            "decoders": {"solver": {"use": "fake"}},
            "verifiers": {"math": {"timeout": 1.0}},
        }
    )
    from k2core import Registry

    registry, texts = Registry(), [one.text for one in SOME[:3]]
    registry.add("decoder", "fake", fake_decoder(lambda request, index: rf"\boxed{{{[*texts, '42', '42', '42'].pop()}}}"))

    async def main() -> str | None:
        with Runtime(config, registry=registry) as runtime:
            return runtime.solve_sync(Problem(prompt="6 * 7?"), seed=1).answer

    assert asyncio.run(main()) == "42"


@pytest.mark.parametrize("answer_format", sorted(ORDER))
def test_extraction_and_keys_take_linear_time(answer_format: str) -> None:
    """A megabyte of anything: what were quadratic would take minutes."""
    for _, text, _ in INPUTS.hostile(1_000_000)[-32::3]:
        started = time.process_time()
        extract(text, answer_format)
        reference_answer(text)
        _form(text)
        assert time.process_time() - started < 3.0, text[:40]
