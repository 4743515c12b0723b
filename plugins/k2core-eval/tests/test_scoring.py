"""The scorer: what it keeps to itself, how it grades, what happens when its process dies."""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from evaluations import sums
from k2core_eval.records import Referenced
from k2core_eval.scoring.client import Scorer, ScorerError
from k2core_eval.scoring.grading import Graders, grader_config, outcome_of
from k2core_eval.scoring.leaks import check
from k2core_eval.scoring.wire import Wire, decoded, encoded

from k2core import (
    Candidate,
    Completion,
    ConfigError,
    DecodeRequest,
    Message,
    Plugin,
    PluginConfig,
    Problem,
    Registry,
    Task,
    TransientError,
    Verdict,
    hookimpl,
)
from k2core.testing import FakeDecoder, fake_decoder
from k2core.toolkit.benchmark import Benchmark, Grader

MATH = Benchmark(name="made", grader=Grader(use="math", options={"timeout": 3.0}))


def candidate(text: str, finish: Any = "stop", name: str = "0", reasoning: str = "") -> Candidate:
    return Candidate(id=name, text=text, completion=Completion(text=text, finish=finish, tokens=4, reasoning=reasoning))


def graded(text: str, reference: str | None, finish: Any = "stop", card: Benchmark = MATH, **problem: Any) -> Any:
    async def work() -> Any:
        async with Graders({"made": card}, {}) as graders:
            row = Referenced(task="made", place=0, problem=Problem(prompt="?", **problem), reference=reference)
            return await graders.grade("made", row, [candidate(text, finish)], {"0": 0.25}, 1)

    return asyncio.run(work())[0][0]


@pytest.mark.parametrize(
    ("text", "finish", "outcome", "score"),
    [
        (r"so \boxed{\frac{1}{2}}", "stop", "correct", 1.0),
        (r"so \boxed{0.5}", "length", "correct", 1.0),
        (r"so \boxed{0.6}", "length", "incorrect", 0.0),
        ("I do not know.", "stop", "unparsed", 0.0),
        ("Let me think about it, first of all", "length", "truncated", 0.0),
    ],
)
def test_outcomes(text: str, finish: str, outcome: str, score: float) -> None:
    found = graded(text, "1/2", finish)
    assert (found.outcome, found.score, found.own_score, found.tokens, found.finish) == (outcome, score, 0.25, 4, finish)


@pytest.mark.parametrize(
    ("status", "finish", "answer", "outcome"),
    [
        ("undecided", "stop", "x", "undecided"),
        ("undecided", "length", "x", "undecided"),
        ("undecided", "length", None, "truncated"),
        ("incorrect", "length", None, "incorrect"),
        ("error", "length", None, "verifier_error"),
    ],
)
def test_only_what_was_cut_off_before_any_answer_is_truncated(status: Any, finish: Any, answer: str | None, outcome: str) -> None:
    verdict = Verdict(candidate_id="0", status=status, answer=answer)
    assert outcome_of(candidate("text", finish), verdict) == outcome


def test_tasks_without_reference_are_graded_too() -> None:
    assert graded(r"\boxed{1}", None).outcome == "undecided"


def test_code_is_tested() -> None:
    card = Benchmark(name="made", grader=Grader(use="code"))
    tests = json.dumps({"tests": ["assert double(4) == 8"], "entry_point": "double"})
    good = graded("```python\ndef double(x):\n    return 2 * x\n```", tests, card=card, answer_format="code", domain="code")
    bad = graded("```python\ndef double(x):\n    return x\n```", tests, card=card, answer_format="code", domain="code")
    assert (good.outcome, bad.outcome) == ("correct", "incorrect"), (good.reason, bad.reason)


def test_the_users_options_go_over_the_cards() -> None:
    made = grader_config("made", MATH, {"made": {"workers": 3}})
    assert made == {"verifiers": {"grader": {"use": "math", "timeout": 3.0, "workers": 3}}}
    part = grader_config("safety:refusal", MATH, {"safety": {"workers": 4}})
    assert part["verifiers"]["grader"]["workers"] == 4
    other = grader_config("made", MATH, {"made": {"use": "code"}})
    assert other == {"verifiers": {"grader": {"use": "code"}}}


def test_a_table_of_no_task_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"grading\.gsm: no task of this evaluation has that name"):
        Graders({"gsm8k": MATH}, {"gsm": {}})


def test_a_grader_that_asks_a_model_spends_tokens_of_its_own() -> None:
    registry = Registry()
    registry.add("decoder", "fake", fake_decoder(lambda request, index: "Good. \\boxed{10}"))
    card = Benchmark(name="made", grader=Grader(use="rating", options={"decoder": "referee"}))
    grading = {"decoders": {"referee": {"use": "fake"}}}

    async def work() -> Any:
        async with Graders({"made": card}, grading, registry) as graders:
            row = Referenced(task="made", place=0, problem=Problem(prompt="2+2?"), reference="4")
            return await graders.grade("made", row, [candidate(r"\boxed{4}")], {}, 1), graders.effective, graders.origins

    (_, spent, _), effective, origins = asyncio.run(work())
    assert [(one.role, one.decoder) for one in spent] == [("judge", "referee")]
    assert spent[0].usage.completion_tokens > 0
    assert effective["made"]["decoders"]["referee"]["use"] == "fake"
    assert origins["grading.made"].startswith("k2core-verifier-judge")


class Busy(FakeDecoder):
    """Does not answer at first."""

    refused = 0

    @hookimpl
    async def k2_decode(self, run: Any, request: Any) -> Any:
        if Busy.refused < 5:
            Busy.refused += 1
            raise TransientError("busy", after=31.0)  # longer than the kernel waits
        return await super().k2_decode(run, request)


class AskerConfig(PluginConfig):
    """There is nothing to set."""


class Asker(Plugin):
    """Calls everything correct that a model has anything to say about."""

    config: AskerConfig
    listwise = False

    @hookimpl
    async def k2_verify(self, run: Any, candidates: Any) -> Any:
        await run.decode(DecodeRequest(messages=(Message(role="user", content="Well?"),), role="judge", decoder="referee"))
        return [Verdict(candidate_id=one.id, status="correct", score=1.0) for one in candidates]


@pytest.mark.parametrize(("patience", "outcome"), [(60.0, "correct"), (0.0, "verifier_error")])
def test_a_judge_whose_server_is_down_is_asked_again(monkeypatch: pytest.MonkeyPatch, patience: float, outcome: str) -> None:
    registry = Registry()
    registry.add("decoder", "fake", Busy)
    monkeypatch.setattr(Busy, "refused", 0)
    monkeypatch.setattr("k2core_eval.scoring.grading._PAUSE", 0.01)
    registry.add("verifier", "asking", Asker)
    card = Benchmark(name="made", grader=Grader(use="asking"))
    grading = {"decoders": {"referee": {"use": "fake"}}}

    async def work() -> Any:
        async with Graders({"made": card}, grading, registry) as graders:
            graders.patience = patience
            row = Referenced(task="made", place=0, problem=Problem(prompt="2+2?"), reference="4")
            return await graders.grade("made", row, [candidate(r"\boxed{4}")], {}, 1)

    [one], spent, _ = asyncio.run(work())
    assert (one.outcome, spent[0].usage.failed) == (outcome, Busy.refused), one.reason


@pytest.mark.parametrize(
    ("problem", "reference"),
    [
        (Problem(prompt="2+2?", meta={"answer": "4"}), "4"),
        (Problem(prompt="2+2?", meta={"row": {"final": ["1234"]}}), "1234"),
        (Problem(prompt="forty-two"), "forty-two"),
        (Problem(prompt="?", id="forty-two"), " forty-two "),
        (Problem(prompt="2+2?", meta={"solution_value": 4}), "4"),
    ],
)
def test_a_problem_that_carries_its_reference_is_refused(problem: Problem, reference: str) -> None:
    with pytest.raises(ConfigError, match="carries its own reference answer in"):
        check(Task(problem=problem, reference=reference), "tasks.made")


@pytest.mark.parametrize(
    ("problem", "reference"),
    [
        (Problem(prompt="Is it 4 or 5?", meta={"level": "4", "subject": "algebra"}), "4"),
        (Problem(prompt="2+2?", meta={"answer": "5"}), "4"),
        (Problem(prompt="2+2?", meta={"answer": "4"}), None),
    ],
)
def test_what_merely_looks_like_it_passes(problem: Problem, reference: str | None) -> None:
    check(Task(problem=problem, reference=reference), "tasks.made")


@pytest.mark.parametrize("text", ["plain", "\ud800 lone", "\0 \u2028 \x7f", "∑ 😀"])
def test_texts_cross_the_wire(text: str) -> None:
    assert decoded(encoded({"text": text, "list": [1, 2.5, None, True]})) == {"text": text, "list": [1, 2.5, None, True]}


def test_messages_come_as_they_were_sent_however_they_are_cut() -> None:
    async def work() -> list[tuple[Any, bytes]]:
        got: list[tuple[Any, bytes]] = []
        sent: list[bytes] = []
        wire = Wire(lambda message, payload: got.append((message, payload)), lambda: None)

        class Pipe(asyncio.Transport):
            def write(self, data: Any) -> None:
                sent.append(bytes(data))

        wire.connection_made(Pipe())
        for number in range(50):
            wire.send({"id": number}, b"x" * number)
        await asyncio.sleep(0.05)
        assert len(sent) == 1
        for at in range(0, len(sent[0]), 7):
            wire.data_received(sent[0][at : at + 7])
        return got

    assert asyncio.run(work()) == [({"id": number}, b"x" * number) for number in range(50)]


class Asking:
    """An open scorer on a file of sums, and questions to it."""

    def __init__(self, scorer: Scorer, folder: Path, task: Path) -> None:
        self.scorer, self._folder, self._task = scorer, folder, str(task)

    async def open(self, **changes: Any) -> dict[str, Any]:
        message = {
            "do": "open",
            "folder": str(self._folder),
            "tasks": [self._task],
            "configured": {},
            "grading": {},
            "data": None,
            "limit": None,
            "seed": 0,
            "repeats": 1,
            "patience": 10.0,
        }
        opened, _ = await self.scorer.setup({**message, **changes})
        begin = {"do": "begin", "folder": str(self._folder), "tasks": opened["tasks"], "again": True}
        await self.scorer.setup(begin, b"{}\n", {**begin, "again": False})
        return opened

    def sample(self, place: int, text: str) -> asyncio.Future[Any]:
        name = {"task": self._task, "place": place, "repeat": 0}
        made = {**name, "seed": place, "spent": [], "warnings": [], "chosen": "0", "error": ""}
        one = {"id": "0", "text": text, "answer": None, "reasoning": "", "tokens": 3, "finish": "stop"}
        times = {**name, "seconds": 1.0}
        message = {"do": "sample", **name, "times": times, "candidates": [one], "scores": {}, "sample": made}
        return self.scorer.tell(message, json.dumps({"kind": "sample", **name}, separators=(",", ":")).encode() + b"\n")

    def outcomes(self) -> dict[int, str]:
        rows = map(json.loads, (self._folder / "samples.jsonl").read_text().splitlines())
        return {row["place"]: row["outcome"] for row in rows}


def asking(tmp_path: Path, work: Any) -> Any:
    async def run() -> Any:
        told: list[str] = []
        async with Scorer(restarted=told.append) as scorer:
            return await work(Asking(scorer, tmp_path, sums(tmp_path / "sums.jsonl")), told)

    return asyncio.run(run())


def test_problems_come_without_their_references(tmp_path: Path) -> None:
    async def work(asking: Asking, told: list[str]) -> bytes:
        opened = await asking.open()
        assert opened["tasks"][0]["problems"] == 6
        _, lines = await asking.scorer.ask({"do": "problem_lines", "task": asking._task, "start": 4, "count": 9})
        return lines

    rows = [json.loads(line) for line in asking(tmp_path, work).splitlines()]
    assert [row["id"] for row in rows] == ["sum-4", "sum-5"]
    assert all("44" not in json.dumps(row) and "55" not in json.dumps(row) for row in rows)


def test_no_answer_tells_what_the_grader_said(tmp_path: Path) -> None:
    async def work(asking: Asking, told: list[str]) -> Any:
        await asking.open()
        return await asking.sample(4, r"\boxed{45}"), asking.outcomes()

    (message, payload), outcomes = asking(tmp_path, work)
    assert (set(message), payload, outcomes) == ({"id"}, b"", {4: "incorrect"})


def test_another_process_takes_over_from_one_that_was_killed(tmp_path: Path) -> None:
    async def work(asking: Asking, told: list[str]) -> Any:
        await asking.open()
        await asking.sample(0, r"\boxed{0}")
        handed = [asking.sample(place, rf"\boxed{{{11 * place}}}") for place in (1, 2)]
        os.kill(asking.scorer.pid, signal.SIGKILL)
        handed += [asking.sample(place, r"\boxed{7}") for place in (3, 4)]
        await asyncio.gather(*handed)
        return asking.outcomes(), told

    outcomes, told = asking(tmp_path, work)
    assert outcomes == {0: "correct", 1: "correct", 2: "correct", 3: "incorrect", 4: "incorrect"}
    assert told == ["the scorer died (signal 9)"]


DEADLY = """
import os
from k2core import Plugin, PluginConfig, Verdict, hookimpl

class DeadlyConfig(PluginConfig):
    pass

class Deadly(Plugin):
    config: DeadlyConfig
    listwise = False

    @hookimpl
    async def k2_verify(self, candidates):
        if "die" in candidates[0].text:
            os._exit(7)
        return [Verdict(candidate_id=c.id, status="correct", score=1.0) for c in candidates]
"""


def test_what_no_scorer_survives_is_written_without_a_grade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    dist = site / "deadly-1.0.dist-info"
    dist.mkdir(parents=True)
    (site / "deadly.py").write_text(DEADLY)
    (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: deadly\nVersion: 1.0\n")
    (dist / "entry_points.txt").write_text("[k2core.verifier.v1]\ndeadly = deadly:Deadly\n")
    monkeypatch.setenv("PYTHONPATH", str(site))

    async def work(asking: Asking, told: list[str]) -> Any:
        await asking.open(grading={"jsonl": {"use": "deadly"}})
        await asyncio.gather(*(asking.sample(place, "die" if place == 2 else "live") for place in range(5)))
        return asking.outcomes(), len(told)

    outcomes, deaths = asking(tmp_path, work)
    assert outcomes == {0: "correct", 1: "correct", 2: "verifier_error", 3: "correct", 4: "correct"}
    assert deaths <= 4


def test_what_the_scorer_refuses_is_the_users_error(tmp_path: Path) -> None:
    async def work(asking: Asking, told: list[str]) -> None:
        await asking.open(tasks=["no-such-task"])

    with pytest.raises(ConfigError, match="there is no task 'no-such-task'"):
        asking(tmp_path, work)


def test_a_scorer_that_dies_before_it_is_set_up_is_not_started_again(tmp_path: Path) -> None:
    async def work(asking: Asking, told: list[str]) -> None:
        os.kill(asking.scorer.pid, signal.SIGKILL)
        await asking.open()

    with pytest.raises(ScorerError, match=r"the scorer died \(signal 9\)"):
        asking(tmp_path, work)
