"""The trainer in this process: what it learns, keeps, measures and tells, and that it can be cancelled."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from k2core_trainer_sft import Sft, SftConfig
from k2core_trainer_sft.config import ValidationOptions
from k2core_training.following.metrics import read

from k2core import (
    ConfigError,
    DecodeRequest,
    Event,
    K2Error,
    Message,
    PipelineConfig,
    Plugin,
    PluginConfig,
    Problem,
    Registry,
    Runtime,
    Task,
    TrainReport,
    hookimpl,
)
from k2core.testing import assert_conforms


class EarConfig(PluginConfig):
    pass


class Ear(Plugin):
    """Hears what the trainer tells."""

    config: EarConfig
    heard: list[Event]

    @hookimpl
    def k2_event(self, event: Event) -> None:
        self.heard.append(event)


@pytest.fixture(scope="module")
def model(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("model") / "tiny", context=512)  # type: ignore[no-any-return]


def row(asked: str, answered: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}], **more}


def rows(folder: Path, some: Sequence[Any]) -> str:
    (folder / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in some))
    return str(folder / "rows.jsonl")


def pipeline(folder: Path, model: Path, some: Sequence[Any], **trainer: Any) -> dict[str, Any]:
    options = {"model": str(model), "dtype": "float32", "threads": 1, **trainer.pop("model_options", {})}
    data = {"files": [rows(folder, some)], "max_length": 128, **trainer.pop("data", {})}
    return {"trainer": {"use": "sft", "out": str(folder / "out"), "model": options, "data": data, **trainer}}


def train(config: dict[str, Any], tasks: Sequence[Task] = ()) -> tuple[TrainReport, list[Event]]:
    heard: list[Event] = []
    registry = Registry()
    registry.add("hook", "ear", type("Ear", (Ear,), {"heard": heard, "__annotations__": {"config": EarConfig}}))

    async def main() -> TrainReport:
        async with Runtime(PipelineConfig.from_dict({**config, "hooks": {"ear": {}}}), registry=registry) as runtime:
            return await runtime.train(tasks)

    return asyncio.run(main()), heard


SUMS = [row(f"{n}+{n}?", f"It is {2 * n}.") for n in range(32)]


def test_it_learns_and_a_decoder_says_what_it_was_taught(model: Path, tmp_path: Path) -> None:
    """One sentence by heart, by LoRA; the adapter is loaded by the decoder as it is."""
    data, lora = {"duplicates": "keep"}, {"lora": {"rank": 8}}
    some = [row("Who are you?", "I am k2.")] * 2
    config = pipeline(tmp_path, model, some, data=data, steps=60, batch=2, model_options=lora, optimizer={"lr": 0.02})
    report, _ = train(config)
    losses = [line["loss"] for line in read(tmp_path / "out")]
    assert losses[-1] < 0.2 < 2 < losses[0]
    assert report.metrics["token_accuracy"] == 1.0
    options = {"use": "transformers", "model": str(model), "dtype": "float32", "threads": 1, "context": 128}
    decoder = {**options, "lora": [{"path": report.artifacts["adapter"]}]}

    async def asked() -> str:
        request = DecodeRequest(messages=(Message(role="user", content="Who are you?"),), temperature=0.0, max_tokens=20)
        pipeline = PipelineConfig.from_dict({"decoders": {"solver": decoder}})
        async with Runtime(pipeline) as runtime, runtime.open(Problem(prompt="x"), seed=0) as run:
            return (await run.decode(request))[0].text

    assert asyncio.run(asked()) == "I am k2."


def test_packs_of_any_size_make_the_same_training(model: Path, tmp_path: Path) -> None:
    """Gradient accumulation: many passes a step or one, the loss is that of the step's targets together."""
    found = []
    ways = {
        "one": {"max_tokens": 4096},
        "many": {"max_tokens": 128},
        "again": {"model_options": {"gradient_checkpointing": True}},
    }
    for name, more in ways.items():
        (tmp_path / name).mkdir()
        train(pipeline(tmp_path / name, model, SUMS, batch=16, epochs=2, **more))
        found.append([line["loss"] for line in read(tmp_path / name / "out")])
    assert found[0] == pytest.approx(found[1], rel=1e-4)
    assert found[0] == pytest.approx(found[2], rel=1e-4)
    assert len(found[0]) == 4


def test_what_is_told_and_measured(model: Path, tmp_path: Path) -> None:
    config = pipeline(
        tmp_path, model, [*SUMS, row("", "x")], batch=8, validation={"share": 0.25, "every": 2}, checkpoint={"every": 2, "keep": 1}
    )
    report, heard = train(config)
    kinds = [event.kind for event in heard]
    assert kinds.count("train_stepped") == report.steps
    assert kinds.count("train_evaluated") == -(-report.steps // 2)
    (skipped,) = [event for event in heard if event.kind == "train_skipped"]
    assert (skipped.reason, skipped.count) == ("empty", 1)  # type: ignore[attr-defined]
    assert [path.name for path in (tmp_path / "out" / "checkpoints").iterdir()] == [f"step-{report.steps:08d}"]
    lines = list(read(tmp_path / "out"))
    measured = [line["step"] for line in lines if "eval_loss" in line]
    assert measured == sorted({*range(2, report.steps + 1, 2), report.steps})
    assert [line["tokens"] for line in lines] == sorted(line["tokens"] for line in lines)
    exported = tmp_path / "out" / "checkpoints" / f"step-{report.steps:08d}" / "model" / "model.safetensors"
    assert exported.read_bytes() == (tmp_path / "out" / "model" / "model.safetensors").read_bytes()


def test_the_pipeline_solves_tasks_with_what_was_learnt(model: Path, tmp_path: Path) -> None:
    """An answer learnt by heart: the decoder, given the weights, cannot know it at first and does at the end."""
    some = [row("What is 2 + 2?", "\\boxed{4}")] * 2
    config = pipeline(
        tmp_path, model, some, data={"duplicates": "keep"}, steps=40, batch=2, decoder="solver", validation={"every": 1},
        optimizer={"lr": 0.01},
    )  # fmt: skip
    decoder = {"use": "transformers", "model": str(model), "dtype": "float32", "threads": 1, "context": 128}
    more = {
        "sampler": {"use": "single", "temperature": 0.0, "max_tokens": 16, "instructions": False},
        "verifiers": {"math": {}},
        "decoders": {"solver": decoder},
    }
    task = Task(problem=Problem(prompt="What is 2 + 2?"), reference="4", meta={"split": "validation"})
    report, _ = train({**config, **more}, [task])
    measured = [line["eval_accuracy"] for line in read(tmp_path / "out")]
    assert (measured[0], measured[-1]) == (0.0, 1.0)
    assert report.metrics["eval_failed"] == 0


@pytest.mark.parametrize("duplicates", ["skip", "keep"])
def test_what_is_trained_on_is_not_measured_on(model: Path, tmp_path: Path, duplicates: str) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text("".join(json.dumps(one) + "\n" for one in [SUMS[0], row("", "x"), row("9*9?", "It is 81.")]))
    config = pipeline(
        tmp_path, model, [*SUMS[:8], row("", "y")], batch=8, data={"duplicates": duplicates}, validation={"files": [str(other)]}
    )
    _, heard = train(config)
    assert [event.kind for event in heard].count("train_evaluated") == 1
    assert (tmp_path / "out" / "validation" / "train" / "places.txt").read_text() == f"{other}:3\n"
    skipped = {event.reason: event.count for event in heard if event.kind == "train_skipped"}  # type: ignore[attr-defined]
    assert skipped == {"empty": 1, "validation: in the training data": 1, "validation: empty": 1}


def test_validation_by_the_training_file_itself_measures_nothing_and_says_so(model: Path, tmp_path: Path) -> None:
    config = pipeline(tmp_path, model, SUMS[:8], batch=8)
    with pytest.raises(K2Error, match=r"^trainer\.validation\.files: no row is left: 8 in the training data"):
        train(config | {"trainer": {**config["trainer"], "validation": {"files": config["trainer"]["data"]["files"]}}})


def test_only_right_answers_are_learnt_with_the_pipelines_verifiers(model: Path, tmp_path: Path) -> None:
    some = [
        row("What is 2 + 2?", "<think>a</think>\\boxed{4}", answer="4"),
        row("What is 2 + 3?", "<think>a</think>\\boxed{4}", answer="5"),
        row("What is 1/2 + 1/4?", "<think>a</think>\\boxed{\\frac{3}{4}}", answer="0.75"),
        row("What is 2 + 6?", "<think>a</think>\\boxed{8}"),
    ]
    config = pipeline(tmp_path, model, some, data={"verify": True})
    _, heard = train({**config, "verifiers": {"math": {}}})
    skipped = {event.reason: event.count for event in heard if event.kind == "train_skipped"}  # type: ignore[attr-defined]
    assert skipped == {"wrong answer": 1, "not verified: no reference": 1}
    assert (tmp_path / "out" / "data" / "train" / "places.txt").read_text().splitlines() == [
        f"{tmp_path}/rows.jsonl:1",
        f"{tmp_path}/rows.jsonl:3",
    ]


def test_the_gate_is_before_the_first_step(model: Path, tmp_path: Path) -> None:
    asked = "Ann buys seven red apples and nine green pears at the market and then gives four of the apples to her brother."
    (tmp_path / "test.jsonl").write_text(json.dumps({"id": "p1", "problem": asked}) + "\n")
    config = pipeline(tmp_path, model, [*SUMS, row(asked, "3")], gate={"files": [str(tmp_path / "test.jsonl")]})
    with pytest.raises(K2Error, match=r"rows\.jsonl:33 holds a problem of the evaluation: test p1"):
        train(config)
    assert not (tmp_path / "out" / "metrics.jsonl").exists()


def test_a_cancelled_training_ends_within_a_step_and_leaves_a_checkpoint(model: Path, tmp_path: Path) -> None:
    config = pipeline(tmp_path, model, SUMS, batch=2, epochs=500, checkpoint={"every": 0})

    async def main() -> int:
        async with Runtime(PipelineConfig.from_dict(config)) as runtime:
            task = asyncio.create_task(runtime.train(()))
            while not (tmp_path / "out" / "metrics.jsonl").exists() or not list(read(tmp_path / "out")):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return len(list(read(tmp_path / "out")))

    done = asyncio.run(main())
    assert 1 <= done < 1000
    assert [path.name for path in (tmp_path / "out" / "checkpoints").iterdir()] == [f"step-{done:08d}"]


def test_it_conforms(model: Path, tmp_path: Path) -> None:
    options = pipeline(tmp_path, model, SUMS[:4], steps=2, resume=True)["trainer"]
    assert_conforms("trainer", Sft, {name: value for name, value in options.items() if name != "use"})


def test_importing_it_is_light() -> None:
    code = "import sys, k2core_trainer_sft, k2core_training.command; print('torch' in sys.modules, 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False False\n"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"out": ""}, r"trainer\.out: a folder to write to"),
        ({"data": {"files": []}}, r"trainer\.data\.files: no files"),
        ({"data": {"files": ["nope.jsonl"]}}, r"^trainer\.data\.files: there is no file 'nope\.jsonl'"),
        ({"validation": {"files": ["nope.jsonl"]}}, r"^trainer\.validation\.files: there is no file 'nope\.jsonl'"),
        ({"max_tokens": 32}, r"trainer.*max_tokens 32 is less than data.max_length 128"),
    ],
)
def test_options_that_are_wrong(model: Path, tmp_path: Path, more: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        train(pipeline(tmp_path, model, SUMS, **more))


def test_a_model_without_a_chat_template(tiny: Any, tmp_path: Path) -> None:
    bare = tiny.make(tmp_path / "bare", context=512, template=None)
    with pytest.raises(ConfigError, match=r"^trainer\.model\.chat_template: the model has no chat template"):
        train(pipeline(tmp_path, bare, SUMS))


def test_the_readme_names_every_option() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    table = text.split("## Options")[1].split("## Limits")[0]
    named = set(re.findall(r"`(\w+)`", table))
    assert set(SftConfig.model_fields) <= named
    assert set(ValidationOptions.model_fields) <= named
