"""`k2 eval run` from the command line to the finished folder, and what its files hold."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from evaluations import k2, lines, pipeline, samples, settings, sums
from k2core_eval.running.evaluate import evaluate
from k2core_eval.running.local import LocalExecutor
from k2core_eval.running.seeds import Seeds
from k2core_eval.store.folder import Folder
from k2core_hooks.digest import digest
from k2core_hooks.jsonl import from_line

from k2core import Completion, PipelineConfig, Problem, Registry, TransientError, hookimpl
from k2core.events import CallEnded, Delta, RunEnded, RunStarted
from k2core.testing import FakeDecoder, fake_decoder
from k2core.types import DecodeRequest

FAKE: dict[str, Any] = {"sampler": {"use": "best-of-n", "n": 2}, "decoders": {"solver": {"use": "fake"}}, "verifiers": {"math": {}}}


def with_decoder(decoder: type[FakeDecoder]) -> Registry:
    registry = Registry()
    registry.add("decoder", "fake", decoder)
    return registry


def blocks(folder: Path) -> list[list[dict[str, Any]]]:
    """The traces, a list of lines a sample, without the first line of the file."""
    found: list[list[dict[str, Any]]] = []
    for line in lines(folder, "traces.jsonl")[1:]:
        if line["kind"] == "sample":
            found.append([])
        found[-1].append(line)
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six sums, two runs each, three recorded candidates a run; two of the problems have none that is right."""
    place = tmp_path_factory.mktemp("finished")
    done = k2(sums(place / "sums.jsonl"), "--config", pipeline(place), "--out", place / "out", "--repeats", 2, "--label", "mine")
    assert done.returncode == 0, done.stderr
    assert "12 samples, complete" in done.stdout
    assert "forecast: solve" in done.stderr
    return place / "out"


def test_every_file_is_there(finished: Path) -> None:
    names = {file.name for file in finished.iterdir()} - {".lock"}
    assert names == {
        *("run.json", "problems.jsonl", "samples.jsonl", "traces.jsonl", "times.jsonl", "attempts.jsonl", "summary.json"),
        *("report.html", "report.md", "report.json"),
    }


def test_samples_say_what_was_right(finished: Path) -> None:
    found = samples(finished)
    assert [sample.id for sample in found] == sorted(sample.id for sample in found)
    assert [sample.outcome for sample in found[::2]] == ["incorrect", "correct", "correct"] * 2
    one = found[4]
    assert (one.problem_id, one.answer, one.key, one.chosen, one.score) == ("sum-2", "22", "22", "0", 1.0)
    assert [c.outcome for c in one.candidates] == ["correct", "correct", "incorrect"]
    assert [c.own_score for c in one.candidates] == [pytest.approx(2 / 3), pytest.approx(2 / 3), pytest.approx(1 / 3)]
    [spent] = one.spent
    assert (spent.role, spent.decoder, spent.usage.started, spent.usage.completion_tokens) == ("solve", "solver", 3, 27)
    assert (spent.usage.seconds, one.grading, one.error) == (0.0, (), "")
    assert len({sample.seed for sample in found}) == 12


def test_the_manifest_says_what_was_run(finished: Path) -> None:
    manifest = Folder(finished).manifest()
    assert manifest.label == "mine"
    assert manifest.config["sampler"]["n"] == 3
    assert "evaluation" not in manifest.config.get("hooks", {})
    assert manifest.plugins["decoders.solver"].startswith("k2core-decoder-recorded ")
    graders = {origin.partition(" ")[0] for path, origin in manifest.plugins.items() if path.startswith("grading.")}
    assert graders == {"k2core-verifier-math"}
    [task] = manifest.tasks
    assert (task.problems, task.repeats, len(task.digest)) == (6, 2, 64)


def test_problems_and_clocks_are_kept(finished: Path) -> None:
    assert [row["reference"] for row in lines(finished, "problems.jsonl")] == ["0", "11", "22", "33", "44", "55"]
    times = lines(finished, "times.jsonl")
    assert [(row["place"], row["repeat"]) for row in times] == [(place, repeat) for place in range(6) for repeat in range(2)]
    assert all(row["seconds"] > 0 and row["first_token"] > 0 and row["graded"] > 0 for row in times)


def test_traces_are_whole_and_lean(finished: Path) -> None:
    head = lines(finished, "traces.jsonl")[0]
    assert head["kind"] == "pipeline"
    assert head["config"] == Folder(finished).manifest().config
    assert set(head["plugins"]) == {"decoders.solver", "sampler", "verifiers.math"}
    assert len(blocks(finished)) == 12
    for block, sample in zip(blocks(finished), samples(finished), strict=True):
        assert (block[0]["task"], block[0]["place"], block[0]["repeat"]) == tuple(sample.id)
        events = [from_line(line) for line in block[1:]]
        started, ended = events[0], events[-1]
        assert isinstance(started, RunStarted)
        assert isinstance(ended, RunEnded)
        assert ended.result is not None
        assert (started.seed, started.config, started.run_id) == (sample.seed, {}, block[0]["run_id"])
        assert all(candidate.completion is None for candidate in ended.result.candidates)
        assert sum(isinstance(event, CallEnded) for event in events) == 3
        assert not any(isinstance(event, Delta) for event in events)
        assert digest(ended.result, ended.usage, ended.error) == sample.digest


def test_every_attempt_is_noted(finished: Path) -> None:
    kinds = [line["kind"] for line in lines(finished, "attempts.jsonl")]
    assert kinds == ["session", *["started"] * 12, "ended"]


def test_the_same_command_has_nothing_left_to_do(finished: Path) -> None:
    before = {name: (finished / name).read_bytes() for name in ("samples.jsonl", "traces.jsonl", "times.jsonl", "summary.json")}
    config = finished.parent / "pipeline.toml"
    done = k2(finished.parent / "sums.jsonl", "--config", config, "--out", finished, "--repeats", 2, "--label", "mine")
    assert done.returncode == 0
    assert "12 of 12 samples are there" in done.stderr
    assert {name: (finished / name).read_bytes() for name in before} == before


def test_an_ablation_makes_four_folders(tmp_path: Path) -> None:
    config = pipeline(tmp_path, n=2)
    other = f'[decoders.other]\nuse = "recorded"\npath = "{tmp_path / "recorded.jsonl"}"\n'
    config.write_text(config.read_text() + '\n[planner]\nuse = "think"\ndecoder = "other"\n' + other)
    done = k2(sums(tmp_path / "sums.jsonl"), "--config", config, "--out", tmp_path / "arms", "--ablation", "--limit", 2)
    assert done.returncode == 0, done.stderr
    labels = {name: Folder(tmp_path / "arms" / name).manifest().label for name in ("bare", "plan", "best-of-n", "both")}
    assert labels == {"bare": "bare", "plan": "+ plan", "best-of-n": "+ best-of-N", "both": "both"}
    sizes = {name: len(samples(tmp_path / "arms" / name)[0].candidates) for name in labels}
    assert sizes == {"bare": 1, "plan": 1, "best-of-n": 2, "both": 2}
    assert (tmp_path / "arms" / "report.html").exists()
    one = k2(tmp_path / "sums.jsonl", "--config", config, "--out", tmp_path / "one", "--arm", "plan", "--limit", 2)
    assert one.returncode == 0, one.stderr
    assert [path.name for path in (tmp_path / "one").iterdir() if path.is_dir()] == ["plan"]


# failures of the pipeline


class Breaking(FakeDecoder):
    """Fails for sum 1, in a way that does not pass."""

    @hookimpl
    async def k2_decode(self, run: Any, request: DecodeRequest) -> Sequence[Completion]:
        if "10?" in request.messages[-1].content:
            run.delta("It is", tokens=2)
            raise ValueError("out of order")
        return await super().k2_decode(run, request)


def test_a_run_without_a_result_is_a_sample_with_its_error(tmp_path: Path) -> None:
    out = tmp_path / "out"
    made = settings([sums(tmp_path / "sums.jsonl", 3)], out, FAKE)
    ended = asyncio.run(evaluate(made, with_decoder(Breaking)))
    assert (ended.complete, ended.failed) == (True, 1)
    broken = samples(out)[1]
    assert (broken.outcome, broken.candidates, broken.chosen) == ("infrastructure", (), "")
    assert "out of order" in broken.error
    assert (broken.spent[0].usage.failed, broken.spent[0].usage.completion_tokens) == (2, 4)
    block = blocks(out)[1]
    assert [line["text"] for line in block if line["kind"] == "delta"] == ["It is"] * 2
    ended_line = from_line(block[-1])
    assert isinstance(ended_line, RunEnded)
    assert digest(None, ended_line.usage, ended_line.error) == broken.digest
    again = asyncio.run(evaluate(made, with_decoder(fake_decoder(lambda request, index: r"\boxed{11}"))))
    assert (again.complete, again.failed) == (True, 0)
    assert samples(out)[1].outcome == "correct"


class Flaky(FakeDecoder):
    """Fails in a way that passes, as often as it is told, and only for one of two candidates."""

    left = 3
    after: ClassVar[float | None] = None

    @hookimpl
    async def k2_decode(self, run: Any, request: DecodeRequest) -> Sequence[Completion]:
        if request.candidates == ("1",) and Flaky.left > 0:
            Flaky.left -= 1
            raise TransientError("busy", after=self.after)
        return await super().k2_decode(run, request)


def test_a_run_that_lost_a_candidate_to_a_busy_server_does_not_count(tmp_path: Path) -> None:
    """It had a result, of one candidate; but it should have had two."""
    config = PipelineConfig.from_dict({**FAKE, "retry": {"attempts": 2, "base": 0}})

    async def work() -> list[Any]:
        Flaky.left, Flaky.after = 3, None
        async with LocalExecutor(config, with_decoder(Flaky)) as executor:
            return [await executor.solve(Problem(prompt="2+2?"), seed) for seed in range(3)]

    first, second, third = asyncio.run(work())
    assert (first.passing, "busy" in first.error) == (True, True)
    assert (second.passing, second.error) == (False, "")
    assert (third.passing, len(third.result.candidates)) == (False, 2)
    assert [one.spent[0].usage.failed for one in (first, second, third)] == [2, 1, 0]


def test_a_server_that_asks_for_more_time_than_the_kernel_waits_loses_the_candidate_too() -> None:
    config = PipelineConfig.from_dict(FAKE)

    async def work() -> Any:
        Flaky.left, Flaky.after = 1, 100.0
        async with LocalExecutor(config, with_decoder(Flaky)) as executor:
            return await executor.solve(Problem(prompt="2+2?"), 1)

    solved = asyncio.run(work())
    assert (solved.passing, "busy" in solved.error, len(solved.result.candidates)) == (True, True, 1)


def test_what_a_cancelled_run_had_spent_is_known() -> None:
    config = PipelineConfig.from_dict({**FAKE, "decoders": {"solver": {"use": "fake", "delay": 0.05}}})

    async def work() -> tuple[int, bool]:
        async with LocalExecutor(config, with_decoder(FakeDecoder)) as executor:
            task = asyncio.create_task(executor.solve(Problem(prompt="2+2?"), 1))
            await asyncio.sleep(0.12)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return sum(one.usage.cancelled for one in executor.abandoned), task.cancelled()

    assert asyncio.run(work()) == (2, True)


def test_lone_surrogates_and_control_characters_survive(tmp_path: Path) -> None:
    decoder = fake_decoder(lambda request, index: "\udc80 \0 \u2028 \\boxed{0}")
    out = tmp_path / "out"
    ended = asyncio.run(evaluate(settings([sums(tmp_path / "sums.jsonl", 1)], out, FAKE), with_decoder(decoder)))
    assert ended.complete
    assert samples(out)[0].candidates[0].text == "? \0 \u2028 \\boxed{0}"
    assert len(blocks(out)) == 1
    assert [from_line(line) for line in blocks(out)[0][1:]]


def test_seeds_are_unique_and_do_not_depend_on_other_problems() -> None:
    seeds = Seeds(0)
    made = {(f"p{i}", k): seeds.next("task", f"p{i}", k) for i in range(20_000) for k in range(2)}
    assert len(set(made.values())) == len(made)
    assert all(0 <= seed < 2**31 for seed in made.values())
    other = Seeds(0)
    assert [other.next("task", "p7", k) for k in range(2)] == [made["p7", 0], made["p7", 1]]
    assert Seeds(1).next("task", "p7", 0) != made["p7", 0]


def test_seeds_of_a_file_do_not_depend_on_its_folder(tmp_path: Path) -> None:
    made = []
    for place in ("here", "there/deeper"):
        (tmp_path / place).mkdir(parents=True)
        out = tmp_path / place / "out"
        decoder = fake_decoder(lambda request, index: "\\boxed{0}")
        asyncio.run(evaluate(settings([sums(tmp_path / place / "sums.jsonl", 3)], out, FAKE), with_decoder(decoder)))
        made.append([sample.seed for sample in samples(out)])
    assert made[0] == made[1]
    assert len(set(made[0])) == len(made[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--repeats", "0"], "--repeats: must be at least 1, not 0"),
        (["--concurrency", "0"], "--concurrency: must be at least 1, not 0"),
        (["--seed", "-1"], "--seed: must be from 0"),
        (["--probe", "3"], "--probe: goes with --dry-run"),
        (["--preset", "nope"], "there is no preset 'nope'"),
        (["--set", "sampler.nn=3"], "sampler.nn: unknown option"),
        (["--set", "grading.gsm8k.workers=3"], "grading.gsm8k: no task of this evaluation has that name"),
        (["--set", "grading.jsonl.wrkers=3"], "wrkers"),
        (["--config", "no.toml"], "cannot read the configuration no.toml"),
    ],
)
def test_what_is_wrong_is_said_before_anything_starts(tmp_path: Path, arguments: list[str], message: str) -> None:
    config = [] if "--config" in arguments else ["--config", pipeline(tmp_path)]
    done = k2(sums(tmp_path / "sums.jsonl"), *config, "--out", tmp_path / "out", *arguments)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert not (tmp_path / "out" / "samples.jsonl").exists()


def test_a_full_disk_stops_it_cleanly_and_it_goes_on_later(tmp_path: Path) -> None:
    arguments = [sums(tmp_path / "sums.jsonl", 40), "--config", pipeline(tmp_path, 40), "--repeats", 2]
    alone = k2(*arguments, "--out", tmp_path / "alone")
    assert alone.returncode == 0, alone.stderr
    full = k2(*arguments, "--out", tmp_path / "full", file_limit=100)
    assert full.returncode == 1
    assert "File too large" in full.stderr
    assert "the same command goes on from here" in full.stderr
    assert 0 < len(samples(tmp_path / "full")) < 80
    again = k2(*arguments, "--out", tmp_path / "full")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "full" / "samples.jsonl").read_bytes() == (tmp_path / "alone" / "samples.jsonl").read_bytes()
    assert len(blocks(tmp_path / "full")) == 80


def test_a_problem_that_carries_its_answer_is_refused(tmp_path: Path) -> None:
    task = tmp_path / "leaky.jsonl"
    task.write_text(json.dumps({"id": "1", "problem": "forty-two and more", "answer": "forty-two and more"}) + "\n")
    done = k2(task, "--config", pipeline(tmp_path), "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "carries its own reference answer in prompt" in done.stderr
