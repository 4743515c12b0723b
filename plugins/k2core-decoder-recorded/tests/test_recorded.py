"""The decoder, with files made here and with real stored completions where they are."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from k2core_decoder_recorded.decoder import cut_to
from k2core_decoder_recorded.store import Stored, estimated_tokens, load

from k2core import PipelineConfig, PluginError, Problem, Runtime
from k2core.events import Delta
from k2core.types import Completion, DecodeRequest, Message

SHARED = Path(__file__).parents[3].parent / "shared" / "data" / "open"
ROWS = [
    {"id": f"{pid}:{i}", "pid": pid, "problem": f"What is {pid}?", "gold": "GOLD", "model": f"m{i}", "completion": f"{pid} try {i}"}
    | {"correct": i == 0, "label": "GOLD", "answer": "GOLD"}
    for pid in ("p1", "p2")
    for i in range(4)
]


def write(path: Path, rows: Iterable[Any]) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def pipeline(path: Path | list[str], **options: Any) -> PipelineConfig:
    where = str(path) if isinstance(path, Path) else path
    return PipelineConfig.from_dict({"decoders": {"solver": {"use": "recorded", "path": where, **options}}})


def asked(n: int = 1, *labels: str, **fields: Any) -> DecodeRequest:
    return DecodeRequest(messages=(Message(role="user", content="?"),), n=n, candidates=labels, **fields)


def decode(config: PipelineConfig, *requests: DecodeRequest, problem: str = "p1", seed: int = 1) -> list[Completion]:
    async def main() -> list[Completion]:
        async with Runtime(config) as runtime, runtime.open(Problem(id=problem, prompt="?"), seed=seed) as run:
            return [completion for request in requests for completion in await run.decode(request)]

    return asyncio.run(main())


def texts(completions: Iterable[Completion]) -> list[str]:
    return [completion.text for completion in completions]


@pytest.mark.parametrize("name", ["solutions.jsonl", "solutions.jsonl.gz"])
def test_candidate_i_is_the_i_th_completion(tmp_path: Path, name: str) -> None:
    config = pipeline(write(tmp_path / name, ROWS))
    assert texts(decode(config, asked(1, "2"), asked(1, "0"), asked(2, "3", "1"))) == [f"p1 try {i}" for i in (2, 0, 3, 1)]
    assert texts(decode(config, asked(1, "0"), problem="p2")) == ["p2 try 0"]


def test_without_labels_the_run_s_calls_take_turns(tmp_path: Path) -> None:
    config = pipeline(write(tmp_path / "s.jsonl", ROWS))
    for labels in ((), ("a", "b")):
        assert texts(decode(config, asked(2, *labels), asked(1))) == ["p1 try 0", "p1 try 1", "p1 try 2"]


def test_every_run_starts_anew_and_is_forgotten(tmp_path: Path) -> None:
    async def main() -> list[str]:
        async with Runtime(pipeline(write(tmp_path / "s.jsonl", ROWS))) as runtime:
            found = []
            for _ in range(3):
                async with runtime.open(Problem(id="p1", prompt="?"), seed=1) as run:
                    found += texts(await run.decode(asked(2)))
            return found

    assert asyncio.run(main()) == ["p1 try 0", "p1 try 1"] * 3


def test_model_and_tokens_come_along_and_usage_counts_them(tmp_path: Path) -> None:
    rows = [{"pid": "p1", "completion": "abc def", "model": "m", "tokens": 5}, {"pid": "p1", "completion": "x" * 9}]

    async def main() -> None:
        config = pipeline(write(tmp_path / "s.jsonl", rows))
        async with Runtime(config) as runtime, runtime.open(Problem(id="p1", prompt="?"), seed=1) as run:
            first, second = await run.decode(asked(2, "0", "1"))
            assert (first.model, first.tokens, first.finish) == ("m", 5, "stop")
            assert (second.model, second.tokens) == ("", 3)
            assert run.usage["solve"].completion_tokens == 8

    asyncio.run(main())


def test_nothing_of_the_gold_answer_gets_out(tmp_path: Path) -> None:
    got = decode(pipeline(write(tmp_path / "s.jsonl", ROWS)), asked(4, *"0123"))
    dump = json.dumps([completion.model_dump(mode="json") for completion in got])
    assert "GOLD" not in dump
    assert "correct" not in dump
    assert "GOLD" not in repr(load([str(tmp_path / "s.jsonl")], "pid", "tokens"))


def test_shuffle_is_a_permutation_by_the_run_s_seed(tmp_path: Path) -> None:
    rows = [{"pid": "p1", "completion": str(i)} for i in range(20)]
    config = pipeline(write(tmp_path / "s.jsonl", rows), order="shuffle")
    labels = [str(i) for i in range(20)]
    first, again, other = (texts(decode(config, asked(20, *labels), seed=seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert sorted(map(int, first)) == list(range(20))


def test_files_are_joined_and_samples_within_a_row_are_read(tmp_path: Path) -> None:
    one = write(
        tmp_path / "one.jsonl", [{"pid": "p1", "model": "m", "samples": [{"completion": "a", "tokens": 7}, {"completion": "b"}]}]
    )
    two = write(tmp_path / "two.jsonl.gz", [{"pid": "p1", "completion": "c"}])
    got = decode(pipeline([str(one), str(two)]), asked(3, *"012"))
    assert [(c.text, c.model, c.tokens) for c in got] == [("a", "m", 7), ("b", "m", 1), ("c", "", 1)]


def test_other_id_field(tmp_path: Path) -> None:
    config = pipeline(write(tmp_path / "s.jsonl", [{"task": "p1", "completion": "a"}]), id_field="task")
    assert texts(decode(config, asked(1))) == ["a"]


def test_running_out_says_how_many_there_are(tmp_path: Path) -> None:
    config = pipeline(write(tmp_path / "s.jsonl", ROWS))
    with pytest.raises(PluginError, match="'p1' has 4 recorded completions"):
        decode(config, asked(1, "4"))
    with pytest.raises(PluginError, match="'p1' has 4 recorded completions"):
        decode(config, asked(3), asked(2))


def test_unknown_problem_says_so(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"problem 'p9'; there are 2 problems: p1, p2"):
        decode(pipeline(write(tmp_path / "s.jsonl", ROWS)), asked(1), problem="p9")


def test_only_solutions_are_served(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="only solutions are recorded"):
        decode(pipeline(write(tmp_path / "s.jsonl", ROWS)), asked(1, role="judge"))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "not JSON"),
        ("[]", "must be an object"),
        ('{"completion": "x"}', "no field 'pid'"),
        ('{"pid": 1, "completion": "x"}', "'pid' must be a str"),
        ('{"pid": "p"}', "no field 'completion'"),
        ('{"pid": "p", "completion": null}', "'completion' must be a str"),
        ('{"pid": "p", "completion": "x", "tokens": "5"}', "'tokens' must be a int"),
        ('{"pid": "p", "completion": "x", "tokens": -5}', "'tokens' must not be negative"),
        ('{"pid": "p", "samples": {}}', "'samples' must be a list"),
        ('{"pid": "p", "samples": ["x"]}', r"samples\[0\] must be an object"),
    ],
)
def test_a_bad_line_stops_the_start_and_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(json.dumps(ROWS[0]) + "\n\n" + line + "\n")
    with pytest.raises(PluginError, match=rf"bad\.jsonl:3: .*{complaint}"):
        decode(pipeline(path), asked(1))


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"absent\.jsonl"):
        decode(pipeline(tmp_path / "absent.jsonl"), asked(1))
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(b"x" * 100_000)[:-20])
    with pytest.raises(PluginError, match=r"cut\.jsonl\.gz:1: cannot be read"):
        decode(pipeline(cut), asked(1))
    latin = tmp_path / "latin.jsonl"
    latin.write_bytes(b'{"pid": "p", "completion": "caf\xe9"}\n')
    with pytest.raises(PluginError, match=r"latin\.jsonl:1: cannot be read"):
        decode(pipeline(latin), asked(1))
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(PluginError, match="no completions"):
        decode(pipeline(tmp_path / "empty.jsonl"), asked(1))


def test_a_path_is_needed() -> None:
    with pytest.raises(PluginError, match="`path` is missing"):
        decode(pipeline([]), asked(1))


@pytest.mark.parametrize("delay", [0.0, 1e-6])
def test_deltas_spell_the_completions(tmp_path: Path, delay: float) -> None:
    rows: list[dict[str, Any]] = [
        {"pid": "p1", "completion": "The answer is 42, I think."},
        {"pid": "p1", "completion": "no", "tokens": 5},
    ]

    async def main() -> None:
        seen: list[Delta] = []
        config = PipelineConfig.from_dict(
            {
                "sampler": {"use": "best-of-n", "n": 2, "batch": "all"},
                "decoders": {"solver": {"use": "recorded", "path": str(write(tmp_path / "s.jsonl", rows)), "delay": delay}},
            }
        )
        async with Runtime(config) as runtime:
            async for event in runtime.stream(Problem(id="p1", prompt="?"), seed=1):
                if isinstance(event, Delta):
                    seen.append(event)
        for i, row in enumerate(rows):
            mine = [delta for delta in seen if delta.candidate == str(i)]
            assert "".join(delta.text for delta in mine) == row["completion"]
            assert sum(delta.tokens for delta in mine) == row.get("tokens", 7)
            assert len(mine) == (row.get("tokens", 7) if delay else 1)

    asyncio.run(main())


def test_cancellation_stops_the_stream(tmp_path: Path) -> None:
    async def main() -> None:
        config = pipeline(write(tmp_path / "s.jsonl", ROWS), delay=3600)
        async with Runtime(config) as runtime, runtime.open(Problem(id="p1", prompt="?"), seed=1) as run:
            task = asyncio.create_task(run.decode(asked(2, "0", "1")))
            await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert run.usage["solve"].cancelled == 1
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_limits_are_heeded_as_a_model_would() -> None:
    stored = Stored("0123456789", "m", 5)
    assert cut_to(stored, 5, ()) == ("0123456789", 5, False)
    assert cut_to(stored, 4, ()) == ("01234567", 4, True)
    assert cut_to(stored, 5, ("9", "4")) == ("0123", 2, False)
    assert cut_to(stored, 1, ("4",)) == ("01", 1, True)
    assert cut_to(stored, 5, ("x", "")) == ("0123456789", 5, False)
    assert cut_to(Stored("", "m", 3), 1, ("x",)) == ("", 1, True)


def test_token_estimate_rounds_up() -> None:
    assert [estimated_tokens("x" * i) for i in (0, 1, 4, 5)] == [0, 1, 1, 2]


@pytest.mark.skipif(not SHARED.exists(), reason="no shared data beside this checkout")
def test_real_stored_completions() -> None:
    path = SHARED / "solutions_math_qwen_8samples.jsonl"
    config = PipelineConfig.from_dict(
        {
            "sampler": {"use": "best-of-n", "n": 8, "max_tokens": 100_000},
            "decoders": {"solver": {"use": "recorded", "path": str(path)}},
            "tasks": {"recorded": {}},
        }
    )
    rows = [json.loads(line) for line in path.read_text().splitlines()]

    async def main() -> None:
        async with Runtime(config) as runtime:
            tasks = list(runtime.tasks("recorded", str(path)))
            assert len(tasks) == len({row["pid"] for row in rows})
            for task in tasks[:5]:
                result = await runtime.solve(task.problem, seed=1)
                mine = [row for row in rows if row["pid"] == task.problem.id]
                assert [c.text for c in result.candidates] == [row["completion"] for row in mine]
                assert task.reference == mine[0]["gold"]

    asyncio.run(main())


@pytest.mark.skipif(not SHARED.exists(), reason="no shared data beside this checkout")
def test_every_real_file_loads() -> None:
    counts = {path.name: load([str(path)], "pid", "tokens") for path in sorted(SHARED.glob("solutions_*"))}
    assert len(counts) >= 6
    assert {len(stored) for stored in counts["solutions_humaneval_codegen16b.jsonl.gz"].values()} == {100}


def test_an_unfinished_turn_cannot_be_continued(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="recorded completions are whole"):
        decode(pipeline(write(tmp_path / "solutions.jsonl", ROWS)), asked(continue_last=True))


def test_a_schema_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="JSON schema"):
        decode(pipeline(write(tmp_path / "solutions.jsonl", ROWS)), asked(json_schema={"type": "object"}))


CALL = {"id": "a", "type": "function", "function": {"name": "add", "arguments": '{"x": 1}'}}


def test_recorded_calls_of_tools_are_replayed(tmp_path: Path) -> None:
    rows = [
        {"pid": "p1", "completion": "", "tool_calls": [CALL]},
        {"pid": "p1", "completion": "I add. Done.", "tool_calls": [CALL]},
    ]
    config = pipeline(write(tmp_path / "calls.jsonl", rows))
    first, second, cut = decode(config, asked(1, "0"), asked(1, "1"), asked(1, "1", stop=("Done",)))
    assert [(call.id, call.name, call.arguments) for call in first.tool_calls] == [("a", "add", '{"x": 1}')]
    assert (first.text, first.finish, first.tokens) == ("", "tool", 3)
    assert (second.text, second.finish) == ("I add. Done.", "tool")
    assert (cut.text, cut.finish, cut.tool_calls) == ("I add. ", "stop", ())


def test_a_recorded_call_in_another_form_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "calls.jsonl", [{"pid": "p1", "completion": "", "tool_calls": [{"name": "add"}]}])
    with pytest.raises(PluginError, match=r"calls\.jsonl:1: no tool call in OpenAI's form"):
        decode(pipeline(path), asked(1, "0"))
