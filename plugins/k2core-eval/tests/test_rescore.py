"""`k2 eval rescore`: stored candidates put to another use, end to end."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from k2core_eval.records import Sample, SampleId
from k2core_eval.rescoring.ladder import climb
from k2core_eval.rescoring.rescore import Rescored, Rescoring, Wish
from k2core_eval.rescoring.tasks import FolderTasks, FolderTasksConfig
from k2core_eval.rescoring.telling import as_json, changes, text
from k2core_eval.running.evaluate import evaluate
from k2core_eval.running.settings import Settings
from k2core_eval.store.folder import Folder
from k2core_hooks.many import replay_all
from k2core_hooks.replayer import Replayer

from k2core import (
    Completion,
    ConfigError,
    DecodeRequest,
    Message,
    Plan,
    Plugin,
    PluginConfig,
    Problem,
    Registry,
    Run,
    Verdict,
    hookimpl,
)
from k2core.config import PipelineConfig
from k2core.testing import assert_conforms
from k2core.types import Candidate

PROBLEMS = 6
RIGHT = 0.6
SOLVER = {"use": "scripted"}
MATH = {"math": {"use": "math"}}


class NoConfig(PluginConfig):
    pass


class Scripted(Plugin):
    """Answers by the request's seed, at a pace that depends on it too; counts the calls that reach it."""

    config: NoConfig
    calls: ClassVar[int] = 0
    pace: ClassVar[float] = 0.01

    @hookimpl
    async def k2_decode(self, run: Run, request: DecodeRequest) -> Sequence[Completion]:
        type(self).calls += 1
        run.meter(prompt_tokens=10 + len(request.messages[-1].content) // 4)
        made = []
        for index in range(request.n):
            draw = random.Random(f"{request.role} {request.seed} {index} {request.messages[-1].content}")
            if request.role != "solve":
                made.append(Completion(text=f"Think of step {draw.randint(1, 9)}.", tokens=7, model="scripted"))
                continue
            if draw.random() < self.failing(run.problem):
                raise ValueError(f"bad prompt {request.seed}")
            await asyncio.sleep(draw.random() * self.pace)
            right = int(run.problem.id.rpartition("-")[2]) + 10
            answer = right if draw.random() < RIGHT else draw.choice([1, 2, 3])
            made.append(Completion(text=f"So \\boxed{{{answer}}}.", tokens=draw.randint(20, 60), model="scripted"))
        return made

    def failing(self, problem: Problem) -> float:
        return 0.0


class Slow(Scripted):
    pace = 0.3


class Failing(Scripted):
    def failing(self, problem: Problem) -> float:
        return 0.25


class Planner(Plugin):
    """Asks the model for a plan."""

    config: NoConfig

    @hookimpl
    async def k2_plan(self, run: Run, problem: Problem) -> Plan | None:
        message = Message(role="user", content=f"Plan for: {problem.prompt}")
        seed = run.seed_for("plan")
        made = await run.decode(DecodeRequest(messages=(message,), role="plan", seed=seed))
        return Plan(prompt=made[0].text)


class MarkConfig(PluginConfig):
    best: str = "1"
    """The answer that it likes."""


class Marks(Plugin):
    """A verifier with a favourite answer."""

    config: MarkConfig
    listwise = False

    @hookimpl
    async def k2_verify(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        liked = f"{{{self.config.best}}}"
        return [Verdict(candidate_id=c.id, status="undecided", score=float(liked in c.text)) for c in candidates]


class Judge(Plugin):
    """Asks the model about each candidate."""

    config: NoConfig
    listwise = False

    @hookimpl
    async def k2_verify(self, run: Run, candidates: Sequence[Candidate]) -> list[Verdict]:
        return [await self._one(run, candidate) for candidate in candidates]

    async def _one(self, run: Run, candidate: Candidate) -> Verdict:
        message = Message(role="user", content=f"Judge: {candidate.text}")
        said = (await run.decode(DecodeRequest(messages=(message,), role="judge", seed=1)))[0].text
        return Verdict(candidate_id=candidate.id, status="undecided", score=len(said) % 7 / 10)


def _registry(decoder: type[Plugin] = Scripted) -> Callable[[], Registry]:
    def made() -> Registry:
        registry = Registry()
        registry.add("decoder", "scripted", decoder)
        registry.add("planner", "asking", Planner)
        registry.add("verifier", "marks", Marks)
        registry.add("verifier", "asked", Judge)
        return registry

    return made


def _recorded(path: Path, pipeline: Mapping[str, Any], repeats: int = 2, decoder: type[Plugin] = Scripted) -> Path:
    """A finished evaluation of six sums."""
    data = path.with_suffix(".jsonl")
    rows = [{"id": f"sum-{i}", "problem": f"What is {i} + 10?", "answer": str(i + 10)} for i in range(PROBLEMS)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = PipelineConfig.from_dict({"decoders": {"solver": SOLVER}, "verifiers": MATH, "retry": {"base": 0}, **pipeline})
    settings = Settings(tasks=(str(data),), out=path, config=config, repeats=repeats, concurrency=4, patience=0.0, seed=5)
    ended = asyncio.run(evaluate(settings, _registry(decoder)()))
    assert ended.complete
    return path


def _rescored(
    source: Path, out: Path, *overrides: str, decoder: type[Plugin] = Scripted, **more: Any
) -> tuple[Rescoring, Rescored]:
    """Rescore, and see that no model was asked."""
    before = Scripted.calls
    rescoring = Rescoring(Wish(source=source, out=out, overrides=overrides, **more), _registry())
    rescored = asyncio.run(rescoring.run())
    assert rescored.ended.complete
    if not more.get("allow_calls"):
        assert Scripted.calls == before
        assert rescored.calls == 0
    return rescoring, rescored


def _samples(folder: Path) -> dict[SampleId, Sample]:
    return {sample.id: sample for sample in Folder(folder).samples()}


def _answers(sample: Sample, n: int) -> list[str | None]:
    """The answers of the first `n` candidates in the order of their numbers, as the grader read them."""
    return [one.answer for one in sorted(sample.candidates, key=lambda one: int(one.id))[:n]]


def _vote(answers: Sequence[str | None]) -> str | None:
    counts = Counter(answers)
    return max(counts, key=lambda answer: (counts[answer], -list(answers).index(answer)))


MAJORITY = {"sampler": {"use": "majority", "n": 8, "temperature": 0.6}}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _recorded(tmp_path_factory.mktemp("recorded") / "majority", MAJORITY)


def test_fewer_votes_are_those_of_the_first_candidates(source: Path, tmp_path: Path) -> None:
    n = 3
    rescoring, rescored = _rescored(source, tmp_path / "out", f"sampler.n={n}")
    old, new = _samples(source), _samples(tmp_path / "out")
    assert not rescored.deal.pooled
    assert list(new) == list(old)
    for sample in new.values():
        assert sample.answer == _vote(_answers(old[sample.id], n))
        [spent] = sample.spent
        firsts = sorted(old[sample.id].candidates, key=lambda one: int(one.id))[:n]
        assert spent.usage.completion_tokens == sum(one.tokens for one in firsts)
        assert spent.usage.prompt_tokens * 8 == old[sample.id].spent[0].usage.prompt_tokens * n
        assert spent.usage.served == n
    manifest = Folder(tmp_path / "out").manifest()
    assert manifest.origin.startswith("rescored from samples.jsonl with SHA-256 ")
    assert manifest.config["decoders"] == Folder(source).manifest().config["decoders"]
    assert manifest.config["sampler"]["n"] == n
    assert manifest.tasks[0].digest == Folder(source).manifest().tasks[0].digest
    expected = Counter(f"{old[i].outcome} -> {new[i].outcome}" for i in new if old[i].outcome != new[i].outcome)
    assert as_json(rescoring, rescored)["outcomes"] == dict(expected)
    for folder in (tmp_path / "out", source):
        tally = asyncio.run(replay_all(str(folder), replayer=Replayer(registry=_registry()())))
        assert (tally.good, tally.same, tally.skipped) == (True, 2 * PROBLEMS, [])


def test_another_verifier_changes_the_outcomes_that_it_must(source: Path, tmp_path: Path) -> None:
    changed = ("sampler.use=best-of-n", "verifiers.marks.best='1'", "verifiers.math.weight=0")
    rescoring, rescored = _rescored(source, tmp_path / "out", *changed)
    old, new = _samples(source), _samples(tmp_path / "out")
    liked = {name for name, sample in old.items() if "1" in _answers(sample, 8)}
    assert {name for name, sample in new.items() if sample.answer == "1"} == liked
    expected = {name for name in liked if old[name].outcome == "correct"}
    lost = [change.id for change in changes(Folder(source), Folder(tmp_path / "out")) if change.after == "incorrect"]
    assert expected <= set(lost)
    assert expected
    told = as_json(rescoring, rescored)
    assert told["outcomes"]["correct -> incorrect"] == len(lost)
    assert "correct -> incorrect" in text(rescoring, rescored)


def test_a_stopping_rule_pays_for_what_it_uses(source: Path, tmp_path: Path) -> None:
    _rescored(source, tmp_path / "out", "sampler.use=adaptive", "sampler.confidence=0.9")
    rescoring, rescored = _rescored(source, tmp_path / "again", "sampler.use=adaptive", "sampler.confidence=0.9")
    assert "sampler.spare = 0: no time passes here" in text(rescoring, rescored)
    assert Folder(tmp_path / "again").manifest().config["sampler"]["spare"] == 0
    assert (tmp_path / "out" / "samples.jsonl").read_bytes() == (tmp_path / "again" / "samples.jsonl").read_bytes()
    old, new = _samples(source), _samples(tmp_path / "out")
    stopped = [sample for sample in new.values() if sample.spent[0].usage.served < 8]
    assert stopped
    for sample in new.values():
        usage, full = sum((one.usage for one in sample.spent[1:]), sample.spent[0].usage), old[sample.id]
        assert usage.started == usage.served + usage.cancelled
        made = {one.id: one.tokens for one in sample.candidates}
        texts = {one.text for one in full.candidates}
        assert {one.text for one in sample.candidates} <= texts
        assert usage.completion_tokens >= sum(made.values())
        assert sample.tokens <= full.tokens
    assert sum(s.tokens for s in new.values()) < sum(s.tokens for s in old.values())
    tally = asyncio.run(replay_all(str(tmp_path / "out"), replayer=Replayer(registry=_registry()())))
    assert tally.good


def test_a_call_for_several_pays_its_prompt_once(source: Path, tmp_path: Path) -> None:
    _rescored(source, tmp_path / "out", "sampler.batch=all", "sampler.n=4")
    old, new = _samples(source), _samples(tmp_path / "out")
    for sample in new.values():
        [spent], [full] = sample.spent, old[sample.id].spent
        assert (spent.usage.started, spent.usage.prompt_tokens * 8) == (1, full.usage.prompt_tokens)
        assert spent.usage.completion_tokens == sum(one.tokens for one in sample.candidates)
        assert [one.text for one in sample.candidates] == [one.text for one in old[sample.id].candidates[:4]]


def test_an_adaptive_evaluation_replays_with_its_cancelled_calls(tmp_path: Path) -> None:
    folder = _recorded(tmp_path / "adaptive", {"sampler": {"use": "adaptive", "n": 8, "first": 8, "confidence": 0.9}}, decoder=Slow)
    cancelled = sum(one.usage.cancelled for sample in _samples(folder).values() for one in sample.spent)
    assert cancelled > 0
    tally = asyncio.run(replay_all(str(folder), replayer=Replayer(registry=_registry()())))
    assert (tally.good, tally.same) == (True, 2 * PROBLEMS)


def test_more_candidates_than_a_sample_has_are_pooled(source: Path, tmp_path: Path) -> None:
    _, rescored = _rescored(source, tmp_path / "out", "sampler.n=16")
    assert rescored.deal.pooled
    assert rescored.deal.repeats == 1
    old, new = _samples(source), _samples(tmp_path / "out")
    for sample in new.values():
        both = [one.text for repeat in (0, 1) for one in old[SampleId(sample.task, sample.place, repeat)].candidates]
        assert sorted(one.text for one in sample.candidates) == sorted(both)
    with pytest.raises(ConfigError, match="6 of 6 problems have fewer than 17 stored candidates") as caught:
        _rescored(source, tmp_path / "more", "sampler.n=17")
    assert caught.value.path == "sampler.n"
    assert not (tmp_path / "more").exists()


def test_groups_that_are_dealt_are_disjoint(tmp_path: Path) -> None:
    single = _recorded(tmp_path / "single", {"sampler": {"use": "single"}}, repeats=7)
    _, rescored = _rescored(single, tmp_path / "out", "sampler.use=majority", "sampler.n=3")
    assert (rescored.deal.repeats, rescored.deal.pooled) == (2, True)
    assert rescored.deal.groups is not None
    for place in range(PROBLEMS):
        cards = [card for name, group in rescored.deal.groups.items() if name.place == place for card in group]
        assert len(set(cards)) == len(cards) == 6


def test_n_against_accuracy_and_tokens(source: Path, tmp_path: Path) -> None:
    rungs = asyncio.run(climb(Wish(source=source, out=tmp_path), [4, 16], _registry()))
    assert [(rung.n, rung.repeats, rung.pooled) for rung in rungs] == [(4, 2, False), (16, 1, True)]
    old = list(_samples(source).values())
    right = [sample.candidates and _vote(_answers(sample, 4)) == str(sample.place + 10) for sample in old]
    assert rungs[0].accuracy.value == pytest.approx(sum(map(bool, right)) / len(old))
    assert rungs[0].tokens * 4 == pytest.approx(rungs[1].tokens, rel=0.3)
    assert [row["n"] for row in json.loads((tmp_path / "by_n.json").read_text())] == [4, 16]


def test_failed_calls_fail_again_and_lost_samples_stay_lost(tmp_path: Path) -> None:
    folder = _recorded(tmp_path / "failing", MAJORITY, decoder=Failing)
    failed = [one.usage.failed for sample in _samples(folder).values() for one in sample.spent]
    assert sum(failed) > 0
    _rescored(folder, tmp_path / "out")
    old, new = _samples(folder), _samples(tmp_path / "out")
    assert {name: sample.digest for name, sample in new.items()} == {name: sample.digest for name, sample in old.items()}
    tally = asyncio.run(replay_all(str(folder), replayer=Replayer(registry=_registry()())))
    assert tally.good


def test_samples_without_a_result_stay_without(tmp_path: Path) -> None:
    folder = _recorded(tmp_path / "failing", {"sampler": {"use": "single"}}, decoder=Failing, repeats=4)
    outcomes = Counter(sample.outcome for sample in _samples(folder).values())
    assert outcomes["infrastructure"] > 0
    _rescored(folder, tmp_path / "out", "verifiers.math.weight=0.5")
    old, new = _samples(folder), _samples(tmp_path / "out")
    assert {name: sample.error for name, sample in new.items()} == {name: sample.error for name, sample in old.items()}
    for evaluation in (folder, tmp_path / "out"):
        tally = asyncio.run(replay_all(str(evaluation), replayer=Replayer(registry=_registry()())))
        assert (tally.good, tally.runs) == (True, 4 * PROBLEMS)
    rescoring, rescored = _rescored(folder, tmp_path / "pooled", "sampler.use=majority", "sampler.n=2")
    assert rescored.deal.pooled
    assert "pooled and dealt anew" in text(rescoring, rescored)
    assert all(sample.outcome != "infrastructure" for sample in _samples(tmp_path / "pooled").values())


def test_plans_are_served_and_paid_for(tmp_path: Path) -> None:
    planned = _recorded(tmp_path / "planned", {**MAJORITY, "planner": {"use": "asking"}})
    _rescored(planned, tmp_path / "out", "sampler.n=2")
    old, new = _samples(planned), _samples(tmp_path / "out")
    for name, sample in new.items():
        assert sample.plan == old[name].plan
        assert [one.role for one in sample.spent] == ["plan", "solve"]
        assert sample.spent[0].usage == old[name].spent[0].usage
    _, rescored = _rescored(planned, tmp_path / "pooled", "sampler.n=16")
    assert rescored.replanned, "the two repeats had different plans"
    for sample in _samples(tmp_path / "pooled").values():
        assert sample.spent[0].usage.served == 16


def test_judgements_are_served_where_they_were_recorded(tmp_path: Path) -> None:
    judged = {"sampler": {"use": "best-of-n", "n": 3}, "verifiers": {**MATH, "asked": {"use": "asked"}}}
    folder = _recorded(tmp_path / "judged", judged)
    _rescored(folder, tmp_path / "out", "verifiers.asked.weight=3.0")
    assert all(sample.spent[0].role == "judge" for sample in _samples(tmp_path / "out").values())
    _rescored(folder, tmp_path / "without", without=("verifiers.asked",))
    assert all([one.role for one in sample.spent] == ["solve"] for sample in _samples(tmp_path / "without").values())


def test_a_judge_that_was_not_there_is_refused_or_paid_for(source: Path, tmp_path: Path) -> None:
    new = ("sampler.use=best-of-n", "verifiers.asked.weight=1.0")
    with pytest.raises(ConfigError, match="a judge call to the decoder 'solver' was not recorded with this prompt"):
        _rescored(source, tmp_path / "refused", *new)
    _, rescored = _rescored(source, tmp_path / "out", *new, allow_calls=True)
    judged = [one.usage for sample in _samples(tmp_path / "out").values() for one in sample.spent if one.role == "judge"]
    assert rescored.calls == sum(usage.served for usage in judged) == 2 * PROBLEMS * 8
    assert rescored.tokens == sum(usage.completion_tokens for usage in judged)


@pytest.mark.parametrize(
    ("override", "path", "reason"),
    [
        ("sampler.temperature=1.0", "sampler.temperature", "drawn with 0.6, and none with 1.0"),
        ("sampler.max_tokens=99", "sampler.max_tokens", "drawn with 1024"),
        ("sampler.temperature=", "sampler.temperature", "drawn with 0.6"),
        ("verifiers.none=", "verifiers.none", "nothing to take out"),
        ("sampler.system=Be brief.", "sampler.system", "drawn with ''"),
        ("sampler.instructions=Say it.", "sampler.instructions", "drawn with True"),
        ("planner.use=asking", "planner", "recorded plans"),
        ("plan=sample", "plan", "recorded plans"),
        ("decoders.solver.use=other", "decoders.solver.use", "were not drawn so"),
        ("decoders.judge.use=scripted", "decoders.judge", "--allow-calls"),
        ("limits.soft_deadline=3", "limits", "without waiting"),
        ("grading.other.workers=3", "grading.other", "no task of this evaluation"),
        ("sampler.nn=3", "sampler.nn", "did you mean 'n'"),
    ],
)
def test_what_cannot_be_changed_afterwards_is_refused_at_once(
    source: Path, tmp_path: Path, override: str, path: str, reason: str
) -> None:
    with pytest.raises(ConfigError) as caught:  # what it says is looked at below
        Rescoring(Wish(source=source, out=tmp_path / "out", overrides=(override,)), _registry())
    assert caught.value.path.startswith(path)
    assert reason in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_step_search_finds_nothing_stored(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"stored ones were drawn with|asked for"):
        _rescored(source, tmp_path / "out", "sampler.use=beam")


def test_other_graders_grade_from_scratch(source: Path, tmp_path: Path) -> None:
    manifest = Folder(source).manifest()
    task = manifest.tasks[0]
    assert manifest.grading[task.name]["verifiers"]["grader"]["use"] == "math"
    _rescored(source, tmp_path / "out", f"grading.{task.card.name}.use=tabular")
    assert Folder(tmp_path / "out").manifest().grading[task.name]["verifiers"]["grader"]["use"] == "tabular"
    before, after = ([one.reason for s in _samples(f).values() for one in s.candidates] for f in (source, tmp_path / "out"))
    assert len(before) == len(after) == 2 * PROBLEMS * 8
    assert not set(before) & set(after)


def test_the_command_needs_no_model(source: Path, tmp_path: Path) -> None:
    """Nor the decoder that has drawn the candidates: `scripted` is only known to these tests."""
    out, command = tmp_path / "out", [sys.executable, "-m", "k2core", "eval", "rescore", str(source), "--out"]
    done = subprocess.run([*command, str(out), "--set", "sampler.n=2"], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert "every sample on its own stored candidates, 2 of 2 repeats\nno model was asked\n" in done.stdout
    assert json.loads((out / "rescored.json").read_text())["changed"] == ["sampler.n=2"]
    manifest = Folder(out).manifest()
    assert manifest.config["decoders"]["solver"]["use"] == "scripted"
    more = [*command, str(tmp_path / "more"), "--set", "sampler.temperature=1"]
    done = subprocess.run(more, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("k2: error: sampler.temperature: the stored candidates were drawn with 0.6")


def test_the_task_source_conforms(source: Path) -> None:
    [task] = Folder(source).manifest().tasks
    assert_conforms("tasks", FolderTasks, {"folder": str(source), "source": "jsonl"}, dataset=(task.name, "test"))
    with pytest.raises(ConfigError, match="holds no task"):
        FolderTasks(FolderTasksConfig(folder=str(source), source="jsonl")).benchmark("other")


def test_unfinished_and_untraced_folders_are_refused(source: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(source, folder)
    with pytest.raises(ConfigError, match="another folder"):
        Rescoring(Wish(source=folder, out=folder))
    (folder / "traces.jsonl").unlink()
    with pytest.raises(ConfigError, match=r"has no traces\.jsonl"):
        Rescoring(Wish(source=folder, out=tmp_path / "out"))
    shutil.copy(source / "traces.jsonl", folder)
    samples = (folder / "samples.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "samples.jsonl").write_bytes(b"".join(samples[:-1]))
    with pytest.raises(ConfigError, match="11 of 12 samples"):
        Rescoring(Wish(source=folder, out=tmp_path / "out"))
