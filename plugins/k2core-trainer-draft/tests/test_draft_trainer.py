"""A tiny pair, end to end: rollouts through the decoder, distillation, resume, and speculation with what came out."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from k2core_trainer_draft import Draft  # noqa: E402
from k2core_training.events import Skipped, Stepped  # noqa: E402
from k2core_training.following.metrics import is_clock, read  # noqa: E402

from k2core import DecodeRequest, Message, PipelineConfig, Plugin, PluginConfig, Problem, Runtime, Task, hookimpl  # noqa: E402
from k2core.errors import ConfigError  # noqa: E402
from k2core.events import Event  # noqa: E402
from k2core.registry import Registry  # noqa: E402
from k2core.types import TrainReport  # noqa: E402

TASKS = [Task(problem=Problem(prompt=f"What is {n} plus {n + 3}?"), reference=str(2 * n + 3)) for n in range(12)]


@pytest.fixture(scope="module")
def target(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tiny.make(tmp_path_factory.mktemp("target"), "llama", seed=3, spread=0.25)
    return made


def tables(target: Path, out: Path, **options: Any) -> dict[str, Any]:
    trainer = {
        "use": "draft",
        "out": str(out),
        "live": False,
        "model": {"model": str(target), "dtype": "float32"},
        "draft": {"hidden": 16, "intermediate": 32, "layers": 1, "heads": 2},
        "rollouts": {"count": 48, "max_tokens": 24, "parallel": 24, "held": 0.2},
        "optimizer": {"lr": 0.02},
        "checkpoint": {"every": 10},
        "steps": 60,
        **options,
    }
    decoder = {"use": "transformers", "model": str(target), "dtype": "float32", "threads": 1}
    return {"sampler": {"use": "single"}, "trainer": trainer, "decoders": {"solver": decoder}}


def trained(config: dict[str, Any], registry: Registry | None = None, tasks: Any = TASKS) -> TrainReport:
    async def main() -> TrainReport:
        async with Runtime(PipelineConfig.from_dict(config), registry=registry or Registry()) as runtime:
            return await runtime.train(tasks)

    return asyncio.run(main())


def row(asked: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": "2"}]}


@pytest.fixture(scope="module")
def run(target: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainReport, Path]:
    out = tmp_path_factory.mktemp("run") / "out"
    return trained(tables(target, out)), out


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(folder / "model" / "model.safetensors"))


def test_it_learns_to_draw_what_the_target_draws(run: tuple[TrainReport, Path]) -> None:
    report, out = run
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert report.steps == len(lines) == 60
    assert lines[0]["loss"] < 8
    assert lines[-1]["loss"] < 0.7 * lines[0]["loss"]
    assert report.metrics["acceptance"] > 0.2
    assert report.metrics["acceptance_greedy"] > 0.1  # by chance it would be 1 in 350
    made = weights(out)
    assert {tensor.dtype for tensor in made.values()} == {torch.float16}
    assert "lm_head.weight" not in made
    rollouts = [json.loads(line) for line in (out / "rollouts.jsonl").read_text().splitlines()]
    assert len(rollouts) == 48
    assert all(one["prompt"] and one["ids"] for one in rollouts)


def test_rollouts_are_what_the_decoder_drew(run: tuple[TrainReport, Path], target: Path) -> None:
    """Greedy ones can be computed again, token by token."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(target, dtype=torch.float32)
    rollouts = [json.loads(line) for line in (run[1] / "rollouts.jsonl").read_text().splitlines()]
    ids = rollouts[1]["ids"]  # temperatures 1 and 0 in turn
    logits = model(torch.tensor([rollouts[1]["prompt"] + ids])).logits[0, len(rollouts[1]["prompt"]) - 1 : -1]
    assert logits.argmax(-1).tolist() == ids


def test_the_draft_speculates_and_changes_no_text(run: tuple[TrainReport, Path], target: Path) -> None:
    request = DecodeRequest(
        messages=TASKS[0].problem.messages or (Message(role="user", content="1 plus 4?"),), n=3, max_tokens=30, seed=5
    )

    async def main(speculation: dict[str, Any], temperature: float) -> tuple[list[str], int]:
        config = tables(target, Path("unused"))
        del config["trainer"]
        config["decoders"]["solver"]["speculation"] = speculation
        async with Runtime(PipelineConfig.from_dict(config)) as runtime, runtime.open("any", seed=1) as opened:
            made = await opened.decode(request.model_copy(update={"temperature": temperature}))
            return [one.text for one in made], runtime.ledger.total.accepted

    for temperature in (1.0, 0.0):
        plain, _ = asyncio.run(main({"drafter": "none"}, temperature))
        draft = {"drafter": "draft-model", "model": str(run[1] / "model"), "most": 4, "adaptive": False}
        drafted, accepted = asyncio.run(main(draft, temperature))
        assert drafted == plain
        assert accepted > 0


class StopConfig(PluginConfig):
    step: int = 1
    """At which the training is cancelled."""


class Stop(Plugin):
    config: StopConfig

    @hookimpl
    async def k2_start(self) -> None:
        self.task = next(one for one in asyncio.all_tasks() if one.get_name() == "training")

    @hookimpl
    def k2_event(self, event: Event) -> None:
        if isinstance(event, Stepped) and event.step == self.config.step:
            self.task.cancel()


class EarConfig(PluginConfig):
    pass


def hearing(heard: list[Event]) -> Registry:
    """With a hook `ear`, which puts what is told into the list."""

    class Ear(Plugin):
        config: EarConfig

        @hookimpl
        def k2_event(self, event: Event) -> None:
            heard.append(event)

    registry = Registry()
    registry.add("hook", "ear", Ear)
    return registry


def interrupted(config: dict[str, Any], step: int) -> None:
    registry = Registry()
    registry.add("hook", "stop", Stop)

    async def main() -> None:
        async with Runtime(PipelineConfig.from_dict({**config, "hooks": {"stop": {"step": step}}}), registry=registry) as runtime:
            await runtime.train(TASKS)

    async def outer() -> None:
        await asyncio.create_task(main(), name="training")

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(outer())


@pytest.mark.parametrize("top", [64, 0])
def test_an_interrupted_training_goes_on_to_the_bit(target: Path, tmp_path: Path, top: int) -> None:
    options: dict[str, Any] = {"steps": 14, "checkpoint": {"every": 5}, "top": top, "measure": 5}
    trained(tables(target, tmp_path / "whole", **options))
    interrupted(tables(target, tmp_path / "parts", **options), 7)
    assert not (tmp_path / "parts" / "model").exists()
    with (tmp_path / "parts" / "rollouts.jsonl").open("a") as file:
        file.write('{"prompt":[1')  # as a kill would leave it
    newest = max((tmp_path / "parts" / "checkpoints").iterdir())
    (newest / "state.pt").write_bytes(b"damaged")
    trained(tables(target, tmp_path / "parts", resume=True, **options))
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    lines = [
        [{key: value for key, value in row.items() if not is_clock(key)} for row in read(tmp_path / name)]
        for name in ("whole", "parts")
    ]
    assert lines[0] == lines[1]


def test_chats_of_a_file_lose_their_last_answers(target: Path, tmp_path: Path) -> None:
    chat = [{"role": "system", "content": "Think."}, {"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"}]
    rows = [
        json.dumps({"messages": chat}),
        "{broken",
        json.dumps({"messages": [*chat[:1], {"role": "user", "content": "2+2?"}, chat[2]]}),
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    few = {"count": 6, "max_tokens": 4, "parallel": 6, "files": [str(tmp_path / "rows.jsonl")]}
    trained(tables(target, tmp_path / "out", steps=1, rollouts=few), tasks=())
    rollouts = [json.loads(line) for line in (tmp_path / "out" / "rollouts.jsonl").read_text().splitlines()]
    assert rollouts[0]["prompt"] == rollouts[2]["prompt"] != rollouts[1]["prompt"]


def test_prompts_that_cannot_be_asked_are_left_out_before_and_counted_by_reason(target: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    given = ["{broken", "[1]", row("1+1?"), row("word " * 30), row(""), row("2+2?")]
    rows.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in given))
    few = {"count": 4, "max_tokens": 4, "parallel": 4, "files": [str(rows)]}
    heard: list[Event] = []
    config = tables(target, tmp_path / "out", steps=1, rollouts=few)
    config["decoders"]["solver"]["context"] = 128  # of the model's 256
    trained({**config, "hooks": {"ear": {}}}, hearing(heard), tasks=())
    skipped = {event.reason: event for event in heard if isinstance(event, Skipped)}
    assert {reason: event.count for reason, event in skipped.items()} == {"malformed": 2, "empty": 1, "over-long": 1}
    assert skipped["over-long"].examples[0].startswith(f"{rows}:4: ")
    assert len((tmp_path / "out" / "rollouts.jsonl").read_text().splitlines()) == 4


def test_prompts_that_are_all_left_out(target: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps(row("word " * 3000)))
    few = {"count": 4, "files": [str(rows)]}
    config = tables(target, tmp_path / "out", rollouts=few)
    with pytest.raises(ConfigError, match=r"^trainer\.rollouts\.files: .*1 over-long, such as .*rows\.jsonl:1"):
        trained(config, tasks=())
    rows.write_text("{broken")
    with pytest.raises(ConfigError, match=r"^trainer\.rollouts\.files: .*1 malformed, such as .*rows\.jsonl:1"):
        trained(config, tasks=())
    with pytest.raises(ConfigError, match=r"^trainer\.tasks: .*1 over-long, such as long: "):
        trained(tables(target, tmp_path / "out"), tasks=[Task(problem=Problem(id="long", prompt="word " * 3000), reference="")])


def test_a_target_without_a_chat_template(tiny: Any, tmp_path: Path) -> None:
    bare = tiny.make(tmp_path / "bare", "llama", template=None)
    with pytest.raises(ConfigError, match=r"^trainer\.model\.chat_template: the model has no chat template"):
        trained(tables(bare, tmp_path / "out"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"most_mb": 0.001}, "more than most_mb"),
        ({"draft": {"hidden": 64}}, "wider than the target"),
        ({"model": {"model": "/nowhere"}}, "trainer.model"),
        ({"rollouts": {"files": ["/nowhere.jsonl"]}}, "there is no file"),
        ({"rollouts": {"decoder": "other"}}, "there is no decoder 'other'"),
        ({"model": {"lora": {}}}, "has no use here"),
        ({"draft": {"hidden": 18}}, "multiple of twice"),
    ],
)
def test_wrong_options(target: Path, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        trained(tables(target, tmp_path / "out", **options))


def test_without_prompts(target: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there are no prompts"):
        trained(tables(target, tmp_path / "out"), tasks=())


def test_the_loss_is_the_divergence_and_its_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    from k2core_trainer_draft import loss

    monkeypatch.setattr(loss, "PART", 4 * 50 * 3)
    torch.manual_seed(0)
    hidden, weight = torch.randn(10, 8, requires_grad=True), torch.randn(50, 8, requires_grad=True)
    theirs = loss.Whole(torch.randn(10, 6), torch.randn(50, 6))
    p = (theirs.hidden @ theirs.weight.t()).softmax(-1)
    kept = p.topk(5)
    top = loss.Top(kept.indices.int(), kept.values / kept.values.sum(-1, keepdim=True))
    sparse = torch.zeros(10, 50).scatter(1, kept.indices, top.probs)
    for aim, dense in ((theirs, p), (top, sparse)):
        made = loss.divergence(hidden, weight, aim, 0.3)
        ours = torch.autograd.grad(made, (hidden, weight))
        expected = 0.3 * torch.nn.functional.kl_div((hidden @ weight.t()).log_softmax(-1), dense, reduction="sum")
        wanted = torch.autograd.grad(expected, (hidden, weight))
        assert torch.allclose(made, expected, atol=1e-5)
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(ours, wanted, strict=True))


def test_projection_keeps_inner_products() -> None:
    from k2core_trainer_draft.student import projected

    torch.manual_seed(0)
    flat = torch.randn(40, 3) @ torch.randn(3, 12)
    small = projected(flat, 4)
    assert torch.allclose(small @ small.t(), flat @ flat.t(), atol=1e-4)


def test_the_trainer_conforms(target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from k2core.testing import assert_conforms

    few = {"count": 6, "max_tokens": 4, "parallel": 6, "held": 0.2}
    config = tables(target, tmp_path / "out", steps=2, rollouts=few, resume=True)
    options = {name: value for name, value in config["trainer"].items() if name != "use"}
    installed = Registry().find_all()
    monkeypatch.setattr(Registry, "find_all", lambda self: installed)  # on a busy machine reading it would count as the trainer's
    assert_conforms("trainer", Draft, options, tasks=TASKS, pipeline={"decoders": config["decoders"]}, patience=20, limit=120)
